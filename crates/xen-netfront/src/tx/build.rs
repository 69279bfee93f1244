//! From packets to transmit requests.

use arrayvec::ArrayVec;
use xen_abi::netif::{ExtraMcast, ExtraType, MAX_TX_SIZE, TxFlags, TxRequest};
use xen_front::RingMemory;
use zerocopy::{Immutable, IntoBytes};

use super::offload::{Blank, Prepared, prepare};
use super::{
    BadPacket, Frames, Host, Memory, Multicast, Outcome, PACKET_SLOTS, Packet, Queue, Record,
    Refused, SLOTS, Slot,
};
use crate::checksum::Sum;
use crate::grant::{Client, PAGE_SIZE};
use crate::header::{Cast, ETHERNET, HEADER_MAX, MINIMUM_FRAME, TAG};

/// Where a tag goes: behind both addresses.
const TAG_AT: u32 = 12;
/// Words of an entry.
const WORDS: usize = super::TX_ENTRY_SIZE / 4;

/// A piece of a packet, in a page that is granted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<G> {
    memory: Memory<G>,
    reference: u32,
    offset: u16,
    pub(super) length: u16,
}

pub(super) type Pieces<G> = ArrayVec<Piece<G>, PACKET_SLOTS>;

/// An entry of the ring.
fn entry<T: IntoBytes + Immutable>(item: &T) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    for (to, from) in words.as_mut_bytes().iter_mut().zip(item.as_bytes()) {
        *to = *from;
    }
    words
}

impl<M: RingMemory, H: Host> Queue<M, H> {
    /// Takes a packet. The backend sees it with the next [`Self::publish`].
    ///
    /// # Errors
    /// [`Refused`]; the packet is then still the driver's.
    pub fn send(&mut self, host: &mut H, packet: &Packet) -> Result<(), Refused> {
        let result = self.try_send(host, packet);
        self.counters.refused += u64::from(matches!(result, Err(Refused::Bad(_))));
        result
    }

    fn try_send(&mut self, host: &mut H, packet: &Packet) -> Result<(), Refused> {
        if !self.has_ring() {
            return Err(Refused::NotConnected);
        }
        let tag = packet.tag.map_or(0, |_| TAG as u32);
        if packet.length < ETHERNET as u32 {
            return Err(BadPacket::TooShort(packet.length).into());
        }
        let total = packet.length.saturating_add(tag);
        let most = if self.limits.scatter_gather {
            MAX_TX_SIZE
        } else {
            PAGE_SIZE
        };
        if total > most {
            return Err(BadPacket::TooLong(total).into());
        }
        if !self.room(1, 0) {
            return Err(Refused::Full);
        }
        if let (Some(_), Some(size)) = (packet.tag, packet.offload.segment) {
            return self.send_cut(host, packet, size);
        }
        let mut pieces = Pieces::new_const();
        match self.gather(host, packet, total, &mut pieces) {
            Ok((prepared, cast)) => {
                self.counters.large += u64::from(prepared.gso.is_some());
                self.counters.blank += u64::from(prepared.flags.contains(TxFlags::CSUM_BLANK));
                let extra = prepared.gso.map(|gso| entry(&gso));
                // As the backend sees it, and whoever looks at what it sends: with its padding.
                let bytes = u64::from(total.max(MINIMUM_FRAME));
                let frame = Some((cast, Frames { frames: 1, bytes }));
                self.push(packet.client, frame, prepared.flags, extra, &pieces);
                Ok(())
            }
            Err(refused) => {
                self.undo(host, &pieces);
                Err(refused)
            }
        }
    }

    /// Room for one more packet with so many pieces and extra infos.
    pub(super) fn room(&self, pieces: usize, extras: u32) -> bool {
        let slots = self.free_slots() >= pieces as u32 + extras;
        let table = usize::from(SLOTS) - self.slots.len() >= pieces;
        slots && table && self.packets.len() + self.finished.len() < self.capacity
    }

