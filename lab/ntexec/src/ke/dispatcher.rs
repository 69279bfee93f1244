//! Who runs where: the ready queues and the change of threads.
//!
//! As in NT the ready thread of highest priority runs; equals take turns, two ticks each. A thread that becomes ready takes
//! an idle processor, or one that runs something of lower priority. Waking does not boost priorities.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use super::pcr::{self, Kpcr};
use super::thread::{KTHREAD, State};
use super::{irql, switch};
use crate::hal;
use crate::machine::machine;
use crate::nt::ke::{DISPATCH_LEVEL, LIST_ENTRY};

/// Priorities: 0 to 31.
pub const PRIORITIES: usize = 32;
/// Ticks that a thread runs before its equals get a turn.
pub const QUANTUM: u32 = 2;

/// Ready threads, by priority.
pub struct Ready {
    queues: [LIST_ENTRY; PRIORITIES],
    initialized: bool,
}

/// What the dispatcher's lock protects besides the objects themselves.
pub struct Shared {
    /// Ready threads.
    pub ready: Ready,
    /// Timers that run, by due time.
    pub timers: LIST_ENTRY,
    /// Ended threads whose stacks can go.
    pub dead: LIST_ENTRY,
    /// All threads.
    pub threads: LIST_ENTRY,
}

struct Dispatcher {
    held: AtomicBool,
    state: UnsafeCell<Shared>,
}

// SAFETY: `state` is reached through the lock only.
unsafe impl Sync for Dispatcher {}

static DISPATCHER: Dispatcher = Dispatcher {
    held: AtomicBool::new(false),
    state: UnsafeCell::new(Shared {
        ready: Ready {
            queues: [LIST_ENTRY::NULL; PRIORITIES],
            initialized: false,
        },
        timers: LIST_ENTRY::NULL,
        dead: LIST_ENTRY::NULL,
        threads: LIST_ENTRY::NULL,
    }),
};

/// The dispatcher's lock, held, with interrupts off. A change of threads happens with it held, and the thread that goes on
/// gives it back; so it is no guard that a scope ends.
pub struct Locked {
    enable: bool,
}

/// Takes the dispatcher's lock.
pub fn lock() -> Locked {
    let enable = machine().disable_interrupts();
    let mut spins = 0;
    while DISPATCHER.held.swap(true, Ordering::Acquire) {
        machine().relax(spins);
        spins = spins.saturating_add(1);
    }
    Locked { enable }
}

impl Locked {
    /// The state.
    pub fn state(&mut self) -> &mut Shared {
        // SAFETY: the lock is held, and `self` is borrowed.
        unsafe { &mut *DISPATCHER.state.get() }
    }

    /// Gives the lock back; interrupts are as before [`lock`].
    pub fn unlock(self) {
        DISPATCHER.held.store(false, Ordering::Release);
        if self.enable {
            machine().enable_interrupts();
        }
    }
}

/// Gives the lock back that the thread before took; interrupts stay off.
pub(super) fn unlock_after_switch() {
    after_switch();
    DISPATCHER.held.store(false, Ordering::Release);
}

impl Ready {
    fn queue(&mut self, priority: usize) -> *mut LIST_ENTRY {
        &raw mut self.queues[priority.min(PRIORITIES - 1)]
    }

    /// Appends (or, for a thread that was pushed aside, prepends) a thread.
    ///
    /// # Safety
    /// A valid thread in no queue.
    pub unsafe fn add(&mut self, thread: *mut KTHREAD, front: bool) {
        let queue = self.queue((*thread).priority as usize);
        let link = &raw mut (*thread).queue_link;
        if front {
            LIST_ENTRY::insert_head(queue, link)
        } else {
            LIST_ENTRY::insert_tail(queue, link)
        }
    }

    /// The best thread for `cpu`, of priority at least `least`; it leaves its queue.
    ///
    /// # Safety
    /// Initialised.
    pub unsafe fn take(&mut self, cpu: usize, least: usize) -> Option<*mut KTHREAD> {
        for priority in (least..PRIORITIES).rev() {
            let queue = self.queue(priority);
            let mut link = (*queue).Flink;
            while link != queue {
                let thread = KTHREAD::from_queue_link(link);
                if (*thread).affinity >> cpu & 1 == 1 {
                    LIST_ENTRY::remove(link);
                    return Some(thread);
                }
                link = (*link).Flink;
            }
        }
        None
    }
}

/// Makes the lists. Once, before anything else.
pub fn initialize() {
    let mut locked = lock();
    let state = locked.state();
    // SAFETY: the lists lie in a static and are written once.
    unsafe {
        for priority in 0..PRIORITIES {
            LIST_ENTRY::initialize(state.ready.queue(priority));
        }
        for list in [
            &raw mut state.timers,
            &raw mut state.dead,
            &raw mut state.threads,
        ] {
            LIST_ENTRY::initialize(list);
        }
    }
    state.ready.initialized = true;
    locked.unlock();
}

/// Makes `thread` ready and sees that a processor looks.
///
/// # Safety
/// A valid thread that runs nowhere and is in no queue.
pub unsafe fn make_ready(locked: &mut Locked, thread: *mut KTHREAD) {
    (*thread).state = State::Ready;
    locked.state().ready.add(thread, false);
    if let Some(cpu) = choose_cpu(thread) {
        request_reschedule(cpu);
    }
}

