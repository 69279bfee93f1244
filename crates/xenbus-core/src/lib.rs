//! What xenbus.sys decides, apart from Windows.
#![no_std]
#![forbid(unsafe_code)]
