//! The protocol's end of a binding: one adapter with its stack.
//!
//! Who brings work tries to do it: an indication of received frames (at DISPATCH_LEVEL, on its processor), a step's thread
//! that has put data into a socket, the binding's own thread for timers. One at a time has the stack; what comes
//! meanwhile is seen by whoever has it. Frames leave in their order, outside of the stack's lock.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, AtomicUsize, Ordering};

use smoltcp::iface::SocketHandle;
use smoltcp::time::Instant;

use super::buffer::Buffer;
use super::counts::Counts;
use super::device::{Frame, Ready};
use super::event::Event;
use super::lock::DispatchLock;
use super::oob::Claims;
use super::receive::{self, Incoming};
use super::rss::Hashing;
use super::seen::Seen;
use super::stack::{Left, Stack};
use super::transmit::{self, Builder};
use super::verify::{self, Arrival};
use super::waiters::Waiters;
use crate::ndis::protocol::Binding;
use crate::nt::ke::DISPATCH_LEVEL;
use crate::nt::ndis::*;
use crate::run::pattern::Random;
use crate::storport::os::{KeGetCurrentIrql, current_cpu};
use crate::sync::Lock;

mod frames;

/// The stack of an adapter.
pub type AdapterStack = Stack<Buffer, Incoming>;

/// Frames that an indication passes to the stack at most, before it leaves the rest to the thread.
const INDICATION_BUDGET: usize = 64;
/// Times that it looks again for what came meanwhile.
const INDICATION_ROUNDS: usize = 4;
/// Frames of one round in a thread.
const THREAD_BUDGET: usize = 256;
/// The first frames, whose checksums are looked at in any case; later ones now and then.
const THOROUGH: u64 = 2000;
/// One of so many frames is looked at in any case.
const THOROUGH_ONE_OF: u64 = 16;

/// Frames that came and that the stack has not got.
struct Inbox {
    open: bool,
    frames: Vec<Incoming>,
}

/// What changes with the adapter's configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    pub mtu: usize,
    pub offloads: super::offload::Offloads,
}

/// An adapter that the protocol is bound to.
pub struct Endpoint {
    /// NDIS' end
    pub binding: Binding,
    /// The driver's file name
    pub driver: String,
    /// The permanent MAC address
    pub permanent: [u8; 6],
    /// The MAC address
    pub mac: [u8; 6],
    /// What is counted
    pub counts: Counts,
    stack: DispatchLock<AdapterStack>,
    inbox: Lock<Inbox>,
    outbox: Lock<Vec<Ready<Buffer>>>,
    builder: DispatchLock<Builder>,
    hashing: DispatchLock<Option<Hashing>>,
    late: Lock<Vec<Incoming>>,
    pub(super) terms: Lock<Terms>,
    waiters: Lock<Waiters<Event>>,
    pub(super) wake: Event,
    /// There is work that the stack's holder may not have seen
    wanted: AtomicBool,
    /// Somebody hands frames to the adapter
    handing: AtomicBool,
    /// Frames that came back since the stack was told
    completed: AtomicUsize,
    arrived: AtomicU64,
    /// When the thread wakes by itself
    alarm: AtomicU64,
    /// Data flows
    pub running: AtomicBool,
    /// There is link
    pub link: AtomicBool,
    /// The adapter is promiscuous
    pub promiscuous: AtomicBool,
    /// What was handed up, while a plan wants it written down
    pub seen: Lock<Seen>,
    /// The VLAN whose frames the stack takes; 0 for those of none
    vlan: AtomicU16,
    /// Groups besides those that the stack is in
    pub(super) groups: Lock<Vec<[u8; 6]>>,
    pub(super) alive: AtomicBool,
    pub(super) ended: Event,
    /// Facts changed that are to be looked at in the thread
    pub(super) changed: AtomicBool,
    pub(super) facts: super::facts::Facts,
    choices: AtomicU64,
}

/// The stack's time, in microseconds since the start.
pub fn now() -> Instant {
    Instant::from_micros((crate::ke::interrupt_time() / 10) as i64)
}

