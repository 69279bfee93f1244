//! A disk's thread: the connection to its backend, from the first look at xenstore to the last grant.

use core::sync::atomic::Ordering;
use core::time::Duration;

use rust_alloc::vec::Vec;
use scsi_disk::Discard;
use storport_sys::constant::srb_status;
use wdm::alloc::Shared;
use wdm::pages::Pages;
use wdm::status::{Result, Status};
use wdm::text::FormatBuffer;
use wdm::time;
use xen_abi::xenbus::XenbusState;
use xen_blkfront::connection::{Action, Backend, Connection, Failure, Phase};
use xen_blkfront::keys::{KeyError, Properties, Transport, decimal};
use xen_blkfront::queue::{Kind, Limits, Outcome};
use xen_blkfront::ring::FrontRing;
use xenbus_client::channel::Channel;
use xenbus_client::granter::{Access, Grant};
use xenbus_client::store::{Store, Value};

use crate::adapter::BusChange;
use crate::disk::{Disk, Pointer, pump};
use crate::inquiry;
use crate::notify;
use crate::parameters;
use crate::queue::{OWN_FLUSH, RingPages};

/// Ring order unless the registry says otherwise: 128 requests at once.
const RING_ORDER: u8 = 2;
/// Connections that are tried in a row before the disk is given up.
const TRIES: u32 = 3;
/// How long the thread sleeps with nothing under way: a lost event is found out then.
const IDLE: Duration = Duration::from_secs(5);
/// The same with requests under way, or grants to end.
const BUSY: Duration = Duration::from_millis(500);
/// How long what is under way may take before an orderly close.
const DRAIN: Duration = Duration::from_secs(30);
/// After this long a reset makes a new connection, and after that long it fails.
const RESET_RECONNECT: Duration = Duration::from_secs(5);
const RESET_FAIL: Duration = Duration::from_secs(25);
/// How long a closed backend may keep grants before the log says so again.
const HELD: Duration = Duration::from_secs(30);
/// Most descriptors of an UNMAP.
const UNMAP_DESCRIPTORS: u32 = 64;
/// Most bytes of a transfer.
pub const MAXIMUM_TRANSFER: u32 = 1 << 20;

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

/// A ring that the backend may use.
struct Link {
    pages: Shared<Pages>,
    grants: Vec<Grant>,
    ring: Option<FrontRing<RingPages>>,
    channel: Option<Channel<Pointer>>,
}

/// The thread's body. PASSIVE_LEVEL.
pub fn run(disk: &Disk, changed: &BusChange) {
    let registered = notify::register(disk);
    if let Err(status) = &registered {
        wdm::error!(
            "vbd {}: resumes and dumps cannot be heard of: {status}",
            disk.vdev
        );
    }
    let mut failures = 0;
    while !stopping(disk) {
        disk.resumed.store(false, Ordering::Release);
        let end = match Session::new(disk, changed) {
            Ok(mut session) => session.run(),
            Err(status) => {
                wdm::error!(
                    "vbd {}: the frontend's keys cannot be read: {status}",
                    disk.vdev
                );
                End::Closed
            }
        };
        match end {
            End::Stopped => break,
            End::Resumed => continue,
            // What is under way is worth another try; a disk that never was there waits for its backend to move.
            End::Failed if failures + 1 < TRIES && disk.is_present() => {
                failures += 1;
                disk.wake.wait(Duration::from_secs(1));
                continue;
            }
            End::Failed | End::Closed => {}
        }
        give_up(disk, changed);
        disk.settled.set();
        failures = 0;
        wait_for_backend(disk);
    }
    give_up(disk, changed);
    disk.settled.set();
}

fn stopping(disk: &Disk) -> bool {
    disk.stopping.load(Ordering::Acquire)
}

/// Hides the disk and ends its transfers, once their memory is free of grants.
fn give_up(disk: &Disk, changed: &BusChange) {
    let was = disk.set_present(false);
    let start = time::interrupt_time();
    let mut said = Duration::ZERO;
    loop {
        let mut inner = disk.inner();
        let state = &mut *inner;
        let held = match state.queue.disconnect(&mut state.machine) {
            Ok(()) => state.queue.fail_all(Outcome::Gone),
            Err(held) => Err(held),
        };
        disk.complete_finished(inner);
        let Err(held) = held else {
            break;
        };
        // Their memory is not the guest's again: to end them would let the backend write into what is in other use.
        let waited = time::since(start);
        if waited >= said {
            wdm::error!(
                "vbd {}: after {} s {held}; they wait",
                disk.vdev,
                waited.as_secs()
            );
            said = waited + HELD;
        }
        disk.wake.wait(BUSY);
    }
    disk.complete_resets(srb_status::SUCCESS);
    if was {
        changed.detected();
    }
}

