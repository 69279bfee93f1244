//! Large TCP packets that get a tag, cut into frames here.
//!
//! `io/netif.h` has no place for where the headers of a packet are, and Linux' backend looks for them right behind an
//! untagged Ethernet header: it drops a tagged frame whose checksum or segmentation is left to it, and says that it was sent.

use core::num::NonZeroU16;

use xen_abi::netif::TxFlags;
use xen_front::RingMemory;

use super::build::Pieces;
use super::{BadPacket, Frames, Host, Outcome, Packet, Queue, Refused, SLOTS};
use crate::checksum::Sum;
use crate::grant::PAGE_SIZE;
use crate::header::{Cast, HEADER_MAX, Headers, MINIMUM_FRAME, TAG};
use crate::segment::Segmenter;

impl<M: RingMemory, H: Host> Queue<M, H> {
    /// Takes a large packet as the frames that it is cut into; it finishes when the last of them does. There is a ring,
    /// and room for a packet.
    pub(super) fn send_cut(
        &mut self,
        host: &mut H,
        packet: &Packet,
        size: NonZeroU16,
    ) -> Result<(), Refused> {
        let total = packet.length.saturating_add(TAG as u32);
        let (mut segmenter, cast) = self.segmenter(host, packet, total, size)?;
        let frame = u32::from(segmenter.header_length()) + u32::from(size.get()).min(total);
        let pages = frame.div_ceil(PAGE_SIZE);
        if pages > 1 && !self.limits.scatter_gather {
            return Err(BadPacket::TooLong(frame).into());
        }
        let count = segmenter.count();
        let slots = count.saturating_mul(pages) as usize;
        if slots > usize::from(SLOTS).min(self.own.len()) {
            return Err(BadPacket::TooLong(total).into());
        }
        if !self.room(slots, 0) || self.free.len() < slots {
            return Err(Refused::Full);
        }
        let id = self.enter(packet.client, None).ok_or(Refused::Full)?;
        let (mut taken, mut sent) = (0, Frames::default());
        while sent.frames != u64::from(count) {
            let mut pieces = Pieces::new_const();
            if self
                .segment(host, packet, &mut segmenter, &mut pieces)
                .is_none()
            {
                self.undo(host, &pieces);
                break;
            }
            let bytes: u32 = pieces.iter().map(|piece| u32::from(piece.length)).sum();
            sent.frames += 1;
            sent.bytes += u64::from(bytes);
            taken += pieces.len() as u16;
            self.put(id, TxFlags::empty(), None, &pieces);
        }
        if taken == 0 {
            // Not one grant: nothing of it is on the ring.
            self.packets.remove(id);
            return Err(Refused::Full);
        }
        if let Some(record) = self.packets.get_mut(id) {
            record.outstanding = taken;
            record.frames = Some((cast, sent));
            if sent.frames != u64::from(count) {
                // The rest is lost as frames are.
                record.outcome = Outcome::Dropped;
            }
        }
        self.counters.cut += 1;
        Ok(())
    }

    /// What is to be cut, and whom it is for.
    fn segmenter(
        &mut self,
        host: &mut H,
        packet: &Packet,
        total: u32,
        size: NonZeroU16,
    ) -> Result<(Segmenter, Cast), Refused> {
        let mut pieces = Pieces::new_const();
        let page = self.own_piece(host, &mut pieces).ok_or(Refused::Full)?;
        let head = total.min(HEADER_MAX as u32);
        let copied = self.copy(host, packet, page, 0, head);
        let header = host.page(page).get(..head as usize).unwrap_or_default();
        let cast = header.first_chunk().map_or(Cast::Unicast, Cast::of);
        let segmenter = Headers::parse(header, total)
            .and_then(|headers| Segmenter::new(header, &headers, size.get()));
        // The page was only needed to see the headers in one piece.
        self.undo(host, &pieces);
        copied?;
        Ok((segmenter.ok_or(BadPacket::Headers)?, cast))
    }

    /// Makes the next frame in own pages. `None`: not possible; `pieces` are then to be undone.
    fn segment(
        &mut self,
        host: &mut H,
        packet: &Packet,
        segmenter: &mut Segmenter,
        pieces: &mut Pieces<H::Grant>,
    ) -> Option<()> {
        let first = self.own_piece(host, pieces)?;
        let segment = segmenter.next(host.page(first))?;
        let mut from = segment.payload_offset.checked_sub(TAG as u32)?;
        let (mut left, mut at) = (segment.payload_length, u32::from(segment.header_length));
        let (mut page, mut sum) = (first, Sum::ZERO);
        loop {
            let length = left.min(PAGE_SIZE.checked_sub(at)?);
            if !host.copy_in(packet.client, from, page, at, length) {
                return None;
            }
            let bytes = host.page(page).get(at as usize..(at + length) as usize);
            sum.add(bytes?);
            pieces.last_mut()?.length = (at + length) as u16;
            (from, left) = (from + length, left - length);
            if left == 0 {
                break;
            }
            page = self.own_piece(host, pieces)?;
            at = 0;
        }
        segmenter.finish(host.page(first), &segment, sum);
        let length = u32::from(segment.header_length) + segment.payload_length;
        self.tidy(host, pieces, length);
        self.counters.copied += u64::from(length.max(MINIMUM_FRAME));
        self.counters.summed += 1;
        Some(())
    }
}