impl Endpoint {
    /// The end of a binding. PASSIVE_LEVEL.
    pub(crate) fn new(
        binding: Binding,
        info: &crate::ndis::protocol::Info,
        terms: Terms,
        seed: u64,
    ) -> Self {
        let mac = info.current_address;
        let mut builder = Builder::new(seed ^ 0x5e7d);
        builder.backfill = info.data_backfill as usize;
        Self {
            binding,
            driver: info.driver.clone(),
            permanent: info.permanent_address,
            mac,
            counts: Counts::new(),
            stack: DispatchLock::new(Stack::new(mac, terms.mtu, terms.offloads, seed, now())),
            inbox: Lock::new(Inbox {
                open: false,
                frames: Vec::new(),
            }),
            outbox: Lock::new(Vec::new()),
            builder: DispatchLock::new(builder),
            hashing: DispatchLock::new(None),
            late: Lock::new(Vec::new()),
            terms: Lock::new(terms),
            waiters: Lock::new(Waiters::new()),
            wake: Event::new(),
            wanted: AtomicBool::new(false),
            handing: AtomicBool::new(false),
            completed: AtomicUsize::new(0),
            arrived: AtomicU64::new(0),
            alarm: AtomicU64::new(0),
            running: AtomicBool::new(false),
            link: AtomicBool::new(info.link.connected),
            promiscuous: AtomicBool::new(false),
            seen: Lock::new(Seen::new()),
            vlan: AtomicU16::new(0),
            groups: Lock::new(Vec::new()),
            alive: AtomicBool::new(true),
            ended: Event::new(),
            changed: AtomicBool::new(true),
            facts: super::facts::Facts::default(),
            choices: AtomicU64::new(seed ^ 0xc401),
        }
    }

    /// A choice that depends on the seed: true in one of `of` cases.
    fn choose(&self, of: u64) -> bool {
        let at = self
            .choices
            .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        Random::new(at).below(of) == 0
    }

    /// Uses the stack, and does what is to be done then. At most DISPATCH_LEVEL.
    pub fn with<R>(&self, f: impl FnOnce(&mut AdapterStack) -> R) -> R {
        let result = f(&mut self.stack.lock());
        self.work(THREAD_BUDGET, 2);
        result
    }

    /// Uses the stack without doing anything else. At most DISPATCH_LEVEL.
    pub fn look<R>(&self, f: impl FnOnce(&mut AdapterStack) -> R) -> R {
        let result = f(&mut self.stack.lock());
        // Who came meanwhile has relied on this.
        if self.wanted.load(Ordering::SeqCst) {
            self.wake.set();
        }
        result
    }

    /// Asks for something of a socket. If it was there, something may be to be done now, which is done. At most DISPATCH_LEVEL.
    pub fn ask<R>(
        &self,
        handle: SocketHandle,
        f: impl FnOnce(&mut AdapterStack) -> Option<R>,
    ) -> Option<R> {
        let result = {
            let mut stack = self.stack.lock();
            let result = f(&mut stack);
            let mark = stack.mark(handle);
            self.waiters.lock().looked(handle, mark);
            result
        };
        if result.is_some() {
            self.work(THREAD_BUDGET, 2);
        } else if self.wanted.load(Ordering::SeqCst) {
            // Who came meanwhile has relied on this.
            self.wake.set();
        }
        result
    }

    /// Signals an event whenever a socket has changed since somebody looked at it ([`Self::ask`]), until [`Self::forget`].
    pub fn tell(&self, handle: SocketHandle, event: Arc<Event>) {
        self.waiters.lock().add(handle, event);
    }

    /// Ends [`Self::tell`].
    pub fn forget(&self, event: &Arc<Event>) {
        self.waiters.lock().remove(event);
    }

    /// Does what is to be done, unless somebody else is at it, who then does it. Gives what is left, if it was done here.
    fn work(&self, budget: usize, rounds: usize) -> Option<Left> {
        self.wanted.store(true, Ordering::SeqCst);
        let mut last = None;
        for _ in 0..rounds {
            let stack = self.stack.try_lock()?;
            last = Some(self.round(stack, budget));
            if !self.wanted.load(Ordering::SeqCst) {
                break;
            }
        }
        let due = match last {
            Some(Left::More) => 0,
            Some(Left::Until(Some(at))) => at.total_micros() as u64,
            _ => u64::MAX,
        };
        if self.wanted.load(Ordering::SeqCst) || due < self.alarm.load(Ordering::SeqCst) {
            self.wake.set();
        }
        last
    }

    /// The thread's turn: waits for the stack, and says when it is to come again.
    pub(crate) fn turn(&self) -> Left {
        self.alarm.store(u64::MAX, Ordering::SeqCst);
        let left = self.round(self.stack.lock(), THREAD_BUDGET);
        let due = match left {
            Left::More => 0,
            Left::Until(Some(at)) => at.total_micros() as u64,
            Left::Until(None) => u64::MAX,
        };
        self.alarm.store(due, Ordering::SeqCst);
        if self.wanted.load(Ordering::SeqCst) {
            return Left::More;
        }
        left
    }

