//! What can be done with a packet that came.

use super::{Packet, Pages, Piece};
use crate::checksum::{Sum, pseudo_header};
use crate::grant::PAGE_SIZE;
use crate::header::{ETHERNET, HEADER_MAX, Headers, Kind, TAG, Transport, Version};

/// What a check of a checksum came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// There is none, or it cannot be checked.
    NotChecked,
    /// It is right.
    Good,
    /// It is wrong.
    Bad,
}

/// Verdicts on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// On the IPv4 header's checksum.
    pub ip: Verdict,
    /// On TCP's or UDP's.
    pub transport: Verdict,
}

fn verdict(good: bool) -> Verdict {
    if good { Verdict::Good } else { Verdict::Bad }
}

impl Piece {
    /// Its bytes.
    fn bytes<'a>(&self, pages: &'a mut impl Pages) -> &'a mut [u8] {
        let start = usize::from(self.offset);
        pages
            .page(self.page)
            .get_mut(start..start + usize::from(self.length))
            .unwrap_or_default()
    }
}

impl Packet {
    /// Its pieces, in order.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Bytes of all pieces.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Calls `f` with the bytes from `start` to `end`, piece by piece.
    fn each(&self, pages: &mut impl Pages, start: u32, end: u32, mut f: impl FnMut(&mut [u8])) {
        let mut at = 0;
        for piece in &self.pieces {
            let behind = at + u32::from(piece.length);
            let from = start.clamp(at, behind) - at;
            let to = end.clamp(at, behind) - at;
            if from < to {
                let bytes = piece.bytes(pages).get_mut(from as usize..to as usize);
                f(bytes.unwrap_or_default());
            }
            at = behind;
        }
    }

    /// Copies bytes from `offset` on out; returns how many there were.
    pub fn copy_out(&self, pages: &mut impl Pages, offset: u32, to: &mut [u8]) -> usize {
        let end = offset.saturating_add(to.len() as u32);
        let mut done = 0;
        self.each(pages, offset, end, |bytes| {
            if let Some(to) = to.get_mut(done..done + bytes.len()) {
                to.copy_from_slice(bytes);
                done += bytes.len();
            }
        });
        done
    }

    /// Copies bytes in from `offset` on.
    fn copy_in(&self, pages: &mut impl Pages, offset: u32, mut from: &[u8]) {
        let end = offset.saturating_add(from.len() as u32);
        self.each(pages, offset, end, |bytes| {
            if let Some((now, later)) = from.split_at_checked(bytes.len()) {
                bytes.copy_from_slice(now);
                from = later;
            }
        });
    }

