//! One disk: its ring and transfers, what it says of itself, and the DPC and thread that serve it.

use core::ops::Deref;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use scsi_disk::Sense;
use storport_sys::constant::{scsi_status, srb_status};
use wdm::alloc::Shared;
use wdm::event::{Event, Kind as EventKind};
use wdm::pages::Pages;
use wdm::status::Result;
use wdm::sync::{SpinGuard, SpinLock};
use xen_blkfront::grant::Client;
use xen_blkfront::queue::{Kind, Outcome, Queue};
use xenbus_client::bus::Bus;
use xenbus_client::channel::Channel;
use xenbus_client::granter::Granter;

use crate::queue::{CAPACITY, Extension, Machine, OWN_FLUSH, Operation, RingPages, context};
use crate::request::{Disposition, complete};
use crate::srb::Srb;

/// Grant references that a disk keeps at hand.
const RESERVATION: u32 = 128;
/// Responses that a DPC takes before it lets others run.
const BUDGET: u32 = 64;
/// Finished requests that are completed at once, outside of the lock.
const BATCH: usize = 32;
/// Reset requests that may be under way at once.
const RESETS: usize = 4;

/// What the lock guards.
pub struct Inner {
    /// The ring and the transfers.
    pub queue: Queue<RingPages, Machine>,
    /// Grants and pages.
    pub machine: Machine,
    /// The event channel, while connected.
    pub channel: Option<Channel<Pointer>>,
}

/// Numbers for the state dump, which may take no lock.
#[derive(Default)]
pub struct Numbers {
    /// Transfers that are not finished.
    pub unfinished: AtomicU32,
    /// Ring requests so far.
    pub requests: AtomicU64,
    /// Responses so far.
    pub responses: AtomicU64,
}

/// A virtual block device.
pub struct Disk {
    /// The adapter's.
    pub extension: Extension,
    /// The bus driver's interfaces.
    pub bus: Shared<Bus>,
    /// Number under device/vbd.
    pub vdev: u32,
    /// Target id.
    pub target: u8,
    /// Makes the grants of the ring and, within `inner`, of the transfers.
    pub granter: Shared<Granter>,
    inner: SpinLock<Inner>,
    model: SpinLock<Option<scsi_disk::Disk>>,
    resets: SpinLock<[Option<Srb>; RESETS]>,
    /// Wakes the thread.
    pub wake: Event,
    /// The thread has connected the disk or given up, for the first time.
    pub settled: Event,
    /// The thread is to close the connection and end.
    pub stopping: AtomicBool,
    /// The domain was resumed somewhere else.
    pub resumed: AtomicBool,
    /// The driver's own flush has finished.
    pub flushed: AtomicBool,
    present: AtomicBool,
    bounce_all: AtomicBool,
    attention: AtomicBool,
    inquired: AtomicBool,
    users: AtomicU32,
    /// For the state dump.
    pub numbers: Numbers,
}

/// A disk, for its event channel's DPC. It outlives its channels.
pub struct Pointer(*const Disk);

// SAFETY: a disk is shared between threads.
unsafe impl Send for Pointer {}
// SAFETY: as above.
unsafe impl Sync for Pointer {}

impl Pointer {
    /// The channel's DPC. DISPATCH_LEVEL.
    pub fn deferred(&self) {
        // SAFETY: the disk outlives the channel, which waits for the DPC when it goes.
        unsafe { &*self.0 }.deferred();
    }
}

impl Disk {
    /// The disk as its event channel's DPC knows it.
    ///
    /// # Safety
    /// The disk stays where it is for as long as a channel that has the result lives.
    pub unsafe fn pointer(&self) -> Pointer {
        Pointer(self)
    }

    /// A disk that is not connected. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, or what the bus says.
    pub fn new(
        extension: Extension,
        bus: Shared<Bus>,
        vdev: u32,
        target: u8,
    ) -> Result<Shared<Self>> {
        let granter = Shared::new(Granter::new(bus.clone(), c"xenvbd", RESERVATION)?)?;
        let own = Pages::new(usize::from(CAPACITY.pages))?;
        let queue =
            Queue::new(CAPACITY).map_err(|_| wdm::status::Status::INSUFFICIENT_RESOURCES)?;
        let inner = Inner {
            queue,
            machine: Machine::new(granter.clone(), own),
            channel: None,
        };
        Shared::new(Self {
            extension,
            bus,
            vdev,
            target,
            granter,
            inner: SpinLock::new(inner),
            model: SpinLock::new(None),
            resets: SpinLock::new([None; RESETS]),
            wake: Event::new(EventKind::Synchronization)?,
            settled: Event::new(EventKind::Notification)?,
            stopping: AtomicBool::new(false),
            resumed: AtomicBool::new(false),
            flushed: AtomicBool::new(false),
            present: AtomicBool::new(false),
            bounce_all: AtomicBool::new(false),
            attention: AtomicBool::new(false),
            inquired: AtomicBool::new(false),
            users: AtomicU32::new(0),
            numbers: Numbers::default(),
        })
    }