    fn round(
        &self,
        mut stack: super::lock::DispatchGuard<'_, AdapterStack>,
        budget: usize,
    ) -> Left {
        self.wanted.store(false, Ordering::SeqCst);
        let came = core::mem::take(&mut self.inbox.lock().frames);
        for frame in came {
            stack.port.receiving.push(frame);
        }
        let completed = self.completed.swap(0, Ordering::AcqRel);
        stack.port.sending.completed(completed);
        let left = stack.poll(now(), budget);
        let mut ready = Vec::new();
        stack.port.sending.take(&mut ready);
        let done = stack.port.receiving.take_done();
        if !ready.is_empty() {
            // Before the stack is free for others, so that frames keep their order.
            self.outbox.lock().append(&mut ready);
        }
        let changed = self.waiters.lock().to_tell(|handle| stack.mark(handle));
        drop(stack);
        self.give_back(done);
        self.hand_over();
        for event in changed {
            event.set();
        }
        left
    }

    /// Hands what waits to the adapter. One at a time does so; what others bring meanwhile it takes along.
    fn hand_over(&self) {
        while !self.outbox.lock().is_empty() {
            if self.handing.swap(true, Ordering::AcqRel) {
                return;
            }
            if !self.running.load(Ordering::SeqCst) {
                self.handing.store(false, Ordering::Release);
                return;
            }
            self.hand_over_all();
            self.handing.store(false, Ordering::Release);
        }
    }

    fn hand_over_all(&self) {
        loop {
            let mut frames = core::mem::take(&mut *self.outbox.lock());
            if frames.is_empty() {
                return;
            }
            if !self.link.load(Ordering::Relaxed) {
                self.not_sent(frames.len());
                continue;
            }
            for Ready { frame, work } in &frames {
                self.counts.sent(work, frame.bytes().len());
            }
            let (chain, dropped) = self.builder.lock().build(&mut frames);
            if dropped > 0 {
                self.not_sent(dropped);
            }
            if chain.first.is_null() {
                continue;
            }
            let flags = if KeGetCurrentIrql() >= DISPATCH_LEVEL {
                NDIS_SEND_FLAGS_DISPATCH_LEVEL
            } else {
                0
            };
            // SAFETY: lists of frames in nonpaged memory, which stay until `send_complete`.
            unsafe { self.binding.send(chain.first, flags) };
        }
    }

    fn not_sent(&self, count: usize) {
        self.counts
            .unsent
            .fetch_add(count as u64, Ordering::Relaxed);
        self.completed.fetch_add(count, Ordering::AcqRel);
    }

    /// Gives received frames back: now, or later and from the thread, as the seed has it.
    fn give_back(&self, frames: Vec<Incoming>) {
        if frames.is_empty() {
            return;
        }
        if self.running.load(Ordering::SeqCst) && self.choose(8) {
            self.late.lock().extend(frames);
            self.wake.set();
            return;
        }
        self.give_back_now(frames);
    }

    fn give_back_now(&self, frames: Vec<Incoming>) {
        let mut first = core::ptr::null_mut::<NET_BUFFER_LIST>();
        let mut changed = false;
        for frame in frames {
            let Incoming::Held(held) = frame else {
                continue;
            };
            let (list, same) = held.release();
            changed |= !same;
            // SAFETY: the list is held until it is given back below.
            unsafe { (*list).Next = first };
            first = list;
        }
        if changed {
            self.finding("a frame stays as it is until its list is given back", "");
        }
        if first.is_null() {
            return;
        }
        let flags = if KeGetCurrentIrql() >= DISPATCH_LEVEL {
            NDIS_RETURN_FLAGS_DISPATCH_LEVEL
        } else {
            0
        };
        // SAFETY: each list was indicated without NDIS_RECEIVE_FLAGS_RESOURCES, and is given back once.
        unsafe { self.binding.return_lists(first, flags) };
    }

    /// Gives back what was kept longer. At most DISPATCH_LEVEL.
    pub(crate) fn give_back_late(&self) {
        let late = core::mem::take(&mut *self.late.lock());
        self.give_back_now(late);
    }

    fn finding(&self, rule: &'static str, detail: &str) {
        crate::check::violation_by(
            &self.driver,
            "NdisMIndicateReceiveNetBufferLists",
            rule,
            format_args!("{detail}"),
        );
    }

