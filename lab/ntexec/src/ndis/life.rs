//! An adapter's life: initialise, bind, restart, pause, halt, surprise removal, shutdown.
//!
//! One of these at a time, an adapter, by `Adapter::operation`; each runs at PASSIVE_LEVEL and waits.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::sync::atomic::Ordering;

use super::adapter::Adapter;
use super::driver::Driver;
use super::protocol::{Pause, Status};
use super::state::{Event, State};
use super::{bind, leaks, offload, oid, receive, rules, system};
use crate::nt::ke::PVOID;
use crate::nt::ndis::*;
use crate::storport::os::{SECOND, new_event, now, wait};

/// How long sends may take to come back before a pause: Driver Verifier allows 30 s.
const SENDS: u64 = 30 * SECOND;
/// How long a pending pause or restart may take.
const PENDING: u64 = 60 * SECOND;

/// Holds an adapter's operation.
struct Operation(&'static Adapter);

impl Operation {
    fn begin(adapter: &'static Adapter) -> Self {
        adapter.operation.wait(None);
        Self(adapter)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        self.0.operation.set();
    }
}

/// Initialises an adapter, and has it bound and restarted if that succeeds. PASSIVE_LEVEL.
pub(super) fn initialize(adapter: &'static Adapter) -> NDIS_STATUS {
    let status = begin(adapter);
    if status == NDIS_STATUS_SUCCESS {
        let generation = adapter.generation();
        crate::io::work::queue(move || bring_up(adapter, generation));
    }
    status
}

/// Calls MiniportInitializeEx, and looks at what it did.
pub(super) fn begin(adapter: &'static Adapter) -> NDIS_STATUS {
    let _operation = Operation::begin(adapter);
    *adapter.attributes.lock() = None;
    *adapter.offload.lock() = offload::Offloads::default();
    adapter.filter.store(0, Ordering::Release);
    adapter.filter_cleared.store(0, Ordering::Release);
    adapter.multicast.lock().clear();
    adapter.low_power.store(false, Ordering::Release);
    adapter.surprise_removed.store(false, Ordering::Release);
    adapter.next_generation();
    adapter.go(Event::Initialize);
    let status = call_initialize(adapter);
    if status != NDIS_STATUS_SUCCESS {
        adapter.go(Event::InitializeFailed);
        adapter.next_generation();
        leaks::of_adapter(adapter, "MiniportInitializeEx");
        return if status == NDIS_STATUS_PENDING {
            rules::broken(
                adapter,
                "MiniportInitializeEx",
                rules::STATE,
                format_args!("returned NDIS_STATUS_PENDING"),
            );
            NDIS_STATUS_FAILURE
        } else {
            status
        };
    }
    let whole = adapter
        .attributes
        .lock()
        .as_ref()
        .is_some_and(|a| a.general.is_some());
    adapter.go(Event::Initialized);
    if !whole {
        rules::broken(
            adapter,
            "MiniportInitializeEx",
            rules::ATTRIBUTES,
            format_args!("succeeded without the general attributes"),
        );
        halt(adapter, NdisHaltDeviceInitializationFailed);
        return NDIS_STATUS_FAILURE;
    }
    NDIS_STATUS_SUCCESS
}

fn call_initialize(adapter: &'static Adapter) -> NDIS_STATUS {
    let Some(routine) = adapter.driver.handlers.InitializeHandlerEx else {
        return NDIS_STATUS_FAILURE;
    };
    let translated = adapter.resources[1].load(Ordering::Acquire);
    let mut parameters = Box::new(NDIS_MINIPORT_INIT_PARAMETERS {
        Header: NDIS_OBJECT_HEADER::new(
            NDIS_OBJECT_TYPE_MINIPORT_INIT_PARAMETERS,
            1,
            NDIS_SIZEOF_MINIPORT_INIT_PARAMETER_REVISION_1,
        ),
        Flags: 0,
        AllocatedResources: if translated.is_null() {
            core::ptr::null_mut()
        } else {
            // SAFETY: PnP's list, valid while the START is handled; the address of its first partial list.
            unsafe { (&raw mut (*translated).List[0].PartialResourceList).cast() }
        },
        IMDeviceInstanceContext: core::ptr::null_mut(),
        MiniportAddDeviceContext: adapter.add_context.load(Ordering::Acquire),
        IfIndex: adapter.number,
        NetLuid: adapter.luid(),
        DefaultPortAuthStates: core::ptr::null_mut(),
        PciDeviceCustomProperties: core::ptr::null_mut(),
    });
    let context = adapter.driver.context as PVOID;
    // SAFETY: as MINIPORT_INITIALIZE says: PASSIVE_LEVEL, parameters that live during the call.
    rules::call(adapter, "MiniportInitializeEx", || unsafe {
        routine(adapter.handle(), context, &mut *parameters)
    })
}

/// What NDIS does with an adapter that has just been initialised: its own OIDs, the binding, the restart.
pub(super) fn bring_up(adapter: &'static Adapter, generation: u32) {
    let _operation = Operation::begin(adapter);
    if adapter.generation() != generation || adapter.state() != State::Paused {
        return;
    }
    oid::greet(adapter);
    notify(adapter, NdisDevicePnPEventPowerProfileChanged);
    bind::offer(adapter);
    restart(adapter);
}

/// Binds the protocols to an adapter that runs already. PASSIVE_LEVEL.
pub(super) fn rebind(adapter: &'static Adapter) {
    let _operation = Operation::begin(adapter);
    if adapter.client().is_some() || adapter.state() != State::Running {
        return;
    }
    pause(adapter, Pause::Internal, NDIS_PAUSE_BIND_PROTOCOL);
    bind::offer(adapter);
    restart(adapter);
}

/// MiniportDevicePnPEventNotify.
fn notify(adapter: &Adapter, event: u32) {
    let Some(routine) = adapter.driver.handlers.DevicePnPEventNotifyHandler else {
        return;
    };
    // NdisPowerProfileAcOnLine.
    let mut profile: u32 = 1;
    let power = event == NdisDevicePnPEventPowerProfileChanged;
    let mut parameters = Box::new(NET_DEVICE_PNP_EVENT {
        Header: NDIS_OBJECT_HEADER::new(
            NDIS_OBJECT_TYPE_DEFAULT,
            1,
            NDIS_SIZEOF_NET_DEVICE_PNP_EVENT_REVISION_1,
        ),
        PortNumber: 0,
        DevicePnPEvent: event,
        InformationBuffer: if power {
            (&raw mut profile).cast()
        } else {
            core::ptr::null_mut()
        },
        InformationBufferLength: if power { 4 } else { 0 },
        NdisReserved: [0; 16],
    });
    // SAFETY: as MINIPORT_DEVICE_PNP_EVENT_NOTIFY says: PASSIVE_LEVEL.
    rules::call(adapter, "MiniportDevicePnPEventNotify", || unsafe {
        routine(adapter.context(), &mut *parameters)
    });
}

/// The attributes that MiniportRestart sees.
#[repr(C, align(16))]
struct RestartList {
    head: [u64; 2],
    general: NDIS_RESTART_GENERAL_ATTRIBUTES,
}
const _: () = assert!(
    core::mem::offset_of!(RestartList, general)
        == core::mem::offset_of!(NDIS_RESTART_ATTRIBUTES, Data)
);

fn restart_list(adapter: &Adapter) -> Option<Box<RestartList>> {
    let attributes = adapter.attributes.lock();
    let g = attributes.as_ref()?.general.as_ref()?;
    let general = NDIS_RESTART_GENERAL_ATTRIBUTES {
        Header: NDIS_OBJECT_HEADER::new(
            NDIS_OBJECT_TYPE_RESTART_GENERAL_ATTRIBUTES,
            2,
            NDIS_SIZEOF_RESTART_GENERAL_ATTRIBUTES_REVISION_2,
        ),
        MtuSize: g.mtu,
        MaxXmitLinkSpeed: g.max_xmit_speed,
        MaxRcvLinkSpeed: g.max_rcv_speed,
        LookaheadSize: g.lookahead,
        MacOptions: g.mac_options,
        SupportedPacketFilters: g.filters,
        MaxMulticastListSize: g.max_multicast,
        RecvScaleCapabilities: core::ptr::null_mut(),
        AccessType: g.access,
        Flags: 0,
        ConnectionType: g.connection,
        SupportedStatistics: g.statistics,
        DataBackFillSize: g.data_backfill,
        ContextBackFillSize: g.context_backfill,
        SupportedOidList: core::ptr::null_mut(),
        SupportedOidListLength: 0,
        MaxLookaheadSizeAccessed: g.lookahead,
    };
    let oid = u64::from(OID_GEN_MINIPORT_RESTART_ATTRIBUTES);
    let length = u64::from(NDIS_SIZEOF_RESTART_GENERAL_ATTRIBUTES_REVISION_2);
    Some(Box::new(RestartList {
        head: [0, oid | length << 32],
        general,
    }))
}

/// Restarts the miniport, then the client. The adapter is Paused.
fn restart(adapter: &'static Adapter) {
    let (Some(routine), State::Paused) = (adapter.driver.handlers.RestartHandler, adapter.state())
    else {
        return;
    };
    let mut list = restart_list(adapter);
    let mut parameters = Box::new(NDIS_MINIPORT_RESTART_PARAMETERS {
        Header: NDIS_OBJECT_HEADER::new(
            NDIS_OBJECT_TYPE_DEFAULT,
            1,
            NDIS_SIZEOF_MINIPORT_RESTART_PARAMETERS_REVISION_1,
        ),
        RestartAttributes: list.as_mut().map_or(core::ptr::null_mut(), |l| {
            core::ptr::from_mut(&mut **l).cast()
        }),
        Flags: 0,
    });
    adapter.completion_due.store(true, Ordering::Release);
    adapter.go(Event::Restart);
    // SAFETY: as MINIPORT_RESTART says: PASSIVE_LEVEL, parameters that live until it is complete.
    let mut status = rules::call(adapter, "MiniportRestart", || unsafe {
        routine(adapter.context(), &mut *parameters)
    });
    if status == NDIS_STATUS_PENDING {
        if adapter.restart_done.wait(Some(PENDING)) {
            status = adapter.restart_status.load(Ordering::Acquire) as NDIS_STATUS;
        } else {
            adapter.completion_due.store(false, Ordering::Release);
            too_long(adapter, "MiniportRestart");
            status = NDIS_STATUS_FAILURE;
        }
    } else {
        not_both(adapter, "MiniportRestart");
    }
    if status != NDIS_STATUS_SUCCESS {
        rules::log(
            adapter,
            format_args!("MiniportRestart failed with {status:#x}"),
        );
        adapter.go(Event::RestartFailed);
        return;
    }
    adapter.go(Event::Restarted);
    open(adapter);
}

/// Lets data through to the client.
fn open(adapter: &Adapter) {
    let Some(client) = adapter.client() else {
        return;
    };
    adapter.open.store(true, Ordering::Release);
    client.restart();
    // What changed while the client was told nothing.
    client.status(Status::Link(*adapter.link.lock()));
}

fn too_long(adapter: &Adapter, call: &str) {
    rules::broken(
        adapter,
        call,
        rules::TIME,
        format_args!("is not complete after {} s", PENDING / SECOND),
    );
}

/// A handler that did not return NDIS_STATUS_PENDING must not have been completed.
fn not_both(adapter: &Adapter, call: &str) {
    if !adapter.completion_due.swap(false, Ordering::AcqRel) {
        rules::broken(
            adapter,
            call,
            rules::STATE,
            format_args!("was completed by a call and by its status"),
        );
    }
}

/// Waits until `done`; false if it takes too long.
fn until(done: impl Fn() -> bool, limit: u64) -> bool {
    let deadline = now() + limit;
    let mut tick = new_event();
    while !done() {
        if now() >= deadline {
            return false;
        }
        wait(&mut tick, Some(SECOND / 100));
    }
    true
}

/// Stops the client's data: nothing is delivered to it or sent by it afterwards.
fn close(adapter: &Adapter, why: Pause) {
    if !adapter.open.swap(false, Ordering::AcqRel) {
        return;
    }
    let Some(client) = adapter.client() else {
        return;
    };
    until(|| receive::delivering(adapter) == 0, SENDS);
    client.pause(why);
    if !until(|| adapter.sends.lock().is_empty(), SENDS) {
        let left = adapter.sends.lock().len();
        rules::broken(
            adapter,
            "MiniportSendNetBufferLists",
            rules::TIME,
            format_args!("{left} sends are not complete after {} s", SENDS / SECOND),
        );
    }
    if !until(|| adapter.received.lock().is_empty(), 5 * SECOND) {
        rules::log(
            adapter,
            format_args!(
                "the protocol still holds {} received lists in its pause",
                adapter.received.lock().len()
            ),
        );
    }
}

/// Pauses client and miniport. The adapter is Running, or nothing happens.
fn pause(adapter: &'static Adapter, why: Pause, reason: u32) {
    close(adapter, why);
    let (Some(routine), State::Running) = (adapter.driver.handlers.PauseHandler, adapter.state())
    else {
        return;
    };
    let mut parameters = Box::new(NDIS_MINIPORT_PAUSE_PARAMETERS {
        Header: NDIS_OBJECT_HEADER::new(
            NDIS_OBJECT_TYPE_DEFAULT,
            1,
            NDIS_SIZEOF_MINIPORT_PAUSE_PARAMETERS_REVISION_1,
        ),
        Flags: 0,
        PauseReason: reason,
    });
    adapter.completion_due.store(true, Ordering::Release);
    adapter.go(Event::Pause);
    // SAFETY: as MINIPORT_PAUSE says: PASSIVE_LEVEL, parameters that live until it is complete.
    let status = rules::call(adapter, "MiniportPause", || unsafe {
        routine(adapter.context(), &mut *parameters)
    });
    if status == NDIS_STATUS_PENDING {
        if !adapter.pause_done.wait(Some(PENDING)) {
            adapter.completion_due.store(false, Ordering::Release);
            too_long(adapter, "MiniportPause");
        }
    } else {
        not_both(adapter, "MiniportPause");
        if status != NDIS_STATUS_SUCCESS {
            rules::broken(
                adapter,
                "MiniportPause",
                rules::STATE,
                format_args!("returned {status:#x}, but may not fail"),
            );
        }
    }
    settled(adapter);
    adapter.go(Event::PauseComplete);
}

/// At the end of a pause everything is back.
fn settled(adapter: &Adapter) {
    let sends = core::mem::take(&mut *adapter.sends.lock());
    if !sends.is_empty() {
        rules::broken(
            adapter,
            "MiniportPause",
            rules::OWNERSHIP,
            format_args!("complete with {} sends outstanding", sends.len()),
        );
        drop::<BTreeMap<_, _>>(sends);
    }
    let up = adapter.received.lock().len();
    if up != 0 {
        rules::broken(
            adapter,
            "MiniportPause",
            rules::OWNERSHIP,
            format_args!("complete before {up} indicated lists were returned"),
        );
    }
}

/// The reason of a pause that a removal begins.
fn removal_reason(driver: &Driver) -> u32 {
    if driver.version >= (6, 40) && system::version() >= (6, 83) {
        NDIS_PAUSE_MINIPORT_DEVICE_REMOVE
    } else {
        NDIS_PAUSE_NDIS_INTERNAL
    }
}

/// MiniportHaltEx. The adapter is Paused.
fn halt(adapter: &'static Adapter, action: u32) {
    // No OID request is outstanding, and none begins.
    adapter.oid_gate.wait(None);
    if let Some(routine) = adapter.driver.handlers.HaltHandlerEx {
        // SAFETY: as MINIPORT_HALT says: PASSIVE_LEVEL.
        rules::call(adapter, "MiniportHaltEx", || unsafe {
            routine(adapter.context(), action)
        });
    }
    adapter.go(Event::Halt);
    adapter.next_generation();
    adapter.oid_gate.set();
    leaks::of_adapter(adapter, "MiniportHaltEx");
}

/// Pauses, unbinds and halts an adapter, as far as it is up. PASSIVE_LEVEL.
pub(super) fn take_down(adapter: &'static Adapter, why: Pause, action: u32) {
    let _operation = Operation::begin(adapter);
    pause(adapter, why, removal_reason(adapter.driver));
    unbind(adapter);
    if adapter.state() == State::Paused {
        halt(adapter, action);
    }
}

fn unbind(adapter: &Adapter) {
    let client = adapter.client.lock().take();
    if let Some(client) = client {
        client.unbind();
    }
}

/// The device is gone: tells the miniport, then takes it down. PASSIVE_LEVEL.
pub(super) fn surprise(adapter: &'static Adapter) {
    if adapter.state() != State::Halted {
        adapter.surprise_removed.store(true, Ordering::Release);
        notify(adapter, NdisDevicePnPEventSurpriseRemoved);
    }
    take_down(
        adapter,
        Pause::SurpriseRemoval,
        NdisHaltDeviceSurpriseRemoved,
    );
}

/// The device goes to low power; `pause_too` if the miniport did not say NO_PAUSE_ON_SUSPEND. PASSIVE_LEVEL.
pub(super) fn suspend(adapter: &'static Adapter, state: u32) {
    let _operation = Operation::begin(adapter);
    if !adapter.state().takes_oids() {
        return;
    }
    let flags = attribute_flags(adapter);
    close(adapter, Pause::LowPower);
    if flags & NDIS_MINIPORT_ATTRIBUTES_NO_PAUSE_ON_SUSPEND == 0 {
        pause(adapter, Pause::LowPower, NDIS_PAUSE_LOW_POWER);
    }
    if flags & NDIS_MINIPORT_ATTRIBUTES_NO_HALT_ON_SUSPEND == 0 {
        pause(adapter, Pause::LowPower, NDIS_PAUSE_LOW_POWER);
        halt(adapter, NdisHaltDevicePoweredDown);
        return;
    }
    oid::set_power(adapter, state);
    adapter.low_power.store(true, Ordering::Release);
}

/// The device is back in D0. PASSIVE_LEVEL.
pub(super) fn resume(adapter: &'static Adapter) {
    const D0: u32 = 1;
    if adapter.state() == State::Halted {
        if adapter.client().is_some() {
            unbind(adapter);
            initialize(adapter);
        }
        return;
    }
    let _operation = Operation::begin(adapter);
    if !adapter.low_power.swap(false, Ordering::AcqRel) {
        return;
    }
    oid::set_power(adapter, D0);
    notify(adapter, NdisDevicePnPEventPowerProfileChanged);
    if adapter.state() == State::Paused {
        restart(adapter);
    } else {
        open(adapter);
    }
}

fn attribute_flags(adapter: &Adapter) -> u32 {
    adapter.attributes.lock().as_ref().map_or(0, |a| a.flags)
}

/// MiniportShutdownEx: the system goes down. PASSIVE_LEVEL.
pub(super) fn shutdown(adapter: &'static Adapter) {
    let _operation = Operation::begin(adapter);
    close(adapter, Pause::Removal);
    if !adapter.state().takes_oids() {
        return;
    }
    adapter.go(Event::Shutdown);
    if let Some(routine) = adapter.driver.handlers.ShutdownHandlerEx {
        // SAFETY: as MINIPORT_SHUTDOWN says: PASSIVE_LEVEL with NdisShutdownPowerOff.
        rules::call(adapter, "MiniportShutdownEx", || unsafe {
            routine(adapter.context(), NdisShutdownPowerOff)
        });
    }
}

/// The adapter of a completion routine that was called when something of the kind was pending.
fn completing(handle: PVOID, call: &'static str, state: State) -> Option<&'static Adapter> {
    let adapter = Adapter::of(handle, call)?;
    if adapter.state() != state {
        rules::broken(
            adapter,
            call,
            rules::STATE,
            format_args!("called in state {:?}", adapter.state()),
        );
        return None;
    }
    adapter.reported(call).then_some(adapter)
}

/// NdisMPauseComplete. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisMPauseComplete(handle: PVOID) {
    if let Some(adapter) = completing(handle, "NdisMPauseComplete", State::Pausing) {
        adapter.pause_done.set();
    }
}

/// NdisMRestartComplete. At most DISPATCH_LEVEL.
pub(super) unsafe extern "win64" fn NdisMRestartComplete(handle: PVOID, status: NDIS_STATUS) {
    if let Some(adapter) = completing(handle, "NdisMRestartComplete", State::Restarting) {
        adapter
            .restart_status
            .store(status as u32, Ordering::Release);
        adapter.restart_done.set();
    }
}
