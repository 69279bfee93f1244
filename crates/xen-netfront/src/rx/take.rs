//! From responses to packets.

use arrayvec::ArrayVec;
use xen_abi::netif::{
    EXTRA_FLAG_MORE, ExtraGso, ExtraHash, ExtraInfo, ExtraType, GsoType, RxFlags, RxResponse,
    Status,
};
use xen_front::{FrontRing, RingMemory, Taken};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    Checksum, Drop, EXTRAS, Fault, Hash, Host, Large, PACKET_BYTES, Packet, Piece, Place, Queue,
    SLOTS, WORDS,
};
use crate::grant::PAGE_SIZE;
use crate::header::{Cast, ETHERNET, Version};

/// What the next slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expect {
    First,
    Extra,
    Data,
}

/// A packet whose slots are being taken.
#[derive(Debug)]
pub(super) struct Assembly {
    expect: Expect,
    pub(super) packet: Packet,
    more_data: bool,
    slots: u16,
    extras: u8,
    drop: Option<Drop>,
}

impl Assembly {
    pub(super) fn new() -> Self {
        Self {
            expect: Expect::First,
            packet: Packet {
                pieces: ArrayVec::new_const(),
                length: 0,
                checksum: Checksum::Unknown,
                large: None,
                hash: None,
            },
            more_data: false,
            slots: 0,
            extras: 0,
            drop: None,
        }
    }

    fn dropped(&mut self, why: Drop) {
        self.drop.get_or_insert(why);
    }
}

