//! Late requests: a reset of the unit, then of the target, then of the bus.
//!
//! CHOICE: a deadline for each request, looked at four times a second; a reset request has 30 s; what is outstanding
//! after HwResetBus is a broken rule.

use alloc::boxed::Box;
use core::ffi::c_void;
use core::sync::atomic::Ordering;

use super::adapter::{Adapter, Phase};
use super::os::*;
use super::request::{Done, Request};
use super::srb::{Address, SrbBlock};
use super::unit::Unit;
use super::{hw, request, rules, scan};
use crate::nt::ke::{KDPC, PVOID};
use crate::nt::scsi::*;

const TICK_MS: i32 = 250;
const RESET_LIMIT: u32 = 30;
/// How long completions may take to arrive after HwResetBus.
const AFTER_BUS_RESET: u64 = 5 * SECOND;

/// How far a reset has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tier {
    LogicalUnit,
    Target,
    Bus,
}

/// A reset under way.
#[derive(Clone, Copy)]
pub(crate) struct Reset {
    address: Address,
    tier: Tier,
    /// The reset request is out
    asked: bool,
    /// When the present tier gives up
    limit: u64,
}

/// Sets the tick's timer and DPC up in place.
pub(crate) fn set_up(adapter: &mut Adapter) {
    let context = core::ptr::from_mut(adapter).cast();
    // SAFETY: both objects are set up in place and do not move.
    unsafe {
        KeInitializeTimerEx(&mut adapter.tick.0, 0);
        KeInitializeDpc(&mut adapter.tick.1, Some(tick), context);
    }
}

/// The adapter runs: the tick begins.
pub(crate) fn begin(adapter: &Adapter) {
    let (timer, dpc) = (
        (&raw const adapter.tick.0).cast_mut(),
        (&raw const adapter.tick.1).cast_mut(),
    );
    // SAFETY: set up by `set_up`.
    unsafe { KeSetTimerEx(timer, -i64::from(TICK_MS) * 10_000, TICK_MS, dpc) };
}

/// The tick ends.
pub(crate) fn end(adapter: &Adapter) {
    // SAFETY: set up by `set_up`.
    unsafe {
        KeCancelTimer((&raw const adapter.tick.0).cast_mut());
        KeFlushQueuedDpcs();
    }
}

/// ResetDetected: nothing goes out for the hold time.
pub(crate) fn hold_after_reset(adapter: &Adapter) {
    let hold = u64::from(adapter.config.bus_reset_hold_time) * 10;
    if hold != 0 {
        adapter.state.lock().gate.pause(now() + hold);
    }
}

unsafe extern "win64" fn tick(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: the context is the adapter, which is freed only after the tick has ended and its DPC was flushed.
    let adapter = unsafe { &*context.cast::<Adapter>() };
    if adapter.phase() != Phase::Running {
        return;
    }
    if adapter.rescan.swap(false, Ordering::AcqRel) {
        scan::bus_changed(adapter);
    }
    let time = now();
    {
        let mut state = adapter.state.lock();
        if state.link_down.is_some_and(|until| until <= time) {
            state.link_down = None;
        }
    }
    look_for_late(adapter, time);
    step(adapter, time);
    request::kick_all(adapter);
}

/// Begins a reset if a request is late and none runs.
fn look_for_late(adapter: &Adapter, time: u64) {
    let mut state = adapter.state.lock();
    if state.reset.is_some() {
        return;
    }
    let late = state.outstanding.iter().find_map(|(srb, request)| {
        // SAFETY: requests in the table are alive while the lock is held.
        let request = unsafe { &*request };
        (request.deadline != 0 && request.deadline <= time && !request.control)
            .then_some((srb, request.address))
    });
    let Some((srb, address)) = late else { return };
    state.reset = Some(Reset {
        address,
        tier: Tier::LogicalUnit,
        asked: false,
        limit: 0,
    });
    drop(state);
    rules::log(
        adapter,
        format_args!(
            "event 129: the request at {srb:#x} to target {} is late; the unit is reset",
            address.target
        ),
    );
    hold_units(adapter, address, true);
}

fn hold_units(adapter: &Adapter, address: Address, hold: bool) {
    let units = adapter.state.lock().units.clone();
    for unit in units {
        // SAFETY: units in the list are alive.
        let unit: &Unit = unsafe { &*unit };
        if (unit.address.path, unit.address.target) == (address.path, address.target) || !hold {
            unit.queue.lock().set_resetting(hold);
        }
    }
}

