//! Counters that are written by a queue's routine and read at any time by anyone, without a lock.

use core::sync::atomic::{AtomicU64, Ordering};

use ndis_sys::constant::statistics;
use ndis_sys::object::{NDIS_OBJECT_HEADER, kind};
use ndis_sys::request::{NDIS_STATISTICS_INFO, SIZEOF_STATISTICS_INFO_REVISION_1};

/// Whom frames are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// One station.
    Unicast,
    /// A group.
    Multicast,
    /// All.
    Broadcast,
}

/// One way's counters. A frame is what the stack sees: a large send is one.
#[derive(Debug, Default)]
pub struct Counters {
    frames: [AtomicU64; 3],
    bytes: [AtomicU64; 3],
    discards: AtomicU64,
    errors: AtomicU64,
    hashes: [AtomicU64; 2],
}

/// A moment's values of [`Counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Frames to one station, to groups, to all.
    pub frames: [u64; 3],
    /// Their bytes.
    pub bytes: [u64; 3],
    /// Frames that were dropped though nothing was wrong with them.
    pub discards: u64,
    /// Frames that were dropped because something was.
    pub errors: u64,
    /// Frames that came with the backend's hash where one is computed here: with another, and with the same.
    pub hashes: [u64; 2],
}

impl Counters {
    /// All zero.
    pub const fn new() -> Self {
        Self {
            frames: [const { AtomicU64::new(0) }; 3],
            bytes: [const { AtomicU64::new(0) }; 3],
            discards: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            hashes: [const { AtomicU64::new(0) }; 2],
        }
    }

    /// Counts a frame.
    pub fn frame(&self, cast: Cast, bytes: u32) {
        let index = cast as usize;
        if let Some(frames) = self.frames.get(index) {
            frames.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(count) = self.bytes.get(index) {
            count.fetch_add(u64::from(bytes), Ordering::Relaxed);
        }
    }

    /// Counts a frame that was dropped for want of room.
    pub fn discard(&self) {
        self.discards.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a frame that was dropped for what it was.
    pub fn error(&self) {
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a frame that came with the backend's hash: the same as is computed here, or not.
    pub fn told_hash(&self, same: bool) {
        if let Some(count) = self.hashes.get(usize::from(same)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sets all values but those of hashes, for counters that somebody else keeps.
    pub fn store(&self, values: &Values) {
        let set = |counters: &[AtomicU64; 3], values: &[u64; 3]| {
            for (counter, value) in counters.iter().zip(values) {
                counter.store(*value, Ordering::Relaxed);
            }
        };
        set(&self.frames, &values.frames);
        set(&self.bytes, &values.bytes);
        self.discards.store(values.discards, Ordering::Relaxed);
        self.errors.store(values.errors, Ordering::Relaxed);
    }

    /// The values now; frames that are counted meanwhile are in some of them or in none.
    pub fn values(&self) -> Values {
        let load =
            |counters: &[AtomicU64; 3]| counters.each_ref().map(|c| c.load(Ordering::Relaxed));
        Values {
            frames: load(&self.frames),
            bytes: load(&self.bytes),
            discards: self.discards.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            hashes: self.hashes.each_ref().map(|c| c.load(Ordering::Relaxed)),
        }
    }
}

impl Values {
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let add = |a: [u64; 3], b: [u64; 3]| {
            let mut sum = a;
            for (to, from) in sum.iter_mut().zip(b) {
                *to += from;
            }
            sum
        };
        Self {
            frames: add(self.frames, other.frames),
            bytes: add(self.bytes, other.bytes),
            discards: self.discards + other.discards,
            errors: self.errors + other.errors,
            hashes: [0, 1].map(|i: usize| {
                let of = |values: &Self| values.hashes.get(i).copied().unwrap_or_default();
                of(&self) + of(&other)
            }),
        }
    }

    /// All frames.
    pub fn all_frames(&self) -> u64 {
        self.frames.iter().sum()
    }

    /// All bytes.
    pub fn all_bytes(&self) -> u64 {
        self.bytes.iter().sum()
    }
}

/// OID_GEN_STATISTICS.
pub fn describe(received: &Values, sent: &Values) -> NDIS_STATISTICS_INFO {
    let [in_frames, in_multicast, in_broadcast] = received.frames;
    let [in_bytes, in_multicast_bytes, in_broadcast_bytes] = received.bytes;
    let [out_frames, out_multicast, out_broadcast] = sent.frames;
    let [out_bytes, out_multicast_bytes, out_broadcast_bytes] = sent.bytes;
    NDIS_STATISTICS_INFO {
        Header: NDIS_OBJECT_HEADER::new(kind::DEFAULT, 1, SIZEOF_STATISTICS_INFO_REVISION_1),
        SupportedStatistics: statistics::ALL,
        ifInDiscards: received.discards,
        ifInErrors: received.errors,
        ifHCInOctets: received.all_bytes(),
        ifHCInUcastPkts: in_frames,
        ifHCInMulticastPkts: in_multicast,
        ifHCInBroadcastPkts: in_broadcast,
        ifHCOutOctets: sent.all_bytes(),
        ifHCOutUcastPkts: out_frames,
        ifHCOutMulticastPkts: out_multicast,
        ifHCOutBroadcastPkts: out_broadcast,
        ifOutErrors: sent.errors,
        ifOutDiscards: sent.discards,
        ifHCInUcastOctets: in_bytes,
        ifHCInMulticastOctets: in_multicast_bytes,
        ifHCInBroadcastOctets: in_broadcast_bytes,
        ifHCOutUcastOctets: out_bytes,
        ifHCOutMulticastOctets: out_multicast_bytes,
        ifHCOutBroadcastOctets: out_broadcast_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_sum_of_the_casts() {
        let (received, sent) = (Counters::new(), Counters::new());
        received.frame(Cast::Unicast, 100);
        received.frame(Cast::Multicast, 60);
        received.frame(Cast::Broadcast, 64);
        received.discard();
        received.told_hash(true);
        received.told_hash(true);
        received.told_hash(false);
        assert_eq!(received.values().plus(received.values()).hashes, [2, 4]);
        sent.frame(Cast::Broadcast, 42);
        sent.error();
        let info = describe(&received.values(), &sent.values().plus(sent.values()));
        assert_eq!(
            (
                info.ifHCInOctets,
                info.ifHCInUcastPkts,
                info.ifHCInMulticastOctets
            ),
            (224, 1, 60)
        );
        assert_eq!(
            (info.ifInDiscards, info.ifInErrors, info.ifOutErrors),
            (1, 0, 2)
        );
        assert_eq!((info.ifHCOutOctets, info.ifHCOutBroadcastPkts), (84, 2));
        assert_eq!(info.Header.Size, 152);
    }
}
