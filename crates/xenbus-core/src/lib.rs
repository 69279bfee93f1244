//! What xenbus.sys decides, apart from Windows.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod children;
pub mod distribution;
pub mod platform;
pub mod printf;
pub mod range_set;
pub mod roster;
pub mod unplug;
