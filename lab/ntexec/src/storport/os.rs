//! The kernel routines that the storage drivers use, under one name each.

pub(crate) use crate::ex::{ExAllocatePoolWithTag, ExFreePoolWithTag};
pub(crate) use crate::io::{
    IoAllocateIrp, IoAllocateMdl, IoAllocateWorkItem, IoAttachDeviceToDeviceStack,
    IoConnectInterruptEx, IoCreateDevice, IoDeleteDevice, IoDetachDevice, IoDisconnectInterruptEx,
    IoFreeIrp, IoFreeMdl, IoFreeWorkItem, IoGetAttachedDeviceReference,
    IoInvalidateDeviceRelations, IoQueueWorkItem, IofCallDriver, IofCompleteRequest,
};
pub(crate) use crate::ke::time::KeStallExecutionProcessor;
pub(crate) use crate::ke::{
    KeAcquireSpinLockAtDpcLevel, KeCancelTimer, KeFlushQueuedDpcs, KeGetCurrentIrql,
    KeGetCurrentProcessorNumberEx, KeInitializeDpc, KeInitializeEvent, KeInitializeThreadedDpc,
    KeInitializeTimerEx, KeInsertQueueDpc, KeLowerIrql, KeQueryActiveProcessorCountEx,
    KeQueryInterruptTime, KeQueryPerformanceCounter, KeReleaseSpinLockFromDpcLevel,
    KeRemoveQueueDpc, KeSetEvent, KeSetTargetProcessorDpcEx, KeSetTimerEx, KeWaitForSingleObject,
    KfRaiseIrql,
};
pub(crate) use crate::mm::{
    MmAllocateContiguousMemory, MmBuildMdlForNonPagedPool, MmFreeContiguousMemory,
    MmGetPhysicalAddress, MmMapIoSpace, MmMapLockedPagesSpecifyCache, MmUnmapIoSpace,
};
pub(crate) use crate::ob::{ObfDereferenceObject, ObfReferenceObject};
pub(crate) use crate::po::{PoCallDriver, PoSetPowerState, PoStartNextPowerIrp};

use crate::nt::base::NTSTATUS;
use crate::nt::io::{DEVICE_OBJECT, IO_COMPLETION_ROUTINE, IO_STACK_LOCATION, IRP};
use crate::nt::ke::{DISPATCH_LEVEL, KEVENT, PVOID};
use crate::nt::mm::MDL;
use crate::nt::status::STATUS_PENDING;

/// NonPagedPoolNx.
pub(crate) const NON_PAGED_POOL_NX: u32 = 512;
/// 100 ns units in a second.
pub(crate) const SECOND: u64 = 10_000_000;

/// Interrupt time in units of 100 ns.
pub(crate) fn now() -> u64 {
    KeQueryInterruptTime()
}

/// The index of the processor that this runs on.
pub(crate) fn current_cpu() -> usize {
    // SAFETY: a null pointer asks for the index only.
    unsafe { KeGetCurrentProcessorNumberEx(core::ptr::null_mut()) as usize }
}

/// The number of processors.
pub(crate) fn cpu_count() -> usize {
    const ALL_PROCESSOR_GROUPS: u16 = 0xffff;
    KeQueryActiveProcessorCountEx(ALL_PROCESSOR_GROUPS) as usize
}

/// Runs `f` at DISPATCH_LEVEL or above.
pub(crate) fn at_dispatch<R>(f: impl FnOnce() -> R) -> R {
    if KeGetCurrentIrql() >= DISPATCH_LEVEL {
        return f();
    }
    let old = KfRaiseIrql(DISPATCH_LEVEL);
    let result = f();
    KeLowerIrql(old);
    result
}

/// `IoGetCurrentIrpStackLocation`.
///
/// # Safety
/// `irp` must be valid.
pub(crate) unsafe fn current(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: by the caller's word.
    unsafe { (*irp).Tail.Overlay.CurrentStackLocation }
}

/// `IoGetNextIrpStackLocation`.
///
/// # Safety
/// `irp` must be valid and have a location left.
pub(crate) unsafe fn next(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: by the caller's word.
    unsafe { current(irp).sub(1) }
}

/// `IoMarkIrpPending`.
///
/// # Safety
/// `irp` must be valid.
pub(crate) unsafe fn mark_pending(irp: *mut IRP) {
    // SAFETY: by the caller's word.
    unsafe { (*current(irp)).Control |= crate::nt::io::consts::SL_PENDING_RETURNED }
}

/// `IoSkipCurrentIrpStackLocation`.
///
/// # Safety
/// `irp` must be valid and go to the driver below at once.
pub(crate) unsafe fn skip(irp: *mut IRP) {
    // SAFETY: by the caller's word.
    unsafe {
        (*irp).CurrentLocation += 1;
        (*irp).Tail.Overlay.CurrentStackLocation = current(irp).add(1);
    }
}

/// `IoCopyCurrentIrpStackLocationToNext`.
///
/// # Safety
/// `irp` must be valid and have a location left.
pub(crate) unsafe fn copy_to_next(irp: *mut IRP) {
    // SAFETY: by the caller's word.
    unsafe {
        let mut copy = *current(irp);
        copy.CompletionRoutine = None;
        copy.Context = core::ptr::null_mut();
        copy.Control = 0;
        *next(irp) = copy;
    }
}

/// `IoSetCompletionRoutine` for all three cases.
///
/// # Safety
/// `irp` must be valid and have a location left.
pub(crate) unsafe fn set_completion(irp: *mut IRP, routine: IO_COMPLETION_ROUTINE, context: PVOID) {
    use crate::nt::io::consts::{SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS};
    // SAFETY: by the caller's word.
    unsafe {
        let location = next(irp);
        (*location).CompletionRoutine = Some(routine);
        (*location).Context = context;
        (*location).Control = SL_INVOKE_ON_CANCEL | SL_INVOKE_ON_ERROR | SL_INVOKE_ON_SUCCESS;
    }
}

