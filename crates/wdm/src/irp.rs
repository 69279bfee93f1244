//! I/O request packets.
//!
//! The fields below the IRP's fixed part sit in anonymous unions whose generated names depend on the
//! headers; they are reached by their offsets, which `layout` and the assertions here pin down.

use core::ffi::c_void;
use core::ptr::{NonNull, null_mut};
use core::time::Duration;

use wdk_sys::ntddk::{IoBuildSynchronousFsdRequest, IofCallDriver, IofCompleteRequest};
use wdk_sys::{DEVICE_OBJECT, IRP, NTSTATUS};

use crate::event::{Event, Kind};
use crate::status::{Result, Status};

/// `IRP_MJ_PNP` and the other major functions that drivers here handle.
pub const MJ_CREATE: u8 = 0x00;
/// `IRP_MJ_CLOSE`.
pub const MJ_CLOSE: u8 = 0x02;
/// `IRP_MJ_DEVICE_CONTROL`.
pub const MJ_DEVICE_CONTROL: u8 = 0x0E;
/// `IRP_MJ_CLEANUP`.
pub const MJ_CLEANUP: u8 = 0x12;
/// `IRP_MJ_POWER`.
pub const MJ_POWER: u8 = 0x16;
/// `IRP_MJ_SYSTEM_CONTROL`.
pub const MJ_SYSTEM_CONTROL: u8 = 0x17;
/// `IRP_MJ_PNP`.
pub const MJ_PNP: u8 = 0x1B;

/// `IRP_MN_QUERY_INTERFACE`.
pub const MN_QUERY_INTERFACE: u8 = 0x08;

/// Where `CurrentStackLocation` is in an `IRP`.
const CURRENT_STACK_LOCATION: usize = 184;
/// `SL_PENDING_RETURNED`.
const PENDING_RETURNED: u8 = 0x01;
/// `SL_INVOKE_ON_CANCEL | SL_INVOKE_ON_SUCCESS | SL_INVOKE_ON_ERROR`.
const INVOKE_ALWAYS: u8 = 0xE0;
/// How long a synchronous request runs between two lines in the log.
const PATIENCE: Duration = Duration::from_secs(10);

/// A completion routine.
pub type CompletionRoutine =
    unsafe extern "C" fn(*mut DEVICE_OBJECT, *mut IRP, *mut c_void) -> NTSTATUS;

/// `IO_STACK_LOCATION`, its parameters as four words.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct StackLocation {
    /// `IRP_MJ_`.
    pub major: u8,
    /// `IRP_MN_`.
    pub minor: u8,
    /// `SL_` flags of the request.
    pub flags: u8,
    /// `SL_` control bits.
    pub control: u8,
    reserved: u32,
    /// Parameters 1 to 4; narrower ones fill the low part of their word.
    pub parameters: [usize; 4],
    /// The device the request is for.
    pub device: *mut DEVICE_OBJECT,
    /// The file object, if any.
    pub file: *mut c_void,
    completion: Option<CompletionRoutine>,
    context: *mut c_void,
}

const _: () = {
    assert!(size_of::<StackLocation>() == 72 && align_of::<StackLocation>() == 8);
    assert!(core::mem::offset_of!(StackLocation, control) == 3);
    assert!(core::mem::offset_of!(StackLocation, parameters) == 8);
    assert!(core::mem::offset_of!(StackLocation, device) == 40);
    assert!(core::mem::offset_of!(StackLocation, completion) == 56);
    assert!(core::mem::offset_of!(StackLocation, context) == 64);
};

/// `IO_STATUS_BLOCK`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IoStatus {
    /// The outcome.
    pub status: NTSTATUS,
    reserved: u32,
    /// What else the request says about it.
    pub information: usize,
}

const _: () = {
    assert!(size_of::<IoStatus>() == 16);
    assert!(core::mem::offset_of!(IoStatus, information) == 8);
};

/// An IRP that this driver holds: between its dispatch routine, or a completion routine that took it back,
/// and the call that passes it on or completes it. Each of those consumes the value.
pub struct Irp(NonNull<IRP>);

// SAFETY: whoever holds the IRP may use it from any thread.
unsafe impl Send for Irp {}

