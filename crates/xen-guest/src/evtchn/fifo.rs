//! The FIFO ABI: a word a port, linked into sixteen queues a vCPU (`event_channel.h`, FIFO ABI).
//!
//! Rules that the words keep: the guest sets MASKED at any time, clears it only while BUSY is clear and no event
//! is pending (else Xen must do it, since only Xen can link a pending event into a queue), and clears
//! LINKED together with the link when it takes an event off a queue.

use alloc::vec::Vec;
use core::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicU32};

use xen_abi::event_channel::{
    FIFO_BUSY, FIFO_LINK_MASK, FIFO_LINKED, FIFO_MASKED, FIFO_MAX_QUEUES, FIFO_PENDING,
    FIFO_WORDS_PER_PAGE, FifoControlBlock,
};

use super::{MAX_PORTS, Polled};
use crate::hypercall::EventChannelOps;
use crate::{Shared, XenError};

const PENDING: u32 = 1 << FIFO_PENDING;
const MASKED: u32 = 1 << FIFO_MASKED;
const LINKED: u32 = 1 << FIFO_LINKED;
const BUSY: u32 = 1 << FIFO_BUSY;
/// The queues that exist.
const QUEUES: u32 = (1 << FIFO_MAX_QUEUES) - 1;
/// How often an event word is tried to be changed while Xen changes it.
const WORD_TRIES: u32 = 1000;
/// Pages of event words.
const PAGES: usize = MAX_PORTS as usize / FIFO_WORDS_PER_PAGE;

/// A page of event words.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct EventPage {
    words: [AtomicU32; FIFO_WORDS_PER_PAGE],
}

impl EventPage {
    /// One word, for the tests' Xen.
    #[cfg(test)]
    pub(crate) fn word_of(&self, index: usize) -> &AtomicU32 {
        &self.words[index]
    }
}

impl Default for EventPage {
    fn default() -> Self {
        Self {
            words: [const { AtomicU32::new(MASKED) }; FIFO_WORDS_PER_PAGE],
        }
    }
}

const _: () = assert!(size_of::<EventPage>() == xen_abi::PAGE_SIZE);

/// Where a vCPU's control block is.
#[derive(Clone, Copy, Debug)]
pub struct VcpuBlock {
    /// Xen's vCPU id.
    pub vcpu: u32,
    /// The block, at the beginning of its page.
    pub block: Shared<FifoControlBlock>,
    /// The page's guest frame.
    pub gfn: u64,
}

/// Queues of one vCPU as we have read them.
#[derive(Debug)]
pub struct FifoVcpu {
    place: VcpuBlock,
    /// Next port of each queue, or 0: begin at the block's head.
    heads: [AtomicU32; FIFO_MAX_QUEUES],
    /// Queues that have been taken from the block and are not yet empty.
    ready: AtomicU32,
    /// A poll runs.
    polling: AtomicBool,
    /// Another one was asked for meanwhile.
    again: AtomicBool,
}

impl FifoVcpu {
    fn new(place: VcpuBlock) -> Self {
        Self {
            place,
            heads: [const { AtomicU32::new(0) }; FIFO_MAX_QUEUES],
            ready: AtomicU32::new(0),
            polling: AtomicBool::new(false),
            again: AtomicBool::new(false),
        }
    }

    fn forget(&self) {
        self.ready.store(0, SeqCst);
        self.place.block.ready.store(0, SeqCst);
        for (head, shared) in self.heads.iter().zip(&self.place.block.head) {
            head.store(0, SeqCst);
            shared.store(0, SeqCst);
        }
    }
}

/// Events in queues.
#[derive(Debug)]
pub struct Fifo {
    pages: [(Shared<EventPage>, u64); PAGES],
    vcpus: Vec<FifoVcpu>,
    /// Ports that Xen linked and that do not exist.
    strange: AtomicU32,
}

impl Fifo {
    /// Pages of event words that [`Fifo::new`] takes.
    pub const PAGES: usize = PAGES;

    /// Makes the tables. `pages` are the event array with its guest frames. Xen is told by [`Fifo::start`].
    pub fn new(
        pages: [(Shared<EventPage>, u64); PAGES],
        blocks: &[VcpuBlock],
    ) -> Result<Self, XenError> {
        let mut vcpus = Vec::new();
        vcpus
            .try_reserve_exact(blocks.len())
            .map_err(|_| XenError::OutOfMemory {
                what: "FIFO queues",
            })?;
        vcpus.extend(blocks.iter().copied().map(FifoVcpu::new));
        Ok(Self {
            pages,
            vcpus,
            strange: AtomicU32::new(0),
        })
    }

    /// Empties all queues, masks all ports and gives the pages to Xen: at first, and again after a resume.
    ///
    /// When it fails, Xen may already use some of the pages: the caller resets the channels
    /// ([`super::reset_channels`]), which returns Xen to the two-level ABI, before it frees them.
    pub fn start(&self, xen: &impl EventChannelOps) -> Result<(), XenError> {
        for (page, _) in &self.pages {
            for word in &page.words {
                word.store(MASKED, SeqCst);
            }
        }
        for vcpu in &self.vcpus {
            vcpu.forget();
            let bits = xen.init_control(vcpu.place.gfn, 0, vcpu.place.vcpu)?;
            if u32::from(bits) < MAX_PORTS.ilog2() {
                return Err(XenError::OutOfRange {
                    what: "FIFO link bits",
                    value: bits.into(),
                });
            }
        }
        self.pages
            .iter()
            .try_for_each(|(_, gfn)| xen.expand_array(*gfn))
    }

