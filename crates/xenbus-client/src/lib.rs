//! The Xen bus driver's interfaces, as its children's drivers use them: safe calls, and what was acquired, opened, granted
//! or registered is given back when its value is dropped.
//!
//! - [`bus`]: the interfaces themselves, and emulated twins.
//! - [`store`]: xenstore; [`granter`]: grants; [`channel`]: event channels.
//! - [`notify`]: resumes of the domain and state dumps.
//! - [`announce`]: the driver's lines in xenstore.
#![no_std]
#![cfg(windows)]

extern crate alloc as rust_alloc;

pub mod announce;
pub mod bus;
pub mod channel;
pub mod granter;
pub mod notify;
pub mod store;
