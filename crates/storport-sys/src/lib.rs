//! StorPort, SRB and control declarations: what a physical miniport uses of storport.sys.
//!
//! Written by hand, since wdk-sys' own bindings are not the same on a Linux build host (mingw-w64's headers) as with the
//! WDK. Every structure's size, alignment and field offsets are asserted at compile time against figures read off the
//! WDK 10.0.26100 (x64). The crate has no dependencies and builds on any 64-bit host; only the functions of [`call`]
//! need storport.sys to link.
//!
//! Structures and fields keep the DDI's names, so that the DDI reference is their documentation.
#![no_std]
#![allow(non_snake_case, non_camel_case_types)]

pub mod call;
pub mod callback;
pub mod constant;
mod layout;
#[allow(missing_docs)]
pub mod port;
#[allow(missing_docs)]
pub mod srb;
