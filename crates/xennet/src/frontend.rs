//! An adapter's thread: the connection to its backend, from the first look at xenstore to the last grant.

use core::sync::atomic::Ordering;
use core::time::Duration;

use arrayvec::ArrayVec;
use ndis_sys::constant::packet_type;
use rust_alloc::vec::Vec;
use wdm::alloc::{Shared, try_zeroed};
use wdm::cpu;
use wdm::pages::Pages;
use wdm::status::{Result, Status};
use wdm::text::FormatBuffer;
use wdm::time;
use xen_abi::xenbus::XenbusState;
use xen_front::keys::decimal;
use xen_netfront::connection::{Action, Backend, Connection, Failure, Phase};
use xen_netfront::hash::Toeplitz;
use xen_netfront::keys::{self, Offer};
use xen_netfront::multicast::Membership;
use xen_netfront::publication::{Events, Publication, QueueKeys, Sink};
use xen_netfront::{rx, tx};
use xenbus_client::channel::Channel;
use xenbus_client::granter::{Access, Grant};
use xenbus_client::store::{Store, Value};

use crate::adapter::{Adapter, QUEUES};
use crate::control_ring::{self, ControlRing};
use crate::nbl::Chain;
use crate::notify;
use crate::queue::{Pointer, RingPage, Side};
use crate::rx::HashRule;

/// How long the thread sleeps with nothing under way: a lost event is found out then.
const IDLE: Duration = Duration::from_secs(2);
/// The same with frames under way, or grants to end.
const BUSY: Duration = Duration::from_millis(500);
/// A backend that answers no frame for this long is given up; the stack's frames must be back after 22 seconds (NDIS'
/// verifier).
const SILENT: Duration = Duration::from_secs(8);
/// Then what it keeps is completed after this long more.
const ABANDON: Duration = Duration::from_secs(5);
/// How long a closed backend may keep ring pages.
const HELD: Duration = Duration::from_secs(10);
/// An old connection that takes longer to end than this is worth a line in the log.
const SLOW: Duration = Duration::from_millis(500);
/// How long a failed connection rests.
const REST: Duration = Duration::from_secs(2);
/// Rounds of announcements after a resume, a second apart: some may be lost while the network learns.
const ANNOUNCEMENTS: u32 = 3;

type Path = FormatBuffer<128>;

/// How a session with a backend ended.
enum End {
    /// The thread is to end.
    Stopped,
    /// The backend, or the toolstack, closed it for good.
    Closed,
    /// Something failed; perhaps another try helps.
    Failed,
    /// The domain was resumed: all is to be looked up anew.
    Resumed,
}

/// The thread's body. PASSIVE_LEVEL.
pub fn run(adapter: &Adapter) {
    let registered = notify::register(adapter);
    if let Err(status) = &registered {
        wdm::error!(
            "vif {}: resumes and dumps cannot be heard of: {status}",
            adapter.vif
        );
    }
    let (mut announce, mut failed) = (0, None);
    while !stopping(adapter) {
        adapter.resumed.store(false, Ordering::Release);
        let end = match Session::new(adapter, announce) {
            Ok(mut session) => {
                session.said = failed;
                let end = session.run();
                failed = session.connection.failure();
                end
            }
            Err(status) => {
                wdm::error!(
                    "vif {}: the frontend's keys cannot be read: {status}",
                    adapter.vif
                );
                End::Closed
            }
        };
        announce = match end {
            End::Stopped => break,
            End::Resumed => ANNOUNCEMENTS,
            End::Closed | End::Failed => {
                rest(adapter);
                0
            }
        };
    }
}

fn stopping(adapter: &Adapter) -> bool {
    adapter.stopping.load(Ordering::Acquire)
}

/// Lets some time pass, unless the thread is to end.
fn rest(adapter: &Adapter) {
    let start = time::interrupt_time();
    while !stopping(adapter) && time::since(start) < REST {
        adapter.wake.wait(REST.saturating_sub(time::since(start)));
    }
}

/// Milliseconds since the system's start.
fn now() -> u64 {
    time::interrupt_time() / 10_000
}

/// Rings of a queue that the backend may use.
struct Link {
    grants: ArrayVec<Grant, 2>,
    pages: ArrayVec<Shared<Pages>, 2>,
    channels: ArrayVec<Shared<Channel<Pointer>>, 2>,
}

