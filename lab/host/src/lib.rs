//! The lab's host side: real Xen in QEMU.
//!
//! On Windows, where `cargo xtask package` needs them, there are [`cache`], [`command`] and [`drivers`] alone.
//!
//! [`dom0::image`] makes what QEMU boots, out of Debian's packages; [`session::Session`] is a running Xen; [`run::run`]
//! takes a guest through a plan in it and says what came of it.
#![forbid(unsafe_code)]

#[cfg(unix)]
pub mod agent;
#[cfg(unix)]
pub mod books;
pub mod cache;
pub mod command;
#[cfg(unix)]
pub mod disk;
#[cfg(unix)]
pub mod dom0;
#[cfg(unix)]
mod domain;
pub mod drivers;
#[cfg(unix)]
pub mod interrupt;
#[cfg(unix)]
pub mod log;
#[cfg(unix)]
mod net;
#[cfg(unix)]
pub mod nic;
#[cfg(unix)]
pub mod packages;
#[cfg(unix)]
pub mod plan;
#[cfg(unix)]
mod qemu;
#[cfg(unix)]
pub mod report;
#[cfg(unix)]
pub mod run;
#[cfg(unix)]
pub mod session;
#[cfg(unix)]
mod steps;
#[cfg(unix)]
mod symbols;
