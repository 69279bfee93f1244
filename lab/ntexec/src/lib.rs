//! An NT executive for running drivers without Windows
#![no_std]