/// One connection to one backend.
struct Session<'a> {
    adapter: &'a Adapter,
    store: Store<'a>,
    frontend: Path,
    backend: Path,
    domain: u16,
    trusted: bool,
    connection: Connection,
    /// Why the session before had no connection, which the log has already.
    said: Option<Failure>,
    offer: Option<Offer>,
    links: Vec<Link>,
    control: Option<ControlRing>,
    /// Groups that the backend lets through, and whether it was told that its list counts.
    groups: Membership,
    filters: bool,
    closing: bool,
    /// The connection is up.
    up: bool,
    /// When it went down with frames or pages left at the backend.
    down_since: Option<u64>,
    /// Rounds of announcements to come, and when the next is due.
    announcements: (u32, u64),
}

fn backend_path(store: Store<'_>, vif: u32) -> Result<Path> {
    let value = store.read(format_args!("device/vif/{vif}/backend"))?;
    let text = core::str::from_utf8(value.as_ref()).map_err(|_| Status::INVALID_PARAMETER)?;
    let path = Path::format(format_args!("{text}"));
    if path.is_truncated() || text.is_empty() {
        Err(Status::INVALID_PARAMETER)
    } else {
        Ok(path)
    }
}

impl<'a> Session<'a> {
    fn new(adapter: &'a Adapter, announcements: u32) -> Result<Self> {
        let store = Store::new(&adapter.bus.store);
        let frontend = Path::format(format_args!("device/vif/{}", adapter.vif));
        let backend = backend_path(store, adapter.vif)?;
        let id = store.read(format_args!("{}/backend-id", frontend.as_str()))?;
        let domain = decimal(id.as_ref())
            .and_then(|id| u16::try_from(id).ok())
            // DOMID_FIRST_RESERVED (xen.h): the rest are not domains.
            .filter(|id| *id < 0x7FF0)
            .ok_or(Status::INVALID_PARAMETER)?;
        let trusted = store
            .read(format_args!("{}/trusted", frontend.as_str()))
            .map_or(true, |value| keys::trusted(Some(value.as_ref())));
        Ok(Self {
            adapter,
            store,
            frontend,
            backend,
            domain,
            trusted,
            connection: Connection::new(now()),
            said: None,
            offer: None,
            links: Vec::new(),
            control: None,
            groups: Membership::new(),
            filters: false,
            closing: false,
            up: false,
            down_since: None,
            announcements: (announcements, 0),
        })
    }