    /// What an event of the backend's asks for. DISPATCH_LEVEL.
    pub fn deferred(&self) {
        let more = self.serve(BUDGET);
        if let Some(channel) = &self.inner().channel {
            if more {
                channel.again();
            } else {
                channel.unmask();
            }
        }
    }

    /// Ring and transfers. IRQL <= DISPATCH_LEVEL.
    pub fn inner(&self) -> SpinGuard<'_, Inner> {
        self.inner.lock()
    }

    /// Takes responses, submits what waits, completes what is finished. True: there may be more responses.
    /// IRQL <= DISPATCH_LEVEL, without locks.
    pub fn serve(&self, budget: u32) -> bool {
        let mut inner = self.inner();
        let polled = {
            let Inner { queue, machine, .. } = &mut *inner;
            queue.poll(machine, budget)
        };
        if polled.is_err() {
            // The thread says what was wrong and makes a new connection.
            self.wake.set();
        }
        pump(&mut inner);
        self.complete_finished(inner);
        matches!(polled, Ok(true))
    }

    /// Completes finished transfers, the lock given back meanwhile.
    pub fn complete_finished<'a>(&'a self, mut inner: SpinGuard<'a, Inner>) {
        loop {
            let mut batch = [const { None }; BATCH];
            let mut full = true;
            for slot in &mut batch {
                *slot = inner.queue.pop_finished();
                full &= slot.is_some();
            }
            self.note(&inner);
            drop(inner);
            for (client, outcome) in batch.into_iter().flatten() {
                self.finished(client, outcome);
            }
            if !full {
                return;
            }
            inner = self.inner();
        }
    }

    /// Completes a transfer's SRB.
    fn finished(&self, client: Client, outcome: Outcome) {
        if client == OWN_FLUSH {
            self.flushed.store(true, Ordering::Release);
            self.wake.set();
            return;
        }
        let Some((srb, operation)) = context(client).and_then(|c| Some((c.srb?, c.operation)))
        else {
            return;
        };
        match (outcome, operation) {
            (Outcome::Okay, _) => srb.set_status(srb_status::SUCCESS, scsi_status::GOOD),
            (Outcome::Gone, _) => srb.set_status(srb_status::NO_DEVICE, scsi_status::GOOD),
            (Outcome::Unsupported, Operation::Unmap) => {
                self.drop_discard();
                srb.set_sense(Sense::INVALID_OPCODE);
            }
            (_, Operation::Read) => srb.set_sense(Sense::READ_ERROR),
            (_, Operation::Write) => srb.set_sense(Sense::WRITE_ERROR),
            (_, Operation::Flush | Operation::Unmap) => srb.set_sense(Sense::INTERNAL_FAILURE),
        }
        complete(self.extension, srb);
    }

    /// Submits a transfer. DISPATCH_LEVEL.
    pub fn submit(&self, client: Client, kind: Kind, sector: u64, length: u32) -> Disposition {
        let mut inner = self.inner();
        // The thread may have closed the disk meanwhile: after that nothing would end the transfer.
        if !self.is_present() {
            return Disposition::Complete(srb_status::NO_DEVICE);
        }
        if inner.queue.submit(client, kind, sector, length).is_err() {
            return Disposition::Complete(srb_status::BUSY);
        }
        pump(&mut inner);
        self.complete_finished(inner);
        Disposition::Pending
    }

    /// Takes a reset request: the thread completes it when all that came before is done. False: no room.
    pub fn reset(&self, srb: Srb) -> bool {
        let mut resets = self.resets.lock();
        let Some(slot) = resets.iter_mut().find(|slot| slot.is_none()) else {
            return false;
        };
        *slot = Some(srb);
        drop(resets);
        self.wake.set();
        true
    }

    /// Whether reset requests wait.
    pub fn has_resets(&self) -> bool {
        self.resets.lock().iter().any(Option::is_some)
    }

    /// Completes the reset requests. IRQL <= DISPATCH_LEVEL.
    pub fn complete_resets(&self, status: u8) {
        let waiting = core::mem::take(&mut *self.resets.lock());
        for srb in waiting.into_iter().flatten() {
            srb.set_status(status, scsi_status::GOOD);
            complete(self.extension, srb);
        }
    }

    /// Requests that are not finished.
    pub fn unfinished(&self) -> usize {
        self.inner().queue.unfinished()
    }

    /// Asks what the disk says of itself, once it was connected. DISPATCH_LEVEL in `body`.
    pub fn with_model<R>(&self, body: impl FnOnce(&scsi_disk::Disk) -> R) -> Option<R> {
        self.model.lock().as_ref().map(body)
    }

    /// Takes up what the backend says. True: there was no disk before, or it has another size now.
    pub fn set_model(&self, new: scsi_disk::Disk, bounce_all: bool) -> bool {
        self.bounce_all.store(bounce_all, Ordering::Release);
        let mut model = self.model.lock();
        let old = model.replace(new);
        let size = |disk: &scsi_disk::Disk| (disk.blocks, disk.block_size);
        let resized = match (&old, &*model) {
            (Some(old), Some(new)) => size(old) != size(new),
            _ => false,
        };
        drop(model);
        if resized {
            self.attention.store(true, Ordering::Release);
        }
        old.is_none() || resized
    }

    fn drop_discard(&self) {
        if let Some(model) = &mut *self.model.lock()
            && model.discard.take().is_some()
        {
            wdm::warn!(
                "vbd {}: the backend refuses discards that it offered",
                self.vdev
            );
        }
    }

    /// The flush that the backend offered is gone: say so from now on.
    pub fn drop_write_cache(&self) {
        if let Some(model) = &mut *self.model.lock()
            && core::mem::replace(&mut model.write_cache, false)
        {
            wdm::warn!(
                "vbd {}: the backend refuses flushes that it offered",
                self.vdev
            );
        }
    }

    /// The disk can be used, or will be again.
    pub fn is_present(&self) -> bool {
        self.present.load(Ordering::Acquire)
    }

    /// Shows or hides the disk. Under the queue's lock, so that no transfer slips in behind its end.
    pub fn set_present(&self, present: bool) -> bool {
        let _inner = self.inner();
        self.present.swap(present, Ordering::AcqRel)
    }

    /// The backend may see own pages only.
    pub fn bounces_all(&self) -> bool {
        self.bounce_all.load(Ordering::Acquire)
    }

    /// Whether the next command is to be told of a change; once.
    pub fn take_attention(&self) -> bool {
        self.attention.load(Ordering::Relaxed) && self.attention.swap(false, Ordering::AcqRel)
    }

    /// True for the first INQUIRY alone.
    pub fn first_inquiry(&self) -> bool {
        !self.inquired.swap(true, Ordering::AcqRel)
    }

    /// Notes the numbers of the state dump.
    fn note(&self, inner: &Inner) {
        let (numbers, counters) = (&self.numbers, inner.queue.counters());
        let unfinished = u32::try_from(inner.queue.unfinished()).unwrap_or(u32::MAX);
        numbers.unfinished.store(unfinished, Ordering::Relaxed);
        numbers.requests.store(counters.requests, Ordering::Relaxed);
        numbers
            .responses
            .store(counters.responses, Ordering::Relaxed);
    }

    /// No routine of StorPort's uses the disk any more, once it is off the adapter's list.
    pub fn is_unused(&self) -> bool {
        self.users.load(Ordering::Acquire) == 0
    }
}

/// Submits what waits and tells the backend.
pub fn pump(inner: &mut Inner) {
    let Inner {
        queue,
        machine,
        channel,
    } = inner;
    let pumped = queue.pump(machine);
    if pumped.notify
        && let Some(channel) = channel
    {
        channel.send();
    }
}

/// A disk in use by a routine of StorPort's: it is not dropped meanwhile.
pub struct InUse(*const Disk);

impl InUse {
    /// Uses a disk that is on the adapter's list, whose lock is held.
    pub fn new(disk: &Disk) -> Self {
        disk.users.fetch_add(1, Ordering::AcqRel);
        Self(disk)
    }
}

impl Deref for InUse {
    type Target = Disk;

    fn deref(&self) -> &Disk {
        // SAFETY: whoever drops a disk waits until it is unused.
        unsafe { &*self.0 }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.users.fetch_sub(1, Ordering::Release);
    }
}
