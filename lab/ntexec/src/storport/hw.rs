//! Calls of a miniport's routines that need a lock.

use core::ffi::c_void;
use core::sync::atomic::Ordering;

use super::adapter::Adapter;
use super::os::*;
use super::rules;
use crate::nt::ke::KSPIN_LOCK;
use crate::nt::scsi::ScsiRequestBlock;
use crate::nt::storport::*;

/// The address of one of the adapter's locks.
pub(crate) fn lock_of(adapter: &Adapter, which: u32) -> *mut KSPIN_LOCK {
    match which {
        START_IO_LOCK => (&raw const adapter.start_io_lock).cast_mut(),
        INTERRUPT_LOCK => (&raw const adapter.interrupt_lock).cast_mut(),
        _ => (&raw const adapter.dpc_lock).cast_mut(),
    }
}

/// Runs `f` at the interrupt's level with the interrupt lock held.
pub(crate) fn at_interrupt<R>(adapter: &Adapter, f: impl FnOnce() -> R) -> R {
    // SAFETY: the level goes up to the device's and back to what it was; the lock is the adapter's.
    unsafe {
        let old = KfRaiseIrql(adapter.dirql.max(KeGetCurrentIrql()));
        KeAcquireSpinLockAtDpcLevel(lock_of(adapter, INTERRUPT_LOCK));
        let result = f();
        KeReleaseSpinLockFromDpcLevel(lock_of(adapter, INTERRUPT_LOCK));
        KeLowerIrql(old);
        result
    }
}

/// True if HwStartIo runs without the StartIo lock, several at once.
pub(crate) fn has_channels(adapter: &Adapter) -> bool {
    adapter.performance.channels.load(Ordering::Acquire) > 1
}

/// Runs `f` as HwStartIo, HwTimer and HwResetBus are run: with the StartIo lock (full duplex), or as the ISR is.
pub(crate) fn with_start_io_lock<R>(adapter: &Adapter, f: impl FnOnce() -> R) -> R {
    if adapter.config.synchronization_model == STOR_SYNCHRONIZE_HALF_DUPLEX {
        return at_interrupt(adapter, f);
    }
    at_dispatch(|| {
        // SAFETY: DISPATCH_LEVEL; the lock is the adapter's.
        unsafe {
            KeAcquireSpinLockAtDpcLevel(lock_of(adapter, START_IO_LOCK));
            let result = f();
            KeReleaseSpinLockFromDpcLevel(lock_of(adapter, START_IO_LOCK));
            result
        }
    })
}

/// HwStartIo. DISPATCH_LEVEL.
pub(crate) fn start_io(adapter: &Adapter, srb: *mut ScsiRequestBlock) {
    let Some(start) = adapter.init.hw_start_io else {
        return;
    };
    // SAFETY: as HW_STARTIO says; the SRB is the miniport's.
    let call = || rules::call(adapter, "HwStartIo", || unsafe { start(adapter.hw(), srb) });
    let result = if has_channels(adapter) {
        call()
    } else {
        with_start_io_lock(adapter, call)
    };
    if result == 0 {
        rules::broken(
            adapter,
            "HwStartIo",
            "STORPORT",
            format_args!("it returned FALSE, whose meaning no page names"),
        );
    }
}

/// HwResetBus, with every queue held. False if it failed or there is none.
pub(crate) fn reset_bus(adapter: &Adapter, path: u8) -> bool {
    let Some(reset) = adapter.init.hw_reset_bus else {
        return false;
    };
    let path = u32::from(path);
    with_start_io_lock(adapter, || {
        // SAFETY: as HW_RESET_BUS says.
        rules::call(adapter, "HwResetBus", || unsafe {
            reset(adapter.hw(), path)
        })
    }) != 0
}

/// HwAdapterControl.
pub(crate) fn control(adapter: &Adapter, control: u32, parameters: *mut c_void) -> Option<u32> {
    let routine = adapter.init.hw_adapter_control?;
    // SAFETY: as HW_ADAPTER_CONTROL says for this control type; the caller chose the level.
    Some(rules::call(adapter, "HwAdapterControl", || unsafe {
        routine(adapter.hw(), control, parameters)
    }))
}

/// HwUnitControl.
pub(crate) fn unit_control(
    adapter: &Adapter,
    control: u32,
    parameters: *mut c_void,
) -> Option<u32> {
    let routine = adapter.init.hw_unit_control?;
    // SAFETY: as HW_UNIT_CONTROL says for this control type; the caller chose the level.
    Some(rules::call(adapter, "HwUnitControl", || unsafe {
        routine(adapter.hw(), control, parameters)
    }))
}
