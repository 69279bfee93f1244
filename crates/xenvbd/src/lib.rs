//! The Xen block miniport: xenvbd.sys
#![no_std]

extern crate wdk_panic;

use wdk_alloc::WdkAllocator;
use wdk_sys::{NTSTATUS, PCUNICODE_STRING, PDRIVER_OBJECT, STATUS_NOT_SUPPORTED};

#[global_allocator]
static ALLOCATOR: WdkAllocator = WdkAllocator;

/// Windows' entry point into the driver, called at `PASSIVE_LEVEL`.
#[unsafe(export_name = "DriverEntry")]
pub extern "system" fn driver_entry(_driver: PDRIVER_OBJECT, _path: PCUNICODE_STRING) -> NTSTATUS {
    STATUS_NOT_SUPPORTED
}
