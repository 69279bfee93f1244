//! The two-level ABI: a selector word a vCPU, and bitmaps of pending and masked ports (`event_channel.h`).

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};

use xen_abi::hypercall::LEGACY_MAX_VCPUS;
use xen_abi::shared_info::SharedInfo;

use super::Polled;
use crate::{Shared, shared_info};

/// Bits in a word of the bitmaps.
const WORD_BITS: u32 = u64::BITS;

/// Events in the shared info page.
#[derive(Debug)]
pub struct TwoLevel {
    info: Shared<SharedInfo>,
    /// Where each vCPU's next scan begins, so that low ports do not starve high ones.
    start: [AtomicU32; LEGACY_MAX_VCPUS],
}

impl TwoLevel {
    /// Uses the page. The ports keep their masks.
    pub fn new(info: Shared<SharedInfo>) -> Self {
        Self {
            info,
            start: [const { AtomicU32::new(0) }; LEGACY_MAX_VCPUS],
        }
    }

    pub(super) fn mask(&self, port: u32) {
        if let Some((word, bit)) = place(port) {
            self.info.evtchn_mask[word].fetch_or(bit, SeqCst);
        }
    }

    pub(super) fn try_unmask(&self, port: u32) -> bool {
        let Some((word, bit)) = place(port) else {
            return true;
        };
        self.info.evtchn_mask[word].fetch_and(!bit, SeqCst);
        // An event that came while the port was masked raised no upcall, and none will come for it.
        if self.info.evtchn_pending[word].load(SeqCst) & bit == 0 {
            return true;
        }
        self.info.evtchn_mask[word].fetch_or(bit, SeqCst);
        false
    }

    pub(super) fn unmask_raw(&self, port: u32) -> bool {
        let Some((word, bit)) = place(port) else {
            return false;
        };
        self.info.evtchn_mask[word].fetch_and(!bit, SeqCst);
        self.info.evtchn_pending[word].load(SeqCst) & bit != 0
    }

    pub(super) fn pend(&self, port: u32) {
        if let Some((word, bit)) = place(port) {
            self.info.evtchn_pending[word].fetch_or(bit, SeqCst);
        }
    }

    pub(super) fn ack(&self, port: u32) {
        if let Some((word, bit)) = place(port) {
            self.info.evtchn_pending[word].fetch_and(!bit, SeqCst);
        }
    }

    pub(super) fn is_pending(&self, port: u32) -> bool {
        place(port)
            .is_some_and(|(word, bit)| self.info.evtchn_pending[word].load(SeqCst) & bit != 0)
    }

    pub(super) fn is_masked(&self, port: u32) -> bool {
        place(port).is_none_or(|(word, bit)| self.info.evtchn_mask[word].load(SeqCst) & bit != 0)
    }

    pub(super) fn poll(&self, vcpu: u32, event: &mut dyn FnMut(u32)) -> Polled {
        let mut polled = Polled::default();
        let (Some(vcpu_info), Some(start)) = (
            shared_info::vcpu_info(&self.info, vcpu),
            self.start.get(vcpu as usize),
        ) else {
            return polled;
        };
        let selected = vcpu_info.evtchn_pending_sel.swap(0, SeqCst);
        let first = start.load(Relaxed) % WORD_BITS;
        for step in 0..WORD_BITS {
            let word = (first + step) % WORD_BITS;
            if selected & (1 << word) != 0 {
                polled.events += self.scan(word, event);
                start.store(word + 1, Relaxed);
            }
        }
        polled
    }

    /// Hands out one word's ports.
    fn scan(&self, word: u32, event: &mut dyn FnMut(u32)) -> u32 {
        let index = word as usize;
        let mut bits = self.info.evtchn_pending[index].load(SeqCst)
            & !self.info.evtchn_mask[index].load(SeqCst);
        let count = bits.count_ones();
        while bits != 0 {
            event(word * WORD_BITS + bits.trailing_zeros());
            bits &= bits - 1;
        }
        count
    }
}

/// A port's word and bit.
fn place(port: u32) -> Option<(usize, u64)> {
    (port < super::MAX_PORTS).then(|| ((port / WORD_BITS) as usize, 1 << (port % WORD_BITS)))
}
