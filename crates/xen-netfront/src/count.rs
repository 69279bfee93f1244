//! Counts of frames by whom they are for, as NDIS and a capture in the backend's domain count them.

use crate::header::Cast;

/// Frames and their bytes, link header included, check sequence not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    /// Frames; a large packet is one.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Frames by whom they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByCast {
    /// To one station.
    pub unicast: Frames,
    /// To a group.
    pub multicast: Frames,
    /// To all.
    pub broadcast: Frames,
}

impl ByCast {
    /// Counts a frame.
    pub fn add(&mut self, cast: Cast, bytes: u32) {
        let bytes = u64::from(bytes);
        self.add_all(cast, Frames { frames: 1, bytes });
    }

    /// Counts frames.
    pub fn add_all(&mut self, cast: Cast, frames: Frames) {
        let counter = match cast {
            Cast::Unicast => &mut self.unicast,
            Cast::Multicast => &mut self.multicast,
            Cast::Broadcast => &mut self.broadcast,
        };
        counter.frames += frames.frames;
        counter.bytes += frames.bytes;
    }

    /// All frames.
    pub fn frames(&self) -> u64 {
        self.unicast.frames + self.multicast.frames + self.broadcast.frames
    }

    /// All bytes.
    pub fn bytes(&self) -> u64 {
        self.unicast.bytes + self.multicast.bytes + self.broadcast.bytes
    }
}
