//! Deferred procedure calls.

use core::cell::UnsafeCell;
use core::ffi::c_void;

use rust_alloc::boxed::Box;
use wdk_sys::ntddk::{
    KeFlushQueuedDpcs, KeInitializeDpc, KeInsertQueueDpc, KeRemoveQueueDpc,
    KeSetTargetProcessorDpcEx,
};
use wdk_sys::{KDPC, PROCESSOR_NUMBER};

use crate::alloc::try_box;
use crate::status::{Result, Status};

#[repr(C)]
struct Inner<C> {
    dpc: UnsafeCell<KDPC>,
    context: C,
    routine: fn(&C),
}

/// A `KDPC` that runs `routine(&context)` at DISPATCH_LEVEL on the processor that queued it, or on the one
/// chosen with [`Dpc::set_processor`]. Dropping it (at PASSIVE_LEVEL) waits until it runs no more.
pub struct Dpc<C: Send + Sync + 'static>(Box<Inner<C>>);

// SAFETY: the kernel serialises access to the KDPC; the context is Sync.
unsafe impl<C: Send + Sync + 'static> Send for Dpc<C> {}
// SAFETY: as above.
unsafe impl<C: Send + Sync + 'static> Sync for Dpc<C> {}

impl<C: Send + Sync + 'static> Dpc<C> {
    /// A DPC that is not queued. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// `INSUFFICIENT_RESOURCES`.
    pub fn new(context: C, routine: fn(&C)) -> Result<Self> {
        let dpc = UnsafeCell::new(KDPC::default());
        let inner = try_box(Inner {
            dpc,
            context,
            routine,
        })?;
        let argument = (&raw const *inner).cast_mut().cast::<c_void>();
        // SAFETY: nonpaged memory that does not move and lives until the DPC is off the queues.
        unsafe { KeInitializeDpc(inner.dpc.get(), Some(run::<C>), argument) };
        Ok(Self(inner))
    }

    /// Chooses the processor. Where it is queued already, it runs there once more. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// There is no such processor.
    pub fn set_processor(&self, group: u16, number: u8) -> Result {
        let mut processor = PROCESSOR_NUMBER {
            Group: group,
            Number: number,
            Reserved: 0,
        };
        // SAFETY: an initialised DPC and a structure that outlives the call.
        Status::check(unsafe { KeSetTargetProcessorDpcEx(self.0.dpc.get(), &raw mut processor) })
    }

    /// Queues it; false if it was queued already. Any IRQL.
    pub fn queue(&self) -> bool {
        let null = core::ptr::null_mut();
        // SAFETY: an initialised DPC that outlives its time on the queue.
        (unsafe { KeInsertQueueDpc(self.0.dpc.get(), null, null) }) != 0
    }

    /// What the routine is called with.
    pub fn context(&self) -> &C {
        &self.0.context
    }
}

impl<C: Send + Sync + 'static> Drop for Dpc<C> {
    fn drop(&mut self) {
        // SAFETY: an initialised DPC.
        unsafe { KeRemoveQueueDpc(self.0.dpc.get()) };
        // SAFETY: PASSIVE_LEVEL by contract. A DPC that was taken off its queue to be run is waited for.
        unsafe { KeFlushQueuedDpcs() };
    }
}

unsafe extern "C" fn run<C>(
    _dpc: *mut KDPC,
    context: *mut c_void,
    _argument1: *mut c_void,
    _argument2: *mut c_void,
) {
    // SAFETY: the context given to KeInitializeDpc, alive until the DPC is flushed.
    let inner = unsafe { &*context.cast_const().cast::<Inner<C>>() };
    (inner.routine)(&inner.context);
}
