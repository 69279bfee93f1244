//! What the lab's host and guest say to each other
#![no_std]
