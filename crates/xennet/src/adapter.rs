//! An adapter: from its initialize routine to its halt.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use ndis_sys::call::{NdisMGetDeviceProperty, NdisMIndicateStatusEx, NdisMPauseComplete};
use ndis_sys::constant::medium;
use ndis_sys::object::{NDIS_OBJECT_HEADER, kind};
use ndis_sys::request::{
    NDIS_LINK_STATE, NDIS_STATUS_INDICATION, SIZEOF_LINK_STATE_REVISION_1,
    SIZEOF_STATUS_INDICATION_REVISION_1,
};
use ndis_sys::status::indication;
use ndis_sys::version::Version;
use ndis_sys::{NDIS_HANDLE, NDIS_STATUS, status};
use rust_alloc::boxed::Box;
use rust_alloc::vec::Vec;
use wdk_sys::DEVICE_OBJECT;
use wdm::alloc::{Shared, try_box};
use wdm::cpu;
use wdm::event::{Event, Kind};
use wdm::status::{Result, Status};
use wdm::sync::SpinLock;
use wdm::thread::Thread;
use xen_front::keys::decimal;
use xen_netfront::keys;
use xenbus_client::announce::Driver;
use xenbus_client::bus::Bus;
use xenbus_client::granter::Granter;
use xenbus_client::store::Store;
use xenbus_interface::unplug::NICS;
use xennet_core::addresses::Addresses;
use xennet_core::filter::Filter;
use xennet_core::gate::Gate;
use xennet_core::offload::{Encapsulation, Offloads};
use xennet_core::rss::{Layout, Rss};
use xennet_core::settings::{HEADER, Settings};
use xennet_core::statistics::{Counters, Values};

use crate::attributes;
use crate::configuration;
use crate::frontend;
use crate::nbl::{Chain, Nbl};
use crate::queue::{QueuePair, hand_back};
use crate::rx;
use crate::tx;

/// Most queues of an adapter.
pub const QUEUES: usize = keys::MAX_QUEUES as usize;
/// Grant references that an adapter keeps at hand.
const RESERVATION: u32 = 512;
/// What the toolstack is told of the driver.
const DRIVER: Driver = Driver {
    name: "xen-windows-drivers XENNET",
    version: env!("CARGO_PKG_VERSION"),
    class: "vif",
};

/// Adapters that run: the driver's lines in xenstore are theirs together.
static RUNNING: AtomicU32 = AtomicU32::new(0);

/// What OIDs change.
struct Control {
    rx: rx::Rules,
    tx: tx::Rules,
    scaling: Rss,
    addresses: Addresses,
}

/// An adapter.
pub struct Adapter {
    /// NDIS' name of it.
    pub handle: NDIS_HANDLE,
    /// The version that the driver registered with.
    pub version: Version,
    /// The bus driver's interfaces.
    pub bus: Shared<Bus>,
    /// Makes the grants of rings and frames.
    pub granter: Shared<Granter>,
    /// Its number in `device/vif`.
    pub vif: u32,
    /// Its configuration.
    pub settings: Settings,
    /// The address that the toolstack gave.
    pub permanent: [u8; 6],
    /// The address in use.
    pub current: [u8; 6],
    /// Bytes of a frame's payload.
    pub mtu: u32,
    /// Wakes the thread.
    pub wake: Event,
    /// The thread is to close the connection and end.
    pub stopping: AtomicBool,
    /// The domain was resumed somewhere else.
    pub resumed: AtomicBool,
    /// What the stack asked for of receive side scaling has changed.
    pub scaling_changed: AtomicBool,
    queues: Vec<Shared<QueuePair>>,
    /// Queues in use; none without a connection.
    active: AtomicU32,
    gate: Gate,
    removed: AtomicBool,
    asleep: AtomicBool,
    linked: AtomicBool,
    speed: AtomicU64,
    /// Frames that reached no queue.
    refused: Counters,
    control: SpinLock<Control>,
    thread: SpinLock<Option<Thread>>,
}

// SAFETY: the handle may be used from any thread, by NDIS' contract; the rest is shared by its own locks.
unsafe impl Send for Adapter {}
// SAFETY: as above.
unsafe impl Sync for Adapter {}

/// An adapter for its thread, which it outlives.
struct Pointer(*const Adapter);

// SAFETY: an adapter is shared between threads.
unsafe impl Send for Pointer {}

