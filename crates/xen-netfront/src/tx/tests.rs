use core::num::NonZeroU16;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use xen_abi::netif::{ExtraType, GsoType, Status, TxFlags, TxResponse};
use xen_front::RingMemory as _;

use super::*;
use crate::checksum::{Sum, pseudo_header};
use crate::frames::Frame;
use crate::grant::Held;
use crate::header::{Headers, Version};
use crate::model::{FlatMemory, RSP_PROD, Sender, TxBackend};
use crate::segment::Segmenter;

type TestQueue = Queue<FlatMemory, Sender>;

const CAPACITY: Capacity = Capacity {
    packets: 256,
    pages: 256,
};
const LIMITS: Limits = Limits {
    scatter_gather: true,
    checksum_ipv4: true,
    checksum_ipv6: true,
    segment_ipv4: true,
    segment_ipv6: true,
    trusted: true,
    copy_limit: 4096,
};

struct Bench {
    queue: TestQueue,
    guest: Sender,
    backend: TxBackend,
    next: usize,
    at: u64,
}

fn bench(limits: Limits) -> Bench {
    bench_of(CAPACITY, limits)
}

fn bench_of(capacity: Capacity, limits: Limits) -> Bench {
    let mut queue = Queue::new(capacity).unwrap();
    let memory = FlatMemory::new(1);
    queue.connect(Ring::new(memory.clone()).unwrap(), limits);
    Bench {
        queue,
        guest: Sender::new(2048, capacity.pages),
        backend: TxBackend::new(memory),
        next: 1,
        at: 0,
    }
}

impl Bench {
    /// Lays a packet into memory, `pieces` telling how it is scattered and how far into its page each piece starts.
    fn lay(&mut self, bytes: &[u8], pieces: &[(usize, u64)]) -> Client {
        let mut list = Vec::new();
        let mut rest = bytes;
        for (length, offset) in pieces.iter().copied().chain([(usize::MAX, 0)]) {
            let (piece, later) = rest.split_at(length.min(rest.len()));
            rest = later;
            if self.at + (piece.len() as u64) + 8192 > self.guest.memory.len() as u64 {
                self.at = 0;
            }
            let at = self.at.next_multiple_of(4096) + offset;
            self.guest.memory[at as usize..][..piece.len()].copy_from_slice(piece);
            self.at = at + piece.len() as u64 + 1;
            list.push((at, piece.len() as u32));
            if rest.is_empty() {
                break;
            }
        }
        let client = self.next;
        self.next += 1;
        self.guest.packets.insert(client, list);
        Client(client)
    }

    fn send(&mut self, client: Client, offload: Offload, tag: Option<u16>) -> Result<(), Refused> {
        let length = self.guest.packet(client.0).len() as u32;
        let packet = Packet {
            client,
            length,
            offload,
            tag,
        };
        self.queue.send(&mut self.guest, &packet)
    }

    /// Sends a frame that lies in one piece.
    fn plain(&mut self, bytes: &[u8], offload: Offload) -> Client {
        let client = self.lay(bytes, &[]);
        self.send(client, offload, None).unwrap();
        client
    }

    fn finished(&mut self) -> Vec<(Client, Outcome)> {
        std::iter::from_fn(|| self.queue.pop_finished()).collect()
    }

    /// The backend takes all, answers all, and the queue hears of it.
    fn settle(&mut self) -> Vec<(Client, Outcome)> {
        self.queue.publish();
        self.backend.serve(&mut self.guest);
        assert_eq!(self.queue.poll(&mut self.guest, 1000), Ok(false));
        self.finished()
    }

    fn reconnect(&mut self, limits: Limits) {
        let memory = FlatMemory::new(1);
        self.queue
            .connect(Ring::new(memory.clone()).unwrap(), limits);
        self.backend = TxBackend::new(memory);
    }

    /// Nothing is granted after the connection's end.
    fn clean(&mut self) {
        assert_eq!(self.queue.in_flight(), 0);
        self.queue.disconnect(&mut self.guest).unwrap();
        assert_eq!((self.guest.grants.live(), self.queue.quarantined()), (0, 0));
        assert!((0..CAPACITY.pages).all(|page| self.queue.is_free(page)));
    }
}

fn segment(size: u16) -> Offload {
    Offload {
        segment: NonZeroU16::new(size),
        ..Offload::default()
    }
}

const CHECKSUMS: Offload = Offload {
    ip_checksum: true,
    tcp_checksum: true,
    udp_checksum: true,
    segment: None,
};

/// The checksum field of a frame's transport header.
fn checksum_of(frame: &[u8]) -> [u8; 2] {
    let headers = Headers::parse(frame, frame.len() as u32).unwrap();
    let at = headers.transport.unwrap().checksum();
    [frame[at], frame[at + 1]]
}

/// A frame with another checksum in its transport header.
fn with_checksum(frame: &[u8], checksum: [u8; 2]) -> Vec<u8> {
    let headers = Headers::parse(frame, frame.len() as u32).unwrap();
    let at = headers.transport.unwrap().checksum();
    let mut frame = frame.to_vec();
    frame[at..at + 2].copy_from_slice(&checksum);
    frame
}

/// What stands in the checksum field of a packet that is left to the backend.
fn pseudo_of(frame: &[u8]) -> [u8; 2] {
    let headers = Headers::parse(frame, frame.len() as u32).unwrap();
    let transport = headers.transport.unwrap();
    let addresses = headers.network.unwrap().addresses(frame);
    pseudo_header(addresses, transport.kind.protocol(), transport.covered()).folded()
}