/// Completes an IRP.
///
/// # Safety
/// The caller owns the IRP.
pub(crate) unsafe fn complete(irp: *mut IRP, status: NTSTATUS, information: usize) -> NTSTATUS {
    // SAFETY: by the caller's word.
    unsafe {
        (*irp).IoStatus.Status = status;
        (*irp).IoStatus.Information = information;
        IofCompleteRequest(irp, 0);
    }
    status
}

unsafe extern "win64" fn signal(_: *mut DEVICE_OBJECT, _: *mut IRP, event: PVOID) -> NTSTATUS {
    // SAFETY: `send_and_wait` passes an event that outlives the request.
    unsafe { KeSetEvent(event.cast(), 0, 0) };
    crate::nt::status::STATUS_MORE_PROCESSING_REQUIRED
}

/// A notification event that is not signalled.
pub(crate) fn new_event() -> alloc::boxed::Box<KEVENT> {
    // SAFETY: KEVENT is plain data; KeInitializeEvent sets it up in place, and the box does not move it.
    unsafe {
        let mut event: alloc::boxed::Box<KEVENT> = alloc::boxed::Box::new(core::mem::zeroed());
        KeInitializeEvent(&mut *event, 0, 0);
        event
    }
}

/// Waits for an event; true if it was signalled in time. PASSIVE_LEVEL.
pub(crate) fn wait(event: &mut KEVENT, timeout: Option<u64>) -> bool {
    let mut due = timeout.map(|units| -(units as i64));
    let due = due
        .as_mut()
        .map_or(core::ptr::null_mut(), core::ptr::from_mut);
    // SAFETY: Executive, KernelMode, not alertable.
    unsafe { KeWaitForSingleObject(core::ptr::from_mut(event).cast(), 0, 0, 0, due.cast()) == 0 }
}

/// Passes an IRP to the device below and waits until it is back; the caller completes it. PASSIVE_LEVEL.
///
/// # Safety
/// The caller owns the IRP.
pub(crate) unsafe fn forward_and_wait(lower: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    // SAFETY: by the caller's word; the event outlives the request, since it is waited for without limit.
    unsafe {
        copy_to_next(irp);
        send_and_wait(lower, irp)
    }
}

/// Sends an IRP whose next location is set up and waits until it is back. PASSIVE_LEVEL.
///
/// # Safety
/// The caller owns the IRP.
pub(crate) unsafe fn send_and_wait(lower: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let mut event = new_event();
    // SAFETY: by the caller's word; the event outlives the request, since it is waited for without limit.
    unsafe {
        set_completion(irp, signal, core::ptr::from_mut(&mut *event).cast());
        if IofCallDriver(lower, irp) == STATUS_PENDING {
            wait(&mut event, None);
        }
        (*irp).IoStatus.Status
    }
}

/// `MmGetMdlVirtualAddress`.
///
/// # Safety
/// `mdl` must be valid.
pub(crate) unsafe fn mdl_va(mdl: *const MDL) -> usize {
    // SAFETY: by the caller's word.
    unsafe { (*mdl).StartVa as usize + (*mdl).ByteOffset as usize }
}

/// `MmGetSystemAddressForMdlSafe`.
///
/// # Safety
/// `mdl` must be valid, its pages locked.
pub(crate) unsafe fn mdl_system_address(mdl: *mut MDL) -> *mut u8 {
    // SAFETY: by the caller's word; KernelMode, MmCached, NormalPagePriority | MdlMappingNoExecute.
    unsafe {
        if (*mdl).MdlFlags & (MDL::MAPPED_TO_SYSTEM_VA | MDL::SOURCE_IS_NONPAGED_POOL) != 0 {
            return (*mdl).MappedSystemVa.cast();
        }
        MmMapLockedPagesSpecifyCache(mdl, 0, 1, core::ptr::null_mut(), 0, 16 | 0x4000_0000).cast()
    }
}

/// A buffer of nonpaged memory with an MDL that describes it.
pub(crate) struct Buffer {
    data: *mut u8,
    length: usize,
    /// Describes the whole buffer
    pub(crate) mdl: *mut MDL,
}

impl Buffer {
    /// `None` if memory is short. At most DISPATCH_LEVEL.
    pub(crate) fn new(length: usize) -> Option<Self> {
        // SAFETY: the pool block is described by an MDL of its own; both are freed in `drop`.
        unsafe {
            let data =
                ExAllocatePoolWithTag(NON_PAGED_POOL_NX, length, u32::from_le_bytes(*b"DskB"))
                    .cast::<u8>();
            if data.is_null() {
                return None;
            }
            data.write_bytes(0, length);
            let mdl = IoAllocateMdl(data.cast(), length as u32, 0, 0, core::ptr::null_mut());
            if mdl.is_null() {
                ExFreePoolWithTag(data.cast(), u32::from_le_bytes(*b"DskB"));
                return None;
            }
            MmBuildMdlForNonPagedPool(mdl);
            Some(Self { data, length, mdl })
        }
    }

    /// The bytes.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: `data` is a live block of `length` bytes that only this buffer owns.
        unsafe { core::slice::from_raw_parts_mut(self.data, self.length) }
    }

    /// Where the bytes are.
    pub(crate) fn address(&self) -> *mut u8 {
        self.data
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        self.length
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: made in `new`.
        unsafe {
            IoFreeMdl(self.mdl);
            ExFreePoolWithTag(self.data.cast(), u32::from_le_bytes(*b"DskB"));
        }
    }
}
