//! NT's structures, in C layout, asserted against the figures of the real WDK (10.0.26100, x64).
#![allow(
    missing_docs,
    non_snake_case,
    non_camel_case_types,
    non_upper_case_globals
)]

#[macro_use]
mod layout;
pub mod base;
pub mod io;
pub mod ke;
pub mod mm;
pub mod ndis;
pub mod scsi;
pub mod status;
pub mod storport;
