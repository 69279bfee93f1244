//! Interrupts of a device.

use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};

use rust_alloc::boxed::Box;
use wdk_sys::ntddk::{IoConnectInterruptEx, IoDisconnectInterruptEx};
use wdk_sys::{
    _KINTERRUPT as KINTERRUPT, BOOLEAN, IO_CONNECT_INTERRUPT_PARAMETERS,
    IO_DISCONNECT_INTERRUPT_PARAMETERS,
};

use crate::alloc::try_box;
use crate::device::Device;
use crate::resources;
use crate::status::{Result, Status};

/// `CONNECT_FULLY_SPECIFIED` and, for processor groups other than 0, `CONNECT_FULLY_SPECIFIED_GROUP`.
const FULLY_SPECIFIED: u32 = 1;
const FULLY_SPECIFIED_GROUP: u32 = 4;

struct Inner<C> {
    context: C,
    routine: fn(&C) -> bool,
}

/// A connected interrupt; dropping it (at PASSIVE_LEVEL) disconnects it.
pub struct Interrupt<C: Send + Sync + 'static> {
    object: NonNull<KINTERRUPT>,
    version: u32,
    // Freed after the interrupt is disconnected.
    _inner: Box<Inner<C>>,
}

// SAFETY: the interrupt object is only used to disconnect; the context is Sync.
unsafe impl<C: Send + Sync + 'static> Send for Interrupt<C> {}
// SAFETY: as above.
unsafe impl<C: Send + Sync + 'static> Sync for Interrupt<C> {}

impl<C: Send + Sync + 'static> Interrupt<C> {
    /// Connects `routine(&context)`, run at device IRQL, to an interrupt of the translated resource list. The
    /// routine says whether the interrupt was the device's; it may run before this returns. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What `IoConnectInterruptEx` says.
    pub fn connect(
        pdo: Device,
        resource: &resources::Interrupt,
        context: C,
        routine: fn(&C) -> bool,
    ) -> Result<Self> {
        let inner = try_box(Inner { context, routine })?;
        let mut object = null_mut();
        let mut parameters = IO_CONNECT_INTERRUPT_PARAMETERS {
            Version: if resource.group == 0 {
                FULLY_SPECIFIED
            } else {
                FULLY_SPECIFIED_GROUP
            },
            ..Default::default()
        };
        let level = resource.level as u8;
        parameters.__bindgen_anon_1.FullySpecified =
            wdk_sys::IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS {
                PhysicalDeviceObject: pdo.as_ptr(),
                InterruptObject: &raw mut object,
                ServiceRoutine: Some(run::<C>),
                ServiceContext: (&raw const *inner).cast_mut().cast(),
                SpinLock: null_mut(),
                SynchronizeIrql: level,
                FloatingSave: 0,
                ShareVector: resource.shared.into(),
                Vector: resource.vector,
                Irql: level,
                InterruptMode: if resource.latched {
                    wdk_sys::_KINTERRUPT_MODE::Latched
                } else {
                    wdk_sys::_KINTERRUPT_MODE::LevelSensitive
                },
                ProcessorEnableMask: resource.affinity,
                Group: resource.group,
            };
        // SAFETY: the parameters outlive the call; the context lives until the interrupt is disconnected.
        Status::check(unsafe { IoConnectInterruptEx(&raw mut parameters) })?;
        let object = NonNull::new(object).ok_or(Status::INTERNAL_ERROR)?;
        Ok(Self {
            object,
            version: parameters.Version,
            _inner: inner,
        })
    }
}

impl<C: Send + Sync + 'static> Drop for Interrupt<C> {
    fn drop(&mut self) {
        let mut parameters = IO_DISCONNECT_INTERRUPT_PARAMETERS {
            Version: self.version,
            ..Default::default()
        };
        parameters.ConnectionContext.InterruptObject = self.object.as_ptr();
        // SAFETY: a connected interrupt; afterwards its routine runs no more.
        unsafe { IoDisconnectInterruptEx(&raw mut parameters) };
    }
}

unsafe extern "C" fn run<C>(_interrupt: *mut KINTERRUPT, context: *mut c_void) -> BOOLEAN {
    // SAFETY: the context given to IoConnectInterruptEx, alive until the interrupt is disconnected.
    let inner = unsafe { &*context.cast_const().cast::<Inner<C>>() };
    (inner.routine)(&inner.context).into()
}