/// Sleeps until the backend is one that could be connected, or the thread is to end.
fn wait_for_backend(disk: &Disk) {
    let store = Store::new(&disk.bus.store);
    let state = |backend: &Path| {
        let value = store.read(format_args!("{}/state", backend.as_str()));
        Backend::from_key(value.as_ref().ok().map(AsRef::as_ref))
    };
    // One that waits for an offer now has had ours: it must have been in another state meanwhile.
    let mut moved = false;
    while !stopping(disk) && !disk.resumed.load(Ordering::Acquire) {
        let online = |b: &Path| {
            let value = store.read(format_args!("{}/online", b.as_str()));
            value.is_ok_and(|v| v.as_ref() == b"1")
        };
        if let Ok(backend) = backend_path(store, disk.vdev) {
            let waits = state(&backend) == Backend::State(XenbusState::INIT_WAIT);
            if waits && moved && online(&backend) {
                return;
            }
            moved |= !waits;
        }
        disk.wake.wait(IDLE);
    }
}

fn backend_path(store: Store<'_>, vdev: u32) -> Result<Path> {
    let value = store.read(format_args!("device/vbd/{vdev}/backend"))?;
    let text = core::str::from_utf8(value.as_ref()).map_err(|_| Status::INVALID_PARAMETER)?;
    let path = Path::format(format_args!("{text}"));
    if path.is_truncated() || text.is_empty() {
        Err(Status::INVALID_PARAMETER)
    } else {
        Ok(path)
    }
}

/// A value of a key of the backend's, or what the registry says instead.
enum KeyValue<'a> {
    Store(Value<'a>),
    Registry(FormatBuffer<12>),
}

impl AsRef<[u8]> for KeyValue<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Store(value) => value.as_ref(),
            Self::Registry(text) => text.as_bytes(),
        }
    }
}

/// One connection to one backend.
struct Session<'a> {
    disk: &'a Disk,
    changed: &'a BusChange,
    store: Store<'a>,
    frontend: Path,
    backend: Path,
    domain: u16,
    trusted: bool,
    connection: Connection,
    link: Option<Link>,
    closing: bool,
    woken: bool,
    reset_since: Option<u64>,
    reset_reconnected: bool,
}

/// Milliseconds since the system's start.
fn now() -> u64 {
    time::interrupt_time() / 10_000
}

impl<'a> Session<'a> {
    fn new(disk: &'a Disk, changed: &'a BusChange) -> Result<Self> {
        let store = Store::new(&disk.bus.store);
        let frontend = Path::format(format_args!("device/vbd/{}", disk.vdev));
        let backend = backend_path(store, disk.vdev)?;
        let id = store.read(format_args!("{}/backend-id", frontend.as_str()))?;
        let domain = decimal(id.as_ref())
            .and_then(|id| u16::try_from(id).ok())
            // DOMID_FIRST_RESERVED (xen.h): the rest are not domains.
            .filter(|id| *id < 0x7FF0)
            .ok_or(Status::INVALID_PARAMETER)?;
        let trusted = store
            .read(format_args!("{}/trusted", frontend.as_str()))
            .map_or(true, |value| value.as_ref() != b"0");
        Ok(Self {
            disk,
            changed,
            store,
            frontend,
            backend,
            domain,
            trusted,
            connection: Connection::new(now()),
            link: None,
            closing: false,
            woken: false,
            reset_since: None,
            reset_reconnected: false,
        })
    }