    /// Frames came.
    pub(super) fn received(&self, mut lists: *mut NET_BUFFER_LIST, flags: u32) {
        let resources = flags & NDIS_RECEIVE_FLAGS_RESOURCES != 0;
        // Mostly held as they are; sometimes copied and given back at once.
        let keep = !resources && !self.choose(6);
        let terms = *self.terms.lock();
        let mut frames = Vec::new();
        let mut back: *mut NET_BUFFER_LIST = core::ptr::null_mut();
        while !lists.is_null() {
            // SAFETY: the chain is this protocol's until it gives it back.
            unsafe {
                let list = lists;
                lists = (*list).Next;
                let mut brought = receive::take(list, keep);
                let good = match &mut brought.frame {
                    Some(frame) => self.judge(list, frame, &terms),
                    None => false,
                };
                if brought.returned || !good {
                    if !resources {
                        (*list).Next = back;
                        back = list;
                    }
                    if !good {
                        continue;
                    }
                }
                frames.extend(brought.frame);
            }
        }
        if !back.is_null() {
            let flags = if flags & NDIS_RECEIVE_FLAGS_DISPATCH_LEVEL != 0 {
                NDIS_RETURN_FLAGS_DISPATCH_LEVEL
            } else {
                0
            };
            // SAFETY: indicated without RESOURCES, copied, and in no other list.
            unsafe { self.binding.return_lists(back, flags) };
        }
        if let Some(frames) = self.put_into_inbox(frames) {
            self.give_back_now(frames);
            return;
        }
        // Mostly the stack takes them right here, and its answers leave from here; sometimes they are left to the thread.
        if self.choose(8) {
            self.wanted.store(true, Ordering::SeqCst);
            self.wake.set();
        } else {
            self.work(INDICATION_BUDGET, INDICATION_ROUNDS);
        }
    }

    /// Puts frames into the inbox; gives them again if it is closed.
    fn put_into_inbox(&self, mut frames: Vec<Incoming>) -> Option<Vec<Incoming>> {
        let mut inbox = self.inbox.lock();
        if !inbox.open {
            return Some(frames);
        }
        inbox.frames.append(&mut frames);
        None
    }