#[test]
fn a_frame_arrives_as_it_was_and_is_said_to_be_sent() {
    let mut b = bench(LIMITS);
    let frame = Frame::tcp4().payload(1000).bytes();
    let client = b.plain(&frame, Offload::default());
    assert_eq!(b.finished(), []);
    assert_eq!(b.settle(), [(client, Outcome::Sent)]);
    assert_eq!(b.backend.frames, core::slice::from_ref(&frame));
    let counters = b.queue.counters();
    assert_eq!(
        (counters.sent.frames(), counters.sent.bytes()),
        (1, frame.len() as u64)
    );
    b.clean();
}

#[test]
fn a_packet_of_one_page_costs_one_slot_and_in_time_no_grant() {
    let mut b = bench_of(
        Capacity {
            packets: 8,
            pages: 4,
        },
        LIMITS,
    );
    let frame = Frame::udp4().payload(1400).bytes();
    for _ in 0..100 {
        b.plain(&frame, Offload::default());
        b.settle();
    }
    assert_eq!(b.queue.counters().slots, 100);
    assert!(b.guest.grants.made <= 4, "{}", b.guest.grants.made);
    b.clean();
}

#[test]
fn a_large_packet_is_granted_where_it_lies_behind_its_headers() {
    let mut b = bench(LIMITS);
    let frame = Frame::tcp4().payload(60_000).bytes();
    let client = b.lay(&frame, &[(54, 100)]);
    b.send(client, segment(1460), None).unwrap();
    b.queue.publish();
    b.backend.take(&mut b.guest);
    let taken = b.backend.pending[0].clone();
    assert_eq!(taken.slots.len(), 16);
    assert_eq!(taken.gso, Some((GsoType::TCPV4, 1460)));
    assert_eq!(
        taken.flags,
        TxFlags::CSUM_BLANK | TxFlags::DATA_VALIDATED | TxFlags::MORE_DATA | TxFlags::EXTRA_INFO
    );
    assert_eq!(taken.frame, with_checksum(&frame, pseudo_of(&frame)));
    assert_eq!(b.queue.counters().in_place, 15);
    assert!(b.queue.counters().copied < 300);
    assert_eq!(b.settle(), [(client, Outcome::Sent)]);
    b.clean();
}

#[test]
fn the_lengths_of_a_large_packet_are_made_here() {
    for six in [false, true] {
        let frame = if six { Frame::tcp6() } else { Frame::tcp4() };
        let frame = frame.payload(20_000).bytes();
        // As the stack gives it: no IP length, no IP checksum, a sum without the length.
        let mut given = with_checksum(&frame, [0x12, 0x34]);
        if six {
            given[18..20].fill(0);
        } else {
            given[16..18].fill(0);
            given[24..26].fill(0xEE);
        }
        let mut b = bench(LIMITS);
        let client = b.plain(&given, segment(1400));
        assert_eq!(b.settle(), [(client, Outcome::Sent)]);
        assert_eq!(
            b.backend.frames[0],
            with_checksum(&frame, pseudo_of(&frame))
        );
        b.clean();
    }
}

#[test]
fn a_large_packet_that_fits_one_segment_is_an_ordinary_one() {
    let mut b = bench(LIMITS);
    let frame = Frame::tcp4().payload(1400).bytes();
    b.plain(&frame, segment(1400));
    b.queue.publish();
    b.backend.take(&mut b.guest);
    assert_eq!(b.backend.pending[0].gso, None);
    assert_eq!(
        b.backend.pending[0].flags,
        TxFlags::CSUM_BLANK | TxFlags::DATA_VALIDATED
    );
    b.settle();
    b.clean();
}

#[test]
fn memory_in_too_many_pieces_is_copied() {
    let mut b = bench(LIMITS);
    let frame = Frame::tcp4().payload(9000).bytes();
    let client = b.lay(&frame, &[(450, 7); 30]);
    b.send(client, Offload::default(), None).unwrap();
    b.queue.publish();
    b.backend.take(&mut b.guest);
    assert_eq!(b.backend.pending[0].slots.len(), 3);
    assert_eq!(b.settle(), [(client, Outcome::Sent)]);
    assert_eq!(b.backend.frames, [frame]);
    assert_eq!(b.queue.counters().in_place, 0);
    b.clean();
}

#[test]
fn a_packet_has_at_most_eighteen_slots() {
    let mut b = bench(LIMITS);
    let frame = Frame::tcp4().payload(65_000).bytes();
    for offset in [0, 1, 2000, 4095] {
        let client = b.lay(&frame, &[(54, 0), (65_000, offset)]);
        b.send(client, Offload::default(), None).unwrap();
        // The model asserts the number of slots.
        assert_eq!(b.settle(), [(client, Outcome::Sent)]);
        assert_eq!(b.backend.frames.pop(), Some(frame.clone()));
    }
    b.clean();
}

#[test]
fn a_backend_that_is_not_trusted_sees_nothing_but_the_packets() {
    let untrusted = Limits {
        trusted: false,
        ..LIMITS
    };
    let mut b = bench_of(
        Capacity {
            packets: 4,
            pages: 20,
        },
        untrusted,
    );
    b.guest.memory.fill(0xAA);
    for size in [60_000, 4000, 20, 9000, 0, 1400, 65_000, 1] {
        let frame = Frame::udp4().payload(size).bytes();
        let client = b.plain(&frame, Offload::default());
        b.queue.publish();
        b.backend.take(&mut b.guest);
        let taken = &b.backend.pending[0];
        assert_eq!(
            (&taken.frame[..frame.len()], taken.foreign),
            (&frame[..], 0),
            "{size}"
        );
        assert_eq!(b.settle(), [(client, Outcome::Sent)]);
    }
    let empty = b.lay(&[], &[]);
    b.queue
        .multicast(&mut b.guest, empty, Multicast::Add([1, 0, 0x5E, 0, 0, 1]))
        .unwrap();
    b.queue.publish();
    b.backend.take(&mut b.guest);
    assert_eq!(b.backend.pending[0].foreign, 0);
    b.settle();
    assert_eq!(b.queue.counters().in_place, 0);
    b.clean();
}

