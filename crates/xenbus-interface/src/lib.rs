//! The query interfaces through which xenbus.sys lends Xen's services to its children.
//!
//! A child sends `IRP_MN_QUERY_INTERFACE` to the device below it with a GUID, a version and a
//! buffer; the bus copies the function table of that version into the buffer. The tables here
//! have the layout, slot order, GUIDs and versions of the Xen Project's C drivers, so that their
//! children run on our bus and our children on theirs.
//!
//! * Every method takes the table itself as its first argument ([`Interface`]), from whose
//!   `context` the provider finds its state.
//! * A query takes **no** reference. The consumer calls `acquire` before any other method and
//!   `release` after the last.
//! * Methods are safe to call only as their field's documentation says; IRQLs are upper bounds
//!   unless it says otherwise.
//!
//! `extern "system"` is the calling convention of the Windows kernel on Windows targets; on other
//! hosts the crate serves to check layouts and to test [`revision`] and [`identity`].
#![no_std]
#![forbid(unsafe_op_in_unsafe_fn)]

#[macro_use]
mod table;

pub mod cache;
pub mod console;
pub mod debug;
pub mod evtchn;
pub mod gnttab;
pub mod identity;
pub mod range_set;
pub mod revision;
pub mod shared_info;
pub mod store;
pub mod suspend;
pub mod unplug;

pub use table::{Boolean, Guid, Interface, InterfaceVersion, NtStatus, Pfn};

#[cfg(test)]
mod tests;