    /// Makes the pieces of a packet. On an error they are what is to be undone.
    fn gather(
        &mut self,
        host: &mut H,
        packet: &Packet,
        total: u32,
        pieces: &mut Pieces<H::Grant>,
    ) -> Result<(Prepared, Cast), Refused> {
        let whole = total <= self.limits.copy_limit.min(PAGE_SIZE);
        let head = if whole {
            total
        } else {
            total.min(HEADER_MAX as u32)
        };
        let page = self.own_piece(host, pieces).ok_or(Refused::Full)?;
        self.copy(host, packet, page, 0, head)?;
        let bytes = host.page(page);
        let header_bytes = head as usize;
        let header = bytes.get_mut(..header_bytes).unwrap_or_default();
        let prepared = prepare(header, total, &packet.offload, &self.limits)?;
        let cast = header.first_chunk().map_or(Cast::Unicast, Cast::of);
        if !whole {
            self.rest(
                host,
                packet,
                (head, total),
                prepared.blank.is_some(),
                pieces,
            )?;
        } else if let Some(first) = pieces.first_mut() {
            first.length = head as u16;
        }
        if !self.room(pieces.len(), u32::from(prepared.gso.is_some())) {
            return Err(Refused::Full);
        }
        self.tidy(host, pieces, total);
        if let Some(blank) = prepared.blank {
            self.sum(host, pieces, &blank);
        }
        Ok((prepared, cast))
    }

    /// What follows the first bytes: granted where it lies, or copied.
    fn rest(
        &mut self,
        host: &mut H,
        packet: &Packet,
        (head, total): (u32, u32),
        copy: bool,
        pieces: &mut Pieces<H::Grant>,
    ) -> Result<(), Refused> {
        let tag = packet.tag.map_or(0, |_| TAG as u32);
        let in_place = self.limits.trusted
            && !copy
            && self.limits.scatter_gather
            && fits(host, packet, head - tag);
        if let Some(first) = pieces.first_mut() {
            first.length = head as u16;
        }
        if in_place && self.grant_rest(host, packet, head - tag, pieces)? {
            return Ok(());
        }
        self.copy_rest(host, packet, (head, total), pieces)
    }

    /// Grants what follows byte `from`. False: there are not enough grants, and none is left.
    fn grant_rest(
        &mut self,
        host: &mut H,
        packet: &Packet,
        from: u32,
        pieces: &mut Pieces<H::Grant>,
    ) -> Result<bool, Refused> {
        let mut offset = from;
        while let Some((frame, in_page, length)) = piece_at(host, packet, offset) {
            let granted = if pieces.is_full() {
                None
            } else {
                host.grant(frame)
            };
            let Some(grant) = granted else {
                while pieces.len() > 1 {
                    if let Some(piece) = pieces.pop() {
                        self.undo(host, core::slice::from_ref(&piece));
                    }
                }
                return Ok(false);
            };
            self.counters.in_place += 1;
            pieces.push(Piece {
                memory: Memory::InPlace(grant),
                reference: host.reference(grant),
                offset: in_page as u16,
                length: length as u16,
            });
            offset += length;
        }
        if offset == packet.length {
            Ok(true)
        } else {
            Err(BadPacket::Memory.into())
        }
    }

    /// Copies what follows byte `head` into own pages: the first one's rest, then as many as it takes.
    fn copy_rest(
        &mut self,
        host: &mut H,
        packet: &Packet,
        (head, total): (u32, u32),
        pieces: &mut Pieces<H::Grant>,
    ) -> Result<(), Refused> {
        let mut done = head;
        while done < total {
            let at = done % PAGE_SIZE;
            let length = (total - done).min(PAGE_SIZE - at);
            let page = if at == 0 {
                self.own_piece(host, pieces).ok_or(Refused::Full)?
            } else {
                match pieces.last().map(|piece| piece.memory) {
                    Some(Memory::Own(page)) => page,
                    _ => return Err(BadPacket::Memory.into()),
                }
            };
            self.copy(host, packet, page, done, length)?;
            if let Some(piece) = pieces.last_mut() {
                piece.length = (at + length) as u16;
            }
            done += length;
        }
        Ok(())
    }