#[test]
fn what_is_left_of_a_page_that_was_shared_once_is_cleared_for_an_untrusted_backend() {
    let one = Capacity {
        packets: 1,
        pages: 1,
    };
    let mut b = bench_of(one, LIMITS);
    b.plain(&Frame::udp4().payload(4000).bytes(), Offload::default());
    b.settle();
    b.queue.disconnect(&mut b.guest).unwrap();
    b.reconnect(Limits {
        trusted: false,
        ..LIMITS
    });
    b.plain(&Frame::udp4().payload(100).bytes(), Offload::default());
    b.queue.publish();
    b.backend.take(&mut b.guest);
    assert_eq!(b.backend.pending[0].foreign, 0);
}

#[test]
fn short_frames_are_padded_with_zeroes() {
    let mut b = bench(LIMITS);
    // A page that held something else before.
    b.plain(&[0x55; 1000], Offload::default());
    b.settle();
    for length in [14, 42, 59, 60, 61] {
        let frame = vec![0x77; length];
        b.plain(&frame, Offload::default());
        b.settle();
        let mut padded = frame.clone();
        padded.resize(length.max(60), 0);
        assert_eq!(b.backend.frames.pop(), Some(padded));
    }
    b.clean();
}

#[test]
fn a_tag_is_inserted_behind_the_addresses() {
    let mut b = bench(LIMITS);
    for (frame, limits) in [
        (Frame::tcp4().payload(0), LIMITS),
        (Frame::tcp4().payload(1400), LIMITS),
        (Frame::tcp6().payload(30_000), LIMITS),
        (
            Frame::tcp6().payload(30_000),
            Limits {
                trusted: false,
                ..LIMITS
            },
        ),
    ] {
        b.queue.disconnect(&mut b.guest).unwrap();
        b.reconnect(limits);
        let client = b.lay(&frame.bytes(), &[(20, 3), (100, 50)]);
        b.send(client, Offload::default(), Some(0xA007)).unwrap();
        assert_eq!(b.settle(), [(client, Outcome::Sent)]);
        let mut tagged = frame.tag(0xA007).bytes();
        tagged.resize(tagged.len().max(60), 0);
        assert_eq!(b.backend.frames.pop(), Some(tagged));
    }
    b.clean();
}

/// The frames that a large one is cut into.
fn cut(frame: &[u8], size: u16) -> Vec<Vec<u8>> {
    let headers = Headers::parse(frame, frame.len() as u32).unwrap();
    let mut segmenter = Segmenter::new(frame, &headers, size).unwrap();
    let mut frames = Vec::new();
    let mut out = vec![0; 4096];
    while let Some(segment) = segmenter.next(&mut out) {
        let (at, length) = (segment.payload_offset, segment.payload_length);
        let payload = &frame[at as usize..(at + length) as usize];
        segmenter.finish(&mut out, &segment, Sum::of(payload));
        let mut whole = out[..usize::from(segment.header_length)].to_vec();
        whole.extend(payload);
        frames.push(whole);
    }
    frames
}

#[test]
fn a_tagged_packets_checksum_is_made_here() {
    for frame in [Frame::tcp4(), Frame::tcp6(), Frame::udp4(), Frame::udp6()] {
        let mut b = bench(LIMITS);
        let plain = frame.clone().payload(3000).bytes();
        let client = b.lay(&with_checksum(&plain, [0x12, 0x34]), &[(700, 3)]);
        b.send(client, CHECKSUMS, Some(0x6007)).unwrap();
        assert_eq!(b.settle(), [(client, Outcome::Sent)]);
        assert_eq!(
            b.backend.frames,
            [frame.tag(0x6007).payload(3000).bytes()],
            "whole, with the checksum that the stack would have made"
        );
        // One whose tag the stack has put into the frame itself.
        let tagged = Frame::tcp4().tag(7).payload(100).bytes();
        b.plain(&with_checksum(&tagged, [0x12, 0x34]), CHECKSUMS);
        b.settle();
        assert_eq!(b.backend.frames.pop(), Some(tagged));
        b.clean();
    }
}

#[test]
fn a_large_packet_that_gets_a_tag_is_cut_here() {
    for (frame, size, limits) in [
        (Frame::tcp4(), 1448, LIMITS),
        (Frame::tcp6(), 1001, LIMITS),
        (
            Frame::tcp4(),
            8948,
            Limits {
                trusted: false,
                ..LIMITS
            },
        ),
    ] {
        let mut b = bench(limits);
        let plain = frame.clone().payload(60_001).bytes();
        let client = b.lay(
            &with_checksum(&plain, [0x12, 0x34]),
            &[(54, 100), (9000, 5)],
        );
        b.send(client, segment(size), Some(0x6007)).unwrap();
        assert_eq!(b.queue.in_flight(), 1);
        b.queue.publish();
        b.backend.take(&mut b.guest);
        assert!(limits.trusted || b.backend.pending.iter().all(|p| p.foreign == 0));
        assert_eq!(b.settle(), [(client, Outcome::Sent)]);
        let frames = cut(&frame.tag(0x6007).payload(60_001).bytes(), size);
        let bytes: usize = frames.iter().map(Vec::len).sum();
        let sent = b.queue.counters().sent;
        assert_eq!(
            (sent.frames(), sent.bytes()),
            (frames.len() as u64, bytes as u64)
        );
        assert_eq!(b.backend.frames, frames);
        assert_eq!((b.queue.counters().cut, b.queue.counters().large), (1, 0));
        b.clean();
    }
}