    /// Its first bytes, copied out to be parsed.
    pub fn header<'a>(
        &self,
        pages: &mut impl Pages,
        buffer: &'a mut [u8; HEADER_MAX],
    ) -> &'a mut [u8] {
        let length = self.copy_out(pages, 0, buffer);
        buffer.get_mut(..length).unwrap_or_default()
    }

    /// The sum of the bytes from `start` to `end`.
    pub fn sum(&self, pages: &mut impl Pages, start: u32, end: u32) -> Sum {
        let mut sum = Sum::ZERO;
        self.each(pages, start, end, |bytes| sum.add(bytes));
        sum
    }

    /// Moves bytes between pages until the first piece has `count` bytes, or all the packet has: whoever gets the packet
    /// may want its headers in one piece. False: more than [`HEADER_MAX`] were asked for.
    ///
    /// Pieces that are used up stay the packet's, with no bytes.
    pub fn pull_up(&mut self, pages: &mut impl Pages, count: u32) -> bool {
        let count = count.min(self.length);
        if count > HEADER_MAX as u32 {
            return false;
        }
        let Some(first) = self.pieces.first().copied() else {
            return count == 0;
        };
        let have = u32::from(first.length);
        if have >= count {
            return true;
        }
        let mut bytes = [0; HEADER_MAX];
        let Some(missing) = bytes.get_mut(..(count - have) as usize) else {
            return false;
        };
        self.copy_out(pages, have, missing);
        let page = pages.page(first.page);
        let start = usize::from(first.offset);
        let mut offset = first.offset;
        if u32::from(offset) + count > PAGE_SIZE {
            page.copy_within(start..start + have as usize, 0);
            offset = 0;
        }
        let behind = usize::from(offset) + have as usize;
        let Some(to) = page.get_mut(behind..behind + missing.len()) else {
            return false;
        };
        to.copy_from_slice(missing);
        let mut left = (count - have) as u16;
        for piece in self.pieces.iter_mut().skip(1) {
            let taken = piece.length.min(left);
            piece.offset += taken;
            piece.length -= taken;
            left -= taken;
        }
        if let Some(first) = self.pieces.first_mut() {
            (first.offset, first.length) = (offset, count as u16);
        }
        true
    }

    /// Takes an 802.1Q tag out of the frame and returns its tag control information, for whoever wants it beside the
    /// frame. `None`: it has none in its first piece, and is unchanged.
    pub fn strip_tag(&mut self, pages: &mut impl Pages) -> Option<u16> {
        let first = self.pieces.first_mut()?;
        let tag = ETHERNET - 2;
        let bytes = first.bytes(pages).get_mut(..tag + TAG + 2)?;
        let [0x81, 0x00, high, low] = bytes.get(tag..tag + TAG)? else {
            return None;
        };
        let tci = u16::from_be_bytes([*high, *low]);
        bytes.copy_within(..tag, TAG);
        first.offset += TAG as u16;
        first.length -= TAG as u16;
        self.length -= TAG as u32;
        Some(tci)
    }

    /// The sum of what a transport checksum covers, pseudo header included.
    fn covered(
        &self,
        pages: &mut impl Pages,
        header: &[u8],
        headers: &Headers,
        transport: &Transport,
    ) -> Option<Sum> {
        let network = headers.network?;
        let addresses = network.addresses(header);
        let length = transport.covered();
        let mut sum = pseudo_header(addresses, transport.kind.protocol(), length);
        sum.append(self.sum(pages, u32::from(transport.offset), transport.end));
        Some(sum)
    }

    /// Makes the TCP or UDP checksum of a packet that has a blank one. `header` is what [`Self::header`] gave, `headers`
    /// what was made of it. False: it has no such header.
    pub fn complete_checksum(
        &self,
        pages: &mut impl Pages,
        header: &[u8],
        headers: &Headers,
    ) -> bool {
        let Some(transport) = headers.transport else {
            return false;
        };
        let at = transport.checksum() as u32;
        self.copy_in(pages, at, &[0, 0]);
        let Some(sum) = self.covered(pages, header, headers, &transport) else {
            return false;
        };
        let checksum = match transport.kind {
            Kind::Tcp => sum.checksum(),
            Kind::Udp => sum.udp_checksum(),
        };
        self.copy_in(pages, at, &checksum);
        true
    }

    /// Checks its checksums. Of a packet with a blank checksum only the IP header's is looked at.
    pub fn verify_checksum(
        &self,
        pages: &mut impl Pages,
        header: &[u8],
        headers: &Headers,
    ) -> Verified {
        let mut verified = Verified {
            ip: Verdict::NotChecked,
            transport: Verdict::NotChecked,
        };
        if let Some(network) = headers.network
            && network.version == Version::V4
        {
            let at = usize::from(network.offset);
            let bytes = header.get(at..at + usize::from(network.length));
            verified.ip = verdict(bytes.is_some_and(|bytes| Sum::of(bytes).is_valid()));
        }
        if let Some(transport) = headers.transport
            && self.checksum != super::Checksum::Blank
        {
            let at = transport.checksum();
            // UDP over IPv4 need not have one (RFC 768).
            let none = transport.kind == Kind::Udp
                && headers.network.is_some_and(|n| n.version == Version::V4)
                && header.get(at..at + 2).is_some_and(|sum| sum == [0, 0]);
            if !none && let Some(sum) = self.covered(pages, header, headers, &transport) {
                verified.transport = verdict(sum.is_valid());
            }
        }
        verified
    }
}
