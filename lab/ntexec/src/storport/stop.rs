//! Stopping and removing an adapter.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use super::adapter::{Adapter, Phase};
use super::os::*;
use super::srb::{Address, SrbBlock};
use super::start::{EXTENSION_TAG, disconnect, send_and_wait};
use super::{hw, rules, timeout, timers};
use crate::nt::scsi::*;
use crate::nt::storport::*;

/// StorPowerDeviceD3.
const POWER_D3: u32 = 4;
/// How long requests may take to come back before the adapter is stopped.
const DRAIN: u64 = 90 * SECOND;

/// Sends the port's flush to every unit.
fn flush_units(adapter: &Adapter) {
    let units = adapter.state.lock().units.clone();
    for unit in units {
        // SAFETY: units in the list are alive.
        let address = unsafe { (*unit).address };
        let mut block = Box::new(SrbBlock::zeroed());
        let flags = SRB_FLAGS_NO_QUEUE_FREEZE
            | SRB_FLAGS_BYPASS_FROZEN_QUEUE
            | SRB_FLAGS_BYPASS_LOCKED_QUEUE;
        block
            .prepare(adapter.extended(), SRB_FUNCTION_FLUSH, 60)
            .set_flags(flags);
        let status = send_and_wait(
            adapter,
            unit,
            address,
            &mut block,
            core::ptr::null_mut(),
            true,
        );
        if status != SRB_STATUS_SUCCESS {
            rules::log(
                adapter,
                format_args!("the flush before the stop ended with SRB status {status:#x}"),
            );
        }
    }
}

/// The PNP request for the adapter that tells a miniport of a stop.
fn tell(adapter: &Adapter, action: u32) {
    let mut block = Box::new(SrbBlock::zeroed());
    let srb = block.prepare(adapter.extended(), SRB_FUNCTION_PNP, 60);
    block.set_pnp(action, true);
    srb.set_flags(SRB_FLAGS_NO_QUEUE_FREEZE);
    let status = send_and_wait(
        adapter,
        core::ptr::null_mut(),
        Address::default(),
        &mut block,
        core::ptr::null_mut(),
        true,
    );
    if !matches!(status, SRB_STATUS_SUCCESS | SRB_STATUS_INVALID_REQUEST) {
        rules::log(
            adapter,
            format_args!(
                "PNP request {action:#x} for the adapter ended with SRB status {status:#x}"
            ),
        );
    }
}

/// Keeps requests in their queues, and waits for those that the miniport has.
pub(super) fn quiesce(adapter: &Adapter) {
    adapter.holding.store(true, Ordering::Release);
    let deadline = now() + DRAIN;
    let mut pause = new_event();
    while adapter.state.lock().gate.outstanding() != 0 && now() < deadline {
        wait(&mut pause, Some(SECOND / 20));
    }
}

/// Stops the adapter, in the end with ScsiStopAdapter. PASSIVE_LEVEL.
///
/// Requests that come meanwhile wait in their queues. Before a stop for new resources every unit is flushed and the miniport
/// gets a PNP request. At a removal there are no
/// requests any more: the class driver flushed each unit when it was removed, and miniports that hook their driver
/// object's PnP routine (as real ones do) have taken themselves down before the port sees the IRP.
pub(crate) fn stop(adapter: &mut Adapter, action: u32) {
    if adapter.phase() != Phase::Running {
        return;
    }
    quiesce(adapter);
    if action == STOR_STOP_DEVICE {
        flush_units(adapter);
        tell(adapter, action);
    }
    adapter.set_phase(Phase::Stopping);
    let left = adapter.state.lock().outstanding.len();
    if left != 0 {
        rules::broken(
            adapter,
            "HwAdapterControl",
            "STORPORT",
            format_args!("{left} requests are outstanding at the stop"),
        );
    }
    timeout::end(adapter);
    adapter.timer_call.cancel();
    // CHOICE: at DIRQL with the interrupt lock, the stricter of what two pages say.
    hw::at_interrupt(adapter, || {
        hw::control(adapter, SCSI_STOP_ADAPTER, core::ptr::null_mut())
    });
    disconnect(adapter);
    // SAFETY: PASSIVE_LEVEL.
    unsafe { KeFlushQueuedDpcs() };
    adapter.set_phase(Phase::Idle);
}

/// The adapter loses its power: its queues are held, it gets the flush of each unit and a POWER request, and then
/// ScsiAdapterPower if it claims that, else ScsiStopAdapter, while the interrupt stays connected. PASSIVE_LEVEL.
pub(crate) fn power_down(adapter: &mut Adapter, action: u32) {
    if adapter.phase() != Phase::Running {
        return;
    }
    quiesce(adapter);
    flush_units(adapter);
    if adapter.controls(SCSI_ADAPTER_POWER) {
        let mut state = [POWER_D3, action];
        hw::control(
            adapter,
            SCSI_ADAPTER_POWER,
            core::ptr::from_mut(&mut state).cast(),
        );
        return;
    }
    let mut block = Box::new(SrbBlock::zeroed());
    let srb = block.prepare(adapter.extended(), SRB_FUNCTION_POWER, 60);
    block.set_power(POWER_D3, action, true);
    srb.set_flags(SRB_FLAGS_NO_QUEUE_FREEZE);
    send_and_wait(
        adapter,
        core::ptr::null_mut(),
        Address::default(),
        &mut block,
        core::ptr::null_mut(),
        true,
    );
    adapter.set_phase(Phase::Stopping);
    timeout::end(adapter);
    adapter.timer_call.cancel();
    hw::at_interrupt(adapter, || {
        hw::control(adapter, SCSI_STOP_ADAPTER, core::ptr::null_mut())
    });
}

/// Gives back everything that the miniport had of the port, and the adapter itself. PASSIVE_LEVEL.
///
/// # Safety
/// The adapter must be stopped, its units gone, and nothing else may use it.
pub(crate) unsafe fn free(adapter: *mut Adapter) {
    let object = &mut *adapter;
    let timers: Vec<_> = object.timers.lock().clone();
    for timer in timers {
        timers::free(object, timer);
    }
    let dpcs: Vec<usize> = object.initialized_dpcs.lock().clone();
    for dpc in dpcs {
        KeRemoveQueueDpc(dpc as *mut crate::nt::ke::KDPC);
    }
    KeFlushQueuedDpcs();
    let mappings: Vec<_> = object.mappings.lock().drain(..).collect();
    for mapping in mappings.iter().filter(|mapping| !mapping.io_space) {
        MmUnmapIoSpace(mapping.address, mapping.length);
    }
    let uncached = object
        .uncached
        .swap(core::ptr::null_mut(), Ordering::AcqRel);
    if !uncached.is_null() {
        MmFreeContiguousMemory(uncached);
    }
    let extension = object
        .extension
        .swap(core::ptr::null_mut(), Ordering::AcqRel);
    if !extension.is_null() {
        ExFreePoolWithTag(Adapter::block_of(extension), EXTENSION_TAG);
    }
    drop(Box::from_raw(adapter));
}
