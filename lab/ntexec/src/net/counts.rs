//! What a binding counts.

use core::sync::atomic::{AtomicU64, Ordering};

use lab_protocol::net::Counters;

use super::offload::Work;
use super::verify::Outcome;
use crate::nt::ndis::NDIS_STATISTICS_INFO;

/// Processors that are told apart.
const CPUS: usize = 32;

/// Counts since the adapter was bound.
pub struct Counts {
    large_sends: AtomicU64,
    large_bytes: AtomicU64,
    largest: AtomicU64,
    checksums_sent: AtomicU64,
    checksums_received: AtomicU64,
    large_receives: AtomicU64,
    by_processor: [AtomicU64; CPUS],
    /// Frames to other stations, while the adapter is promiscuous
    pub foreign: AtomicU64,
    /// Received frames that were dropped, for a wrong checksum or a shape that cannot be read
    pub bad: AtomicU64,
    /// Frames whose send failed
    pub failed: AtomicU64,
    /// Frames that were not sent: without memory, or without link
    pub unsent: AtomicU64,
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Default for Counts {
    fn default() -> Self {
        Self::new()
    }
}

impl Counts {
    /// Zeroes.
    pub const fn new() -> Self {
        const fn zero() -> AtomicU64 {
            AtomicU64::new(0)
        }
        Self {
            large_sends: zero(),
            large_bytes: zero(),
            largest: zero(),
            checksums_sent: zero(),
            checksums_received: zero(),
            large_receives: zero(),
            by_processor: [const { zero() }; CPUS],
            foreign: zero(),
            bad: zero(),
            failed: zero(),
            unsent: zero(),
        }
    }

    /// A frame of `length` bytes is handed to the adapter.
    pub fn sent(&self, work: &Work, length: usize) {
        if work.segment.is_some() {
            add(&self.large_sends, 1);
            add(&self.large_bytes, length as u64);
            self.largest.fetch_max(length as u64, Ordering::Relaxed);
        } else if work.tcp || work.udp {
            add(&self.checksums_sent, 1);
        }
    }

    /// A frame came on a processor.
    pub fn received(&self, outcome: &Outcome, cpu: usize) {
        add(&self.checksums_received, u64::from(outcome.vouched));
        add(&self.large_receives, u64::from(outcome.large));
        add(&self.bad, u64::from(!outcome.good));
        if let Some(counter) = self.by_processor.get(cpu) {
            add(counter, 1);
        }
    }

    /// The report, with what the adapter says.
    pub fn report(&self, nic: u32, cpus: usize, own: &NDIS_STATISTICS_INFO) -> Counters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            nic,
            packets_received: own.ifHCInUcastPkts
                + own.ifHCInMulticastPkts
                + own.ifHCInBroadcastPkts,
            bytes_received: own.ifHCInOctets,
            packets_sent: own.ifHCOutUcastPkts
                + own.ifHCOutMulticastPkts
                + own.ifHCOutBroadcastPkts,
            bytes_sent: own.ifHCOutOctets,
            dropped_received: own.ifInDiscards,
            dropped_sent: own.ifOutDiscards,
            errors_received: own.ifInErrors,
            errors_sent: own.ifOutErrors,
            large_sends: get(&self.large_sends),
            checksums_sent: get(&self.checksums_sent),
            checksums_received: get(&self.checksums_received),
            large_receives: get(&self.large_receives),
            by_processor: self.by_processor.iter().take(cpus).map(get).collect(),
        }
    }

    /// A line for people, of what the report has no place for.
    pub fn line(&self) -> alloc::string::String {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let sends = get(&self.large_sends);
        alloc::format!(
            "large sends {sends} of {} bytes on average, {} at most; dropped: {} received, {} failed sends, {} not sent",
            get(&self.large_bytes) / sends.max(1),
            get(&self.largest),
            get(&self.bad),
            get(&self.failed),
            get(&self.unsent)
        )
    }
}