#[test]
fn a_packet_to_be_cut_waits_for_room_and_one_that_never_fits_is_refused() {
    let mut b = bench(LIMITS);
    let frame = Frame::tcp4().payload(60_000).bytes();
    let mut taken = Vec::new();
    let waiting = loop {
        let client = b.lay(&frame, &[]);
        match b.send(client, segment(1000), Some(5)) {
            Ok(()) => taken.push((client, Outcome::Sent)),
            Err(Refused::Full) => break client,
            Err(other) => panic!("{other}"),
        }
    };
    assert_eq!(taken.len(), 4);
    assert_eq!(b.settle(), taken);
    b.send(waiting, segment(1000), Some(5)).unwrap();
    b.settle();
    let client = b.lay(&frame, &[]);
    let refused = b.send(client, segment(100), Some(5));
    assert_eq!(refused, Err(BadPacket::TooLong(60_058).into()));
    let client = b.lay(&Frame::udp4().payload(3000).bytes(), &[]);
    let refused = b.send(client, segment(1000), Some(5));
    assert_eq!(refused, Err(BadPacket::Headers.into()));
    b.clean();
}

#[test]
fn without_grants_for_all_of_it_the_rest_of_a_cut_packet_is_lost() {
    let mut b = bench(LIMITS);
    let frame = Frame::tcp4().payload(10_000).bytes();
    b.guest.grants.limit = 3;
    let client = b.lay(&frame, &[]);
    b.send(client, segment(1000), Some(5)).unwrap();
    assert_eq!(b.settle(), [(client, Outcome::Dropped)]);
    assert_eq!(b.backend.frames.len(), 3);
    b.guest.grants.limit = usize::MAX;
    b.clean();
}

#[test]
fn checksums_are_left_to_a_backend_that_makes_them() {
    for frame in [Frame::tcp4(), Frame::tcp6(), Frame::udp4(), Frame::udp6()] {
        let frame = frame.payload(333).bytes();
        let mut b = bench(LIMITS);
        b.plain(&with_checksum(&frame, [0xDE, 0xAD]), CHECKSUMS);
        b.queue.publish();
        b.backend.take(&mut b.guest);
        let taken = b.backend.pending[0].clone();
        assert_eq!(taken.flags, TxFlags::CSUM_BLANK | TxFlags::DATA_VALIDATED);
        assert_eq!(taken.frame, with_checksum(&frame, pseudo_of(&frame)));
        b.settle();
        b.clean();
    }
}

#[test]
fn checksums_are_made_here_for_a_backend_that_does_not() {
    let limits = Limits {
        checksum_ipv4: false,
        checksum_ipv6: false,
        ..LIMITS
    };
    for payload in [0, 1, 333, 9001] {
        for frame in [Frame::tcp4(), Frame::tcp6(), Frame::udp4(), Frame::udp6()] {
            let frame = frame.payload(payload).bytes();
            let mut b = bench(limits);
            b.plain(&with_checksum(&frame, [0xDE, 0xAD]), CHECKSUMS);
            b.queue.publish();
            b.backend.take(&mut b.guest);
            let taken = b.backend.pending[0].clone();
            assert!(!taken.flags.contains(TxFlags::CSUM_BLANK));
            assert_eq!(checksum_of(&taken.frame), checksum_of(&frame));
            assert_eq!(taken.frame[..frame.len()], frame);
            assert_eq!(b.queue.counters().summed, 1);
            b.settle();
            b.clean();
        }
    }
}

#[test]
fn only_the_checksums_that_were_asked_for_are_touched() {
    let frame = with_checksum(&Frame::udp4().payload(99).bytes(), [0xDE, 0xAD]);
    let only_tcp = Offload {
        tcp_checksum: true,
        ..Offload::default()
    };
    let mut broken = frame.clone();
    broken[24..26].fill(0);
    let only_ip = Offload {
        ip_checksum: true,
        ..Offload::default()
    };
    let mut b = bench(LIMITS);
    b.plain(&frame, only_tcp);
    b.plain(&broken, only_ip);
    b.settle();
    assert_eq!(b.backend.frames, [frame.clone(), frame]);
    b.clean();
}

#[test]
fn what_cannot_be_sent_is_refused_and_leaves_nothing_behind() {
    let mut b = bench(LIMITS);
    let ip = Offload {
        ip_checksum: true,
        ..Offload::default()
    };
    let arp = [&[0xFF; 6][..], &[2; 6], &[8, 6], &[0; 28]].concat();
    for (frame, offload, bad) in [
        (vec![0; 13], Offload::default(), BadPacket::TooShort(13)),
        (
            vec![0; 65_536],
            Offload::default(),
            BadPacket::TooLong(65_536),
        ),
        (arp.clone(), ip, BadPacket::Headers),
        (arp, CHECKSUMS, BadPacket::Headers),
        (
            Frame::udp4().payload(3000).bytes(),
            segment(1000),
            BadPacket::Headers,
        ),
    ] {
        let client = b.lay(&frame, &[]);
        assert_eq!(b.send(client, offload, None), Err(Refused::Bad(bad)));
    }
    let client = b.lay(&Frame::tcp4().payload(100).bytes(), &[]);
    b.guest.no_copy = true;
    assert_eq!(
        b.send(client, Offload::default(), None),
        Err(Refused::Bad(BadPacket::Memory))
    );
    b.guest.no_copy = false;
    // Longer than its memory.
    let client = b.lay(&Frame::tcp4().payload(9000).bytes(), &[]);
    for length in [9055, 30_000, 65_535] {
        let packet = Packet {
            client,
            length,
            offload: Offload::default(),
            tag: None,
        };
        let refused = b.queue.send(&mut b.guest, &packet);
        assert_eq!(refused, Err(Refused::Bad(BadPacket::Memory)), "{length}");
    }
    assert_eq!(b.queue.counters().refused, 9);
    assert_eq!(b.queue.free_slots(), 256);
    assert!(!b.queue.publish());
    b.clean();
}

