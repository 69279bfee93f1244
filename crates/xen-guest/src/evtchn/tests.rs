//! Both ABIs against a peer that sets events as Xen does, and against one that lies.

use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::vec::Vec;

use proptest::prelude::*;
use xen_abi::event_channel::{ChannelStatus, FifoControlBlock};
use xen_abi::hvm::{PARAM_CONSOLE_EVTCHN, PARAM_STORE_EVTCHN};
use xen_abi::shared_info::SharedInfo;
use xen_abi::{DomId, Errno};

use super::*;
use crate::hypercall::{ChannelState, EventChannelOps, HvmOps};
use crate::{Shared, XenError};

const PENDING: u32 = 1 << 31;
const MASKED: u32 = 1 << 30;
const LINKED: u32 = 1 << 29;
const BUSY: u32 = 1 << 28;

fn leak<T: Sync + Default>() -> Shared<T> {
    Shared::from_static(Box::leak(Box::default()))
}

/// Xen's side of the event ABIs, for one vCPU (0).
struct FakeXen {
    info: Shared<SharedInfo>,
    pages: [Shared<EventPage>; Fifo::PAGES],
    block: Shared<FifoControlBlock>,
    tails: [Cell<u32>; 16],
    priorities: RefCell<BTreeMap<u32, usize>>,
    peers: RefCell<BTreeMap<u32, (u16, u32)>>,
    params: RefCell<BTreeMap<u32, u64>>,
    next_port: Cell<u32>,
    fail_expand: Cell<bool>,
    fail_bind: Cell<bool>,
    resets: Cell<u32>,
}

impl FakeXen {
    fn new() -> Self {
        Self {
            info: leak(),
            pages: core::array::from_fn(|_| leak()),
            block: leak(),
            tails: core::array::from_fn(|_| Cell::new(0)),
            priorities: RefCell::default(),
            peers: RefCell::default(),
            params: RefCell::default(),
            next_port: Cell::new(40),
            fail_expand: Cell::new(false),
            fail_bind: Cell::new(false),
            resets: Cell::new(0),
        }
    }

    fn word(&self, port: u32) -> &AtomicU32 {
        self.pages[port as usize / 1024].word_of(port as usize % 1024)
    }

    /// `evtchn_fifo_set_pending` of Xen, without its races.
    fn raise_fifo(&self, port: u32) {
        let before = self.word(port).fetch_or(PENDING, SeqCst);
        if before & MASKED == 0 {
            self.link(port);
        }
    }

    fn link(&self, port: u32) {
        if self.word(port).fetch_or(LINKED, SeqCst) & LINKED != 0 {
            return;
        }
        let queue = self.priorities.borrow().get(&port).copied().unwrap_or(7);
        let tail = self.tails[queue].replace(port);
        let appended = tail != 0 && {
            let word = self.word(tail);
            let now = word.load(SeqCst);
            now & LINKED != 0 && tail != port && {
                word.store(now | port, SeqCst);
                true
            }
        };
        if !appended {
            self.block.head[queue].store(port, SeqCst);
            self.block.ready.fetch_or(1 << queue, SeqCst);
        }
    }

    fn raise_two_level(&self, port: u32) {
        let (word, bit) = (port as usize / 64, 1u64 << (port % 64));
        let was = self.info.evtchn_pending[word].fetch_or(bit, SeqCst) & bit != 0;
        if !was && self.info.evtchn_mask[word].load(SeqCst) & bit == 0 {
            self.info.vcpu_info[0]
                .evtchn_pending_sel
                .fetch_or(1 << word, SeqCst);
            self.info.vcpu_info[0]
                .evtchn_upcall_pending
                .store(1, SeqCst);
        }
    }

    fn fifo(&self) -> Fifo {
        let block = VcpuBlock {
            vcpu: 0,
            block: self.block,
            gfn: 100,
        };
        let fifo = Fifo::new(
            core::array::from_fn(|n| (self.pages[n], n as u64)),
            &[block],
        )
        .expect("memory");
        fifo.start(self).expect("starts");
        fifo
    }

    fn raise(&self, abi: &EventAbi, port: u32) {
        match abi {
            EventAbi::TwoLevel(_) => self.raise_two_level(port),
            EventAbi::Fifo(_) => self.raise_fifo(port),
        }
    }
}

/// A fresh Xen with each of the ABIs.
fn worlds() -> [(FakeXen, EventAbi); 2] {
    let (two_level, fifo) = (FakeXen::new(), FakeXen::new());
    crate::shared_info::mask_all(&two_level.info);
    let abis = (
        EventAbi::TwoLevel(TwoLevel::new(two_level.info)),
        EventAbi::Fifo(fifo.fifo()),
    );
    [(two_level, abis.0), (fifo, abis.1)]
}

