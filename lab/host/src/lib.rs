//! The lab's host side: real Xen in QEMU.
//!
//! [`dom0::image`] makes what QEMU boots, out of Debian's packages; [`session::Session`] is a running Xen; [`run::run`]
//! takes a guest through a plan in it and says what came of it.
#![forbid(unsafe_code)]

pub mod agent;
pub mod books;
pub mod cache;
pub mod command;
pub mod disk;
pub mod dom0;
mod domain;
pub mod drivers;
pub mod interrupt;
pub mod log;
mod net;
pub mod nic;
pub mod packages;
pub mod plan;
mod qemu;
pub mod report;
pub mod run;
pub mod session;
mod steps;
mod symbols;
