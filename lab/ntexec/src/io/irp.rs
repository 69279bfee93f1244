//! IRPs: allocation, passing down, completion, cancellation, and the rules that bind drivers on the way.
//!
//! Follows the pages of IoAllocateIrp, IofCallDriver, IofCompleteRequest, IoCancelIrp and "Handling IRPs"; rules carry
//! Driver Verifier's numbers (bug check 0xC9). Every allocated IRP has a [`Shadow`] that outlives it, so that a dispatch
//! routine's answer can be compared with what became of the IRP.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::check::violation_by;
use crate::ldr::driver_name;
use crate::nt::base::{NTSTATUS, nt_success};
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::ke::LIST_ENTRY;
use crate::nt::status::*;
use crate::sync::Lock;

/// Who frees an IRP that has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// IoAllocateIrp and IoBuildAsynchronousFsdRequest: the driver, from its completion routine.
    Driver,
    /// IoBuildSynchronousFsdRequest and such: the I/O manager, when it is complete.
    Threaded,
}

/// Locations of a stack that are watched.
const WATCHED: usize = 24;
const DONE: u64 = 1 << 63;
const PENDING: u64 = 1 << 62;

/// What is known of an IRP beside its own memory.
pub struct Shadow {
    origin: Lock<Origin>,
    allocated_by: String,
    size: usize,
    done: [AtomicU64; WATCHED],
    /// 1 once IofCompleteRequest ran to the top.
    ended: AtomicU32,
}

static LIVE: Lock<BTreeMap<usize, Arc<Shadow>>> = Lock::new(BTreeMap::new());
static CANCEL: AtomicUsize = AtomicUsize::new(0);

fn shadow(irp: *mut IRP) -> Option<Arc<Shadow>> {
    LIVE.lock().get(&(irp as usize)).cloned()
}

/// IRPs that the driver with this file name allocated and has not freed.
pub fn unfreed(driver: &str) -> usize {
    LIVE.lock()
        .values()
        .filter(|s| s.allocated_by == driver)
        .count()
}

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, 16).ok()
}

/// Writes an IRP's first state (IoInitializeIrp).
///
/// # Safety
/// `irp` is writable for `size` bytes, which hold the IRP and its stack locations.
pub unsafe extern "win64" fn IoInitializeIrp(irp: *mut IRP, size: u16, stack: i8) {
    core::ptr::write_bytes(irp.cast::<u8>(), 0, size.into());
    (*irp).Type = IO_TYPE_IRP;
    (*irp).Size = size;
    (*irp).StackCount = stack;
    (*irp).CurrentLocation = stack + 1;
    (*irp).Tail.Overlay.CurrentStackLocation =
        irp.add(1).cast::<IO_STACK_LOCATION>().offset(stack.into());
    LIST_ENTRY::initialize(&raw mut (*irp).ThreadListEntry);
}

/// IoAllocateIrp: `<= DISPATCH_LEVEL`.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoAllocateIrp(stack: i8, _charge: u8) -> *mut IRP {
    allocate(stack, Origin::Driver)
}

/// An IRP with its shadow.
///
/// # Safety
/// `stack` is at least 1.
pub unsafe fn allocate(stack: i8, origin: Origin) -> *mut IRP {
    let size =
        size_of::<IRP>() + usize::try_from(stack).unwrap_or(0) * size_of::<IO_STACK_LOCATION>();
    let (Some(layout), true) = (layout(size), stack > 0) else {
        return null_mut();
    };
    let irp = alloc_zeroed(layout).cast::<IRP>();
    if irp.is_null() {
        return irp;
    }
    IoInitializeIrp(irp, size as u16, stack);
    let (driver, call) = crate::check::calls::current();
    let by_driver = matches!(
        call.as_str(),
        "IoAllocateIrp" | "IoBuildAsynchronousFsdRequest"
    );
    let s = Shadow {
        origin: Lock::new(origin),
        allocated_by: if by_driver { driver } else { String::new() },
        size,
        done: [const { AtomicU64::new(0) }; WATCHED],
        ended: AtomicU32::new(0),
    };
    LIVE.lock().insert(irp as usize, Arc::new(s));
    irp
}