impl EventChannelOps for FakeXen {
    fn alloc_unbound(&self, _remote: DomId) -> Result<u32, XenError> {
        Ok(self.next_port.replace(self.next_port.get() + 1))
    }
    fn bind_interdomain(&self, remote: DomId, remote_port: u32) -> Result<u32, XenError> {
        if self.fail_bind.get() {
            return Err(XenError::Hypercall {
                call: "bind",
                errno: Errno::ENOSPC,
            });
        }
        let port = self.alloc_unbound(remote)?;
        self.peers
            .borrow_mut()
            .insert(port, (remote.0, remote_port));
        Ok(port)
    }
    fn bind_virq(&self, _virq: u32, _vcpu: u32) -> Result<u32, XenError> {
        self.alloc_unbound(DomId::SELF)
    }
    fn bind_vcpu(&self, _port: u32, _vcpu: u32) -> Result<(), XenError> {
        Ok(())
    }
    fn close(&self, port: u32) -> Result<(), XenError> {
        self.peers.borrow_mut().remove(&port);
        Ok(())
    }
    fn send(&self, _port: u32) -> Result<(), XenError> {
        Ok(())
    }
    fn unmask(&self, port: u32) -> Result<(), XenError> {
        let before = self.word(port).fetch_and(!MASKED, SeqCst);
        if before & PENDING != 0 {
            self.link(port);
        }
        let (word, bit) = (port as usize / 64, 1u64 << (port % 64));
        self.info.evtchn_mask[word].fetch_and(!bit, SeqCst);
        if self.info.evtchn_pending[word].load(SeqCst) & bit != 0 {
            self.info.vcpu_info[0]
                .evtchn_pending_sel
                .fetch_or(1 << word, SeqCst);
        }
        Ok(())
    }
    fn status(&self, port: u32) -> Result<ChannelState, XenError> {
        let peers = self.peers.borrow();
        let peer = peers.get(&port);
        Ok(ChannelState {
            status: if peer.is_some() {
                ChannelStatus::INTERDOMAIN
            } else {
                ChannelStatus::CLOSED
            },
            vcpu: 0,
            remote_dom: DomId(peer.map_or(0, |peer| peer.0)),
            remote_port: peer.map_or(0, |peer| peer.1),
        })
    }
    fn reset(&self) -> Result<(), XenError> {
        self.peers.borrow_mut().clear();
        self.resets.set(self.resets.get() + 1);
        Ok(())
    }
    fn init_control(&self, _gfn: u64, _offset: u32, _vcpu: u32) -> Result<u8, XenError> {
        Ok(17)
    }
    fn expand_array(&self, _gfn: u64) -> Result<(), XenError> {
        if self.fail_expand.get() {
            return Err(XenError::Hypercall {
                call: "expand",
                errno: Errno::ENOSPC,
            });
        }
        Ok(())
    }
    fn set_priority(&self, port: u32, priority: u32) -> Result<(), XenError> {
        self.priorities.borrow_mut().insert(port, priority as usize);
        Ok(())
    }
}

impl HvmOps for FakeXen {
    fn param(&self, index: u32) -> Result<u64, XenError> {
        Ok(self.params.borrow().get(&index).copied().unwrap_or(0))
    }
    fn set_param(&self, index: u32, value: u64) -> Result<(), XenError> {
        self.params.borrow_mut().insert(index, value);
        Ok(())
    }
    fn set_upcall_vector(&self, _vcpu: u32, _vector: u8) -> Result<(), XenError> {
        Ok(())
    }
}

fn poll(abi: &EventAbi) -> Vec<u32> {
    let mut ports = Vec::new();
    abi.poll(0, 1000, &mut |port| {
        abi.ack(port);
        ports.push(port);
    });
    ports
}

#[test]
fn an_unmasked_event_is_handed_out_once() {
    for (xen, abi) in worlds() {
        assert!(abi.try_unmask(5));
        xen.raise(&abi, 5);
        xen.raise(&abi, 5);
        assert_eq!(poll(&abi), [5]);
        assert_eq!(poll(&abi), []);
        xen.raise(&abi, 5);
        assert_eq!(poll(&abi), [5]);
    }
}

#[test]
fn an_event_that_came_while_masked_is_not_lost() {
    for (xen, abi) in worlds() {
        xen.raise(&abi, 9);
        assert_eq!(poll(&abi), []);
        assert!(!abi.try_unmask(9), "tells that an event waits");
        assert!(abi.is_masked(9) && abi.is_pending(9));
        xen.unmask(9).expect("raises");
        assert_eq!(poll(&abi), [9]);
    }
}