impl Pointer {
    fn run(&self) {
        // SAFETY: the thread is stopped before the adapter goes.
        frontend::run(unsafe { &*self.0 });
    }
}

/// What xenstore and the registry say of a new adapter.
struct Found {
    bus: Shared<Bus>,
    vif: u32,
    permanent: [u8; 6],
    mtu: Option<u16>,
    /// Queues that the backend offers, where it has said so already.
    offered: Option<u32>,
}

/// The devices of an adapter, the physical one and the next lower.
fn devices(handle: NDIS_HANDLE) -> (*mut DEVICE_OBJECT, *mut DEVICE_OBJECT) {
    let (mut physical, mut next) = (core::ptr::null_mut(), core::ptr::null_mut());
    // SAFETY: the handle of an adapter in its initialize routine; what is not asked for is null.
    unsafe {
        NdisMGetDeviceProperty(
            handle,
            &raw mut physical,
            core::ptr::null_mut(),
            &raw mut next,
            core::ptr::null_mut(),
            core::ptr::null_mut(),
        );
    }
    (physical.cast(), next.cast())
}

impl Found {
    /// Looks a new adapter up. PASSIVE_LEVEL, in the initialize routine.
    fn new(handle: NDIS_HANDLE) -> Result<Self> {
        let (physical, next) = devices(handle);
        if physical.is_null() || next.is_null() {
            return Err(Status::NO_SUCH_DEVICE);
        }
        // SAFETY: NDIS' own physical device, alive as long as the adapter.
        let vif = unsafe { wdm::query::bus_address(physical) }
            .inspect_err(|status| wdm::error!("the device has no address on its bus: {status}"))?;
        // SAFETY: the device below NDIS' own.
        let bus = Shared::new(unsafe { Bus::acquire(next) }?)?;
        let store = Store::new(&bus.store);
        let mac = store.read(format_args!("device/vif/{vif}/mac"));
        let mac = mac.inspect_err(|status| wdm::error!("vif {vif}: no mac: {status}"))?;
        let permanent = keys::mac(mac.as_ref()).map_err(|error| {
            wdm::error!("vif {vif}: {error}");
            Status::INVALID_PARAMETER
        })?;
        let mtu = match store.read(format_args!("device/vif/{vif}/mtu")) {
            Ok(value) => Some(keys::mtu(Some(value.as_ref())).map_err(|error| {
                wdm::error!("vif {vif}: {error}");
                Status::INVALID_PARAMETER
            })?),
            Err(_) => None,
        };
        drop(mac);
        let offered = store
            .read(format_args!("device/vif/{vif}/backend"))
            .ok()
            .and_then(|path| {
                let path = core::str::from_utf8(path.as_ref()).ok()?;
                store
                    .read(format_args!("{path}/multi-queue-max-queues"))
                    .ok()
            })
            .and_then(|value| decimal(value.as_ref()))
            .and_then(|value| u32::try_from(value).ok());
        Ok(Self {
            bus,
            vif,
            permanent,
            mtu,
            offered,
        })
    }

    /// Whether an emulated adapter may have the same address in the same network: two of them would be a loop.
    fn has_twin(&self) -> bool {
        let store = Store::new(&self.bus.store);
        let vif = self.vif;
        let kind = store
            .read(format_args!("device/vif/{vif}/backend"))
            .ok()
            .and_then(|path| {
                let path = core::str::from_utf8(path.as_ref()).ok()?;
                store.read(format_args!("{path}/type")).ok()
            });
        // What xl calls a device that is paravirtual only.
        let alone = kind.is_some_and(|kind| kind.as_ref() == b"vif");
        !alone && !self.bus.is_unplugged(NICS)
    }

    /// How many queues may be of use: as many as this backend offers, if it has said so, since each takes memory.
    fn queues(&self, settings: &Settings) -> Result<usize> {
        // The administrator's number stands in for the processors'.
        let processors = settings.rss_queues.map_or_else(cpu::count, |_| u32::MAX);
        let limit = if settings.rss { None } else { Some(1) };
        let wanted = settings.rss_queues.or(limit);
        let count = keys::queue_count(
            processors,
            self.offered.unwrap_or(u32::from(keys::MAX_QUEUES)).max(1),
            wanted,
            configuration::max_queues(),
        );
        let count = count.map_err(|error| {
            wdm::error!("vif {}: {error}", self.vif);
            Status::INVALID_PARAMETER
        })?;
        Ok(usize::from(count))
    }
}

