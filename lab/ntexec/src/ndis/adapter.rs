//! What NDIS keeps of a miniport adapter.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};

use super::attributes::Attributes;
use super::driver::Driver;
use super::oid::Pending;
use super::protocol::{Client, Info, Link};
use super::send::Sent;
use super::state::{Event, State};
use super::{offload, rules};
use crate::nt::io::{CM_RESOURCE_LIST, DEVICE_OBJECT};
use crate::nt::ke::{KEVENT, PVOID};
use crate::storport::os::{KeInitializeEvent, KeSetEvent, wait};
use crate::sync::Lock;

/// An event of the dispatcher that lives as long as the adapter.
pub(super) struct Signal(UnsafeCell<KEVENT>);
// SAFETY: the dispatcher serialises all use of its objects.
unsafe impl Sync for Signal {}
// SAFETY: as above; it is moved before it is initialised in place only.
unsafe impl Send for Signal {}

impl Signal {
    /// An event that lets one waiter through a signal.
    pub(super) fn new(signalled: bool) -> Box<Self> {
        const SYNCHRONIZATION: i32 = 1;
        // SAFETY: KEVENT is plain data; it is initialised where it stays.
        unsafe {
            let event = Box::new(Self(UnsafeCell::new(core::mem::zeroed())));
            KeInitializeEvent(event.0.get(), SYNCHRONIZATION, u8::from(signalled));
            event
        }
    }

    /// Signals it. At most DISPATCH_LEVEL.
    pub(super) fn set(&self) {
        // SAFETY: initialised in `new`.
        unsafe { KeSetEvent(self.0.get(), 0, 0) };
    }

    /// Waits for it; true if it was signalled in time (in units of 100 ns). PASSIVE_LEVEL.
    pub(super) fn wait(&self, timeout: Option<u64>) -> bool {
        // SAFETY: initialised in `new`; the dispatcher serialises all use.
        wait(unsafe { &mut *self.0.get() }, timeout)
    }
}

/// A miniport adapter. It is never freed, so that a call that comes too late is recognised.
pub(crate) struct Adapter {
    pub(super) driver: &'static Driver,
    pub(super) fdo: *mut DEVICE_OBJECT,
    pub(super) pdo: *mut DEVICE_OBJECT,
    pub(super) lower: *mut DEVICE_OBJECT,
    /// The driver's file name, for findings
    pub(super) name: String,
    /// The device instance
    pub(super) instance: String,
    /// The device's description
    pub(super) description: String,
    /// The path of its class key
    pub(super) class_key: String,
    /// NDIS' number of it: interface index
    pub(super) number: u32,
    /// Resources of the START, raw and translated
    pub(super) resources: [AtomicPtr<CM_RESOURCE_LIST>; 2],
    state: AtomicU8,
    generation: AtomicU32,
    /// MiniportAdapterContext
    pub(super) context: AtomicPtr<c_void>,
    /// MiniportAddDeviceContext
    pub(super) add_context: AtomicPtr<c_void>,
    pub(super) attributes: Lock<Option<Box<Attributes>>>,
    pub(super) link: Lock<Link>,
    /// Offloads that are on and that could be; none before the offload attributes
    pub(super) offload: Lock<offload::Offloads>,
    /// Counts NDIS_STATUS_TASK_OFFLOAD_CURRENT_CONFIG
    pub(super) config_indications: AtomicU32,
    pub(super) filter: AtomicU32,
    /// When the filter became 0 last; 0 if it was never anything else
    pub(super) filter_cleared: AtomicU64,
    pub(super) multicast: Lock<Vec<[u8; 6]>>,
    /// Lets one OID request through
    pub(super) oid_gate: Box<Signal>,
    pub(super) oid: Lock<Option<Pending>>,
    pub(super) oid_done: Box<Signal>,
    /// One of bind, pause, restart, halt at a time
    pub(super) operation: Box<Signal>,
    pub(super) pause_done: Box<Signal>,
    pub(super) restart_done: Box<Signal>,
    pub(super) restart_status: AtomicU32,
    /// A handler that may complete later has not been completed yet
    pub(super) completion_due: AtomicBool,
    /// What the miniport has to send
    pub(super) sends: Lock<BTreeMap<usize, Sent>>,
    /// What the miniport indicated and did not get back yet
    pub(super) received: Lock<BTreeSet<usize>>,
    pub(super) client: Lock<Option<Arc<dyn Client>>>,
    /// The client is restarted and not paused
    pub(super) open: AtomicBool,
    /// Indications that are being handed to the client
    pub(super) delivering: AtomicU32,
    /// NdisMRemoveMiniport was called
    pub(super) failed: AtomicBool,
    pub(super) low_power: AtomicBool,
    pub(super) surprise_removed: AtomicBool,
    /// NdisMRegisterScatterGatherDma less NdisMDeregisterScatterGatherDma
    pub(super) dma: AtomicU32,
}

// SAFETY: the fields that change are atomics, behind locks, or events; the device objects live as long as they are used.
unsafe impl Sync for Adapter {}
// SAFETY: see above.
unsafe impl Send for Adapter {}

static ADAPTERS: Lock<Vec<&'static Adapter>> = Lock::new(Vec::new());
static NEXT: AtomicU32 = AtomicU32::new(1);

/// What a new adapter is made from.
pub(super) struct New {
    pub driver: &'static Driver,
    pub fdo: *mut DEVICE_OBJECT,
    pub pdo: *mut DEVICE_OBJECT,
    pub lower: *mut DEVICE_OBJECT,
    pub instance: String,
    pub class_key: String,
}

