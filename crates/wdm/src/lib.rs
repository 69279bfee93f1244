//! A safe layer over the Windows kernel for all drivers.
//!
//! What touches the kernel exists on Windows targets only; the PnP and power state tables in [`pnp`]
//! and the text helpers in [`text`] build and are tested on any host.
//!
//! Conventions:
//! * A function's documentation names the highest IRQL it may be called at; "any" includes device
//!   IRQLs. What needs PASSIVE_LEVEL says so.
//! * Failures are [`status::Status`] values, an `NTSTATUS` that is an error. Running out of memory is
//!   one of them: nothing here panics for lack of it.
//! * The NT structures whose layout a driver relies on are asserted in `layout`, against figures
//!   read off the WDK's own headers, since other headers that a build may use differ.
#![no_std]

extern crate alloc as rust_alloc;

pub mod pnp;
pub mod text;

#[cfg(windows)]
#[macro_use]
pub mod log;
#[cfg(windows)]
pub mod alloc;
#[cfg(windows)]
pub mod cpu;
#[cfg(windows)]
pub mod device;
#[cfg(windows)]
pub mod dpc;
#[cfg(windows)]
pub mod event;
#[cfg(windows)]
mod guard;
#[cfg(windows)]
pub mod interrupt;
#[cfg(windows)]
pub mod irp;
#[cfg(windows)]
pub mod irql;
#[cfg(windows)]
mod layout;
#[cfg(windows)]
pub mod mdl;
#[cfg(windows)]
pub mod mutex;
#[cfg(windows)]
pub mod page;
#[cfg(windows)]
pub mod pages;
#[cfg(windows)]
pub mod port;
#[cfg(windows)]
pub mod power;
#[cfg(windows)]
pub mod query;
#[cfg(windows)]
pub mod registry;
#[cfg(windows)]
pub mod remove_lock;
#[cfg(windows)]
pub mod resources;
#[cfg(windows)]
pub mod status;
#[cfg(windows)]
pub mod sync;
#[cfg(windows)]
pub mod thread;
#[cfg(windows)]
pub mod time;
#[cfg(windows)]
pub mod unicode;
#[cfg(windows)]
pub mod workitem;