    /// Copies bytes `from` to `from + length` of the frame, tag included, to where they belong in a page.
    pub(super) fn copy(
        &mut self,
        host: &mut H,
        packet: &Packet,
        page: u16,
        from: u32,
        length: u32,
    ) -> Result<(), BadPacket> {
        let at = from % PAGE_SIZE;
        let mut copy = |offset, at, length| {
            if length == 0 || host.copy_in(packet.client, offset, page, at, length) {
                Ok(())
            } else {
                Err(BadPacket::Memory)
            }
        };
        match packet.tag {
            Some(_) if from != 0 => copy(from - TAG as u32, at, length)?,
            Some(tci) => {
                let behind = TAG_AT + TAG as u32;
                copy(0, 0, TAG_AT)?;
                copy(TAG_AT, behind, length.saturating_sub(behind))?;
                let [high, low] = tci.to_be_bytes();
                let tag = host.page(page).get_mut(TAG_AT as usize..behind as usize);
                if let Some(to) = tag {
                    to.copy_from_slice(&[0x81, 0x00, high, low]);
                }
            }
            None => copy(from, at, length)?,
        }
        self.counters.copied += u64::from(length);
        Ok(())
    }

    /// A page of the queue's own as the next piece, granted.
    pub(super) fn own_piece(&mut self, host: &mut H, pieces: &mut Pieces<H::Grant>) -> Option<u16> {
        if pieces.is_full() {
            return None;
        }
        let page = *self.free.last()?;
        let own = self.own.get_mut(usize::from(page))?;
        let grant = match own.grant {
            Some(grant) => grant,
            None => {
                if !own.clean {
                    // What the system left there is nobody's business.
                    host.page(page).fill(0);
                    own.clean = true;
                }
                let grant = host.grant(host.page_frame(page))?;
                own.grant = Some(grant);
                grant
            }
        };
        self.free.pop();
        pieces.push(Piece {
            memory: Memory::Own(page),
            reference: host.reference(grant),
            offset: 0,
            length: 0,
        });
        Some(page)
    }

    /// Pads a short frame, and clears what an earlier packet left behind the data where the backend is not trusted.
    pub(super) fn tidy(&mut self, host: &mut H, pieces: &mut Pieces<H::Grant>, total: u32) {
        if total < MINIMUM_FRAME
            && let Some(first) = pieces.first_mut()
            && let Memory::Own(page) = first.memory
        {
            let padding = total as usize..MINIMUM_FRAME as usize;
            host.page(page).get_mut(padding).unwrap_or_default().fill(0);
            first.length = MINIMUM_FRAME as u16;
        }
        for piece in pieces {
            let Memory::Own(page) = piece.memory else {
                continue;
            };
            let Some(own) = self.own.get_mut(usize::from(page)) else {
                continue;
            };
            if piece.length < own.dirty && !self.limits.trusted {
                let stale = usize::from(piece.length)..usize::from(own.dirty);
                host.page(page).get_mut(stale).unwrap_or_default().fill(0);
                own.dirty = piece.length;
            }
            own.dirty = own.dirty.max(piece.length);
        }
    }

    /// Makes a checksum that the backend does not make. All pieces are own pages then, each full but the last.
    fn sum(&mut self, host: &mut H, pieces: &[Piece<H::Grant>], blank: &Blank) {
        let mut sum = Sum::ZERO;
        let mut start = 0;
        for piece in pieces {
            let Memory::Own(page) = piece.memory else {
                continue;
            };
            let end = start + u32::from(piece.length);
            let from = blank.from.clamp(start, end) - start;
            let to = blank.to.clamp(start, end) - start;
            let bytes = host.page(page).get(from as usize..to as usize);
            sum.add(bytes.unwrap_or_default());
            start = end;
        }
        let checksum = if blank.udp {
            sum.udp_checksum()
        } else {
            sum.checksum()
        };
        if let Some(Memory::Own(page)) = pieces.first().map(|piece| piece.memory)
            && let Some(to) = host.page(page).get_mut(blank.at..blank.at + 2)
        {
            to.copy_from_slice(&checksum);
        }
        self.counters.summed += 1;
    }

    /// Takes back pieces that the backend never saw.
    pub(super) fn undo(&mut self, host: &mut H, pieces: &[Piece<H::Grant>]) {
        for piece in pieces {
            match piece.memory {
                Memory::Own(page) => {
                    if let Some(own) = self.own.get_mut(usize::from(page)) {
                        // Perhaps all of it was written.
                        own.dirty = PAGE_SIZE as u16;
                    }
                    self.free.push(page);
                }
                Memory::InPlace(grant) => {
                    if host.end(grant).is_err() {
                        // The backend mapped a page that it was not told of. It can only read it.
                        self.counters.still_in_use += 1;
                        self.abandoned += 1;
                    }
                }
            }
        }
    }