#[test]
fn what_the_backend_does_not_offer_is_not_asked_of_it() {
    let mut b = bench(Limits {
        segment_ipv4: false,
        segment_ipv6: false,
        ..LIMITS
    });
    for frame in [Frame::tcp4(), Frame::tcp6()] {
        let client = b.lay(&frame.payload(9000).bytes(), &[]);
        let refused = b.send(client, segment(1000), None);
        assert_eq!(refused, Err(Refused::Bad(BadPacket::Segment)));
    }
    b.reconnect(Limits {
        scatter_gather: false,
        ..LIMITS
    });
    let client = b.lay(&[1; 4097], &[]);
    let refused = b.send(client, Offload::default(), None);
    assert_eq!(refused, Err(Refused::Bad(BadPacket::TooLong(4097))));
    let client = b.lay(&[1; 4096], &[(100, 9), (100, 9)]);
    b.send(client, Offload::default(), None).unwrap();
    assert_eq!(b.settle(), [(client, Outcome::Sent)]);
    assert_eq!(b.backend.frames, [[1; 4096]]);
    b.clean();
}

#[test]
fn a_full_ring_takes_nothing_until_something_finished() {
    let mut b = bench(LIMITS);
    let frame = Frame::udp4().payload(100).bytes();
    let client = b.lay(&frame, &[]);
    for _ in 0..256 {
        b.send(client, Offload::default(), None).unwrap();
    }
    assert_eq!(b.send(client, Offload::default(), None), Err(Refused::Full));
    b.queue.publish();
    b.backend.take(&mut b.guest);
    b.backend.answer(&mut b.guest, 0, Status::OKAY);
    assert_eq!(b.queue.poll(&mut b.guest, 10), Ok(false));
    assert_eq!(b.finished(), [(client, Outcome::Sent)]);
    b.send(client, Offload::default(), None).unwrap();
    assert_eq!(b.send(client, Offload::default(), None), Err(Refused::Full));
    b.settle();
    b.clean();
}

#[test]
fn a_large_packet_waits_for_as_many_slots_as_it_takes() {
    let mut b = bench(LIMITS);
    let small = b.lay(&Frame::udp4().payload(100).bytes(), &[]);
    let large = b.lay(&Frame::tcp4().payload(60_000).bytes(), &[(54, 0)]);
    for _ in 0..241 {
        b.send(small, Offload::default(), None).unwrap();
    }
    let grants = b.guest.grants.live();
    assert_eq!(b.send(large, segment(1460), None), Err(Refused::Full));
    assert_eq!(
        b.guest.grants.live(),
        grants + 1,
        "one own page more is granted, and kept"
    );
    b.settle();
    b.send(large, segment(1460), None).unwrap();
    assert_eq!(b.settle(), [(large, Outcome::Sent)]);
    b.clean();
}

#[test]
fn finished_packets_that_nobody_took_are_room_that_is_used() {
    let mut b = bench_of(
        Capacity {
            packets: 2,
            pages: 8,
        },
        LIMITS,
    );
    let client = b.lay(&[1; 100], &[]);
    for _ in 0..2 {
        b.send(client, Offload::default(), None).unwrap();
    }
    b.queue.publish();
    b.backend.serve(&mut b.guest);
    b.queue.poll(&mut b.guest, 10).unwrap();
    assert_eq!(b.send(client, Offload::default(), None), Err(Refused::Full));
    assert_eq!(b.finished().len(), 2);
    b.send(client, Offload::default(), None).unwrap();
}

#[test]
fn without_grants_a_packet_waits_or_is_copied() {
    let mut b = bench(LIMITS);
    b.guest.grants.limit = 0;
    let small = b.lay(&[1; 100], &[]);
    assert_eq!(b.send(small, Offload::default(), None), Err(Refused::Full));
    // Own pages that are granted already are enough.
    b.guest.grants.limit = 5;
    let large = Frame::tcp4().payload(9000).bytes();
    let first = b.lay(&large, &[(5000, 0), (2000, 0), (1000, 0), (1000, 0)]);
    b.send(first, Offload::default(), None).unwrap();
    assert_eq!(b.queue.counters().in_place, 4, "tried, and taken back");
    assert_eq!(b.settle(), [(first, Outcome::Sent)]);
    assert_eq!(b.backend.frames, [large]);
    b.clean();
}

#[test]
fn packets_finish_in_any_order_with_the_worst_of_their_slots() {
    let mut b = bench(LIMITS);
    let clients = [1000, 30_000, 100].map(|n| {
        let frame = Frame::tcp4().payload(n).bytes();
        b.plain(&frame, Offload::default())
    });
    b.queue.publish();
    b.backend.take(&mut b.guest);
    b.backend.answer(&mut b.guest, 2, Status::DROPPED);
    b.backend.answer(&mut b.guest, 1, Status::ERROR);
    b.backend.answer(&mut b.guest, 0, Status::OKAY);
    b.queue.poll(&mut b.guest, 100).unwrap();
    assert_eq!(
        b.finished(),
        [
            (clients[2], Outcome::Dropped),
            (clients[1], Outcome::Error),
            (clients[0], Outcome::Sent)
        ]
    );
    let counters = b.queue.counters();
    assert_eq!(
        (counters.sent.frames(), counters.dropped, counters.errors),
        (1, 1, 1)
    );
    b.clean();
}