#[test]
fn acknowledging_before_looking_lets_the_unmask_succeed() {
    for (xen, abi) in worlds() {
        xen.raise(&abi, 9);
        assert!(!abi.try_unmask(9));
        abi.ack(9);
        assert!(abi.try_unmask(9));
    }
}

#[test]
fn an_event_can_be_made_up_and_raised_by_xen() {
    for (xen, abi) in worlds() {
        assert!(abi.try_unmask(9));
        abi.pend(9);
        xen.unmask(9).expect("raises");
        assert_eq!(poll(&abi), [9]);
        assert!(!abi.is_masked(9));
    }
}

#[test]
fn a_raw_unmask_tells_what_waits() {
    let (xen, abi) = worlds().into_iter().next().expect("two-level");
    assert!(!abi.unmask_raw(3));
    abi.mask(3);
    xen.raise(&abi, 3);
    assert!(abi.unmask_raw(3));
    assert!(!abi.is_masked(3));
}

#[test]
fn ports_that_do_not_exist_are_ignored() {
    for (_, abi) in worlds() {
        for port in [MAX_PORTS, u32::MAX] {
            abi.mask(port);
            abi.ack(port);
            assert!(abi.try_unmask(port));
            assert!(!abi.is_pending(port));
            assert!(abi.is_masked(port));
        }
        assert_eq!(
            abi.poll(7, 10, &mut |_| panic!("vCPU without events")),
            Polled::default()
        );
    }
}

#[test]
fn fifo_hands_out_the_highest_priority_first() {
    let xen = FakeXen::new();
    let abi = EventAbi::Fifo(xen.fifo());
    for (port, priority) in [(3, 15), (4, 7), (5, 0), (6, 7)] {
        xen.set_priority(port, priority).expect("sets");
        assert!(abi.try_unmask(port));
        xen.raise_fifo(port);
    }
    assert_eq!(poll(&abi), [5, 4, 6, 3]);
}

#[test]
fn fifo_keeps_what_exceeds_the_budget() {
    let xen = FakeXen::new();
    let abi = EventAbi::Fifo(xen.fifo());
    for port in 1..=10 {
        assert!(abi.try_unmask(port));
        xen.raise_fifo(port);
    }
    let mut ports = Vec::new();
    let mut more = true;
    while more {
        let polled = abi.poll(0, 3, &mut |port| {
            abi.ack(port);
            ports.push(port);
        });
        assert!(polled.events <= 3);
        more = polled.more;
    }
    assert_eq!(ports, (1..=10).collect::<Vec<_>>());
}

#[test]
fn a_poll_within_a_poll_makes_the_outer_one_look_again() {
    let xen = FakeXen::new();
    let abi = EventAbi::Fifo(xen.fifo());
    assert!(abi.try_unmask(1));
    assert!(abi.try_unmask(2));
    xen.raise_fifo(1);
    let mut ports = Vec::new();
    abi.poll(0, 100, &mut |port| {
        abi.ack(port);
        ports.push(port);
        if port == 1 {
            xen.raise_fifo(2);
            let inner = abi.poll(0, 100, &mut |_| panic!("the inner poll hands out nothing"));
            assert_eq!(inner, Polled::default());
        }
    });
    assert_eq!(ports, [1, 2]);
}

#[test]
fn a_busy_word_is_left_to_xen() {
    let xen = FakeXen::new();
    let abi = EventAbi::Fifo(xen.fifo());
    xen.word(3).fetch_or(BUSY, SeqCst);
    assert!(!abi.try_unmask(3));
    xen.word(3).fetch_and(!BUSY, SeqCst);
    assert!(abi.try_unmask(3));
}

#[test]
fn a_circle_of_links_costs_no_more_than_the_budget() {
    let xen = FakeXen::new();
    let abi = EventAbi::Fifo(xen.fifo());
    xen.block.head[7].store(5, SeqCst);
    for _ in 0..50 {
        // Somebody links 5 and 6 to each other again and again.
        xen.word(5).store(LINKED | MASKED | 6, SeqCst);
        xen.word(6).store(LINKED | MASKED | 5, SeqCst);
        xen.block.ready.store(1 << 7, SeqCst);
        let polled = abi.poll(0, 4, &mut |_| panic!("masked"));
        assert_eq!(polled.events, 0);
    }
}

