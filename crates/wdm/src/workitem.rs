//! Work for a system worker thread.

use core::ffi::c_void;
use core::ptr::NonNull;

use rust_alloc::boxed::Box;
use wdk_sys::ntddk::{IoAllocateWorkItem, IoFreeWorkItem, IoQueueWorkItem};
use wdk_sys::{_IO_WORKITEM as IO_WORKITEM, DEVICE_OBJECT};

use crate::alloc::try_box;
use crate::status::{Result, Status};

struct Work<F> {
    item: NonNull<IO_WORKITEM>,
    body: F,
}

/// Runs `body` once at PASSIVE_LEVEL in a worker thread. IRQL <= DISPATCH_LEVEL.
///
/// The kernel holds a reference to the device, and so to the driver, until the body has returned.
///
/// # Errors
/// `INSUFFICIENT_RESOURCES`; the body was dropped.
///
/// # Safety
/// `device` is a device object of this driver.
pub unsafe fn queue<F>(device: *mut DEVICE_OBJECT, body: F) -> Result
where
    F: FnOnce() + Send + 'static,
{
    // SAFETY: a device object of this driver.
    let item = unsafe { IoAllocateWorkItem(device) };
    let item = NonNull::new(item).ok_or(Status::INSUFFICIENT_RESOURCES)?;
    let work = try_box(Work { item, body }).inspect_err(|_| {
        // SAFETY: allocated above and not queued.
        unsafe { IoFreeWorkItem(item.as_ptr()) };
    })?;
    let context = Box::into_raw(work).cast::<c_void>();
    let queue = wdk_sys::_WORK_QUEUE_TYPE::DelayedWorkQueue;
    // SAFETY: a fresh item; the routine takes over the context.
    unsafe { IoQueueWorkItem(item.as_ptr(), Some(run::<F>), queue, context) };
    Ok(())
}

unsafe extern "C" fn run<F: FnOnce()>(_device: *mut DEVICE_OBJECT, context: *mut c_void) {
    // SAFETY: the box that queue gave away.
    let work = *unsafe { Box::from_raw(context.cast::<Work<F>>()) };
    (work.body)();
    // SAFETY: the item has been dequeued; the kernel allows freeing it here.
    unsafe { IoFreeWorkItem(work.item.as_ptr()) };
}