/// Goes on with the reset under way.
fn step(adapter: &Adapter, time: u64) {
    let Some(reset) = adapter.state.lock().reset else {
        return;
    };
    match (reset.tier, reset.asked) {
        (Tier::LogicalUnit | Tier::Target, false) => ask(adapter, reset),
        (Tier::LogicalUnit | Tier::Target, true) if reset.limit <= time => {
            next_tier(adapter, reset)
        }
        (Tier::LogicalUnit | Tier::Target, true) => {}
        (Tier::Bus, false) => {
            let worked = hw::reset_bus(adapter, reset.address.path);
            rules::log(
                adapter,
                format_args!(
                    "bus {} reset: {}",
                    reset.address.path,
                    if worked { "done" } else { "failed" }
                ),
            );
            hold_after_reset(adapter);
            if let Some(reset) = &mut adapter.state.lock().reset {
                (reset.asked, reset.limit) = (true, time + AFTER_BUS_RESET);
            }
        }
        (Tier::Bus, true) => {
            let left = outstanding_at(adapter, reset);
            if left == 0 {
                finish(adapter, reset);
            } else if reset.limit <= time {
                rules::broken(
                    adapter,
                    "HwResetBus",
                    "STORPORT 1007",
                    format_args!("{left} requests are outstanding after the bus reset"),
                );
                finish(adapter, reset);
            }
        }
    }
}

/// Requests, resets apart, that are out for what is being reset.
fn outstanding_at(adapter: &Adapter, reset: Reset) -> usize {
    let state = adapter.state.lock();
    state
        .outstanding
        .iter()
        .filter(|(_, request)| {
            // SAFETY: requests in the table are alive while the lock is held.
            let request = unsafe { &**request };
            let at = request.address;
            !request.control
                && match reset.tier {
                    Tier::LogicalUnit => at == reset.address,
                    Tier::Target => {
                        (at.path, at.target) == (reset.address.path, reset.address.target)
                    }
                    Tier::Bus => at.path == reset.address.path,
                }
        })
        .count()
}

/// Sends the tier's reset request.
fn ask(adapter: &Adapter, reset: Reset) {
    struct Sent {
        block: SrbBlock,
    }
    fn done(request: *mut Request, context: *mut c_void) {
        // SAFETY: both were made by `ask`, and are nobody else's now.
        unsafe {
            let request = Box::from_raw(request);
            let adapter = &*request.adapter;
            let mut sent = Box::from_raw(context.cast::<Sent>());
            let status = sent.block.srb().status() & 0x3f;
            rules::log(
                adapter,
                format_args!(
                    "the reset of target {} ended with SRB status {status:#x}",
                    request.address.target
                ),
            );
            let Some(reset) = adapter.state.lock().reset else {
                return;
            };
            if status == SRB_STATUS_SUCCESS && outstanding_at(adapter, reset) == 0 {
                finish(adapter, reset);
            } else {
                next_tier(adapter, reset);
            }
        }
    }
    let function = if reset.tier == Tier::LogicalUnit {
        SRB_FUNCTION_RESET_LOGICAL_UNIT
    } else {
        SRB_FUNCTION_RESET_DEVICE
    };
    let sent = Box::into_raw(Box::new(Sent {
        block: SrbBlock::zeroed(),
    }));
    // SAFETY: the block is freed when its request is done.
    let srb = unsafe {
        (*sent)
            .block
            .prepare(adapter.extended(), function, RESET_LIMIT)
    };
    srb.set_flags(SRB_FLAGS_NO_QUEUE_FREEZE);
    let mut request = Request::new(
        adapter,
        core::ptr::null_mut(),
        reset.address,
        srb,
        core::ptr::null_mut(),
        Done::Call(done, sent.cast()),
    );
    request.control = true;
    if let Some(reset) = &mut adapter.state.lock().reset {
        (reset.asked, reset.limit) = (true, now() + u64::from(RESET_LIMIT) * SECOND);
    }
    request::send(adapter, Box::into_raw(request));
}

fn next_tier(adapter: &Adapter, reset: Reset) {
    let tier = if reset.tier == Tier::LogicalUnit {
        Tier::Target
    } else {
        Tier::Bus
    };
    adapter.state.lock().reset = Some(Reset {
        tier,
        asked: false,
        ..reset
    });
}

fn finish(adapter: &Adapter, reset: Reset) {
    adapter.state.lock().reset = None;
    hold_units(adapter, reset.address, false);
    rules::log(
        adapter,
        format_args!("the reset of target {} is over", reset.address.target),
    );
}