/// IoFreeIrp: `<= DISPATCH_LEVEL`.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoFreeIrp(irp: *mut IRP) {
    let Some(s) = LIVE.lock().remove(&(irp as usize)) else {
        crate::check::violation("IRP freed twice", format_args!("{irp:p} is no living IRP"));
        return;
    };
    // What is freed must not look like an IRP to one who still has it.
    (*irp).Type = 0;
    if let Some(layout) = layout(s.size) {
        dealloc(irp.cast(), layout);
    }
}

/// IoReuseIrp: `<= DISPATCH_LEVEL`.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoReuseIrp(irp: *mut IRP, status: NTSTATUS) {
    let (size, stack) = ((*irp).Size, (*irp).StackCount);
    IoInitializeIrp(irp, size, stack);
    (*irp).IoStatus.Status = status;
    if let Some(s) = shadow(irp) {
        s.done.iter().for_each(|d| d.store(0, Ordering::Release));
        s.ended.store(0, Ordering::Release);
    }
}

/// The current stack location.
///
/// # Safety
/// `irp` is a living IRP on its way.
pub unsafe fn current(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    (*irp).Tail.Overlay.CurrentStackLocation
}

/// The next lower stack location.
///
/// # Safety
/// `irp` is a living IRP with a location left.
pub unsafe fn next(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    current(irp).sub(1)
}

/// IoSkipCurrentIrpStackLocation.
///
/// # Safety
/// `irp` is a living IRP on its way.
pub unsafe fn skip(irp: *mut IRP) {
    (*irp).CurrentLocation += 1;
    (*irp).Tail.Overlay.CurrentStackLocation = current(irp).add(1);
}

/// IoCopyCurrentIrpStackLocationToNext.
///
/// # Safety
/// `irp` is a living IRP with a location left.
pub unsafe fn copy_to_next(irp: *mut IRP) {
    let mut copy = *current(irp);
    copy.Control = 0;
    copy.CompletionRoutine = None;
    next(irp).write(copy);
}

/// IoSetCompletionRoutine, for all outcomes.
///
/// # Safety
/// `irp` is a living IRP with a location left.
pub unsafe fn set_completion(irp: *mut IRP, routine: IO_COMPLETION_ROUTINE, context: *mut c_void) {
    let n = next(irp);
    (*n).CompletionRoutine = Some(routine);
    (*n).Context = context;
    (*n).Control = SL_INVOKE_ON_CANCEL | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_SUCCESS;
}

/// IoMarkIrpPending.
///
/// # Safety
/// `irp` is a living IRP on its way.
pub unsafe fn mark_pending(irp: *mut IRP) {
    (*current(irp)).Control |= SL_PENDING_RETURNED;
}

/// Completes an IRP with a status and no information.
///
/// # Safety
/// The caller owns the IRP.
pub unsafe fn complete(irp: *mut IRP, status: NTSTATUS) -> NTSTATUS {
    (*irp).IoStatus.Status = status;
    IofCompleteRequest(irp, 0);
    status
}

/// The dispatch routine of what a driver does not handle.
///
/// # Safety
/// As a dispatch routine.
pub unsafe extern "win64" fn invalid_request(
    _device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
) -> NTSTATUS {
    (*irp).IoStatus.Information = 0;
    complete(irp, STATUS_INVALID_DEVICE_REQUEST)
}

unsafe fn broken(
    device: *mut DEVICE_OBJECT,
    call: &str,
    rule: &str,
    irp: *mut IRP,
    what: core::fmt::Arguments<'_>,
) {
    let name = if device.is_null() {
        String::new()
    } else {
        driver_name((*device).DriverObject)
    };
    violation_by(&name, call, rule, format_args!("IRP {irp:p}: {what}"));
}

/// What the watcher notes of a call before it.
struct Watch {
    shadow: Arc<Shadow>,
    location: usize,
    major: u8,
    minor: u8,
    irql: u8,
}