impl Irp {
    /// Takes an IRP over.
    ///
    /// # Safety
    /// `irp` is a valid IRP that this driver holds, and there is no other `Irp` for it.
    pub unsafe fn from_raw(irp: *mut IRP) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { NonNull::new_unchecked(irp) })
    }

    /// The raw pointer, for tags and completion contexts.
    pub fn as_ptr(&self) -> *mut IRP {
        self.0.as_ptr()
    }

    fn location_slot(&self) -> *mut *mut StackLocation {
        // SAFETY: within the IRP.
        unsafe { self.as_ptr().byte_add(CURRENT_STACK_LOCATION) }.cast()
    }

    /// The current stack location.
    fn location_ptr(&self) -> *mut StackLocation {
        // SAFETY: an aligned field of the IRP.
        unsafe { self.location_slot().read() }
    }

    /// A copy of the current stack location.
    pub fn location(&self) -> StackLocation {
        // SAFETY: the current stack location of an IRP that we hold.
        unsafe { self.location_ptr().read() }
    }

    /// Outcome so far.
    pub fn status(&self) -> IoStatus {
        // SAFETY: the IRP is ours.
        let status = unsafe { &raw const (*self.as_ptr()).IoStatus };
        // SAFETY: an aligned field of the same layout.
        unsafe { status.cast::<IoStatus>().read() }
    }

    /// Sets the outcome.
    pub fn set_status(&mut self, status: NTSTATUS, information: usize) {
        // SAFETY: the IRP is ours.
        let target = unsafe { &raw mut (*self.as_ptr()).IoStatus };
        // SAFETY: an aligned field of the same layout.
        unsafe {
            target.cast::<IoStatus>().write(IoStatus {
                status,
                reserved: 0,
                information,
            })
        };
    }

    /// Whether a lower driver returned STATUS_PENDING (in a completion routine).
    pub fn pending_returned(&self) -> bool {
        // SAFETY: the IRP is ours.
        (unsafe { (*self.as_ptr()).PendingReturned }) != 0
    }

    /// Marks the IRP pending; the dispatch routine then returns STATUS_PENDING.
    pub fn mark_pending(&mut self) {
        // SAFETY: the current stack location of an IRP that we hold.
        let control = unsafe { &mut (*self.location_ptr()).control };
        *control |= PENDING_RETURNED;
    }

    /// Completes with this outcome and returns the status. IRQL <= DISPATCH_LEVEL.
    pub fn complete_with(mut self, status: NTSTATUS, information: usize) -> NTSTATUS {
        self.set_status(status, information);
        self.complete()
    }

    /// Completes with the outcome that it has and returns the status. IRQL <= DISPATCH_LEVEL.
    pub fn complete(self) -> NTSTATUS {
        let status = self.status().status;
        // SAFETY: the IRP is ours; no priority boost.
        unsafe { IofCompleteRequest(self.as_ptr(), 0) };
        status
    }

    /// Passes the IRP on as it is, without wanting it back. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `lower` is the device below in this device's stack.
    pub unsafe fn skip(self, lower: *mut DEVICE_OBJECT) -> NTSTATUS {
        let next = self.location_ptr().wrapping_add(1);
        // SAFETY: an aligned field of the IRP (IoSkipCurrentIrpStackLocation).
        unsafe { self.location_slot().write(next) };
        // SAFETY: the IRP is ours.
        let index = unsafe { &mut (*self.as_ptr()).CurrentLocation };
        *index += 1;
        // SAFETY: the caller's promise; the IRP is the lower driver's from here on.
        unsafe { IofCallDriver(lower, self.as_ptr()) }
    }

    /// Copies the current stack location for the next driver, with a completion routine.
    fn copy_to_next(&mut self, completion: CompletionRoutine, context: *mut c_void) {
        let next = StackLocation {
            control: INVOKE_ALWAYS,
            completion: Some(completion),
            context,
            ..self.location()
        };
        let slot = self.location_ptr().wrapping_sub(1);
        // SAFETY: a driver with another one below has a stack location below its own.
        unsafe { slot.write(next) };
    }

    /// Passes the IRP on; `completion` gets it back. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// `lower` is the device below in this device's stack, and `completion` may be called with `context` at
    /// IRQL <= DISPATCH_LEVEL.
    pub unsafe fn forward(
        mut self,
        lower: *mut DEVICE_OBJECT,
        completion: CompletionRoutine,
        context: *mut c_void,
    ) -> NTSTATUS {
        self.copy_to_next(completion, context);
        // SAFETY: the caller's promise.
        unsafe { IofCallDriver(lower, self.as_ptr()) }
    }

    /// Passes the IRP on and waits until the drivers below are done with it; it is ours again then.
    /// PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The status that the drivers below completed it with, or `INSUFFICIENT_RESOURCES` (which is then the
    /// IRP's status) if it was not passed on.
    ///
    /// # Safety
    /// `lower` is the device below in this device's stack.
    pub unsafe fn forward_and_wait(&mut self, lower: *mut DEVICE_OBJECT) -> Result {
        let done = match Event::new(Kind::Notification) {
            Ok(done) => done,
            Err(status) => {
                self.set_status(status.0, 0);
                return Err(status);
            }
        };
        self.copy_to_next(signal, done.as_ptr().cast());
        // SAFETY: the caller's promise; the event outlives the request, which is waited for.
        let status = unsafe { IofCallDriver(lower, self.as_ptr()) };
        if status == wdk_sys::STATUS_PENDING {
            wait_for(&done, self.location().minor);
        }
        Status::check(self.status().status)
    }
}