#[test]
fn a_packet_waits_until_the_backend_lets_go_of_its_memory() {
    let mut b = bench(LIMITS);
    let frame = Frame::tcp4().payload(9000).bytes();
    let client = b.plain(&frame, Offload::default());
    b.queue.publish();
    b.backend.take(&mut b.guest);
    b.backend.maps = false;
    b.backend.answer(&mut b.guest, 0, Status::OKAY);
    b.queue.poll(&mut b.guest, 100).unwrap();
    assert_eq!(b.finished(), []);
    assert_eq!((b.queue.held(), b.queue.in_flight()), (3, 1));
    b.queue.tick(&mut b.guest);
    assert_eq!(b.finished(), []);
    b.guest.grants.map_all(false);
    b.queue.tick(&mut b.guest);
    assert_eq!(b.finished(), [(client, Outcome::Sent)]);
    assert_eq!(b.queue.held(), 0);
    b.clean();
}

#[test]
fn what_was_on_the_ring_of_a_lost_connection_is_lost() {
    let mut b = bench(LIMITS);
    let small = b.plain(&[1; 100], Offload::default());
    let large = b.plain(&Frame::tcp4().payload(9000).bytes(), Offload::default());
    b.queue.publish();
    b.backend.take(&mut b.guest);
    b.guest.grants.map_all(false);
    b.queue.disconnect(&mut b.guest).unwrap();
    assert_eq!(
        b.finished(),
        [(small, Outcome::Lost), (large, Outcome::Lost)]
    );
    assert_eq!((b.guest.grants.live(), b.queue.counters().lost), (0, 2));
    assert_eq!(
        b.send(small, Offload::default(), None),
        Err(Refused::NotConnected)
    );
    b.reconnect(LIMITS);
    b.send(small, Offload::default(), None).unwrap();
    assert_eq!(b.settle(), [(small, Outcome::Sent)]);
    b.clean();
}

#[test]
fn a_backend_that_keeps_pages_is_waited_for_and_its_pages_stay_out_of_use() {
    let mut b = bench_of(
        Capacity {
            packets: 8,
            pages: 8,
        },
        LIMITS,
    );
    let small = b.plain(&[1; 100], Offload::default());
    let large = b.plain(&Frame::tcp4().payload(9000).bytes(), Offload::default());
    b.queue.publish();
    b.backend.take(&mut b.guest);
    assert_eq!(b.queue.disconnect(&mut b.guest), Err(Held(5)));
    assert_eq!(b.finished(), [(small, Outcome::Lost)]);
    // Two own pages, and the large packet's three.
    assert_eq!(
        (b.queue.held(), b.queue.quarantined(), b.queue.in_flight()),
        (5, 2, 1)
    );
    assert_eq!((0..8).filter(|page| !b.queue.is_free(*page)).count(), 2);
    // A new connection does with what is left.
    b.reconnect(LIMITS);
    for _ in 0..6 {
        b.send(small, Offload::default(), None).unwrap();
    }
    assert_eq!(b.send(small, Offload::default(), None), Err(Refused::Full));
    assert_eq!(b.settle().len(), 6);
    // The old backend goes at last.
    b.guest.grants.map_all(false);
    b.queue.tick(&mut b.guest);
    assert_eq!(b.finished(), [(large, Outcome::Lost)]);
    assert_eq!((b.queue.held(), b.queue.quarantined()), (0, 0));
    b.clean();
}

#[test]
fn a_driver_whose_time_is_up_gets_its_packets_back() {
    let mut b = bench(LIMITS);
    let large = b.plain(&Frame::tcp4().payload(9000).bytes(), Offload::default());
    b.queue.publish();
    b.backend.take(&mut b.guest);
    assert!(b.queue.disconnect(&mut b.guest).is_err());
    assert_eq!(b.finished(), []);
    b.queue.abandon();
    assert_eq!(b.finished(), [(large, Outcome::Lost)]);
    assert_eq!((b.queue.in_flight(), b.queue.quarantined()), (0, 4));
    b.guest.grants.map_all(false);
    b.queue.tick(&mut b.guest);
    // The own page came back; the references of the packet's pages never do.
    assert_eq!((b.queue.quarantined(), b.guest.grants.live()), (3, 3));
}

#[test]
fn multicast_changes_finish_like_packets() {
    let mut b = bench(LIMITS);
    let address = [0x33, 0x33, 0, 0, 0, 1];
    let (add, remove) = (Client(1001), Client(1002));
    b.queue
        .multicast(&mut b.guest, add, Multicast::Add(address))
        .unwrap();
    b.queue
        .multicast(&mut b.guest, remove, Multicast::Remove(address))
        .unwrap();
    b.queue.publish();
    b.backend.take(&mut b.guest);
    let seen = b
        .backend
        .pending
        .iter()
        .map(|r| r.multicast)
        .collect::<Vec<_>>();
    assert_eq!(
        seen,
        [
            Some((ExtraType::MCAST_ADD, address)),
            Some((ExtraType::MCAST_DEL, address))
        ]
    );
    assert!(b.backend.pending.iter().all(|r| r.frame.is_empty()));
    b.backend.answer(&mut b.guest, 0, Status::ERROR);
    b.backend.answer(&mut b.guest, 0, Status::OKAY);
    b.queue.poll(&mut b.guest, 100).unwrap();
    assert_eq!(
        b.finished(),
        [(add, Outcome::Error), (remove, Outcome::Sent)]
    );
    let counters = b.queue.counters();
    assert_eq!(
        (counters.sent.frames(), counters.errors, counters.large),
        (0, 0, 0)
    );
    b.clean();
}

#[test]
fn ids_that_are_not_in_flight_end_the_connection() {
    for id in [1, 255, 256, u16::MAX] {
        let mut b = bench(LIMITS);
        let client = b.plain(&[1; 100], Offload::default());
        b.queue.publish();
        b.backend.take(&mut b.guest);
        let status = Status::OKAY;
        b.backend.ring.write(&TxResponse { id, status });
        b.backend.ring.show();
        assert_eq!(b.queue.poll(&mut b.guest, 10), Err(Fault::UnknownId(id)));
        assert_eq!(b.queue.fault(), Some(Fault::UnknownId(id)));
        assert_eq!(b.queue.poll(&mut b.guest, 10), Err(Fault::UnknownId(id)));
        let refused = b.send(client, Offload::default(), None);
        assert_eq!(refused, Err(Refused::NotConnected));
        b.guest.grants.map_all(false);
        b.queue.disconnect(&mut b.guest).unwrap();
        assert_eq!(b.finished(), [(client, Outcome::Lost)]);
    }
}