impl<M: RingMemory, H: Host> Queue<M, H> {
    /// Takes the next packet, and the slots of those that are dropped on the way; at most `budget` slots, which are
    /// counted down. `None`: there is no whole packet now, or the budget is used up.
    ///
    /// # Errors
    /// [`Fault`]: the ring is not used any more; its pages wait for [`Self::disconnect`].
    pub fn take(&mut self, host: &mut H, budget: &mut u32) -> Result<Option<Packet>, Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let result = self.take_slots(host, budget);
        self.fault = result.as_ref().err().copied();
        result
    }

    fn take_slots(&mut self, host: &mut H, budget: &mut u32) -> Result<Option<Packet>, Fault> {
        while *budget != 0 {
            let Some(taken) = self.ring.as_mut().map_or(Ok(None), FrontRing::take)? else {
                return Ok(None);
            };
            *budget -= 1;
            self.slot(&taken, host)?;
            let done = match self.assembly.expect {
                Expect::First | Expect::Data => !self.assembly.more_data,
                Expect::Extra => false,
            };
            if done && let Some(packet) = self.finish(host) {
                return Ok(Some(packet));
            }
        }
        Ok(None)
    }

    /// One slot of the packet that is being taken.
    fn slot(&mut self, taken: &Taken<WORDS>, host: &mut H) -> Result<(), Fault> {
        let empty = Fault::EmptySlot(taken.slot);
        let page = self
            .slots
            .get_mut(taken.slot as usize)
            .and_then(Option::take)
            .ok_or(empty)?;
        let Some(Place::Posted(grant)) = self.pages.get(usize::from(page)).copied() else {
            return Err(empty);
        };
        self.counters.slots += 1;
        // Until it is known to hold something, the page is one to be posted again.
        self.set(page, Place::Ready(grant));
        let assembly = &mut self.assembly;
        assembly.slots += 1;
        if assembly.slots > SLOTS {
            self.ready.push(page);
            return Err(Fault::EndlessPacket);
        }
        if assembly.expect == Expect::Extra {
            self.ready.push(page);
            return self.extra(taken);
        }
        let response = response(taken);
        if u32::from(response.id) != taken.slot {
            self.ready.push(page);
            return Err(Fault::WrongSlot {
                slot: taken.slot,
                id: response.id,
            });
        }
        self.data(page, grant, &response, host);
        Ok(())
    }

    /// A slot with data, or with the backend's complaint.
    fn data(&mut self, page: u16, grant: H::Grant, response: &RxResponse, host: &mut H) {
        let assembly = &mut self.assembly;
        let flags = RxFlags::from_bits_retain(response.flags);
        assembly.more_data = flags.contains(RxFlags::MORE_DATA);
        if assembly.expect == Expect::First {
            assembly.packet.checksum = if flags.contains(RxFlags::CSUM_BLANK) {
                Checksum::Blank
            } else if flags.contains(RxFlags::DATA_VALIDATED) {
                Checksum::Validated
            } else {
                Checksum::Unknown
            };
            // A prefix is not asked for, and without it the packet's slots cannot be told apart.
            if flags.contains(RxFlags::GSO_PREFIX) {
                assembly.dropped(Drop::Malformed);
            }
        }
        let extra = assembly.expect == Expect::First && flags.contains(RxFlags::EXTRA_INFO);
        assembly.expect = if extra { Expect::Extra } else { Expect::Data };
        let bytes = match u16::try_from(response.status) {
            Err(_) => {
                let why = match Status(response.status) {
                    Status::ERROR | Status::DROPPED => Drop::Error,
                    _ => Drop::Malformed,
                };
                assembly.dropped(why);
                0
            }
            Ok(bytes) => bytes,
        };
        let fits = u32::from(response.offset) + u32::from(bytes) <= PAGE_SIZE;
        let length = assembly.packet.length + u32::from(bytes);
        if !fits || length > PACKET_BYTES || assembly.packet.pieces.is_full() {
            assembly.dropped(Drop::Malformed);
        }
        if bytes == 0 || assembly.drop.is_some() {
            self.ready.push(page);
            return;
        }
        if host.end(grant).is_err() {
            assembly.dropped(Drop::Held);
            self.counters.still_in_use += 1;
            self.quarantined += 1;
            self.set(page, Place::Quarantined(grant));
            return;
        }
        assembly.packet.length = length;
        assembly.packet.pieces.push(Piece {
            page,
            offset: response.offset,
            length: bytes,
        });
        self.lent += 1;
        self.set(page, Place::Lent(1));
    }

    /// A slot with an extra info; its page was not used.
    fn extra(&mut self, taken: &Taken<WORDS>) -> Result<(), Fault> {
        let assembly = &mut self.assembly;
        assembly.extras += 1;
        if assembly.extras > EXTRAS {
            return Err(Fault::EndlessExtras);
        }
        let bytes = taken.words.as_bytes();
        let Ok(info) = ExtraInfo::read_from_bytes(bytes) else {
            return Ok(());
        };
        assembly.expect = if info.flags & EXTRA_FLAG_MORE != 0 {
            Expect::Extra
        } else {
            Expect::Data
        };
        match (
            info.kind,
            ExtraGso::read_from_bytes(bytes),
            ExtraHash::read_from_bytes(bytes),
        ) {
            (ExtraType::GSO, Ok(gso), _) => {
                let version = match gso.gso_type {
                    GsoType::TCPV4 => Some(Version::V4),
                    GsoType::TCPV6 => Some(Version::V6),
                    _ => None,
                };
                match version {
                    Some(version) if gso.size != 0 => {
                        let size = gso.size;
                        assembly.packet.large = Some(Large { version, size });
                    }
                    _ => assembly.dropped(Drop::Malformed),
                }
            }
            (ExtraType::HASH, _, Ok(hash)) => {
                assembly.packet.hash = Some(Hash {
                    kind: hash.hash_kind,
                    algorithm: hash.algorithm,
                    value: u32::from_le_bytes(hash.value),
                });
            }
            _ => assembly.dropped(Drop::Malformed),
        }
        Ok(())
    }

    /// The packet's last slot was taken.
    fn finish(&mut self, host: &mut H) -> Option<Packet> {
        let mut assembly = core::mem::replace(&mut self.assembly, Assembly::new());
        if assembly.drop.is_none() && assembly.packet.length < ETHERNET as u32 {
            assembly.dropped(Drop::Malformed);
        }
        let packet = assembly.packet;
        if let Some(why) = assembly.drop {
            match why {
                Drop::Error => self.counters.errors += 1,
                Drop::Malformed => self.counters.malformed += 1,
                Drop::Held => self.counters.held += 1,
            }
            for piece in &packet.pieces {
                self.give_back(piece.page);
            }
            return None;
        }
        let mut destination = [0; 6];
        packet.copy_out(host, 0, &mut destination);
        let cast = Cast::of(&destination);
        self.counters.received.add(cast, packet.length);
        self.counters.large += u64::from(packet.large.is_some());
        Some(packet)
    }
}

/// The response in an entry.
fn response(taken: &Taken<WORDS>) -> RxResponse {
    zerocopy::transmute!(taken.words)
}