    /// A key of the backend's.
    fn backend_key(&self, key: &str) -> Option<Value<'a>> {
        self.store
            .read(format_args!("{}/{key}", self.backend.as_str()))
            .ok()
    }

    /// A key of the frontend's own, which the toolstack writes.
    fn frontend_key(&self, key: &str) -> Option<Value<'a>> {
        self.store
            .read(format_args!("{}/{key}", self.frontend.as_str()))
            .ok()
    }

    fn backend_state(&self) -> Backend {
        let value = self.backend_key("state");
        Backend::from_key(value.as_ref().map(AsRef::as_ref))
    }

    fn online(&self) -> bool {
        let value = self.backend_key("online");
        keys::online(value.as_ref().map(AsRef::as_ref))
    }

    fn run(&mut self) -> End {
        let wake = &self.adapter.wake;
        let watch = |path: &Path| self.store.watch(format_args!("{}", path.as_str()), wake);
        let vif = self.adapter.vif;
        let watches = watch(&self.backend).and_then(|backend| {
            let frontend = self
                .store
                .watch(format_args!("{}/disconnect", self.frontend.as_str()), wake)?;
            let speed = self
                .store
                .watch(format_args!("{}/speed", self.frontend.as_str()), wake)?;
            Ok((backend, frontend, speed))
        });
        let watches = match watches {
            Ok(watches) => watches,
            Err(status) => {
                wdm::error!("vif {vif}: xenstore cannot be watched: {status}");
                return End::Failed;
            }
        };
        let end = self.converse();
        drop(watches);
        self.adapter.set_link(false, None);
        self.let_go();
        self.unlink();
        end
    }

    /// Follows the connection's actions to its end.
    fn converse(&mut self) -> End {
        loop {
            if self.adapter.resumed.load(Ordering::Acquire) {
                self.take_down();
                return End::Resumed;
            }
            if stopping(self.adapter) {
                self.close();
            }
            let (backend, online) = (self.backend_state(), self.online());
            match self.connection.advance(backend, online, now()) {
                Action::Wait(until) => self.wait(until),
                Action::Write(state) => self.write_state(state),
                Action::Prepare => {
                    let prepared = self.prepare().is_ok();
                    if let Action::Write(state) = self.connection.prepared(prepared, now()) {
                        self.write_state(state);
                    }
                }
                Action::Complete => {
                    let completed = self.complete();
                    if let Action::Write(state) = self.connection.completed(completed, now()) {
                        self.write_state(state);
                    }
                }
                Action::Renew => self.renew(),
                Action::Down => {
                    if !self.closing {
                        wdm::warn!(
                            "vif {}: the connection ends, backend {backend:?}",
                            self.adapter.vif
                        );
                    }
                    self.take_down();
                }
                Action::Finished => return self.finished(),
            }
        }
    }

    fn write_state(&mut self, state: XenbusState) {
        let vif = self.adapter.vif;
        wdm::info!("vif {vif}: state {}", state.0);
        let path = format_args!("{}/state", self.frontend.as_str());
        if let Err(status) = self.store.write(path, format_args!("{}", state.0)) {
            // The backend will not move, and the wait for that ends.
            wdm::error!("vif {vif}: state {} cannot be written: {status}", state.0);
        }
    }

    /// Sleeps for the backend's next move, and looks after the queues meanwhile.
    fn wait(&mut self, until: Option<u64>) {
        let busy = self.look_after();
        let mut limit = if busy { BUSY } else { IDLE };
        if let Some(until) = until {
            limit = limit.min(Duration::from_millis(until.saturating_sub(now()).max(1)));
        }
        if let Some(control) = &mut self.control
            && let Some(until) = control.advance(now())
        {
            limit = limit.min(Duration::from_millis(until.saturating_sub(now()).max(1)));
        }
        if self.announcements.0 != 0 && self.up {
            limit = limit.min(Duration::from_secs(1));
        }
        self.adapter.wake.wait(limit);
    }

    /// What has to be done now and then. True: something is under way.
    fn look_after(&mut self) -> bool {
        let adapter = self.adapter;
        let (mut busy, mut silent) = (false, false);
        for (index, queue) in adapter.queues().iter().enumerate() {
            let mut done = Chain::new();
            let mut tx = queue.tx();
            tx.tick(&mut done);
            let under_way = tx.busy() != 0;
            busy |= under_way;
            silent |= under_way && tx.is_connected() && time::since(tx.progress()) > SILENT;
            let fault = tx.fault();
            if let Some(channel) = tx.channel() {
                // What an event that got lost would have brought.
                channel.again();
            }
            queue.complete(tx, done);
            let mut rx = queue.rx();
            rx.tick();
            busy |= rx.quarantined() != 0;
            let received = rx.fault();
            if let Some(channel) = rx.channel() {
                channel.again();
            }
            drop(rx);
            if let Some(fault) = fault {
                self.broken(index, &fault);
            }
            if let Some(fault) = received {
                self.broken(index, &fault);
            }
        }
        if silent && self.up {
            wdm::error!(
                "vif {}: the backend has answered nothing for {} s: a new connection is made",
                adapter.vif,
                SILENT.as_secs()
            );
            self.connection.reconnect(now());
        }
        if let Some(since) = self.down_since
            && time::since(since) > ABANDON
        {
            self.abandon();
        }
        if self.up {
            self.follow_link();
            self.announce();
            self.follow_groups();
            if adapter.scaling_changed.load(Ordering::Acquire) {
                self.spread();
            }
        }
        busy
    }

    /// Spreads received frames over queues and processors as the stack asked for, or as it suits.
    fn spread(&mut self) {
        let adapter = self.adapter;
        adapter.scaling_changed.store(false, Ordering::Release);
        let count = self.links.len();
        let scaling = adapter.scaling(count);
        let processors = cpu::count().max(1);
        for (index, link) in self.links.iter().enumerate() {
            let asked = scaling
                .as_ref()
                .and_then(|(layout, ..)| layout.processors.get(index).copied().flatten());
            let place = match asked {
                Some(processor) => Ok((processor.Group, processor.Number)),
                None => cpu::number_of(index as u32 % processors)
                    .map(|processor| (processor.Group, processor.Number)),
            };
            for channel in &link.channels {
                let bound = place.and_then(|(group, number)| channel.bind(group, number));
                if let Err(status) = bound {
                    wdm::warn!(
                        "vif {}: queue {index}: its processor cannot be chosen: {status}",
                        adapter.vif
                    );
                }
            }
        }
        if let Some((_, key, types)) = &scaling {
            match hash_rule(key, *types) {
                Ok(rule) => adapter.set_hash(rule),
                Err(status) => wdm::warn!("vif {}: frames have no hash: {status}", adapter.vif),
            }
        }
        if let Some(control) = &mut self.control {
            control.want(scaling, count);
        }
    }

    fn broken(&mut self, index: usize, fault: &dyn core::fmt::Display) {
        let phase = self.connection.phase();
        if self.up && matches!(phase, Phase::Connected | Phase::Kept) {
            wdm::error!(
                "vif {}: queue {index}: {fault}: a new connection is made",
                self.adapter.vif
            );
            self.connection.reconnect(now());
        }
    }

    /// Has the backend keep back what is for groups that the stack did not ask for, where it can be told so at any time.
    fn follow_groups(&mut self) {
        let adapter = self.adapter;
        let offered = self.offer.is_some_and(|o| o.dynamic_multicast_control);
        let Some(queue) = adapter.queues().first().filter(|_| offered) else {
            return;
        };
        let filter = adapter.filter();
        let all = packet_type::ALL_MULTICAST | packet_type::PROMISCUOUS;
        if filter.types() & all != 0 {
            self.groups.want_all();
        } else if filter.types() & packet_type::MULTICAST != 0 {
            self.groups.want(filter.groups().iter().copied());
        } else {
            self.groups.want([]);
        }
        let mut tx = queue.tx();
        if let Some(outcome) = tx.answer() {
            self.groups.answered(outcome);
        }
        if let Some(change) = self.groups.next_change()
            && !tx.ask(change)
        {
            self.groups.unasked();
        }
        drop(tx);
        let filters = self.groups.is_complete();
        if filters == self.filters {
            return;
        }
        let key = format_args!("{}/request-multicast-control", self.frontend.as_str());
        match self.store.write(key, format_args!("{}", u8::from(filters))) {
            Ok(()) => self.filters = filters,
            Err(status) => wdm::warn!(
                "vif {}: the backend cannot be told which groups to keep back: {status}",
                adapter.vif
            ),
        }
    }

    /// The link is as the backend and the toolstack say.
    fn follow_link(&self) {
        let carrier = self.backend_key("carrier");
        let carrier = keys::carrier(carrier.as_ref().map(AsRef::as_ref));
        let disconnect = self.frontend_key("disconnect");
        let disconnected = keys::disconnected(disconnect.as_ref().map(AsRef::as_ref));
        let speed = self.frontend_key("speed");
        let speed = keys::speed(speed.as_ref().map(AsRef::as_ref)).unwrap_or_else(|error| {
            wdm::warn!("vif {}: {error}", self.adapter.vif);
            None
        });
        self.adapter.set_link(carrier && !disconnected, speed);
    }

    /// Tells the network where the stack's addresses are now; a stack that gave none is told that the link was down.
    fn announce(&mut self) {
        let (left, due) = self.announcements;
        if left == 0 || now() < due || !self.adapter.is_linked() {
            return;
        }
        let addresses = self.adapter.addresses();
        if addresses.is_empty() {
            self.announcements = (0, 0);
            self.adapter.set_link(false, None);
            self.follow_link();
            return;
        }
        self.announcements = (left - 1, now() + 1000);
        if let Some(queue) = self.adapter.queues().first() {
            for frame in addresses.announcements(self.adapter.current) {
                let mut tx = queue.tx();
                tx.announce(frame);
                queue.complete(tx, Chain::new());
            }
        }
    }

    /// Makes the rings and publishes them.
    fn prepare(&mut self) -> core::result::Result<(), ()> {
        let vif = self.adapter.vif;
        let say = |what: &str, why: &dyn core::fmt::Display| {
            wdm::error!("vif {vif}: {what}: {why}");
        };
        let start = time::interrupt_time();
        self.let_go();
        let frames = time::since(start);
        self.unlink();
        let all = time::since(start);
        if all > SLOW {
            wdm::warn!(
                "vif {vif}: the old connection took {} ms to end, its frames {} ms of that",
                all.as_millis(),
                frames.as_millis()
            );
        }
        let offer = Offer::parse(|key| self.backend_key(key))
            .map_err(|error| say("the backend's offer", &error))?;
        let limit = self.adapter.queues().len().min(QUEUES);
        let count = keys::queue_count(limit as u32, offer.queues, None, None)
            .map_err(|error| say("queues", &error))?;
        for index in 0..usize::from(count) {
            self.links
                .try_reserve(1)
                .map_err(|_| say("queues", &Status::INSUFFICIENT_RESOURCES))?;
            let link = self
                .make_link(index, offer.split_event_channels)
                .map_err(|status| say("no rings", &status))?;
            self.links.push(link);
        }
        if offer.control_ring {
            // SAFETY: the adapter outlives its thread, and the ring is the thread's.
            match unsafe { ControlRing::new(self.adapter, self.domain) } {
                Ok(control) => self.control = Some(control),
                Err(status) => wdm::warn!("vif {vif}: no control ring: {status}"),
            }
        }
        self.publish(&offer)
            .map_err(|status| say("the rings cannot be published", &status))?;
        self.offer = Some(offer);
        Ok(())
    }

    /// A page for a ring, granted.
    fn ring_page(&self, link: &mut Link) -> Result<Shared<Pages>> {
        let pages = Shared::new(Pages::new(1)?)?;
        let frame = pages.pfn(0).ok_or(Status::INTERNAL_ERROR)? as u64;
        let grant = self
            .adapter
            .granter
            .grant(self.domain, frame, Access::ReadWrite)
            .ok_or(Status::INSUFFICIENT_RESOURCES)?;
        link.grants.push(grant);
        link.pages.push(pages.clone());
        Ok(pages)
    }

    fn make_link(&self, index: usize, split: bool) -> Result<Link> {
        let mut link = Link {
            grants: ArrayVec::new(),
            pages: ArrayVec::new(),
            channels: ArrayVec::new(),
        };
        match self.fill_link(&mut link, index, split) {
            Ok(()) => Ok(link),
            Err(status) => {
                self.adapter.queues().iter().for_each(|queue| {
                    queue.rx().disconnect();
                });
                self.end_link(link);
                Err(status)
            }
        }
    }

    fn fill_link(&self, link: &mut Link, index: usize, split: bool) -> Result {
        let queue = self.adapter.queues().get(index);
        let queue = queue.ok_or(Status::INTERNAL_ERROR)?;
        let sides: &[Side] = if split {
            &[Side::Tx, Side::Rx]
        } else {
            &[Side::Both]
        };
        for side in sides {
            // SAFETY: the queue outlives the channel, which the thread closes.
            let pointer = unsafe { queue.pointer(*side) };
            let channel = Channel::open(
                self.adapter.bus.clone(),
                self.domain,
                pointer,
                Pointer::deferred,
            )?;
            link.channels.push(Shared::new(channel)?);
        }
        // The transmit ring is the first, the receive ring the second.
        self.ring_page(link)?;
        let receive = self.ring_page(link)?;
        let ring = rx::Ring::new(RingPage(receive)).map_err(|_| Status::INVALID_PARAMETER)?;
        let channel = link.channels.last().ok_or(Status::INTERNAL_ERROR)?;
        queue.rx().connect(ring, self.domain, channel.clone());
        Ok(())
    }

    /// Writes what the backend needs, at once or not at all.
    fn publish(&self, offer: &Offer) -> Result {
        let mut keys: ArrayVec<QueueKeys, QUEUES> = ArrayVec::new();
        for link in &self.links {
            let reference = |index: usize| {
                let grant = link.grants.get(index).ok_or(Status::INTERNAL_ERROR)?;
                Ok(self.adapter.granter.reference(*grant))
            };
            let events = match link.channels.as_slice() {
                [both] => Events::Shared(both.port()),
                [tx, rx] => Events::Split {
                    tx: tx.port(),
                    rx: rx.port(),
                },
                _ => return Err(Status::INTERNAL_ERROR),
            };
            keys.push(QueueKeys {
                tx_ring: reference(0)?,
                rx_ring: reference(1)?,
                events,
            });
        }
        // Large frames are joined segments for the stack, or cut in segments of a page each.
        let segments = self.adapter.frame_size() <= wdm::pages::PAGE_SIZE as u32;
        let settings = &self.adapter.settings;
        let publication = Publication {
            queues: &keys,
            control: self.control.as_ref().map(ControlRing::keys),
            checksum_ipv4: true,
            checksum_ipv6: true,
            segment_ipv4: segments || settings.rsc_ipv4,
            segment_ipv6: segments || settings.rsc_ipv6,
            multicast: offer.multicast_control.then_some(false),
        };
        let frontend = self.frontend.as_str();
        self.store
            .transaction(|store| publication.write(&mut Keys { store, frontend }))
    }

    /// The backend is connected: frames flow.
    fn complete(&mut self) -> bool {
        let adapter = self.adapter;
        let Some(offer) = self.offer else {
            return false;
        };
        let limits = offer.transmit(self.trusted);
        // What was published says that its list, which is empty, does not count.
        self.groups.reset();
        self.filters = false;
        for (queue, link) in adapter.queues().iter().zip(&self.links) {
            let (Some(page), Some(channel)) = (link.pages.first(), link.channels.first()) else {
                return false;
            };
            let Ok(ring) = tx::Ring::new(RingPage(page.clone())) else {
                return false;
            };
            queue
                .tx()
                .connect(ring, limits, self.domain, channel.clone());
        }
        let count = self.links.len();
        wdm::info!(
            "vif {}: connected, {count} queues{}{}{}{}{}",
            adapter.vif,
            if offer.split_event_channels {
                ", split events"
            } else {
                ""
            },
            if offer.checksum_ipv4 {
                ", checksums"
            } else {
                ""
            },
            if offer.segment_ipv4 {
                ", large sends over IPv4"
            } else {
                ""
            },
            if offer.segment_ipv6 {
                ", large sends over IPv6"
            } else {
                ""
            },
            if self.trusted { "" } else { ", not trusted" },
        );
        if !adapter.is_removed() {
            adapter.set_active(count);
        }
        self.up = true;
        self.down_since = None;
        for link in &self.links {
            for channel in &link.channels {
                channel.unmask();
                // What came before the channel was open.
                channel.again();
            }
        }
        self.spread();
        self.follow_link();
        true
    }

    /// The backend came back to the rings that it left, and knows nothing of what it was told by requests.
    fn renew(&mut self) {
        let adapter = self.adapter;
        wdm::info!("vif {}: the backend came back to the rings", adapter.vif);
        // Its list of groups is empty, and does not count until it knows them again.
        self.groups.reset();
        let key = format_args!("{}/request-multicast-control", self.frontend.as_str());
        if self.filters {
            match self.store.write(key, format_args!("0")) {
                Ok(()) => self.filters = false,
                Err(status) => {
                    wdm::warn!("vif {}: groups may be missing: {status}", adapter.vif);
                }
            }
        }
        self.spread();
        for link in &self.links {
            for channel in &link.channels {
                // Events that were sent while nobody was there, and what came meanwhile.
                channel.send();
                channel.unmask();
                channel.again();
            }
        }
    }

    /// Frames stop; what is at the backend is lost.
    fn take_down(&mut self) {
        self.adapter.set_active(0);
        self.adapter.set_link(false, None);
        if core::mem::take(&mut self.up) {
            self.down_since = Some(time::interrupt_time());
        }
        for queue in self.adapter.queues() {
            let mut done = Chain::new();
            let mut tx = queue.tx();
            tx.disconnect(&mut done);
            queue.complete(tx, done);
            queue.rx().disconnect();
        }
    }

    /// What the backend still has of the stack's frames is completed.
    fn abandon(&mut self) {
        self.down_since = None;
        for queue in self.adapter.queues() {
            let mut done = Chain::new();
            let mut tx = queue.tx();
            if tx.busy() != 0 {
                wdm::error!(
                    "vif {}: the backend keeps {} frames; they are completed, and their grants left to it",
                    self.adapter.vif,
                    tx.busy()
                );
            }
            tx.abandon(&mut done);
            queue.complete(tx, done);
        }
    }

    /// Closes in good order: what is under way goes out first, as far as the backend takes it.
    fn close(&mut self) {
        if core::mem::replace(&mut self.closing, true) {
            return;
        }
        self.adapter.set_active(0);
        if self.up && !self.adapter.is_removed() {
            let start = time::interrupt_time();
            let busy = || {
                self.adapter
                    .queues()
                    .iter()
                    .any(|queue| queue.tx().busy() != 0)
            };
            while busy() && time::since(start) < Duration::from_secs(1) {
                time::sleep(Duration::from_millis(10));
            }
        }
        self.connection.close(now());
    }

    /// Ends the grants of frames, with patience for a backend that is slow to let go.
    fn let_go(&mut self) {
        let start = time::interrupt_time();
        self.take_down();
        loop {
            let mut left = 0;
            for queue in self.adapter.queues() {
                let mut done = Chain::new();
                let mut tx = queue.tx();
                tx.tick(&mut done);
                left += tx.busy();
                queue.complete(tx, done);
                let mut rx = queue.rx();
                rx.tick();
                left += rx.quarantined();
            }
            if left == 0 {
                break;
            }
            if time::since(start) > ABANDON {
                wdm::error!(
                    "vif {}: the backend keeps {left} pages of frames",
                    self.adapter.vif
                );
                self.abandon();
                break;
            }
            time::sleep(Duration::from_millis(50));
        }
        self.down_since = None;
    }

    fn finished(&mut self) -> End {
        let vif = self.adapter.vif;
        let failure = self.connection.failure();
        if let Some(failure) = failure
            && self.said != Some(failure)
        {
            wdm::error!("vif {vif}: no connection: {failure}");
            let error = format_args!("error/{}/error", self.frontend.as_str());
            if let Err(status) = self.store.write(error, format_args!("1 {failure}")) {
                wdm::warn!("vif {vif}: the error cannot be written to xenstore: {status}");
            }
        }
        match failure {
            _ if stopping(self.adapter) => End::Stopped,
            None | Some(Failure::Gone) => End::Closed,
            Some(_) => End::Failed,
        }
    }

    /// Takes the rings back. Pages that the backend keeps stay its own for ever.
    fn unlink(&mut self) {
        self.control = None;
        for queue in self.adapter.queues() {
            let channel = queue.tx().take_channel();
            drop(channel);
            let channel = queue.rx().take_channel();
            drop(channel);
        }
        while let Some(link) = self.links.pop() {
            self.end_link(link);
        }
    }

    fn end_link(&self, mut link: Link) {
        link.channels.clear();
        let start = time::interrupt_time();
        while !link.grants.is_empty() {
            link.grants
                .retain(|grant| self.adapter.granter.end(*grant).is_err());
            if link.grants.is_empty() || time::since(start) > HELD {
                break;
            }
            time::sleep(Duration::from_millis(50));
        }
        if !link.grants.is_empty() {
            let (vif, kept) = (self.adapter.vif, link.grants.len());
            wdm::error!("vif {vif}: the backend keeps {kept} ring pages; they are left to it");
            core::mem::forget(link);
        }
    }
}

/// A key's table.
fn hash_rule(key: &[u8; 40], types: u32) -> Result<Shared<HashRule>> {
    // SAFETY: a table of integers.
    let mut toeplitz = unsafe { try_zeroed::<Toeplitz>() }?;
    toeplitz.set_key(key);
    Shared::new(HashRule {
        toeplitz,
        types: control_ring::types_of(types),
    })
}

/// The frontend's directory, in a transaction.
struct Keys<'a, 's> {
    store: Store<'s>,
    frontend: &'a str,
}

impl Sink for Keys<'_, '_> {
    type Error = Status;

    fn write(&mut self, key: core::fmt::Arguments<'_>, value: core::fmt::Arguments<'_>) -> Result {
        self.store
            .write(format_args!("{}/{key}", self.frontend), value)
    }

    fn remove(&mut self, key: core::fmt::Arguments<'_>) -> Result {
        match self.store.remove(format_args!("{}/{key}", self.frontend)) {
            Err(Status::OBJECT_NAME_NOT_FOUND) => Ok(()),
            result => result,
        }
    }
}