impl Adapter {
    /// Makes an adapter and tells NDIS of it. PASSIVE_LEVEL, in the initialize routine.
    ///
    /// # Errors
    /// What keeps it from running; it is logged.
    ///
    /// # Safety
    /// `handle` is the adapter's.
    pub unsafe fn initialize(handle: NDIS_HANDLE, version: Version) -> Result<Box<Self>> {
        let found = Found::new(handle)?;
        // SAFETY: the caller's promise.
        let configuration = unsafe { configuration::read(handle) };
        let settings = configuration.settings;
        if found.has_twin() {
            // This driver is here, so that the next boot may do without the emulated adapters.
            found.bus.request_unplug(NICS, true);
            found.bus.request_reboot(c"XENNET");
            wdm::warn!(
                "vif {}: its emulated twin is still there; it can be used after a reboot",
                found.vif
            );
            return Err(Status::DEVICE_NOT_READY);
        }
        let count = found.queues(&settings)?;
        let current = configuration.address.unwrap_or(found.permanent);
        let offloads = Offloads::of_settings(&settings, &Offloads::CAPABLE);
        let mut adapter = try_box(Self {
            handle,
            version,
            granter: Shared::new(Granter::new(found.bus.clone(), c"xennet", RESERVATION)?)?,
            bus: found.bus,
            vif: found.vif,
            settings,
            permanent: found.permanent,
            current,
            mtu: settings.mtu(found.mtu),
            wake: Event::new(Kind::Synchronization)?,
            stopping: AtomicBool::new(false),
            resumed: AtomicBool::new(false),
            scaling_changed: AtomicBool::new(false),
            queues: Vec::new(),
            active: AtomicU32::new(0),
            gate: Gate::new(),
            removed: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            linked: AtomicBool::new(false),
            speed: AtomicU64::new(attributes::SPEED),
            refused: Counters::new(),
            control: SpinLock::new(Control {
                rx: rx::Rules {
                    filter: Filter::new(current),
                    offloads,
                    encapsulation: Encapsulation::default(),
                    settings,
                    vlan: settings.vlan,
                    hash: None,
                },
                tx: tx::Rules {
                    lso_ipv4: offloads.lso_ipv4,
                    lso_ipv6: offloads.lso_ipv6,
                    priority_tag: settings.priority_tag,
                    vlan_tag: settings.vlan_tag,
                    vlan: settings.vlan,
                },
                scaling: Rss::new(),
                addresses: Addresses::new(),
            }),
            thread: SpinLock::new(None),
        })?;
        attributes::register(&adapter)?;
        attributes::describe(&adapter, count as u32)?;
        attributes::offload(&adapter, &offloads)?;
        adapter.make_queues(count)?;
        adapter.start()?;
        Ok(adapter)
    }

    fn make_queues(&mut self, count: usize) -> Result {
        let mut queues = Vec::new();
        queues
            .try_reserve_exact(count)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        let (tx, rx) = {
            let control = self.control.get_mut();
            (control.tx, Shared::new(control.rx.clone())?)
        };
        for _ in 0..count {
            // SAFETY: the adapter owns its queues, and stays where it is in its box.
            queues.push(unsafe { QueuePair::new(self, tx, rx.clone()) }?);
        }
        self.queues = queues;
        Ok(())
    }

    fn start(&self) -> Result {
        let [a, b, c, d, e, f] = self.current;
        wdm::info!(
            "vif {}: {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, mtu {}, {} queues at most, NDIS 6.{}",
            self.vif,
            self.mtu,
            self.queues().len(),
            self.version.minor(),
        );
        let pointer = Pointer(self);
        let thread = Thread::spawn("vif", move |_| pointer.run())?;
        *self.thread.lock() = Some(thread);
        self.bus.request_unplug(NICS, true);
        RUNNING.fetch_add(1, Ordering::AcqRel);
        DRIVER.announce(Store::new(&self.bus.store));
        Ok(())
    }

    /// Closes the connection and ends what runs. PASSIVE_LEVEL, in the halt routine.
    pub fn halt(&self) {
        let thread = self.thread.lock().take();
        self.stopping.store(true, Ordering::Release);
        self.wake.set();
        drop(thread);
        self.bus.request_unplug(NICS, false);
        if RUNNING.fetch_sub(1, Ordering::AcqRel) == 1 {
            DRIVER.retract(Store::new(&self.bus.store));
        }
        wdm::info!("vif {}: halted", self.vif);
    }