impl Watch {
    /// Compares what a dispatch routine returned with what became of the IRP at its location.
    unsafe fn check(&self, device: *mut DEVICE_OBJECT, irp: *mut IRP, status: NTSTATUS) {
        let (major, minor) = (self.major, self.minor);
        let tell = |rule: &str, what: core::fmt::Arguments<'_>| {
            broken(
                device,
                "dispatch",
                rule,
                irp,
                format_args!("major {major:#x} minor {minor:#x}: {what}"),
            );
        };
        let irql = crate::ke::KeGetCurrentIrql();
        if irql != self.irql {
            tell(
                "0xC9/05 IRQL changed across dispatch",
                format_args!("{} before, {irql} after", self.irql),
            );
        }
        let Some(done) = self.shadow.done.get(self.location) else {
            return;
        };
        let done = done.load(Ordering::Acquire);
        let (is_done, pending, ended) = (
            done & DONE != 0,
            done & PENDING != 0,
            done as u32 as NTSTATUS,
        );
        if status == STATUS_PENDING {
            if is_done && !pending {
                tell(
                    "0xC9/23D PENDING returned without mark",
                    format_args!("completed with {ended:#x}"),
                );
            }
        } else if !is_done {
            tell(
                "0xC9/226 IRP neither passed nor completed",
                format_args!("{status:#x} returned"),
            );
        } else if pending {
            tell(
                "0xC9/23E marked pending",
                format_args!("{status:#x} returned"),
            );
        } else if ended != status {
            tell(
                "0xC9/224 status differs",
                format_args!("{status:#x} returned, completed with {ended:#x}"),
            );
        }
    }
}

/// IofCallDriver: `<= DISPATCH_LEVEL`.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IofCallDriver(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let watch = shadow(irp);
    if (*irp).Type != IO_TYPE_IRP {
        crate::kd::bugcheck::raise(0x44, [irp as usize, 0, 0, 0]);
    }
    (*irp).CurrentLocation -= 1;
    if (*irp).CurrentLocation <= 0 {
        crate::kd::bugcheck::raise(0x35, [irp as usize, 0, 0, 0]);
    }
    let location = current(irp).sub(1);
    (*irp).Tail.Overlay.CurrentStackLocation = location;
    (*location).DeviceObject = device;
    let (major, minor) = ((*location).MajorFunction, (*location).MinorFunction);
    let irql = crate::ke::KeGetCurrentIrql();
    if (*irp).CancelRoutine.is_some() {
        broken(
            device,
            "IofCallDriver",
            "0xC9/07 cancel routine left set",
            irp,
            format_args!("passed down"),
        );
    }
    let watch = watch.map(|shadow| {
        let at = usize::try_from((*irp).CurrentLocation).unwrap_or(0);
        if let Some(d) = shadow.done.get(at) {
            d.store(0, Ordering::Release);
        }
        Watch {
            shadow,
            location: at,
            major,
            minor,
            irql,
        }
    });
    let routine = (*(*device).DriverObject)
        .MajorFunction
        .get(usize::from(major))
        .copied()
        .flatten();
    let status = routine.unwrap_or(invalid_request)(device, irp);
    if let Some(w) = watch {
        w.check(device, irp, status);
    }
    status
}

unsafe fn clear(location: *mut IO_STACK_LOCATION) {
    (*location).MinorFunction = 0;
    (*location).Flags = 0;
    (*location).Control &= SL_ERROR_RETURNED;
    core::ptr::write_bytes(&raw mut (*location).Parameters, 0, 1);
    (*location).FileObject = null_mut();
}

/// IofCompleteRequest: `<= DISPATCH_LEVEL`.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IofCompleteRequest(irp: *mut IRP, _boost: i8) {
    let call = "IofCompleteRequest";
    if (*irp).Type != IO_TYPE_IRP || (*irp).CurrentLocation > (*irp).StackCount + 1 {
        crate::kd::bugcheck::raise(0x44, [irp as usize, 1, 0, 0]);
    }
    let shadow = shadow(irp);
    let device = (*current(irp)).DeviceObject;
    if matches!((*irp).IoStatus.Status, STATUS_PENDING | -1) {
        broken(
            device,
            call,
            "0xC9/06 completed PENDING",
            irp,
            format_args!("{:#x}", (*irp).IoStatus.Status),
        );
    }
    if (*irp).CancelRoutine.take().is_some() {
        broken(
            device,
            call,
            "0xC9/07 cancel routine left set",
            irp,
            format_args!("completed"),
        );
    }
    loop {
        let location = current(irp);
        let at = usize::try_from((*irp).CurrentLocation).unwrap_or(0);
        let control = (*location).Control;
        skip(irp);
        if (*irp).CurrentLocation > (*irp).StackCount + 1 {
            break;
        }
        let pending = control & SL_PENDING_RETURNED != 0;
        (*irp).PendingReturned = pending.into();
        if let Some(d) = shadow.as_ref().and_then(|s| s.done.get(at)) {
            let status = u64::from((*irp).IoStatus.Status as u32);
            d.store(
                DONE | if pending { PENDING } else { 0 } | status,
                Ordering::Release,
            );
        }
        let above_exists = (*irp).CurrentLocation <= (*irp).StackCount;
        let wanted = if (*irp).Cancel != 0 && control & SL_INVOKE_ON_CANCEL != 0 {
            true
        } else if nt_success((*irp).IoStatus.Status) {
            control & SL_INVOKE_ON_SUCCESS != 0
        } else {
            control & SL_INVOKE_ON_ERROR != 0
        };
        let (routine, context) = ((*location).CompletionRoutine, (*location).Context);
        clear(location);
        match routine.filter(|_| wanted) {
            Some(routine) => {
                let above = if above_exists {
                    (*current(irp)).DeviceObject
                } else {
                    null_mut()
                };
                if routine(above, irp, context) == STATUS_MORE_PROCESSING_REQUIRED {
                    return;
                }
                if pending && above_exists && (*current(irp)).Control & SL_PENDING_RETURNED == 0 {
                    broken(
                        above,
                        "completion routine",
                        "0xC9/228 PendingReturned dropped",
                        irp,
                        format_args!(""),
                    );
                    mark_pending(irp);
                }
            }
            None if pending && above_exists => mark_pending(irp),
            None => {}
        }
    }
    end(irp, shadow);
}