/// Makes an adapter known.
pub(super) fn create(new: New) -> &'static Adapter {
    let null = core::ptr::null_mut();
    let adapter: &'static Adapter = Box::leak(Box::new(Adapter {
        name: new.driver.name.clone(),
        driver: new.driver,
        fdo: new.fdo,
        pdo: new.pdo,
        lower: new.lower,
        description: crate::cm::read(|h| h.string(&new.class_key, "DriverDesc"))
            .unwrap_or_default(),
        instance: new.instance,
        class_key: new.class_key,
        number: NEXT.fetch_add(1, Ordering::Relaxed),
        resources: [const { AtomicPtr::new(core::ptr::null_mut()) }; 2],
        state: AtomicU8::new(State::Halted as u8),
        generation: AtomicU32::new(0),
        context: AtomicPtr::new(null),
        add_context: AtomicPtr::new(null),
        attributes: Lock::new(None),
        link: Lock::new(Link::default()),
        offload: Lock::new(offload::Offloads::default()),
        config_indications: AtomicU32::new(0),
        filter: AtomicU32::new(0),
        filter_cleared: AtomicU64::new(0),
        multicast: Lock::new(Vec::new()),
        oid_gate: Signal::new(true),
        oid: Lock::new(None),
        oid_done: Signal::new(false),
        operation: Signal::new(true),
        pause_done: Signal::new(false),
        restart_done: Signal::new(false),
        restart_status: AtomicU32::new(0),
        completion_due: AtomicBool::new(false),
        sends: Lock::new(BTreeMap::new()),
        received: Lock::new(BTreeSet::new()),
        client: Lock::new(None),
        open: AtomicBool::new(false),
        delivering: AtomicU32::new(0),
        failed: AtomicBool::new(false),
        low_power: AtomicBool::new(false),
        surprise_removed: AtomicBool::new(false),
        dma: AtomicU32::new(0),
    }));
    ADAPTERS.lock().push(adapter);
    adapter
}

/// Every adapter that a device object stands for, in the order of their AddDevice.
pub(super) fn all() -> Vec<&'static Adapter> {
    ADAPTERS.lock().clone()
}

/// Forgets an adapter whose device object goes.
pub(super) fn forget(adapter: &'static Adapter) {
    ADAPTERS.lock().retain(|a| !core::ptr::eq(*a, adapter));
}

impl Adapter {
    /// The adapter of a handle that is used in `call`; `None`, and a broken rule, if there is none or it is halted.
    pub(super) fn of(handle: PVOID, call: &'static str) -> Option<&'static Self> {
        let Some(adapter) = Self::find(handle) else {
            crate::check::violation(
                rules::OBJECT,
                format_args!("{call}: {handle:p} is no miniport adapter's handle"),
            );
            return None;
        };
        if !adapter.state().may_call() {
            rules::broken(
                adapter,
                call,
                rules::STATE,
                format_args!("called for an adapter that is halted"),
            );
            return None;
        }
        Some(adapter)
    }

    /// The adapter of a handle.
    pub(super) fn find(handle: PVOID) -> Option<&'static Self> {
        ADAPTERS
            .lock()
            .iter()
            .copied()
            .find(|a| core::ptr::eq(core::ptr::from_ref(*a).cast(), handle.cast_const()))
    }

    /// What miniports call NdisMiniportHandle.
    pub(super) fn handle(&self) -> PVOID {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// NET_LUID: the interface's type and index.
    pub(super) fn luid(&self) -> u64 {
        const ETHERNET: u64 = 6;
        ETHERNET << 48 | u64::from(self.number) << 24
    }

    /// MiniportAdapterContext.
    pub(super) fn context(&self) -> PVOID {
        self.context.load(Ordering::Acquire)
    }

    /// The state.
    pub(super) fn state(&self) -> State {
        State::from_raw(self.state.load(Ordering::Acquire))
    }

    /// Goes on by an event that NDIS causes itself.
    pub(super) fn go(&self, event: Event) {
        let state = self.state();
        match state.after(event) {
            Some(next) => self.state.store(next as u8, Ordering::Release),
            None => rules::log(self, format_args!("{event:?} cannot happen in {state:?}")),
        }
    }

    /// Goes on by an event that the miniport reports in `call`; false, and a broken rule, if it is not awaited.
    pub(super) fn reported(&self, call: &str) -> bool {
        if self.completion_due.swap(false, Ordering::AcqRel) {
            return true;
        }
        rules::broken(
            self,
            call,
            rules::STATE,
            format_args!("nothing is pending in state {:?}", self.state()),
        );
        false
    }

    /// Counts initialisations and halts: what was made in another generation is stale.
    pub(super) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Acquire)
    }

    /// Begins a new generation.
    pub(super) fn next_generation(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The client, if one is bound.
    pub(super) fn client(&self) -> Option<Arc<dyn Client>> {
        self.client.lock().clone()
    }

    /// What a protocol is told of it; `None` before its general attributes.
    pub(super) fn info(&self) -> Option<Info> {
        let attributes = self.attributes.lock();
        let general = attributes.as_ref()?.general.as_ref()?;
        let offloads = *self.offload.lock();
        Some(Info {
            driver: self.name.clone(),
            instance: self.instance.clone(),
            description: self.description.clone(),
            luid: self.luid(),
            index: self.number,
            state: self.state(),
            permanent_address: general.permanent,
            current_address: general.current,
            mtu: general.mtu,
            link: *self.link.lock(),
            packet_filters: general.filters,
            max_multicast: general.max_multicast,
            mac_options: general.mac_options,
            data_backfill: general.data_backfill,
            offload: offloads.current,
            hardware: offloads.hardware,
            rss: general.rss,
        })
    }

    /// The NDIS version that its driver registered: major and minor.
    pub(super) fn version(&self) -> (u8, u8) {
        self.driver.version
    }
}
