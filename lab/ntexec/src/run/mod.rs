//! The plan's steps, done in the guest one after the other, and what is reported of each.

pub mod hex;
pub mod knowledge;
pub mod pattern;

mod device_steps;
mod disk_steps;
mod main;
mod net;
mod random;
mod sequential;

pub use main::plan_thread;