/// Waits for the end of a request that was sent down, which nothing but the lower driver can end.
fn wait_for(done: &Event, minor: u8) {
    let mut waited = 0;
    while !done.wait(PATIENCE) {
        waited += PATIENCE.as_secs();
        crate::warn!("a request (minor {minor:#04x}) sent down has not ended after {waited} s");
    }
}

unsafe extern "C" fn signal(
    _device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: the I/O manager calls with a valid IRP.
    if unsafe { (*irp).PendingReturned } != 0 {
        // SAFETY: the event of forward_and_wait, which waits for it.
        unsafe { crate::event::set_foreign(context) };
    }
    wdk_sys::STATUS_MORE_PROCESSING_REQUIRED
}

/// Sends an `IRP_MJ_PNP` request of our own to the top of a stack and waits for it. PASSIVE_LEVEL.
///
/// # Errors
/// What the request was completed with; `NOT_SUPPORTED` if nobody knew it.
///
/// # Safety
/// `device` is the top of a device stack, kept alive by the caller, and the parameters are those of the
/// minor function.
pub unsafe fn send_pnp(
    device: *mut DEVICE_OBJECT,
    minor: u8,
    parameters: [usize; 4],
) -> Result<usize> {
    let done = Event::new(Kind::Notification)?;
    let mut outcome = IoStatus {
        status: Status::NOT_SUPPORTED.0,
        reserved: 0,
        information: 0,
    };
    // SAFETY: event and status block outlive the request, which is waited for.
    let irp = unsafe {
        IoBuildSynchronousFsdRequest(
            MJ_PNP.into(),
            device,
            null_mut(),
            0,
            null_mut(),
            done.as_ptr(),
            (&raw mut outcome).cast(),
        )
    };
    let irp = NonNull::new(irp).ok_or(Status::INSUFFICIENT_RESOURCES)?;
    let mut irp = Irp(irp);
    irp.set_status(Status::NOT_SUPPORTED.0, 0);
    let next = irp.location_ptr().wrapping_sub(1);
    // SAFETY: a fresh IRP's next stack location, filled in with the major function already.
    let next = unsafe { &mut *next };
    next.minor = minor;
    next.parameters = parameters;
    // SAFETY: the caller's promise. The I/O manager frees the IRP when it is completed.
    let status = unsafe { IofCallDriver(device, irp.as_ptr()) };
    if status == wdk_sys::STATUS_PENDING {
        wait_for(&done, minor);
    }
    // SAFETY: written by the I/O manager; the local lives.
    let outcome = unsafe { (&raw const outcome).read_volatile() };
    Status::check(outcome.status)?;
    Ok(outcome.information)
}
