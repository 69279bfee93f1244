//! A pair of rings: the transmit and the receive side, each under a lock of its own, and the routines that their events lead
//! to.

use core::sync::atomic::{AtomicBool, Ordering};

use ndis_sys::call::{NdisMIndicateReceiveNetBufferLists, NdisMSendNetBufferListsComplete};
use ndis_sys::constant::{receive_flags, send_complete_flags};
use wdm::alloc::Shared;
use wdm::pages::Pages;
use wdm::status::Result;
use wdm::sync::{SpinGuard, SpinLock};
use xennet_core::statistics::Counters;

use crate::adapter::Adapter;
use crate::nbl::{Chain, Nbl};
use crate::rx::{Batch, Made, Rules as RxRules, Rx, Work};
use crate::tx::{Rules as TxRules, Tx};

/// Slots of a receive ring that are served before the routine lets others run.
const BUDGET: u32 = 256;
/// Frames that are handed up in one call at most.
const HANDED_UP: u32 = 64;

/// A page of a ring; the other end may write it.
pub struct RingPage(pub Shared<Pages>);

/// The two sides.
pub struct QueuePair {
    adapter: *const Adapter,
    tx: SpinLock<Tx>,
    rx: SpinLock<Rx>,
    /// The receive routine runs; one runs at a time, so that frames stay in order.
    receiving: AtomicBool,
    /// It is to run again.
    again: AtomicBool,
    /// Frames that went out.
    pub sent: Counters,
    /// Frames that came.
    pub received: Counters,
    /// Those of them that went no further.
    pub refused: Counters,
}

// SAFETY: the adapter outlives its queues; the rest is shared by its own locks.
unsafe impl Send for QueuePair {}
// SAFETY: as above.
unsafe impl Sync for QueuePair {}

/// Which side an event is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Frames to send.
    Tx,
    /// Received frames.
    Rx,
    /// Both, for a backend with one event channel a queue.
    Both,
}

/// A queue, for the routine of an event channel. It outlives its channels.
pub struct Pointer(*const QueuePair, Side);

// SAFETY: a queue is shared between processors.
unsafe impl Send for Pointer {}
// SAFETY: as above.
unsafe impl Sync for Pointer {}

impl Pointer {
    /// The channel's routine. DISPATCH_LEVEL.
    pub fn deferred(&self) {
        // SAFETY: the queue outlives the channel, which waits for its routine when it goes.
        let queue = unsafe { &*self.0 };
        match self.1 {
            Side::Tx => queue.tx_deferred(true),
            Side::Rx => queue.rx_deferred(),
            Side::Both => {
                queue.tx_deferred(false);
                queue.rx_deferred();
            }
        }
    }
}

impl QueuePair {
    /// Without a connection. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    ///
    /// # Safety
    /// The adapter outlives its queues.
    #[inline(never)]
    pub unsafe fn new(
        adapter: *const Adapter,
        tx: TxRules,
        rx: Shared<RxRules>,
    ) -> Result<Shared<Self>> {
        // SAFETY: the caller's promise.
        let owner = unsafe { &*adapter };
        let tx = Tx::new(owner.granter.clone(), tx)?;
        // SAFETY: the adapter's own handle.
        let rx = unsafe { Rx::new(owner.handle, owner.granter.clone(), rx) }?;
        let queue = Shared::new(Self {
            adapter,
            tx: SpinLock::new(tx),
            rx: SpinLock::new(rx),
            receiving: AtomicBool::new(false),
            again: AtomicBool::new(false),
            sent: Counters::new(),
            received: Counters::new(),
            refused: Counters::new(),
        })?;
        let address = core::ptr::from_ref(&*queue).expose_provenance();
        queue.rx().own(address)?;
        Ok(queue)
    }

    fn adapter(&self) -> &Adapter {
        // SAFETY: the adapter outlives its queues.
        unsafe { &*self.adapter }
    }

    /// The queue as the routine of an event channel knows it.
    ///
    /// # Safety
    /// The queue stays where it is for as long as a channel that has the result lives.
    pub unsafe fn pointer(&self, side: Side) -> Pointer {
        Pointer(self, side)
    }