#[test]
fn an_answer_that_comes_twice_ends_the_connection() {
    let mut b = bench(LIMITS);
    let client = b.plain(&[1; 100], Offload::default());
    b.plain(&[1; 100], Offload::default());
    b.queue.publish();
    b.backend.take(&mut b.guest);
    let id = b.backend.pending[0].slots[0].0;
    for _ in 0..2 {
        let status = Status::OKAY;
        b.backend.ring.write(&TxResponse { id, status });
    }
    b.backend.ring.show();
    assert_eq!(b.queue.poll(&mut b.guest, 10), Err(Fault::UnknownId(id)));
    assert_eq!(b.finished(), [(client, Outcome::Sent)]);
}

#[test]
fn a_null_answer_without_an_extra_info_ends_the_connection() {
    let mut b = bench(LIMITS);
    b.plain(&[1; 100], Offload::default());
    b.queue.publish();
    b.backend.take(&mut b.guest);
    let status = Status::NULL;
    b.backend.ring.write(&TxResponse { id: 0, status });
    b.backend.ring.show();
    assert_eq!(b.queue.poll(&mut b.guest, 10), Err(Fault::UnexpectedNull));
}

#[test]
fn a_producer_that_runs_away_ends_the_connection() {
    for jump in [2, 257, 1 << 31, u32::MAX] {
        let mut b = bench(LIMITS);
        b.plain(&[1; 100], Offload::default());
        b.queue.publish();
        b.backend.ring.memory.words()[RSP_PROD].store(jump, core::sync::atomic::Ordering::Release);
        assert!(
            matches!(b.queue.poll(&mut b.guest, 10), Err(Fault::Ring(_))),
            "{jump}"
        );
    }
}

#[test]
fn the_budget_of_a_poll_is_kept() {
    let mut b = bench(LIMITS);
    for _ in 0..5 {
        b.plain(&[1; 100], Offload::default());
    }
    b.queue.publish();
    b.backend.serve(&mut b.guest);
    assert_eq!(b.queue.poll(&mut b.guest, 3), Ok(true));
    assert_eq!(b.finished().len(), 3);
    assert_eq!(b.queue.poll(&mut b.guest, 3), Ok(false));
    assert_eq!(b.finished().len(), 2);
    b.clean();
}

#[test]
fn frames_are_counted_by_whom_they_are_for() {
    let mut b = bench(LIMITS);
    for (first, length) in [(0x00, 100), (0x01, 200), (0xFF, 300)] {
        let mut frame = vec![first; 12];
        frame.resize(length, 8);
        b.plain(&frame, Offload::default());
    }
    b.settle();
    let sent = b.queue.counters().sent;
    assert_eq!(
        (
            sent.unicast.bytes,
            sent.multicast.bytes,
            sent.broadcast.bytes
        ),
        (100, 200, 300)
    );
    assert_eq!(sent.frames(), 3);
    b.clean();
}