    /// A key of the backend's.
    fn key(&self, key: &'static str) -> Option<KeyValue<'a>> {
        if let Some(value) = parameters::get(key) {
            return Some(KeyValue::Registry(FormatBuffer::format(format_args!(
                "{value}"
            ))));
        }
        let value = self
            .store
            .read(format_args!("{}/{key}", self.backend.as_str()));
        value.ok().map(KeyValue::Store)
    }

    fn backend_state(&self) -> Backend {
        let value = self
            .store
            .read(format_args!("{}/state", self.backend.as_str()));
        Backend::from_key(value.as_ref().ok().map(AsRef::as_ref))
    }

    fn run(&mut self) -> End {
        let disk = self.disk;
        let watch = self
            .store
            .watch(format_args!("{}", self.backend.as_str()), &disk.wake);
        if let Err(status) = &watch {
            wdm::error!("vbd {}: the backend cannot be watched: {status}", disk.vdev);
            return End::Failed;
        }
        let end = self.converse();
        drop(watch);
        self.unlink();
        end
    }

    /// Follows the connection's actions to its end.
    fn converse(&mut self) -> End {
        loop {
            if self.disk.resumed.load(Ordering::Acquire) {
                return End::Resumed;
            }
            if stopping(self.disk) {
                self.close();
            }
            let backend = self.backend_state();
            match self.connection.advance(backend, now()) {
                Action::Wait(until) => self.wait(until),
                Action::Write(state) => self.write_state(state),
                Action::Prepare => {
                    let prepared = self.prepare();
                    self.act(prepared.is_ok(), Connection::prepared);
                }
                Action::Complete => {
                    let completed = self.complete();
                    self.act(completed, Connection::completed);
                }
                Action::Down => self.down(backend),
                Action::Finished => return self.finished(),
            }
        }
    }

    fn act(&mut self, done: bool, next: fn(&mut Connection, bool, u64) -> Action) {
        // What else there is to do comes again with the next step.
        if let Action::Write(state) = next(&mut self.connection, done, now()) {
            self.write_state(state);
        }
    }

    fn write_state(&mut self, state: XenbusState) {
        let vdev = self.disk.vdev;
        wdm::info!("vbd {vdev}: state {}", state.0);
        let path = format_args!("{}/state", self.frontend.as_str());
        if let Err(status) = self.store.write(path, format_args!("{}", state.0)) {
            // The backend will not move, and the wait for that ends.
            wdm::error!("vbd {vdev}: state {} cannot be written: {status}", state.0);
        }
        if state == XenbusState::CONNECTED {
            self.up();
        }
    }

    /// Sleeps for the backend's next move, and looks after the queue meanwhile.
    fn wait(&mut self, until: Option<u64>) {
        self.look_after();
        if core::mem::take(&mut self.woken) {
            self.resize();
        }
        let inner = self.disk.inner();
        let busy = inner.queue.unfinished() != 0 || inner.queue.quarantined() != 0;
        drop(inner);
        let mut limit = if busy || self.reset_since.is_some() {
            BUSY
        } else {
            IDLE
        };
        if let Some(until) = until {
            limit = limit.min(Duration::from_millis(until.saturating_sub(now()).max(1)));
        }
        // The backend's keys may have changed if something woke the thread; else only time has passed.
        self.woken = self.disk.wake.wait(limit);
    }

    fn look_after(&mut self) {
        let disk = self.disk;
        let mut inner = disk.inner();
        let state = &mut *inner;
        state.queue.tick(&mut state.machine);
        let (connected, fault, limits) = (
            state.queue.has_ring(),
            state.queue.fault(),
            state.queue.limits(),
        );
        disk.complete_finished(inner);
        if !connected {
            return;
        }
        if let Some(fault) = fault {
            if self.connection.phase() == Phase::Connected && !self.closing {
                wdm::error!("vbd {}: {fault}: a new connection is made", disk.vdev);
                self.connection.reconnect(now());
            }
            return;
        }
        // What an event that got lost would have brought.
        while disk.serve(64) {}
        if !limits.flush && !limits.barrier {
            disk.drop_write_cache();
        }
        self.resets();
    }

    /// The backend may say another size while it is connected.
    fn resize(&mut self) {
        if self.connection.phase() != Phase::Connected {
            return;
        }
        let Ok(properties) = Properties::parse(|key| self.key(key)) else {
            return;
        };
        if self.take_up(&properties) {
            wdm::info!("vbd {}: now {} sectors", self.disk.vdev, properties.sectors);
            self.changed.detected();
        }
    }

    /// Reset requests are done when nothing that came before them is under way. A connection on which nothing moves is
    /// made anew, what was under way is submitted again; no request ends before the backend lets go of its memory.
    fn resets(&mut self) {
        let disk = self.disk;
        if !disk.has_resets() {
            self.reset_since = None;
            self.reset_reconnected = false;
            return;
        }
        if disk.unfinished() == 0 {
            disk.complete_resets(srb_status::SUCCESS);
            return;
        }
        let since = *self.reset_since.get_or_insert_with(|| {
            wdm::warn!(
                "vbd {}: reset with {} requests under way",
                disk.vdev,
                disk.unfinished()
            );
            time::interrupt_time()
        });
        let waited = time::since(since);
        if waited > RESET_FAIL {
            wdm::error!(
                "vbd {}: the backend keeps {} requests",
                disk.vdev,
                disk.unfinished()
            );
            disk.complete_resets(srb_status::ERROR);
            self.reset_since = None;
        } else if waited > RESET_RECONNECT && !self.reset_reconnected {
            wdm::warn!("vbd {}: nothing moves: a new connection is made", disk.vdev);
            self.reset_reconnected = true;
            self.connection.reconnect(now());
        }
    }

    /// Makes the ring and publishes it.
    fn prepare(&mut self) -> core::result::Result<(), ()> {
        let vdev = self.disk.vdev;
        let say = |what: &str, why: &dyn core::fmt::Display| {
            wdm::error!("vbd {vdev}: {what}: {why}");
        };
        self.disconnect()
            .map_err(|held| say("the old connection", &held))?;
        self.unlink();
        let transport =
            Transport::parse(|key| self.key(key)).map_err(|e| say("the backend's offer", &e))?;
        let order = parameters::get("max-ring-page-order")
            .and_then(|order| u8::try_from(order).ok())
            .unwrap_or(RING_ORDER)
            .min(transport.ring_order);
        let link = self
            .make_link(order)
            .map_err(|status| say("no ring", &status))?;
        let published = self.publish(&link, order);
        self.link = Some(link);
        published.map_err(|status| say("the ring cannot be published", &status))
    }

    fn make_link(&self, order: u8) -> Result<Link> {
        let pages = Shared::new(Pages::new(1 << order)?)?;
        let ring =
            FrontRing::new(RingPages(pages.clone())).map_err(|_| Status::INVALID_PARAMETER)?;
        let mut grants = Vec::new();
        grants
            .try_reserve_exact(pages.count())
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        let mut link = Link {
            pages,
            grants,
            ring: Some(ring),
            channel: None,
        };
        for frame in link.pages.pfns() {
            match self
                .disk
                .granter
                .grant(self.domain, *frame as u64, Access::ReadWrite)
            {
                Some(grant) => link.grants.push(grant),
                None => {
                    self.end_link(link);
                    return Err(Status::INSUFFICIENT_RESOURCES);
                }
            }
        }
        // SAFETY: the disk outlives its thread, and the channel is closed by the thread.
        let pointer = unsafe { self.disk.pointer() };
        match Channel::open(
            self.disk.bus.clone(),
            self.domain,
            pointer,
            Pointer::deferred,
        ) {
            Ok(channel) => {
                link.channel = Some(channel);
                Ok(link)
            }
            Err(status) => {
                self.end_link(link);
                Err(status)
            }
        }
    }

    /// Writes what the backend needs, at once or not at all.
    fn publish(&self, link: &Link, order: u8) -> Result {
        let (disk, frontend) = (self.disk, self.frontend.as_str());
        let target = disk.target;
        self.store.write(
            format_args!("data/scsi/target/{target}/frontend"),
            format_args!("{frontend}"),
        )?;
        self.store.write(
            format_args!("data/scsi/target/{target}/device"),
            format_args!("{target}"),
        )?;
        let port = link.channel.as_ref().map_or(0, Channel::port);
        self.store.transaction(|store| {
            let write = |key: core::fmt::Arguments<'_>, value: core::fmt::Arguments<'_>| {
                store.write(format_args!("{frontend}/{key}"), value)
            };
            write(format_args!("event-channel"), format_args!("{port}"))?;
            for (index, grant) in link.grants.iter().enumerate() {
                let reference = disk.granter.reference(*grant);
                if order == 0 {
                    write(format_args!("ring-ref"), format_args!("{reference}"))?;
                } else {
                    write(format_args!("ring-ref{index}"), format_args!("{reference}"))?;
                }
            }
            if order != 0 {
                write(format_args!("ring-page-order"), format_args!("{order}"))?;
            }
            write(
                format_args!("protocol"),
                format_args!("{}", xen_abi::blkif::PROTOCOL),
            )?;
            write(format_args!("target-id"), format_args!("{target}"))?;
            write(format_args!("feature-surprise-remove"), format_args!("1"))?;
            write(format_args!("feature-online-resize"), format_args!("1"))
        })
    }

    /// Takes up the connected backend's disk.
    fn complete(&mut self) -> bool {
        let disk = self.disk;
        let properties = match Properties::parse(|key| self.key(key)) {
            Ok(properties) => properties,
            Err(error) => {
                self.explain(error);
                return false;
            }
        };
        let Some(ring) = self.link.as_mut().and_then(|link| link.ring.take()) else {
            return false;
        };
        let limits = Limits {
            handle: disk.vdev as u16,
            segments: properties.segments,
            flush: properties.flush,
            barrier: properties.barrier,
            secure_discard: properties.discard.is_some_and(|d| d.secure),
            bounce_all: !self.trusted,
            block: properties.sector_size,
        };
        let mut inner = disk.inner();
        inner.machine.domain = self.domain;
        let entries = ring.entries();
        if let Err(held) = inner.queue.connect(ring, limits) {
            drop(inner);
            wdm::error!("vbd {}: {held}", disk.vdev);
            return false;
        }
        inner.channel = self.link.as_mut().and_then(|link| link.channel.take());
        drop(inner);
        wdm::info!(
            "vbd {}: target {}, {} sectors, blocks of {}, ring of {entries}, {} segments{}{}{}{}",
            disk.vdev,
            disk.target,
            properties.sectors,
            properties.sector_size,
            properties.segments,
            if properties.flush || properties.barrier {
                ", flush"
            } else {
                ""
            },
            if properties.discard.is_some() {
                ", discard"
            } else {
                ""
            },
            if properties.read_only {
                ", read-only"
            } else {
                ""
            },
            if self.trusted { "" } else { ", not trusted" },
        );
        self.take_up(&properties);
        true
    }

    fn explain(&self, error: KeyError) {
        wdm::error!("vbd {}: {error}", self.disk.vdev);
    }

    /// Makes what the disk says of itself. True: the disk is new, or has another size.
    fn take_up(&self, properties: &Properties) -> bool {
        let disk = self.disk;
        let block = properties.sector_size;
        let per_block = u64::from(block / 512);
        let discard = properties.discard.map(|keys| Discard {
            granularity: (keys.granularity / block).max(1),
            alignment: keys.alignment / block % (keys.granularity / block).max(1),
            maximum_descriptors: UNMAP_DESCRIPTORS,
        });
        let limits = disk.inner().queue.limits();
        let exponent = (properties.physical_sector_size / block).max(1).ilog2();
        let model = scsi_disk::Disk {
            blocks: properties.sectors / per_block,
            block_size: block,
            physical_exponent: u8::try_from(exponent).unwrap_or(0),
            read_only: properties.read_only,
            removable: properties.removable,
            write_cache: limits.flush || limits.barrier,
            discard,
            maximum_transfer_blocks: MAXIMUM_TRANSFER / block,
            identity: inquiry::identity(self.store, self.backend.as_str(), disk.vdev),
        };
        disk.set_model(model, !self.trusted)
    }

    /// The frontend's state says that it is connected: requests flow.
    fn up(&mut self) {
        let disk = self.disk;
        let mut inner = disk.inner();
        if let Some(channel) = &inner.channel {
            channel.unmask();
        }
        pump(&mut inner);
        disk.complete_finished(inner);
        if !disk.set_present(true) {
            self.changed.detected();
        }
        disk.settled.set();
    }

    /// The backend leaves, or the connection is to end.
    fn down(&mut self, backend: Backend) {
        let disk = self.disk;
        if !self.closing {
            wdm::warn!(
                "vbd {}: the connection ends, backend {backend:?}",
                disk.vdev
            );
        }
        while disk.serve(64) {}
        let online = self
            .store
            .read(format_args!("{}/online", self.backend.as_str()));
        if online.is_ok_and(|value| value.as_ref() == b"0") {
            wdm::info!("vbd {}: the toolstack takes the disk away", disk.vdev);
            self.closing = true;
            disk.set_present(false);
            self.connection.close(now());
        }
    }

    /// Closes in good order: what is under way finishes first, and is made durable.
    fn close(&mut self) {
        if core::mem::replace(&mut self.closing, true) {
            return;
        }
        let disk = self.disk;
        disk.set_present(false);
        if self.connection.phase() == Phase::Connected {
            self.drain();
        }
        self.connection.close(now());
    }

    fn drain(&self) {
        let disk = self.disk;
        disk.flushed.store(false, Ordering::Release);
        let mut inner = disk.inner();
        if inner.queue.submit(OWN_FLUSH, Kind::Flush, 0, 0).is_err() {
            disk.flushed.store(true, Ordering::Release);
        }
        pump(&mut inner);
        disk.complete_finished(inner);
        let start = time::interrupt_time();
        let done = || disk.flushed.load(Ordering::Acquire) && disk.unfinished() == 0;
        while !done() && time::since(start) < DRAIN {
            disk.wake.wait(Duration::from_millis(50));
            while disk.serve(64) {}
            if disk.inner().queue.fault().is_some() {
                break;
            }
        }
        if !done() {
            let (left, waited) = (disk.unfinished(), time::since(start).as_millis());
            wdm::error!(
                "vbd {}: {left} requests are not done after {waited} ms",
                disk.vdev
            );
        }
    }

    /// Ends the grants of transfers, with patience for a backend that is slow to unmap.
    fn disconnect(&self) -> core::result::Result<(), xen_blkfront::queue::Held> {
        let disk = self.disk;
        let start = time::interrupt_time();
        loop {
            let mut inner = disk.inner();
            let state = &mut *inner;
            let held = state.queue.disconnect(&mut state.machine);
            let channel = state.channel.take();
            disk.complete_finished(inner);
            drop(channel);
            if held.is_ok() || time::since(start) > HELD {
                return held;
            }
            disk.wake.wait(Duration::from_millis(100));
        }
    }

    fn finished(&mut self) -> End {
        let vdev = self.disk.vdev;
        while self.disk.serve(64) {}
        let held = self.disconnect();
        if let Err(held) = held {
            wdm::error!("vbd {vdev}: {held}");
        }
        let failure = self.connection.failure();
        if let Some(failure) = failure {
            wdm::error!("vbd {vdev}: no connection: {failure}");
            self.hint(failure);
            let error = format_args!("error/{}/error", self.frontend.as_str());
            if let Err(status) = self.store.write(error, format_args!("1 {failure}")) {
                wdm::warn!("vbd {vdev}: the error cannot be written to xenstore: {status}");
            }
        }
        match failure {
            _ if stopping(self.disk) => End::Stopped,
            None | Some(Failure::Gone) => End::Closed,
            Some(_) => End::Failed,
        }
    }

    /// A backend that refuses large blocks says nothing; its keys do.
    fn hint(&self, failure: Failure) {
        if let Failure::Timeout {
            phase: Phase::Initialised,
            ..
        }
        | Failure::Refused = failure
            && let Some(size) = self.key("sector-size")
            && decimal(size.as_ref()).is_some_and(|size| size != 512)
        {
            wdm::error!(
                "vbd {}: the backend wants feature-large-sector-size for its blocks; this driver counts in sectors of 512 bytes, as blkif.h says",
                self.disk.vdev
            );
        }
    }

    /// Takes the ring back. Pages that the backend keeps stay its own for ever.
    fn unlink(&mut self) {
        let channel = self.disk.inner().channel.take();
        drop(channel);
        if let Some(link) = self.link.take() {
            self.end_link(link);
        }
    }

    fn end_link(&self, mut link: Link) {
        link.channel = None;
        link.ring = None;
        let start = time::interrupt_time();
        while !link.grants.is_empty() {
            link.grants
                .retain(|grant| self.disk.granter.end(*grant).is_err());
            if link.grants.is_empty() || time::since(start) > HELD {
                break;
            }
            time::sleep(Duration::from_millis(50));
        }
        if !link.grants.is_empty() {
            let (vdev, kept) = (self.disk.vdev, link.grants.len());
            wdm::error!("vbd {vdev}: the backend keeps {kept} ring pages; they are left to it");
            core::mem::forget(link);
        }
    }
}
