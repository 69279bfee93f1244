//! The Xen block miniport: xenvbd.sys.
//!
//! A physical StorPort miniport that binds the VBD child of a Xen bus driver, ours or the Xen Project's, and makes a disk
//! of each of the toolstack's virtual block devices. What it decides it decides in `xen-blkfront` (protocol) and
//! `scsi-disk` (commands); here are the threads, locks and memory around them.
//!
//! - [`adapter`]: the routines that StorPort calls, and their state.
//! - `xenbus-client`: the bus driver's interfaces: xenstore, event channels and grants through them.
//! - [`scan`]: which virtual block devices there are.
//! - [`disk`]: one of them; [`frontend`]: its thread; [`queue`]: its ring and transfers.
//! - [`notify`]: resumes and state dumps.
//! - [`request`]: SRBs in; [`srb`]: their layout.
//!
//! Nothing on the I/O path allocates or waits.
#![no_std]

extern crate alloc as rust_alloc;
extern crate wdk_panic;

use wdk_alloc::WdkAllocator;
use wdk_sys::{NTSTATUS, PCUNICODE_STRING, PDRIVER_OBJECT};

mod adapter;
mod disk;
mod frontend;
mod hook;
mod inquiry;
mod notify;
mod parameters;
mod queue;
mod request;
mod scan;
mod srb;

#[global_allocator]
static ALLOCATOR: WdkAllocator = WdkAllocator;

/// Windows' entry point into the driver. PASSIVE_LEVEL.
///
/// # Safety
/// Called by Windows with the driver's object and the path of its service key.
#[unsafe(export_name = "DriverEntry")]
pub unsafe extern "system" fn driver_entry(
    driver: PDRIVER_OBJECT,
    path: PCUNICODE_STRING,
) -> NTSTATUS {
    if path.is_null() {
        // The dump and hibernation stacks load a second copy so; this driver has no such path.
        return wdm::status::Status::NOT_SUPPORTED.0;
    }
    wdm::info!("version {}", env!("CARGO_PKG_VERSION"));
    // SAFETY: Windows' promise.
    unsafe { parameters::read(path) };
    // SAFETY: as above.
    let status = unsafe { adapter::initialize(driver.cast(), path.cast_mut().cast()) };
    if status >= 0 {
        // SAFETY: the driver's own object, its routines filled in by StorPort.
        unsafe { hook::install(driver) };
    }
    status
}