#[derive(Clone, Debug)]
enum Act {
    Send {
        payload: usize,
        six: bool,
        udp: bool,
        pieces: Vec<(usize, u64)>,
        offload: u8,
        mss: u16,
        tag: bool,
    },
    Publish,
    Take,
    Answer(usize, i16),
    Poll(u32),
    Pop,
    Multicast,
    Reconnect(bool),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0usize..66_000, any::<bool>(), any::<bool>(),
            proptest::collection::vec((1usize..9000, 0u64..4096), 0..6), 0u8..8, 1u16..2000, any::<bool>())
            .prop_map(|(payload, six, udp, pieces, offload, mss, tag)| Act::Send {
                payload: if payload % 3 == 0 { payload } else { payload % 1500 },
                six, udp, pieces, offload, mss, tag,
            }),
        2 => Just(Act::Publish),
        3 => Just(Act::Take),
        4 => (any::<usize>(), -3i16..1).prop_map(|(i, s)| Act::Answer(i, s)),
        3 => (0u32..50).prop_map(Act::Poll),
        2 => Just(Act::Pop),
        1 => Just(Act::Multicast),
        1 => any::<bool>().prop_map(Act::Reconnect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is sent, answered and cut off: every packet finishes once, none finishes while its memory is mapped, and
    /// what a backend takes is what was sent.
    #[test]
    fn every_packet_finishes_once_and_arrives_as_it_was(
        acts in proptest::collection::vec(act(), 1..80), limits in 0u8..64,
    ) {
        let bit = |n: u8| limits & 1 << n != 0;
        let limits = Limits {
            scatter_gather: bit(0) || bit(1),
            checksum_ipv4: bit(2),
            checksum_ipv6: bit(3),
            segment_ipv4: bit(2) && bit(4),
            segment_ipv6: bit(3) && bit(4),
            trusted: bit(5),
            copy_limit: 4096,
        };
        let mut b = bench_of(Capacity { packets: 64, pages: 64 }, limits);
        let mut open = std::collections::HashSet::new();
        let mut expected: Vec<(usize, Vec<u8>)> = Vec::new();
        let mut checked = 0;
        for act in acts {
            match act {
                Act::Send { payload, six, udp, pieces, offload, mss, tag } => {
                    let frame = match (six, udp) {
                        (false, false) => Frame::tcp4(),
                        (true, false) => Frame::tcp6(),
                        (false, true) => Frame::udp4(),
                        (true, true) => Frame::udp6(),
                    };
                    let payload = payload.min(65_535 - 100);
                    let plain = frame.clone().payload(payload).bytes();
                    let tag = tag.then_some(0x2001);
                    let sent = match tag {
                        Some(tci) => frame.tag(tci).payload(payload).bytes(),
                        None => plain.clone(),
                    };
                    let offload = match offload {
                        0 => segment(mss),
                        n => Offload {
                            ip_checksum: n & 1 != 0,
                            tcp_checksum: n & 2 != 0,
                            udp_checksum: n & 4 != 0,
                            segment: None,
                        },
                    };
                    let client = b.lay(&plain, &pieces);
                    if b.send(client, offload, tag) == Ok(()) {
                        open.insert(client);
                        match (tag, offload.segment) {
                            (Some(_), Some(size)) => {
                                let segments = cut(&sent, size.get());
                                expected.extend(segments.into_iter().map(|frame| (client.0, frame)));
                            }
                            _ => expected.push((client.0, sent)),
                        }
                    }
                }
                Act::Publish => { b.queue.publish(); }
                Act::Take => {
                    b.backend.take(&mut b.guest);
                    let frames = core::mem::take(&mut b.backend.frames);
                    for frame in frames {
                        let sent = loop {
                            let (client, sent) = &expected[checked];
                            checked += 1;
                            if *client != usize::MAX {
                                break sent.clone();
                            }
                            if frame.is_empty() {
                                break Vec::new();
                            }
                        };
                        if sent.is_empty() {
                            continue;
                        }
                        let headers = Headers::parse(&sent, sent.len() as u32).unwrap();
                        let at = headers.transport.unwrap().checksum();
                        let mut seen = frame[..sent.len()].to_vec();
                        seen[at..at + 2].copy_from_slice(&sent[at..at + 2]);
                        prop_assert!(seen == sent, "a frame of {} bytes", sent.len());
                        prop_assert!(frame[sent.len()..].iter().all(|b| *b == 0));
                        let field = [frame[at], frame[at + 1]];
                        let version = headers.network.unwrap().version;
                        let left = match version {
                            Version::V4 => limits.checksum_ipv4,
                            Version::V6 => limits.checksum_ipv6,
                        };
                        let whole = [sent[at], sent[at + 1]];
                        prop_assert!(field == whole || left && field == pseudo_of(&sent));
                    }
                    for taken in &b.backend.pending {
                        prop_assert!(limits.trusted || taken.foreign == 0);
                    }
                }
                Act::Answer(index, status) => {
                    let count = b.backend.pending.len();
                    if count != 0 {
                        b.backend.answer(&mut b.guest, index % count, Status(status));
                    }
                }
                Act::Poll(budget) => { b.queue.poll(&mut b.guest, budget).unwrap(); }
                Act::Pop => {
                    for (client, outcome) in b.finished() {
                        prop_assert!(open.remove(&client) || client.0 >= 1 << 20);
                        prop_assert!(outcome != Outcome::Lost);
                    }
                }
                Act::Multicast => {
                    let change = Multicast::Add([1, 2, 3, 4, 5, 6]);
                    if b.queue.multicast(&mut b.guest, Client(1 << 20), change).is_ok() {
                        expected.push((usize::MAX - 1, Vec::new()));
                    }
                }
                Act::Reconnect(holds) => {
                    if !holds {
                        b.guest.grants.map_all(false);
                    }
                    let held = b.queue.disconnect(&mut b.guest);
                    prop_assert!(holds || held.is_ok());
                    for (client, _) in b.finished() {
                        prop_assert!(open.remove(&client) || client.0 >= 1 << 20);
                    }
                    // The old backend goes.
                    b.guest.grants.map_all(false);
                    b.queue.tick(&mut b.guest);
                    prop_assert_eq!(b.guest.grants.live(), 0);
                    for (client, _) in b.finished() {
                        prop_assert!(open.remove(&client) || client.0 >= 1 << 20);
                    }
                    prop_assert!(open.is_empty(), "{open:?}");
                    checked = expected.len();
                    b.reconnect(limits);
                }
            }
        }
        b.settle();
        b.queue.disconnect(&mut b.guest).unwrap();
        prop_assert_eq!(b.guest.grants.live(), 0);
    }

    /// A backend that lies may end the connection, and nothing else.
    #[test]
    fn a_backend_that_lies_ends_the_connection_at_most(
        lies in proptest::collection::vec((any::<u16>(), -3i16..3, 0u32..4, any::<bool>()), 1..60),
        payload in 0usize..20_000,
    ) {
        let mut b = bench(LIMITS);
        let frame = Frame::tcp4().payload(payload).bytes();
        let client = b.lay(&frame, &[]);
        let (mut sent, mut finished) = (0, 0);
        for (id, status, jump, honest) in lies {
            while sent - finished < 20 && b.send(client, segment(100), None).is_ok() {
                sent += 1;
            }
            b.queue.publish();
            b.backend.take(&mut b.guest);
            if honest {
                b.backend.answer(&mut b.guest, 0, Status::OKAY);
            } else {
                let id = if id % 2 == 0 { id } else { id % 300 };
                b.backend.ring.write(&TxResponse { id, status: Status(status) });
                if jump == 3 {
                    b.backend.ring.rsp_prod = b.backend.ring.rsp_prod.wrapping_add(u32::from(id));
                }
                b.backend.ring.show();
            }
            let _ = b.queue.poll(&mut b.guest, 500);
            b.queue.tick(&mut b.guest);
            finished += b.finished().len();
            if b.queue.fault().is_some() {
                break;
            }
        }
        b.guest.grants.map_all(false);
        b.queue.disconnect(&mut b.guest).unwrap();
        finished += b.finished().len();
        prop_assert_eq!((finished, b.queue.in_flight()), (sent, 0));
        prop_assert_eq!(b.guest.grants.live(), 0);
    }
}
