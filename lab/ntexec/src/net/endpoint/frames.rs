//! Single frames: their tags, what is written down of those that come, and some that are sent by no stack.

use core::sync::atomic::Ordering;

use super::{Buffer, Endpoint, Frame, Incoming, Ready};
use crate::net::offload::Work;
use crate::net::{oob, seen};
use crate::nt::ke::PVOID;
use crate::nt::ndis::*;
use crate::storport::os::current_cpu;

/// The Ethernet type for experiments (IEEE 802, "Local Experimental Ethertype 1").
const EXPERIMENT: [u8; 2] = [0x88, 0xb5];
/// Where an Ethernet frame's payload begins.
const PAYLOAD: usize = 14;

impl Endpoint {
    /// Frames of this VLAN alone are taken from now on, and what is sent has this tag beside it. At most DISPATCH_LEVEL.
    pub fn set_tag(&self, vlan: u16, sent: u16) {
        self.vlan.store(vlan, Ordering::SeqCst);
        self.builder.lock().tag = sent;
    }

    /// Writes down what the adapter said of a frame, if a plan wants that; whether it is of the stack's VLAN.
    pub(super) fn note(&self, frame: &Incoming, large: bool, slots: &[PVOID; 27]) -> bool {
        let control = oob::control(slots[Ieee8021QNetBufferListInfo] as usize);
        let wanted = self.seen.lock().is_wanted();
        if wanted {
            let frame = self.told_of(frame, control, large, slots);
            self.seen.lock().add(frame);
        }
        seen::vlan(control) == self.vlan.load(Ordering::Relaxed)
    }

    /// What the adapter said of a frame.
    fn told_of(
        &self,
        frame: &Incoming,
        control: u16,
        large: bool,
        slots: &[PVOID; 27],
    ) -> seen::Frame {
        let information = slots[NetBufferListHashInfo] as usize as u32;
        let value = slots[NetBufferListHashValue] as usize as u32;
        let has_hash = information & NDIS_HASH_FUNCTION_MASK != 0;
        let home = if has_hash {
            let hashing = self.hashing.lock();
            hashing.as_ref().and_then(|hashing| hashing.home(value))
        } else {
            None
        };
        seen::Frame {
            to: frame.as_ref().first_chunk().copied().unwrap_or_default(),
            control,
            large,
            coalesced: slots[TcpRecvSegCoalesceInfo] as usize & 0xffff != 0,
            hashed: has_hash && information & (NDIS_HASH_TCP_IPV4 | NDIS_HASH_TCP_IPV6) != 0,
            at_home: home.map(|home| home == current_cpu()),
            processor: current_cpu() as u32,
        }
    }

    /// Sends a frame to `to` of `size` bytes with its Ethernet header, which is filled with a pattern. False: there is no
    /// memory. At most DISPATCH_LEVEL.
    pub fn send_frame(&self, to: [u8; 6], size: usize) -> bool {
        let Some(mut frame) = Buffer::new(size.max(PAYLOAD)) else {
            return false;
        };
        let (head, payload) = frame.bytes_mut().split_at_mut(PAYLOAD);
        head[..6].copy_from_slice(&to);
        head[6..12].copy_from_slice(&self.mac);
        head[12..].copy_from_slice(&EXPERIMENT);
        for (at, byte) in payload.iter_mut().enumerate() {
            *byte = at as u8;
        }
        let work = Work::default();
        self.outbox.lock().push(Ready { frame, work });
        self.hand_over();
        true
    }
}