/// The processor that should take `thread` now: an idle one (this one first), else one that runs something lesser.
unsafe fn choose_cpu(thread: *mut KTHREAD) -> Option<&'static Kpcr> {
    let this = pcr::this().number();
    let count = machine().cpu_count();
    let allowed = |cpu: &usize| {
        (*thread).affinity >> cpu & 1 == 1 && pcr::block(*cpu).online.load(Ordering::Relaxed)
    };
    let order = (0..count).map(|i| (this + i) % count).filter(allowed);
    let mut lesser = None;
    for cpu in order {
        let pcr = pcr::block(cpu);
        if pcr.is_idle() && !pcr.reschedule.load(Ordering::Relaxed) {
            return Some(pcr);
        }
        if lesser.is_none() && !pcr.is_idle() && (*pcr.current()).priority < (*thread).priority {
            lesser = Some(pcr);
        }
    }
    lesser
}

/// Asks `pcr`'s processor to choose a thread.
pub fn request_reschedule(pcr: &'static Kpcr) {
    pcr.reschedule.store(true, Ordering::Relaxed);
    pcr.software_pending.store(true, Ordering::Release);
    if pcr.number() != pcr::this().number() {
        machine().send_ipi(pcr.number(), hal::IPI_VECTOR);
    }
}

/// Is there a thread that this processor could run instead of idling?
pub fn idle_has_work() -> bool {
    pcr::this().software_pending.load(Ordering::Acquire)
}

/// Lets another thread run in the current one's place, if one of at least its priority is ready. At DISPATCH_LEVEL with
/// interrupts off.
pub fn yield_current() {
    let mut locked = lock();
    let pcr = pcr::this();
    let current = pcr.current();
    // SAFETY: the lock is held; the current thread is valid.
    unsafe {
        let least = if pcr.is_idle() {
            0
        } else {
            (*current).priority as usize
        };
        // A thread may also have to go because its affinity no longer has this processor.
        let banished = !pcr.is_idle() && (*current).affinity >> pcr.number() & 1 == 0;
        let least = if banished { 0 } else { least };
        let next = match locked.state().ready.take(pcr.number(), least) {
            Some(next) => next,
            None if banished => pcr.idle(),
            None => {
                pcr.quantum.store(QUANTUM, Ordering::Relaxed);
                return locked.unlock();
            }
        };
        if !pcr.is_idle() {
            (*current).state = State::Ready;
            locked.state().ready.add(current, false);
            if banished && let Some(cpu) = choose_cpu(current) {
                request_reschedule(cpu);
            }
        }
        change_to(pcr, next);
    }
    after_switch();
    locked.unlock();
}

/// Runs something else until the current thread, whose state says why it stops, is made ready again. The lock is held when
/// it returns. At DISPATCH_LEVEL.
///
/// # Safety
/// The thread's state must be set, and what wakes it be arranged.
pub unsafe fn swap_out(locked: &mut Locked) {
    let pcr = pcr::this();
    let next = locked
        .state()
        .ready
        .take(pcr.number(), 0)
        .unwrap_or(pcr.idle());
    change_to(pcr, next);
    after_switch();
}

unsafe fn change_to(pcr: &'static Kpcr, next: *mut KTHREAD) {
    let current = pcr.current();
    debug_assert!(pcr::irql() == DISPATCH_LEVEL);
    pcr.previous_thread.store(current, Ordering::Relaxed);
    pcr.quantum.store(QUANTUM, Ordering::Relaxed);
    if next == current {
        (*current).state = State::Running;
        return;
    }
    (*next).state = State::Running;
    (*next).cpu = pcr.number() as u32;
    (*next).switches += 1;
    pcr.switches.fetch_add(1, Ordering::Relaxed);
    pcr.set_current(next);
    switch::switch(&raw mut (*current).stack_pointer, (*next).stack_pointer);
}

/// The first thing that a thread does when it runs again, on whatever processor: an ended predecessor is off its stack now.
fn after_switch() {
    let previous = pcr::this().previous_thread.load(Ordering::Relaxed);
    // SAFETY: the lock is held; a thread that is not ended is not touched.
    unsafe {
        if !previous.is_null() && (*previous).state == State::Ended {
            (*previous).state = State::Dead;
            let state = &mut *DISPATCHER.state.get();
            LIST_ENTRY::insert_tail(&raw mut state.dead, &raw mut (*previous).queue_link);
        }
    }
}

/// The head of the list of timers. To be used with the lock held.
pub(super) fn timers() -> *mut LIST_ENTRY {
    // SAFETY: only an address is made.
    unsafe { &raw mut (*DISPATCHER.state.get()).timers }
}

/// Takes an ended thread that nothing runs on any more.
pub fn take_dead() -> Option<*mut KTHREAD> {
    let mut locked = lock();
    // SAFETY: the lock is held.
    let link = unsafe { LIST_ENTRY::remove_head(&raw mut locked.state().dead) };
    locked.unlock();
    // SAFETY: the list holds threads by this link.
    link.map(|l| unsafe { KTHREAD::from_queue_link(l) })
}

/// What a processor's first thread does for ever: what is pending, else wait for an interrupt.
pub fn idle() -> ! {
    loop {
        super::thread::bury_dead();
        machine().disable_interrupts();
        if idle_has_work() {
            irql::deliver(0);
            machine().enable_interrupts();
        } else {
            machine().halt();
        }
    }
}