    /// All queues that there may be.
    pub fn queues(&self) -> &[Shared<QueuePair>] {
        &self.queues
    }

    /// Says how many queues carry frames.
    pub fn set_active(&self, count: usize) {
        self.active.store(count as u32, Ordering::Release);
    }

    /// Bytes of the largest frame, with its header.
    pub fn frame_size(&self) -> u32 {
        self.mtu + HEADER
    }

    /// The device was taken away by force.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    /// Frames may come and go. PASSIVE_LEVEL.
    pub fn restart(&self) {
        self.gate.open();
    }

    /// No frames may come and go any more. True: none is on its way; else the last one ends the pause. PASSIVE_LEVEL.
    pub fn pause(&self) -> bool {
        let idle = self.gate.close();
        if !idle {
            wdm::info!(
                "vif {}: pause waits for {} frames",
                self.vif,
                self.gate.inside()
            );
        }
        idle
    }

    /// Lets received frames through the gate.
    pub fn enter_receive(&self, count: u32) -> bool {
        !self.asleep.load(Ordering::Acquire) && self.gate.enter(count)
    }

    /// Frames are back. The last of a pause ends it.
    pub fn leave(&self, count: u32) {
        if self.gate.leave(count) {
            // SAFETY: a pause of this adapter's was answered PENDING and is over now.
            unsafe { NdisMPauseComplete(self.handle) };
        }
    }

    /// Hands finished sends back, and lets them out of the gate. IRQL <= DISPATCH_LEVEL, without a lock.
    pub fn complete(&self, done: &Chain, flags: u32) {
        let count = done.count();
        if count != 0 {
            // SAFETY: the adapter's own handle; the caller knows its IRQL.
            unsafe { hand_back(self.handle, done, flags) };
            self.leave(count);
        }
    }

    /// Sends lists. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Safety
    /// A chain that NDIS gave to send.
    pub unsafe fn send(&self, lists: *mut ndis_sys::nbl::NET_BUFFER_LIST, flags: u32) {
        let mut refused = Chain::new();
        let mut chains = [const { Chain::new() }; QUEUES];
        let active = self.active.load(Ordering::Acquire) as usize;
        // SAFETY: the caller's promise.
        let mut next = unsafe { Nbl::new(lists) };
        while let Some(list) = next {
            next = list.next();
            match self.admit(active) {
                Ok(()) => {
                    let index = if active > 1 {
                        tx::flow(list) as usize % active
                    } else {
                        0
                    };
                    if let Some(chain) = chains.get_mut(index) {
                        chain.push(list);
                    }
                }
                Err(status) => {
                    list.set_status(status);
                    refused.push(list);
                }
            }
        }
        for (queue, chain) in self.queues().iter().zip(&mut chains) {
            if !chain.is_empty() {
                queue.send(chain);
            }
        }
        if !refused.is_empty() {
            for _ in 0..refused.count() {
                self.refused.discard();
            }
            // SAFETY: the adapter's own handle; the caller told its IRQL.
            unsafe { hand_back(self.handle, &refused, flags) };
        }
    }

    /// Lets a list to send through the gate.
    fn admit(&self, active: usize) -> core::result::Result<(), NDIS_STATUS> {
        if self.is_removed() {
            Err(status::NOT_ACCEPTED)
        } else if self.asleep.load(Ordering::Acquire) {
            Err(status::LOW_POWER_STATE)
        } else if !self.gate.is_open() {
            Err(status::PAUSED)
        } else if active == 0 {
            Err(status::MEDIA_DISCONNECTED)
        } else if !self.gate.enter(1) {
            Err(status::PAUSED)
        } else {
            Ok(())
        }
    }

    /// Ends sends that wait and have this identifier. IRQL <= DISPATCH_LEVEL.
    pub fn cancel(&self, identifier: usize) {
        for queue in self.queues() {
            let mut done = Chain::new();
            let mut tx = queue.tx();
            tx.cancel(identifier, &mut done);
            queue.complete(tx, done);
        }
    }

    /// The device was taken away by force: what is under way ends now. PASSIVE_LEVEL.
    pub fn remove(&self) {
        self.removed.store(true, Ordering::Release);
        self.set_active(0);
        for queue in self.queues() {
            let mut done = Chain::new();
            let mut tx = queue.tx();
            tx.fail_waiting(status::NOT_ACCEPTED, &mut done);
            tx.disconnect(&mut done);
            tx.abandon(&mut done);
            queue.complete(tx, done);
        }
        self.wake.set();
    }