#[test]
fn a_failed_start_tells_and_two_level_serves() {
    let xen = FakeXen::new();
    xen.fail_expand.set(true);
    let block = VcpuBlock {
        vcpu: 0,
        block: xen.block,
        gfn: 100,
    };
    let fifo =
        Fifo::new(core::array::from_fn(|n| (xen.pages[n], n as u64)), &[block]).expect("memory");
    assert!(fifo.start(&xen).is_err());
    reset_channels(&xen).expect("resets");
    assert_eq!(xen.resets.get(), 1);
}

#[test]
fn starting_again_empties_the_queues_and_masks_all() {
    let xen = FakeXen::new();
    let fifo = xen.fifo();
    let abi = EventAbi::Fifo(fifo);
    assert!(abi.try_unmask(5));
    xen.raise_fifo(5);
    let EventAbi::Fifo(fifo) = &abi else {
        unreachable!()
    };
    fifo.start(&xen).expect("restarts");
    assert!(abi.is_masked(5) && !abi.is_pending(5));
    assert_eq!(poll(&abi), []);
}

#[test]
fn a_reset_binds_the_toolstacks_ports_again() {
    let xen = FakeXen::new();
    xen.peers
        .borrow_mut()
        .extend([(1, (0, 17)), (2, (3, 18)), (9, (0, 99))]);
    xen.params
        .borrow_mut()
        .extend([(PARAM_STORE_EVTCHN, 1), (PARAM_CONSOLE_EVTCHN, 2)]);
    let rebound = reset_channels(&xen).expect("resets");
    assert_eq!(
        rebound,
        Rebound {
            store: Fixed::Port(40),
            console: Fixed::Port(41)
        }
    );
    assert_eq!(
        *xen.peers.borrow(),
        BTreeMap::from([(40, (0, 17)), (41, (3, 18))])
    );
    assert_eq!(xen.param(PARAM_STORE_EVTCHN), Ok(40));
}

#[test]
fn a_reset_copes_without_a_console_and_with_a_bad_parameter() {
    let xen = FakeXen::new();
    xen.params
        .borrow_mut()
        .extend([(PARAM_STORE_EVTCHN, u64::MAX), (PARAM_CONSOLE_EVTCHN, 7)]);
    let rebound = reset_channels(&xen).expect("resets");
    assert_eq!(
        rebound,
        Rebound {
            store: Fixed::Absent,
            console: Fixed::Absent
        }
    );
}

#[test]
fn a_port_that_cannot_be_bound_again_is_reported() {
    let xen = FakeXen::new();
    xen.peers.borrow_mut().insert(1, (0, 17));
    xen.params.borrow_mut().insert(PARAM_STORE_EVTCHN, 1);
    xen.fail_bind.set(true);
    assert!(matches!(
        reset_channels(&xen).expect("resets").store,
        Fixed::Lost(_)
    ));
}

fn channel(port: u32, auto_mask: bool) -> OpenChannel {
    OpenChannel {
        port,
        auto_mask,
        owns_port: false,
        vcpu: 0,
        function: 0x1000,
        argument: port as usize,
    }
}

#[test]
fn an_event_calls_the_function_of_its_channel_masked_if_so_asked() {
    for (xen, abi) in worlds() {
        let channels = Channels::new(8).expect("memory");
        let masking = channels.open(&channel(3, true)).expect("opens");
        let free = channels.open(&channel(4, false)).expect("opens");
        for port in [3, 4] {
            assert!(abi.try_unmask(port));
            xen.raise(&abi, port);
        }
        let mut calls = Vec::new();
        abi.poll(0, 100, &mut |port| {
            let delivery = channels.deliver(&abi, port, |function, argument| {
                assert_eq!(function, 0x1000);
                calls.push((argument, abi.is_masked(port), abi.is_pending(port)));
            });
            assert_eq!(delivery, Delivery::Called);
        });
        assert_eq!(calls, [(3, true, false), (4, false, false)]);
        assert_eq!(
            (channels.count(masking), channels.count(free)),
            (Some(1), Some(1))
        );
    }
}

#[test]
fn an_event_without_a_channel_is_masked_and_counted() {
    for (xen, abi) in worlds() {
        let channels = Channels::new(8).expect("memory");
        assert!(abi.try_unmask(6));
        xen.raise(&abi, 6);
        let mut seen = 0;
        abi.poll(0, 100, &mut |port| {
            assert_eq!(
                channels.deliver(&abi, port, |_, _| panic!("no channel")),
                Delivery::Stray
            );
            seen += 1;
        });
        assert_eq!((seen, channels.strays()), (1, 1));
        assert!(abi.is_masked(6) && !abi.is_pending(6));
    }
}