    /// Looks at a frame and what is said of it; true if the stack may have it.
    unsafe fn judge(
        &self,
        list: *const NET_BUFFER_LIST,
        frame: &mut Incoming,
        terms: &Terms,
    ) -> bool {
        let number = self.arrived.fetch_add(1, Ordering::Relaxed);
        let thorough = number < THOROUGH || self.choose(THOROUGH_ONE_OF);
        let slots = &(*list).NetBufferListInfo;
        let bytes = frame.as_ref();
        let outcome = verify::check(&Arrival {
            frame: bytes,
            claims: Claims::read(slots[TcpIpChecksumNetBufferListInfo] as usize),
            mtu: terms.mtu,
            thorough,
        });
        if let Some(rule) = outcome.finding {
            let head = crate::run::hex::digits(&bytes[..bytes.len().min(80)]);
            let slot = slots[TcpIpChecksumNetBufferListInfo] as usize;
            let length = bytes.len();
            self.finding(
                rule,
                &alloc::format!("{length} bytes, checksum slot {slot:#x}: {head}"),
            );
        }
        if thorough && !self.hash_is_right(bytes, slots) {
            self.finding("a received frame's hash is that of the frame", "");
        }
        if self.promiscuous.load(Ordering::Relaxed) {
            let to = bytes.first_chunk::<6>();
            if to.is_some_and(|to| to[0] & 1 == 0 && *to != self.mac) {
                self.counts.foreign.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.counts.received(&outcome, current_cpu());
        let own = self.note(frame, outcome.large, slots);
        if let (true, Incoming::Held(held)) = (thorough && outcome.good, frame) {
            held.remember();
        }
        outcome.good && own
    }

    fn hash_is_right(&self, frame: &[u8], slots: &[crate::nt::ke::PVOID; 27]) -> bool {
        let information = slots[NetBufferListHashInfo] as usize as u32;
        let value = slots[NetBufferListHashValue] as usize as u32;
        if information & NDIS_HASH_FUNCTION_MASK == 0 {
            return true;
        }
        let hashing = self.hashing.lock();
        // A hash while RSS is off, or from before it was switched off, is of no key that is known here.
        hashing
            .as_ref()
            .is_none_or(|hashing| hashing.is_right(frame, information, value))
    }

    /// Lists that were sent came back.
    pub(super) fn sent(&self, lists: *mut NET_BUFFER_LIST) {
        // SAFETY: NDIS gives back what `hand_over` sent.
        let returned = unsafe { transmit::take_back(lists) };
        if returned.failed > 0 {
            let before = self
                .counts
                .failed
                .fetch_add(returned.failed as u64, Ordering::Relaxed);
            if before == 0 {
                crate::kd::text(&alloc::format!(
                    "net: {}: {} frames came back with status {:#x}",
                    self.driver,
                    returned.failed,
                    returned.status
                ));
            }
        }
        let before = self.completed.fetch_add(returned.frames, Ordering::AcqRel);
        // The stack stops at so many frames under way; that some are back is news to it then.
        const NEWS: usize = 32;
        if before < NEWS && before + returned.frames >= NEWS {
            self.wanted.store(true, Ordering::SeqCst);
            self.wake.set();
        }
    }

    /// Data flows from now on.
    pub(super) fn open(&self) {
        self.inbox.lock().open = true;
        self.running.store(true, Ordering::SeqCst);
        self.changed.store(true, Ordering::SeqCst);
        self.wanted.store(true, Ordering::SeqCst);
        self.wake.set();
    }

    /// Data stops: no frame is sent, and none is held when this returns. PASSIVE_LEVEL.
    pub(super) fn close(&self) {
        self.running.store(false, Ordering::SeqCst);
        let held = {
            let mut inbox = self.inbox.lock();
            inbox.open = false;
            core::mem::take(&mut inbox.frames)
        };
        self.give_back_now(held);
        let held = self.look(|stack| stack.port.receiving.take_all());
        self.give_back_now(held);
        self.give_back_late();
        // Whoever hands frames over is in the adapter's send routine, which does not wait.
        while self.handing.load(Ordering::Acquire) {
            crate::machine::machine().relax(1);
        }
    }

    /// The binding stands.
    pub fn alive(&self) -> bool {
        self.alive.load(Ordering::SeqCst)
    }

    /// Data flows, and there is link.
    pub fn is_up(&self) -> bool {
        self.running.load(Ordering::SeqCst) && self.link.load(Ordering::SeqCst)
    }

    /// Bytes of the largest IP packet.
    pub fn mtu(&self) -> usize {
        self.terms.lock().mtu
    }

    /// Uses no other offloads than these from now on, and of these only what is used already. At most DISPATCH_LEVEL.
    pub fn use_only(&self, goal: &super::offload::Offloads) {
        let mut terms = *self.terms.lock();
        terms.offloads = terms.offloads.and(goal);
        self.set_terms(terms);
    }

    /// Frames wait to be handed to the adapter.
    pub fn has_unsent(&self) -> bool {
        !self.outbox.lock().is_empty() || self.handing.load(Ordering::Acquire)
    }

    /// Hashes are of this key from now on; of none, if RSS is off.
    pub(super) fn set_hashing(&self, hashing: Option<Hashing>) {
        self.builder.lock().hash = hashing.clone();
        *self.hashing.lock() = hashing;
    }

    /// The stack goes by other terms from now on. At most DISPATCH_LEVEL.
    pub(super) fn set_terms(&self, terms: Terms) {
        let before = core::mem::replace(&mut *self.terms.lock(), terms);
        if before.mtu != terms.mtu || before.offloads != terms.offloads {
            self.with(|stack| stack.set_device(terms.mtu, terms.offloads));
        }
    }
}

/// Starts the thread of an endpoint.
pub(super) fn start_thread(
    endpoint: Arc<Endpoint>,
    each_turn: impl Fn(&Arc<Endpoint>) + Send + 'static,
) -> bool {
    let body: Box<dyn FnOnce() + Send> = Box::new(move || {
        while endpoint.alive.load(Ordering::SeqCst) {
            endpoint.give_back_late();
            each_turn(&endpoint);
            let left = endpoint.turn();
            endpoint.give_back_late();
            let wait = match left {
                Left::More => 0,
                Left::Until(None) => LONGEST,
                // What is due now was just tried: it takes time, or something that comes.
                Left::Until(Some(at)) if at <= now() => SOON,
                Left::Until(Some(at)) => ((at - now()).total_micros() * 10).min(LONGEST),
            };
            if wait > 0 {
                endpoint.wake.wait(wait);
            }
        }
        endpoint.give_back_late();
        endpoint.ended.set();
    });
    crate::ke::thread::spawn(body)
}

/// How long the thread waits for what is due and cannot be done, in units of 100 ns.
const SOON: u64 = 10_000;
/// The thread comes at least so often.
const LONGEST: u64 = 5_000_000;