    /// Ports in queues that do not exist, so far.
    pub fn strange_ports(&self) -> u32 {
        self.strange.load(Relaxed)
    }

    fn word(&self, port: u32) -> Option<&AtomicU32> {
        let port = port as usize;
        let (page, _) = self.pages.get(port / FIFO_WORDS_PER_PAGE)?;
        page.words.get(port % FIFO_WORDS_PER_PAGE)
    }

    pub(super) fn mask(&self, port: u32) {
        if let Some(word) = self.word(port) {
            word.fetch_or(MASKED, SeqCst);
        }
    }

    pub(super) fn try_unmask(&self, port: u32) -> bool {
        let Some(word) = self.word(port) else {
            return true;
        };
        for _ in 0..WORD_TRIES {
            let now = word.load(SeqCst);
            if now & MASKED == 0 {
                return true;
            }
            if now & PENDING != 0 {
                return false;
            }
            if now & BUSY == 0
                && word
                    .compare_exchange(now, now & !MASKED, SeqCst, SeqCst)
                    .is_ok()
            {
                return true;
            }
            core::hint::spin_loop();
        }
        false
    }

    pub(super) fn pend(&self, port: u32) {
        if let Some(word) = self.word(port) {
            word.fetch_or(PENDING, SeqCst);
        }
    }

    pub(super) fn ack(&self, port: u32) {
        if let Some(word) = self.word(port) {
            word.fetch_and(!PENDING, SeqCst);
        }
    }

    pub(super) fn is_pending(&self, port: u32) -> bool {
        self.word(port)
            .is_some_and(|word| word.load(SeqCst) & PENDING != 0)
    }

    pub(super) fn is_masked(&self, port: u32) -> bool {
        self.word(port)
            .is_none_or(|word| word.load(SeqCst) & MASKED != 0)
    }

    pub(super) fn poll(&self, vcpu: u32, budget: u32, event: &mut dyn FnMut(u32)) -> Polled {
        let mut polled = Polled::default();
        let Some(queues) = self.vcpus.iter().find(|queues| queues.place.vcpu == vcpu) else {
            return polled;
        };
        queues.again.store(true, SeqCst);
        while queues.again.load(SeqCst) && !queues.polling.swap(true, SeqCst) {
            queues.again.store(false, SeqCst);
            polled = self.drain(queues, polled.events, budget, event);
            queues.polling.store(false, SeqCst);
            if polled.more {
                break;
            }
        }
        polled
    }

    /// Takes events off the queues until they are empty or the budget is used up.
    fn drain(
        &self,
        queues: &FifoVcpu,
        mut events: u32,
        budget: u32,
        event: &mut dyn FnMut(u32),
    ) -> Polled {
        let block = &queues.place.block;
        let mut ready = queues.ready.load(Relaxed) | (block.ready.swap(0, SeqCst) & QUEUES);
        // Masked events cost budget too: a queue that leads nowhere must not hold the CPU.
        let mut steps = events;
        while ready != 0 && steps < budget {
            let queue = ready.trailing_zeros();
            events += u32::from(self.take_one(queues, queue, &mut ready, event));
            steps += 1;
            ready |= block.ready.swap(0, SeqCst) & QUEUES;
        }
        queues.ready.store(ready, Relaxed);
        Polled {
            events,
            more: ready != 0,
        }
    }

    /// Takes one event off a queue. True: it was handed out.
    fn take_one(
        &self,
        queues: &FifoVcpu,
        queue: u32,
        ready: &mut u32,
        event: &mut dyn FnMut(u32),
    ) -> bool {
        let index = queue as usize % FIFO_MAX_QUEUES;
        let port = match queues.heads[index].load(Relaxed) {
            0 => queues.place.block.head[index].load(Acquire),
            port => port,
        };
        let Some((port, word)) = self
            .word(port)
            .filter(|_| port != 0)
            .map(|word| (port, word))
        else {
            self.strange.fetch_add(1, Relaxed);
            queues.heads[index].store(0, Relaxed);
            *ready &= !(1 << queue);
            return false;
        };
        let next = unlink(word);
        if next == 0 {
            *ready &= !(1 << queue);
        }
        queues.heads[index].store(next, Relaxed);
        let due = word.load(SeqCst) & (PENDING | MASKED) == PENDING;
        if due {
            event(port);
        }
        due
    }
}

/// Clears LINKED and the link. Returns the link.
fn unlink(word: &AtomicU32) -> u32 {
    // `fetch_and` is the compare-and-exchange loop of the protocol in one instruction.
    word.fetch_and(!(LINKED | FIFO_LINK_MASK), SeqCst) & FIFO_LINK_MASK
}
