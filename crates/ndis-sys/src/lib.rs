//! NDIS 6 declarations: what an Ethernet miniport uses of ndis.sys.
//!
//! Written by hand, since wdk-sys has no NDIS and mingw-w64's headers know only its old versions. Every structure's size,
//! alignment and field offsets, and every size of a revision, are asserted at compile time against figures read off the
//! WDK 10.0.26100 (x64, NDIS 6.87). The crate has no dependencies and builds on any 64-bit host; only the functions of
//! [`call`] need ndis.sys to link.
//!
//! Structures and fields keep the DDI's names, so that the DDI reference is their documentation. Which revision of each a
//! driver uses follows from the version it registers with: [`version`].
#![no_std]
#![allow(non_snake_case, non_camel_case_types)]

pub mod call;
#[allow(missing_docs)]
pub mod callback;
pub mod constant;
pub mod info;
mod layout;
#[allow(missing_docs)]
pub mod miniport;
#[allow(missing_docs)]
pub mod nbl;
pub mod object;
#[allow(missing_docs)]
pub mod offload;
pub mod oid;
#[allow(missing_docs)]
pub mod request;
#[allow(missing_docs)]
pub mod rss;
pub mod status;
pub mod version;

/// `NDIS_HANDLE`: an opaque pointer of NDIS'.
pub type NDIS_HANDLE = *mut core::ffi::c_void;

/// `NDIS_STATUS`: see [`status`].
pub type NDIS_STATUS = i32;

/// `NDIS_PORT_NUMBER`; 0 is the default port.
pub type NDIS_PORT_NUMBER = u32;