    /// The transmit side. IRQL <= DISPATCH_LEVEL.
    pub fn tx(&self) -> SpinGuard<'_, Tx> {
        self.tx.lock()
    }

    /// The receive side. IRQL <= DISPATCH_LEVEL.
    pub fn rx(&self) -> SpinGuard<'_, Rx> {
        self.rx.lock()
    }

    /// Sends lists that have entered the adapter's gate. IRQL <= DISPATCH_LEVEL.
    pub fn send(&self, lists: &mut Chain) {
        let mut done = Chain::new();
        let mut tx = self.tx();
        while let Some(list) = lists.pop() {
            tx.send(list, &mut done);
        }
        tx.publish();
        if tx.is_nearly_full() {
            // Answers may be there for which there is no event yet.
            tx.serve(&mut done);
        }
        self.complete(tx, done);
    }

    /// Hands finished lists back, after the lock is given up. IRQL <= DISPATCH_LEVEL.
    pub fn complete(&self, tx: SpinGuard<'_, Tx>, done: Chain) {
        tx.count(&self.sent);
        drop(tx);
        self.adapter().complete(&done, 0);
    }

    /// What the backend has answered to frames that were sent. DISPATCH_LEVEL.
    fn tx_deferred(&self, unmask: bool) {
        let mut done = Chain::new();
        let mut tx = self.tx();
        let more = tx.serve(&mut done);
        if let Some(channel) = tx.channel() {
            if more {
                channel.again();
            } else if unmask {
                channel.unmask();
            }
        }
        if tx.fault().is_some() || tx.has_answer() {
            self.adapter().wake.set();
        }
        tx.count(&self.sent);
        drop(tx);
        self.adapter()
            .complete(&done, send_complete_flags::DISPATCH_LEVEL);
    }

    /// Frames have come. DISPATCH_LEVEL.
    fn rx_deferred(&self) {
        self.again.store(true, Ordering::Release);
        while self.again.load(Ordering::Acquire) {
            if self.receiving.swap(true, Ordering::AcqRel) {
                // Whoever runs sees the wish when it ends.
                return;
            }
            self.again.store(false, Ordering::Release);
            let more = self.receive();
            self.receiving.store(false, Ordering::Release);
            let rx = self.rx();
            if let Some(channel) = rx.channel() {
                if more {
                    // Others run first; the routine is queued anew.
                    channel.again();
                    return;
                }
                channel.unmask();
            }
        }
    }

    /// Hands up what is there, up to the budget. True: there is more. DISPATCH_LEVEL.
    fn receive(&self) -> bool {
        let mut budget = BUDGET;
        let mut work = self.rx().work();
        let mut up = Chain::new();
        loop {
            let mut batch = self.rx().take(&mut budget);
            let idle = batch.is_empty();
            self.make(&mut work, &mut batch, &mut up);
            if up.count() >= HANDED_UP || idle && !up.is_empty() {
                self.hand_up(up.take());
            }
            if idle {
                break;
            }
        }
        let mut rx = self.rx();
        rx.count(&self.received);
        if rx.fault().is_some() {
            self.adapter().wake.set();
            return false;
        }
        budget == 0 || rx.arm()
    }

    fn make(&self, work: &mut Work, batch: &mut Batch, up: &mut Chain) {
        for (packet, list) in batch {
            let list = *list;
            match work.make(packet, list, &self.refused) {
                Made::Whole => {
                    self.rx().lend(list, packet.pieces());
                    up.push(list);
                }
                Made::Dropped => self.rx().drop_frame(list, packet.pieces()),
                Made::Cut(count, tag) => {
                    let lists = {
                        let mut rx = self.rx();
                        rx.unused(list);
                        rx.segments(count)
                    };
                    if let Some(lists) = lists {
                        let (mut made, mut left) = work.cut(packet, tag, lists, &self.refused);
                        while let Some(list) = made.pop() {
                            up.push(list);
                        }
                        while let Some(list) = left.pop() {
                            self.rx().returned(list);
                        }
                    } else {
                        self.refused.discard();
                    }
                    self.rx().give_back(packet.pieces());
                }
            }
        }
    }

    /// Hands frames up. DISPATCH_LEVEL.
    fn hand_up(&self, up: Chain) {
        let adapter = self.adapter();
        let count = up.count();
        // One more for the call itself.
        if !adapter.enter_receive(count + 1) {
            for _ in 0..count {
                self.refused.discard();
            }
            self.returned(up);
            return;
        }
        let short = self.rx().is_short();
        let resources = if short { receive_flags::RESOURCES } else { 0 };
        let first = up.as_ptr();
        // SAFETY: lists of the adapter's own, each with a frame; the caller is at DISPATCH_LEVEL.
        unsafe {
            NdisMIndicateReceiveNetBufferLists(
                adapter.handle,
                first,
                0,
                count,
                receive_flags::DISPATCH_LEVEL | receive_flags::PERFECT_FILTERED | resources,
            );
        }
        let mut left = 1;
        if short {
            left += count;
            self.returned(up);
        }
        adapter.leave(left);
    }

    /// Takes lists back whose frames nobody needs any more. IRQL <= DISPATCH_LEVEL.
    pub fn returned(&self, mut lists: Chain) {
        let mut rx = self.rx();
        while let Some(list) = lists.pop() {
            rx.returned(list);
        }
        if rx.is_hungry() {
            rx.refill();
        }
    }

    /// The queue that a list came from.
    ///
    /// # Safety
    /// The list is one of a queue's that is alive.
    pub unsafe fn of(list: Nbl) -> Option<&'static Self> {
        let [owner, _] = list.own();
        let queue: *const Self = core::ptr::with_exposed_provenance(owner);
        // SAFETY: the caller's promise.
        unsafe { queue.as_ref() }
    }
}

/// Hands finished sends back to NDIS.
///
/// # Safety
/// `handle` is the adapter's; the caller is at DISPATCH_LEVEL if the flags say so.
pub unsafe fn hand_back(handle: ndis_sys::NDIS_HANDLE, done: &Chain, flags: u32) {
    // SAFETY: lists that NDIS gave to send and that are not used any more.
    unsafe { NdisMSendNetBufferListsComplete(handle, done.as_ptr(), flags) };
}
