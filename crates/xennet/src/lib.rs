//! The Xen network miniport: xennet.sys.
//!
//! An NDIS 6 miniport that binds one network interface's child of a Xen bus driver and makes an adapter of it. What it
//! decides it decides in `xen-netfront` (protocol) and `xennet-core` (NDIS); here are the threads, locks and memory around
//! them.
//!
//! - [`miniport`]: the routines that NDIS calls; [`adapter`]: their state.
//! - [`attributes`], [`configuration`], [`oid`]: what NDIS is told, what the registry says, what is asked.
//! - [`frontend`]: an adapter's thread: the connection to its backend.
//! - [`control_ring`]: how the backend spreads frames over queues.
//! - [`queue`]: a pair of rings and their routines; [`tx`], [`rx`]: its sides.
//! - [`nbl`], [`pool`]: net buffer lists.
//! - [`notify`]: resumes and state dumps.
//!
//! Nothing on the way of a frame allocates or waits.
#![no_std]

extern crate alloc as rust_alloc;
extern crate wdk_panic;

use wdk_alloc::WdkAllocator;
use wdk_sys::{NTSTATUS, PCUNICODE_STRING, PDRIVER_OBJECT};

mod adapter;
mod attributes;
mod configuration;
mod control_ring;
mod frontend;
mod miniport;
mod nbl;
mod notify;
mod oid;
mod pool;
mod queue;
mod rx;
mod tx;

#[global_allocator]
static ALLOCATOR: WdkAllocator = WdkAllocator;

/// The driver's version: major number times 65536 and minor number.
const VERSION_NUMBER: u32 =
    number(env!("CARGO_PKG_VERSION_MAJOR")) << 16 | number(env!("CARGO_PKG_VERSION_MINOR"));

/// A decimal number that cargo wrote.
const fn number(text: &str) -> u32 {
    match u32::from_str_radix(text, 10) {
        Ok(number) => number,
        Err(_) => 0,
    }
}

/// Windows' entry point into the driver. PASSIVE_LEVEL.
///
/// # Safety
/// Called by Windows with the driver's object and the path of its service key.
#[unsafe(export_name = "DriverEntry")]
pub unsafe extern "system" fn driver_entry(
    driver: PDRIVER_OBJECT,
    path: PCUNICODE_STRING,
) -> NTSTATUS {
    wdm::info!("version {}", env!("CARGO_PKG_VERSION"));
    // SAFETY: Windows' promise.
    unsafe { configuration::read_service(path) };
    // SAFETY: as above.
    unsafe { miniport::register(driver.cast(), path.cast_mut().cast()) }
}