/// The I/O manager's own part, above the top driver.
unsafe fn end(irp: *mut IRP, shadow: Option<Arc<Shadow>>) {
    let Some(s) = shadow else { return };
    if s.ended.swap(1, Ordering::AcqRel) != 0 {
        crate::kd::bugcheck::raise(0x44, [irp as usize, 2, 0, 0]);
    }
    let origin = *s.origin.lock();
    match origin {
        Origin::Threaded => super::build::finish(irp),
        Origin::Driver => {
            violation_by(
                &s.allocated_by,
                "IofCompleteRequest",
                "IRP of a driver's own completed to its end",
                format_args!(
                    "IRP {irp:p}: its completion routine has to free it and stop the completion"
                ),
            );
            IoFreeIrp(irp);
        }
    }
}

/// IoAcquireCancelSpinLock: `<= DISPATCH_LEVEL`.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoAcquireCancelSpinLock(irql: *mut u8) {
    *irql = crate::ke::KeAcquireSpinLockRaiseToDpc(CANCEL.as_ptr());
}

/// IoReleaseCancelSpinLock: DISPATCH_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoReleaseCancelSpinLock(irql: u8) {
    crate::ke::KeReleaseSpinLock(CANCEL.as_ptr(), irql);
}

/// IoCancelIrp: `<= DISPATCH_LEVEL`; not 0 if a cancel routine ran.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoCancelIrp(irp: *mut IRP) -> u8 {
    let mut irql = 0;
    IoAcquireCancelSpinLock(&mut irql);
    (*irp).Cancel = 1;
    // Drivers exchange this field atomically (IoSetCancelRoutine), so this does too.
    let field = (&raw mut (*irp).CancelRoutine).cast::<usize>();
    let routine: Option<DRIVER_CANCEL> =
        core::mem::transmute(AtomicUsize::from_ptr(field).swap(0, Ordering::AcqRel));
    match routine {
        Some(routine) => {
            (*irp).CancelIrql = irql;
            routine((*current(irp)).DeviceObject, irp);
            1
        }
        None => {
            IoReleaseCancelSpinLock(irql);
            0
        }
    }
}

/// IoSetCompletionRoutineEx: `<= DISPATCH_LEVEL`; the device object stays while the IRP is under way.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoSetCompletionRoutineEx(
    _device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
    routine: IO_COMPLETION_ROUTINE,
    context: *mut c_void,
    success: u8,
    error: u8,
    cancel: u8,
) -> NTSTATUS {
    set_completion(irp, routine, context);
    let flag = |on: u8, bit: u8| if on != 0 { bit } else { 0 };
    (*next(irp)).Control = flag(success, SL_INVOKE_ON_SUCCESS)
        | flag(error, SL_INVOKE_ON_ERROR)
        | flag(cancel, SL_INVOKE_ON_CANCEL);
    STATUS_SUCCESS
}

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl {
        IoInitializeIrp, IoAllocateIrp, IoFreeIrp, IoReuseIrp, IofCallDriver, IofCompleteRequest,
        IoAcquireCancelSpinLock, IoReleaseCancelSpinLock, IoCancelIrp, IoSetCompletionRoutineEx,
    }
}
