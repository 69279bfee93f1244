//! The NT executive as a bare-metal HVM guest
#![no_std]