    /// The system goes down: no frames any more. PASSIVE_LEVEL.
    pub fn shut_down(&self) {
        self.asleep.store(true, Ordering::Release);
    }

    /// D0, or less. PASSIVE_LEVEL.
    pub fn set_power(&self, on: bool) {
        self.asleep.store(!on, Ordering::Release);
        if !on {
            for queue in self.queues() {
                let mut done = Chain::new();
                let mut tx = queue.tx();
                tx.fail_waiting(status::LOW_POWER_STATE, &mut done);
                queue.complete(tx, done);
            }
        }
        self.indicate_link();
        self.wake.set();
    }

    /// The packet filter and the multicast list.
    pub fn filter(&self) -> Filter {
        self.control.lock().rx.filter
    }

    /// The VLAN whose frames alone go up; 0 for all.
    pub fn vlan(&self) -> u16 {
        self.control.lock().rx.vlan
    }

    /// Changes what the stack wants, and lets the queues know. PASSIVE_LEVEL.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Control) -> core::result::Result<T, NDIS_STATUS>,
    ) -> core::result::Result<T, NDIS_STATUS> {
        let mut control = self.control.lock();
        let result = change(&mut control)?;
        let (rx, tx) = (Shared::new(control.rx.clone()), control.tx);
        drop(control);
        let rx = rx.map_err(|_| status::RESOURCES)?;
        for queue in self.queues() {
            queue.rx().set_rules(rx.clone());
            queue.tx().set_rules(tx);
        }
        Ok(result)
    }

    /// Changes packet filter or multicast list. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The change's.
    pub fn change_filter(
        &self,
        change: impl FnOnce(&mut Filter) -> core::result::Result<(), NDIS_STATUS>,
    ) -> core::result::Result<(), NDIS_STATUS> {
        // What a request brings is read without a lock: it may be paged memory. Requests come one at a time.
        let mut filter = self.filter();
        change(&mut filter)?;
        self.change(|control| {
            control.rx.filter = filter;
            Ok(())
        })?;
        // The backend is told of it.
        self.wake.set();
        Ok(())
    }

    /// Changes offloads or encapsulation. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// The change's.
    pub fn change_offloads(
        &self,
        change: impl FnOnce(&mut Offloads, &mut Encapsulation) -> core::result::Result<u32, NDIS_STATUS>,
    ) -> core::result::Result<u32, NDIS_STATUS> {
        let (mut offloads, mut encapsulation) = {
            let control = self.control.lock();
            (control.rx.offloads, control.rx.encapsulation)
        };
        let read = change(&mut offloads, &mut encapsulation)?;
        self.change(|control| {
            control.rx.offloads = offloads;
            control.rx.encapsulation = encapsulation;
            control.tx.lso_ipv4 = offloads.lso_ipv4;
            control.tx.lso_ipv6 = offloads.lso_ipv6;
            Ok(read)
        })
    }

    /// OID_GEN_VLAN_ID. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INVALID_DATA.
    pub fn set_vlan(&self, vlan: u32) -> core::result::Result<(), NDIS_STATUS> {
        let vlan = u16::try_from(vlan).ok().filter(|vlan| *vlan <= 4094);
        let vlan = vlan.ok_or(status::INVALID_DATA)?;
        self.change(|control| {
            control.rx.vlan = vlan;
            control.tx.vlan = vlan;
            Ok(())
        })
    }

    /// OID_GEN_NETWORK_LAYER_ADDRESSES. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What is wrong with the list.
    pub fn set_addresses(&self, list: &[u8]) -> core::result::Result<u32, NDIS_STATUS> {
        let mut addresses = self.addresses();
        let read = addresses.apply(list)?;
        self.control.lock().addresses = addresses;
        Ok(read)
    }

    /// The stack's addresses.
    pub fn addresses(&self) -> Addresses {
        self.control.lock().addresses
    }

    /// OID_GEN_RECEIVE_SCALE_PARAMETERS. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What is wrong with the parameters, or NOT_SUPPORTED where the configuration has it off.
    pub fn set_scaling(&self, parameters: &[u8]) -> core::result::Result<u32, NDIS_STATUS> {
        if !self.settings.rss {
            return Err(status::NOT_SUPPORTED);
        }
        let mut scaling = self.control.lock().scaling.clone();
        let read = scaling.apply(parameters)?;
        // Frames have no hash until the thread has made the key's table, and none that it makes meanwhile.
        self.scaling_changed.store(true, Ordering::Release);
        self.change(|control| {
            control.scaling = scaling;
            control.rx.hash = None;
            Ok(())
        })?;
        self.scaling_changed.store(true, Ordering::Release);
        self.wake.set();
        Ok(read)
    }

    /// How frames are to be spread over so many queues, and by what key; `None` while that is off.
    pub fn scaling(&self, queues: usize) -> Option<(Layout, [u8; 40], u32)> {
        let control = self.control.lock();
        let layout = control.scaling.layout(queues)?;
        Some((layout, *control.scaling.key(), control.scaling.types()))
    }

    /// Has frames hashed so, unless the stack wants it otherwise by now. PASSIVE_LEVEL.
    pub fn set_hash(&self, rule: Shared<rx::HashRule>) {
        let set = self.change(|control| {
            if self.scaling_changed.load(Ordering::Acquire) {
                return Err(status::REQUEST_ABORTED);
            }
            control.rx.hash = Some(rule);
            Ok(())
        });
        if set.is_err() {
            self.wake.set();
        }
    }

    /// What was received and sent so far.
    pub fn statistics(&self) -> (Values, Values) {
        let (mut received, mut sent) = (Values::default(), self.refused.values());
        for queue in self.queues() {
            received = received.plus(queue.received.values());
            received = received.plus(queue.refused.values());
            sent = sent.plus(queue.sent.values());
        }
        (received, sent)
    }

    /// Tells NDIS of a status.
    fn indicate<T>(&self, code: NDIS_STATUS, value: &mut T) {
        let mut indication = NDIS_STATUS_INDICATION {
            Header: NDIS_OBJECT_HEADER::new(
                kind::STATUS_INDICATION,
                1,
                SIZEOF_STATUS_INDICATION_REVISION_1,
            ),
            SourceHandle: self.handle,
            PortNumber: 0,
            StatusCode: code,
            Flags: 0,
            DestinationHandle: core::ptr::null_mut(),
            RequestId: core::ptr::null_mut(),
            StatusBuffer: core::ptr::from_mut(value).cast(),
            StatusBufferSize: size_of::<T>() as u32,
            Guid: [0; 4],
            NdisReserved: [core::ptr::null_mut(); 4],
        };
        // SAFETY: the adapter's own handle; both structures outlive the call.
        unsafe { NdisMIndicateStatusEx(self.handle, &raw mut indication) };
    }

    /// Tells NDIS which offloads are on. PASSIVE_LEVEL.
    pub fn indicate_offloads(&self) {
        let offloads = self.control.lock().rx.offloads;
        let mut description = offloads.describe(self.version);
        self.indicate(indication::TASK_OFFLOAD_CURRENT_CONFIG, &mut description);
    }

    /// Sets the link's state and speed in bits a second; NDIS is told of a change. PASSIVE_LEVEL.
    pub fn set_link(&self, up: bool, speed: Option<u64>) {
        let speed = speed.unwrap_or(attributes::SPEED);
        let was = self.linked.swap(up, Ordering::AcqRel);
        let before = self.speed.swap(speed, Ordering::AcqRel);
        if was != up || before != speed {
            wdm::info!(
                "vif {}: link {}, {} Mbit/s",
                self.vif,
                if up { "up" } else { "down" },
                speed / 1_000_000
            );
            self.indicate_link();
        }
    }

    /// Whether the link is up.
    pub fn is_linked(&self) -> bool {
        self.linked.load(Ordering::Acquire)
    }

    fn indicate_link(&self) {
        let state = if self.asleep.load(Ordering::Acquire) {
            medium::CONNECT_STATE_UNKNOWN
        } else if self.is_linked() {
            medium::CONNECT_STATE_CONNECTED
        } else {
            medium::CONNECT_STATE_DISCONNECTED
        };
        let speed = self.speed.load(Ordering::Acquire);
        let mut link = NDIS_LINK_STATE {
            Header: NDIS_OBJECT_HEADER::new(kind::DEFAULT, 1, SIZEOF_LINK_STATE_REVISION_1),
            MediaConnectState: state,
            MediaDuplexState: medium::DUPLEX_STATE_FULL,
            XmitLinkSpeed: speed,
            RcvLinkSpeed: speed,
            PauseFunctions: medium::PAUSE_FUNCTIONS_UNSUPPORTED,
            AutoNegotiationFlags: 0,
        };
        self.indicate(indication::LINK_STATE, &mut link);
    }
}