    /// Puts a packet's pieces on the ring, with an extra info behind the first; there is room for them.
    fn push(
        &mut self,
        client: Client,
        frames: Option<(Cast, Frames)>,
        flags: TxFlags,
        extra: Option<[u32; WORDS]>,
        pieces: &[Piece<H::Grant>],
    ) {
        let Some(packet) = self.enter(client, frames) else {
            return;
        };
        if let Some(record) = self.packets.get_mut(packet) {
            record.outstanding = pieces.len() as u16;
        }
        self.put(packet, flags, extra, pieces);
    }

    /// A packet without pieces yet. `None`: there is no room.
    pub(super) fn enter(&mut self, client: Client, frames: Option<(Cast, Frames)>) -> Option<u16> {
        let record = Record {
            client,
            outstanding: 0,
            outcome: Outcome::Sent,
            frames,
        };
        self.packets.insert(record).ok()
    }

    /// Puts the pieces of one frame of a packet on the ring; there is room for them.
    pub(super) fn put(
        &mut self,
        packet: u16,
        flags: TxFlags,
        extra: Option<[u32; WORDS]>,
        pieces: &[Piece<H::Grant>],
    ) {
        let Some(ring) = self.ring.as_mut() else {
            return;
        };
        // The first slot says the size of the whole packet.
        let mut size = pieces.iter().map(|piece| piece.length).sum();
        let mut first = flags;
        first.set(TxFlags::EXTRA_INFO, extra.is_some());
        for (index, piece) in pieces.iter().enumerate() {
            let slot = Slot {
                packet,
                memory: piece.memory,
                revoking: false,
            };
            let Ok(id) = self.slots.insert(slot) else {
                continue;
            };
            let mut flags = if index == 0 { first } else { TxFlags::empty() };
            flags.set(TxFlags::MORE_DATA, index + 1 != pieces.len());
            ring.push(&entry(&TxRequest {
                gref: piece.reference,
                offset: piece.offset,
                flags: flags.bits(),
                id,
                size,
            }));
            if index == 0
                && let Some(extra) = &extra
            {
                ring.push(extra);
                self.extras += 1;
            }
            size = pieces.get(index + 1).map_or(0, |next| next.length);
        }
        self.counters.slots += pieces.len() as u64;
    }

    /// Tells the backend of a multicast address, by a request that carries no packet. It finishes as a packet does.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn multicast(
        &mut self,
        host: &mut H,
        client: Client,
        change: Multicast,
    ) -> Result<(), Refused> {
        if !self.has_ring() {
            return Err(Refused::NotConnected);
        }
        let mut pieces = Pieces::new_const();
        if !self.room(1, 1) || self.own_piece(host, &mut pieces).is_none() {
            return Err(Refused::Full);
        }
        // A backend that takes it for a frame after all finds no bytes.
        self.tidy(host, &mut pieces, MINIMUM_FRAME);
        let (kind, addr) = match change {
            Multicast::Add(addr) => (ExtraType::MCAST_ADD, addr),
            Multicast::Remove(addr) => (ExtraType::MCAST_DEL, addr),
        };
        let extra = ExtraMcast {
            kind,
            flags: 0,
            addr,
        };
        self.push(client, None, TxFlags::empty(), Some(entry(&extra)), &pieces);
        Ok(())
    }
}

/// The piece of a packet at a byte, cut at the end of its page: frame, byte in the page, bytes.
fn piece_at<H: Host>(host: &H, packet: &Packet, offset: u32) -> Option<(u64, u32, u32)> {
    let left = packet
        .length
        .checked_sub(offset)
        .filter(|left| *left != 0)?;
    let fragment = host.fragment(packet.client, offset)?;
    let in_page = (fragment.address % u64::from(PAGE_SIZE)) as u32;
    let length = fragment.length.min(PAGE_SIZE - in_page).min(left);
    (length != 0).then_some((fragment.address / u64::from(PAGE_SIZE), in_page, length))
}

/// What follows byte `from` fits the slots that the first bytes leave.
fn fits<H: Host>(host: &H, packet: &Packet, from: u32) -> bool {
    let (mut offset, mut count) = (from, 0);
    while let Some((_, _, length)) = piece_at(host, packet, offset) {
        offset += length;
        count += 1;
        if count >= PACKET_SLOTS {
            return false;
        }
    }
    true
}
