//! The run-time library: strings, formatted output, time, versions.

pub mod chkstk;
pub mod crt;
pub mod debug;
pub mod misc;
pub mod printf;
pub mod strings;

pub use debug::{vDbgPrintEx, vDbgPrintExWithPrefix};