#[test]
fn channels_beyond_the_capacity_and_bad_or_doubled_ports_are_refused() {
    let channels = Channels::new(2).expect("memory");
    assert!(channels.open(&channel(0, false)).is_err());
    assert!(channels.open(&channel(MAX_PORTS, false)).is_err());
    let first = channels.open(&channel(1, false)).expect("opens");
    assert!(channels.open(&channel(1, false)).is_err());
    channels.open(&channel(2, false)).expect("opens");
    assert!(matches!(
        channels.open(&channel(3, false)),
        Err(XenError::OutOfMemory { .. })
    ));
    assert_eq!(channels.close(first), Some(1));
    assert!(channels.free(first));
    assert_eq!(channels.close(first), None);
    channels
        .open(&channel(3, false))
        .expect("the place is free again");
    assert_eq!(channels.open_ids().count(), 2);
}

#[test]
fn a_closed_channel_is_not_freed_while_its_function_runs() {
    let channels = Channels::new(2).expect("memory");
    let id = channels.open(&channel(1, false)).expect("opens");
    let ran = channels.trigger(id, |_, _| {
        assert_eq!(channels.close(id), Some(1));
        assert!(!channels.free(id));
    });
    assert!(ran);
    assert!(channels.free(id));
    assert!(!channels.trigger(id, |_, _| panic!("closed")));
}

#[test]
fn no_function_runs_after_its_channel_was_freed() {
    let xen = FakeXen::new();
    let abi = Arc::new(EventAbi::TwoLevel(TwoLevel::new(xen.info)));
    let channels = Arc::new(Channels::new(4).expect("memory"));
    let (stop, alive) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let handler = std::thread::spawn({
        let (channels, stop, alive, abi) =
            (channels.clone(), stop.clone(), alive.clone(), abi.clone());
        move || {
            while !stop.load(SeqCst) {
                channels.deliver(&abi, 7, |_, _| {
                    assert!(alive.load(SeqCst), "ran after it was freed")
                });
            }
        }
    });
    for _ in 0..2_000 {
        alive.store(true, SeqCst);
        let id = channels.open(&channel(7, true)).expect("opens");
        std::thread::yield_now();
        channels.close(id);
        while !channels.free(id) {
            std::thread::yield_now();
        }
        alive.store(false, SeqCst);
    }
    stop.store(true, SeqCst);
    handler.join().expect("the handler saw no freed channel");
}

#[test]
fn counters_are_compared_across_their_wrap() {
    assert!(reached(5, 5) && reached(6, 5) && !reached(4, 5));
    assert!(reached(3, u32::MAX - 1) && !reached(u32::MAX - 1, 3));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Raise(u32),
    Mask(u32),
    Unmask(u32),
    Poll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (1u32..70).prop_map(Step::Raise),
        1 => (1u32..70).prop_map(Step::Mask),
        2 => (1u32..70).prop_map(Step::Unmask),
        1 => Just(Step::Poll),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn whatever_the_order_every_event_is_handed_out_in_the_end(steps in steps()) {
        for (xen, abi) in worlds() {
            let mut due = BTreeMap::new();
            let take = |due: &mut BTreeMap<u32, ()>| for port in poll(&abi) {
                assert!(due.remove(&port).is_some(), "port {port} had no event");
            };
            let unmask = |port| if !abi.try_unmask(port) { xen.unmask(port).expect("raises") };
            for step in &steps {
                match *step {
                    Step::Raise(port) => { xen.raise(&abi, port); due.insert(port, ()); }
                    Step::Mask(port) => abi.mask(port),
                    Step::Unmask(port) => unmask(port),
                    Step::Poll => take(&mut due),
                }
            }
            (1..70).for_each(unmask);
            take(&mut due);
            prop_assert!(due.is_empty(), "lost: {due:?}");
        }
    }

    #[test]
    fn garbage_in_the_shared_words_ends_in_bounded_time(
        words in proptest::collection::vec(any::<u32>(), 64), heads: [u32; 16], ready: u32,
    ) {
        let xen = FakeXen::new();
        let abi = EventAbi::Fifo(xen.fifo());
        for (port, word) in words.iter().enumerate() {
            xen.word(port as u32).store(*word, SeqCst);
        }
        for (head, value) in xen.block.head.iter().zip(heads) {
            head.store(value, SeqCst);
        }
        xen.block.ready.store(ready, SeqCst);
        let mut calls = 0;
        abi.poll(0, 500, &mut |port| { calls += 1; assert!(port < MAX_PORTS); abi.ack(port); });
        prop_assert!(calls <= 500);
    }
}
