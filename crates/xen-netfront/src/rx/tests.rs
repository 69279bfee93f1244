use core::sync::atomic::Ordering;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use xen_abi::netif::{
    EXTRA_FLAG_MORE, ExtraGso, ExtraHash, ExtraInfo, ExtraType, GsoType, RxFlags, RxResponse,
};
use xen_front::RingMemory as _;

use super::*;
use crate::frames::Frame;
use crate::grant::Held;
use crate::header::{HEADER_MAX, Headers};
use crate::model::{Delivery, FlatMemory, RSP_PROD, Receiver, RxBackend};

type TestQueue = Queue<FlatMemory, Receiver>;

const PAGES: u16 = 400;

struct Bench {
    queue: TestQueue,
    guest: Receiver,
    backend: RxBackend,
}

fn bench() -> Bench {
    bench_of(PAGES)
}

fn bench_of(pages: u16) -> Bench {
    let mut queue = Queue::new(pages).unwrap();
    let memory = FlatMemory::new(1);
    queue.connect(Ring::new(memory.clone()).unwrap());
    let mut bench = Bench {
        queue,
        guest: Receiver::new(pages),
        backend: RxBackend::new(memory),
    };
    bench.refill();
    bench
}

impl Bench {
    fn refill(&mut self) -> Refilled {
        self.queue.refill(&mut self.guest)
    }

    fn deliver(&mut self, delivery: &Delivery) {
        assert!(self.backend.deliver(&mut self.guest, delivery));
    }

    fn plain(&mut self, frame: &[u8]) {
        self.deliver(&Delivery {
            frame: frame.to_vec(),
            ..Delivery::default()
        });
    }

    fn take(&mut self) -> Result<Option<Packet>, Fault> {
        self.queue.take(&mut self.guest, &mut 10_000)
    }

    fn packet(&mut self) -> Packet {
        self.take().unwrap().unwrap()
    }

    fn bytes(&mut self, packet: &Packet) -> Vec<u8> {
        let mut bytes = vec![0; packet.length() as usize];
        let copied = packet.copy_out(&mut self.guest, 0, &mut bytes);
        assert_eq!(copied, bytes.len());
        bytes
    }

    fn done(&mut self, packet: &Packet) {
        for piece in packet.pieces() {
            self.queue.give_back(piece.page);
        }
    }

    fn lie(&mut self, id: u16, offset: u16, flags: RxFlags, status: i16) {
        assert!(self.backend.lie(RxResponse {
            id,
            offset,
            flags: flags.bits(),
            status,
        }));
    }

    /// The next response, with the right id.
    fn say(&mut self, offset: u16, flags: RxFlags, status: i16) {
        let id = self.backend.next_id().unwrap();
        self.lie(id, offset, flags, status);
    }

    fn reconnect(&mut self) {
        let memory = FlatMemory::new(1);
        self.queue.connect(Ring::new(memory.clone()).unwrap());
        self.backend = RxBackend::new(memory);
        self.refill();
    }

    /// All pages are free, and nothing is granted.
    fn clean(&mut self) {
        self.queue.disconnect(&mut self.guest).unwrap();
        assert_eq!((self.queue.lent(), self.queue.quarantined()), (0, 0));
        assert_eq!(self.guest.grants.live(), 0);
        let pages = self.queue.pages.len() as u16;
        assert!((0..pages).all(|page| self.queue.is_free(page)));
        assert_eq!(
            (self.queue.free(), self.queue.posted()),
            (usize::from(pages), 0)
        );
        assert_eq!(self.queue.counters().misused, 0);
    }
}

fn gso(version: u8, size: u16) -> ExtraGso {
    ExtraGso {
        kind: ExtraType::GSO,
        flags: 0,
        size,
        gso_type: GsoType(version),
        pad: 0,
        features: 0,
    }
}

#[test]
fn the_ring_is_filled_and_filled_again() {
    let mut b = bench();
    assert_eq!((b.queue.posted(), b.queue.free()), (256, 144));
    assert_eq!(b.refill().posted, 0);
    let frame = Frame::tcp4().payload(1000).bytes();
    b.plain(&frame);
    let packet = b.packet();
    assert_eq!(b.bytes(&packet), frame);
    assert_eq!((b.queue.lent(), b.queue.posted()), (1, 255));
    let refilled = b.refill();
    assert_eq!((refilled.posted, refilled.short), (1, false));
    b.done(&packet);
    assert_eq!(b.take(), Ok(None));
    b.clean();
}

#[test]
fn pages_that_nobody_saw_before_are_cleared_before_a_backend_does() {
    let b = bench();
    for page in 0..256u16 {
        let bytes = b.guest.bytes(page);
        assert!(bytes.iter().all(|byte| *byte == 0), "{page}");
    }
    let bytes = b.guest.bytes(PAGES - 1);
    assert!(bytes.iter().all(|byte| *byte == 0xDB), "not granted yet");
}

#[test]
fn a_packet_in_pieces_comes_with_all_that_is_said_of_it() {
    let mut b = bench();
    let frame = Frame::tcp6().payload(20_000).bytes();
    b.deliver(&Delivery {
        frame: frame.clone(),
        cuts: vec![100, 4096, 1000],
        flags: RxFlags::CSUM_BLANK | RxFlags::DATA_VALIDATED,
        gso: Some(gso(2, 1440)),
        hash: Some(ExtraHash {
            kind: ExtraType::HASH,
            flags: 0,
            hash_kind: HashKind::IPV6_TCP,
            algorithm: HashAlgorithm::TOEPLITZ,
            value: 0x1234_5678u32.to_le_bytes(),
        }),
        ..Delivery::default()
    });
    let packet = b.packet();
    assert_eq!(packet.pieces().len(), 7);
    assert_eq!(packet.checksum, Checksum::Blank);
    let large = Large {
        version: Version::V6,
        size: 1440,
    };
    assert_eq!(packet.large, Some(large));
    let hash = packet.hash.unwrap();
    assert_eq!((hash.kind, hash.value), (HashKind::IPV6_TCP, 0x1234_5678));
    assert_eq!(b.bytes(&packet), frame);
    assert_eq!(
        b.queue.counters().received.unicast.bytes,
        frame.len() as u64
    );
    // The pages of the extra infos are posted again as they are.
    let made = b.guest.grants.made;
    assert_eq!(b.refill().posted, 9);
    assert_eq!(b.guest.grants.made, made + 7);
    b.done(&packet);
    b.clean();
}

#[test]
fn a_packet_of_the_most_bytes_comes_and_one_more_is_dropped() {
    let mut b = bench();
    let most = PACKET_BYTES as usize;
    b.plain(&vec![2; most]);
    let packet = b.packet();
    assert_eq!(packet.length(), PACKET_BYTES);
    b.done(&packet);
    b.refill();
    b.plain(&vec![2; most + 1]);
    assert_eq!(b.take(), Ok(None));
    assert_eq!(b.queue.counters().malformed, 1);
    b.refill();
    b.plain(&[2; 100]);
    let packet = b.packet();
    b.done(&packet);
    b.clean();
}

#[test]
fn a_packet_that_is_shown_in_parts_is_taken_when_it_is_whole() {
    let mut b = bench();
    b.say(0, RxFlags::MORE_DATA, 1000);
    assert_eq!(b.take(), Ok(None));
    b.say(50, RxFlags::MORE_DATA, 2000);
    assert_eq!(b.take(), Ok(None));
    assert_eq!(b.queue.lent(), 2);
    b.say(0, RxFlags::empty(), 10);
    let packet = b.packet();
    assert_eq!((packet.length(), packet.pieces().len()), (3010, 3));
    b.done(&packet);
    // And one that never is.
    b.say(0, RxFlags::MORE_DATA, 1000);
    assert_eq!(b.take(), Ok(None));
    b.clean();
}

#[test]
fn the_budget_is_counted_in_slots() {
    let mut b = bench();
    for _ in 0..5 {
        b.plain(&[2; 9000]);
    }
    let mut budget = 7;
    let packet = b.queue.take(&mut b.guest, &mut budget).unwrap().unwrap();
    b.done(&packet);
    let packet = b.queue.take(&mut b.guest, &mut budget).unwrap().unwrap();
    b.done(&packet);
    assert_eq!(b.queue.take(&mut b.guest, &mut budget), Ok(None));
    assert_eq!((budget, b.queue.counters().slots), (0, 7));
    assert!(b.queue.arm());
    while let Some(packet) = b.take().unwrap() {
        b.done(&packet);
    }
    assert!(!b.queue.arm());
    b.clean();
}

#[test]
fn sizes_and_offsets_beyond_a_page_drop_the_packet() {
    for (offset, status) in [
        (0, 4097),
        (1, 4096),
        (4096, 1),
        (u16::MAX, 100),
        (2000, i16::MAX),
    ] {
        let mut b = bench();
        b.say(offset, RxFlags::empty(), status);
        assert_eq!(b.take(), Ok(None), "{offset} {status}");
        assert_eq!(b.queue.counters().malformed, 1);
        b.plain(&[2; 100]);
        let packet = b.packet();
        b.done(&packet);
        b.clean();
    }
}

#[test]
fn what_is_no_frame_is_dropped() {
    let mut b = bench();
    for status in [0, 1, 13] {
        b.say(0, RxFlags::empty(), status);
    }
    b.say(0, RxFlags::MORE_DATA, 10);
    b.say(0, RxFlags::empty(), 3);
    b.say(0, RxFlags::GSO_PREFIX | RxFlags::MORE_DATA, 1000);
    b.say(0, RxFlags::empty(), 1000);
    assert_eq!(b.take(), Ok(None));
    assert_eq!((b.queue.counters().malformed, b.queue.lent()), (5, 0));
    b.say(0, RxFlags::MORE_DATA, 10);
    b.say(0, RxFlags::MORE_DATA, 0);
    b.say(0, RxFlags::empty(), 4);
    let packet = b.packet();
    assert_eq!(
        (packet.length(), packet.pieces().len()),
        (14, 2),
        "an empty slot is passed over"
    );
    b.done(&packet);
    b.clean();
}

#[test]
fn what_the_backend_could_not_deliver_is_counted() {
    let mut b = bench();
    b.say(0, RxFlags::empty(), -1);
    b.say(0, RxFlags::empty(), -2);
    b.say(0, RxFlags::empty(), i16::MIN);
    b.say(0, RxFlags::MORE_DATA, 100);
    b.say(0, RxFlags::empty(), -1);
    assert_eq!(b.take(), Ok(None));
    let counters = b.queue.counters();
    assert_eq!((counters.errors, counters.malformed), (3, 1));
    b.clean();
}

#[test]
fn unknown_extra_infos_drop_the_packet() {
    for extra in [gso(0, 1000), gso(3, 1000), gso(1, 0)] {
        let mut b = bench();
        b.deliver(&Delivery {
            frame: vec![2; 5000],
            gso: Some(extra),
            ..Delivery::default()
        });
        assert_eq!(b.take(), Ok(None));
        assert_eq!(b.queue.counters().malformed, 1);
        b.clean();
    }
    for kind in [0, 2, 3, 5, 255] {
        let mut b = bench();
        b.deliver(&Delivery {
            frame: vec![2; 5000],
            gso: Some(ExtraGso {
                kind: ExtraType(kind),
                ..gso(1, 1000)
            }),
            ..Delivery::default()
        });
        assert_eq!(b.take(), Ok(None), "{kind}");
        assert_eq!(b.queue.counters().malformed, 1);
        b.clean();
    }
}

/// An extra info that says that another follows.
fn endless() -> RxResponse {
    zerocopy::transmute!(ExtraInfo {
        kind: ExtraType::GSO,
        flags: EXTRA_FLAG_MORE,
        data: [1, 0, 1, 0, 0, 0],
    })
}

#[test]
fn extra_infos_without_end_end_the_connection() {
    let mut b = bench();
    b.say(0, RxFlags::EXTRA_INFO, 100);
    for _ in 0..EXTRAS {
        b.backend.lie(endless());
        assert_eq!(b.take(), Ok(None));
    }
    b.backend.lie(endless());
    assert_eq!(b.take(), Err(Fault::EndlessExtras));
    assert_eq!(b.take(), Err(Fault::EndlessExtras));
    assert_eq!((b.refill().posted, b.queue.arm()), (0, false));
    b.clean();
}

#[test]
fn a_packet_without_end_ends_the_connection() {
    let mut b = bench();
    let mut taken = 0;
    loop {
        b.say(0, RxFlags::MORE_DATA, 1);
        match b.take() {
            Ok(None) => taken += 1,
            Err(Fault::EndlessPacket) => break,
            other => panic!("{other:?}"),
        }
        b.refill();
        assert!(b.queue.lent() <= PACKET_PIECES);
    }
    assert_eq!(taken, 256);
    b.clean();
}

#[test]
fn responses_in_other_slots_end_the_connection() {
    for id in [1, 255, 256, u16::MAX] {
        let mut b = bench();
        b.lie(id, 0, RxFlags::empty(), 100);
        assert_eq!(b.take(), Err(Fault::WrongSlot { slot: 0, id }));
        b.clean();
    }
    let mut b = bench();
    b.lie(0, 0, RxFlags::empty(), 100);
    b.lie(0, 0, RxFlags::empty(), 100);
    let packet = b.packet();
    b.done(&packet);
    assert_eq!(b.take(), Err(Fault::WrongSlot { slot: 1, id: 0 }));
    b.clean();
}

#[test]
fn a_producer_that_runs_away_ends_the_connection() {
    for jump in [257, 1 << 31, u32::MAX] {
        let mut b = bench();
        b.backend.ring.memory.words()[RSP_PROD].store(jump, Ordering::Release);
        assert!(matches!(b.take(), Err(Fault::Ring(_))), "{jump}");
        b.clean();
    }
}

#[test]
fn a_page_that_the_backend_keeps_is_never_handed_up() {
    let mut b = bench();
    b.plain(&[2; 9000]);
    b.guest.grants.map_all(true);
    assert_eq!(b.take(), Ok(None));
    assert_eq!((b.queue.quarantined(), b.queue.counters().held), (1, 1));
    assert_eq!(b.queue.lent(), 0);
    b.guest.grants.map_all(false);
    b.queue.tick(&mut b.guest);
    assert_eq!(b.queue.quarantined(), 0);
    b.clean();
}

#[test]
fn a_backend_that_keeps_all_pages_leaves_the_rest_to_the_next() {
    let mut b = bench();
    b.guest.grants.map_all(true);
    assert_eq!(b.queue.disconnect(&mut b.guest), Err(Held(256)));
    assert_eq!((0..PAGES).filter(|p| b.queue.is_free(*p)).count(), 144);
    b.reconnect();
    assert_eq!(b.queue.posted(), 144);
    assert!(b.refill().short);
    b.plain(&[2; 100]);
    let packet = b.packet();
    b.done(&packet);
    b.guest.grants.map_all(false);
    b.queue.tick(&mut b.guest);
    assert_eq!(b.refill().posted, 256 - 143);
    b.clean();
}

#[test]
fn lent_pages_outlive_the_connection() {
    let mut b = bench();
    b.plain(&[2; 9000]);
    let packet = b.packet();
    b.queue.disconnect(&mut b.guest).unwrap();
    assert_eq!(b.queue.lent(), 3);
    assert_eq!(b.bytes(&packet), [2; 9000]);
    b.reconnect();
    b.done(&packet);
    b.clean();
}

#[test]
fn a_page_is_free_when_its_last_user_is_done() {
    let mut b = bench();
    b.plain(&[2; 100]);
    let packet = b.packet();
    let page = packet.pieces()[0].page;
    b.queue.hold(page);
    b.queue.hold(page);
    b.queue.give_back(page);
    b.queue.give_back(page);
    assert_eq!(b.queue.lent(), 1);
    b.queue.give_back(page);
    assert_eq!((b.queue.lent(), b.queue.is_free(page)), (0, true));
    // The driver's mistakes are counted, and change nothing.
    b.queue.give_back(page);
    b.queue.give_back(u16::MAX);
    b.queue.hold(page);
    assert_eq!(b.queue.counters().misused, 3);
    assert_eq!(b.queue.free(), 145);
}

#[test]
fn a_pool_that_is_all_lent_is_short_until_something_comes_back() {
    let mut b = bench_of(10);
    let mut packets = Vec::new();
    for _ in 0..10 {
        b.plain(&[2; 100]);
        packets.push(b.packet());
    }
    let refilled = b.refill();
    assert_eq!((refilled.posted, refilled.short), (0, true));
    b.done(&packets[3]);
    assert_eq!(b.refill().posted, 1);
    for (index, packet) in packets.iter().enumerate() {
        if index != 3 {
            b.done(packet);
        }
    }
    b.clean();
}

#[test]
fn without_grants_fewer_pages_are_posted() {
    let mut b = bench();
    b.queue.disconnect(&mut b.guest).unwrap();
    b.guest.grants.limit = 3;
    b.reconnect();
    assert_eq!(b.queue.posted(), 3);
    b.guest.grants.limit = usize::MAX;
    assert_eq!(b.refill().posted, 253);
    b.clean();
}

fn header_of(b: &mut Bench, packet: &Packet) -> (Vec<u8>, Headers) {
    let mut buffer = [0; HEADER_MAX];
    let header = packet.header(&mut b.guest, &mut buffer).to_vec();
    let headers = Headers::parse(&header, packet.length()).unwrap();
    (header, headers)
}

#[test]
fn a_blank_checksum_is_completed() {
    for cuts in [vec![], vec![20, 31, 17, 1], vec![51]] {
        for frame in [Frame::tcp4(), Frame::tcp6(), Frame::udp4(), Frame::udp6()] {
            let whole = frame.payload(5001).bytes();
            let headers = Headers::parse(&whole, whole.len() as u32).unwrap();
            let mut blank = whole.clone();
            blank[headers.transport.unwrap().checksum()..][..2].fill(0x5A);
            let mut b = bench();
            b.deliver(&Delivery {
                frame: blank,
                cuts: cuts.clone(),
                flags: RxFlags::CSUM_BLANK,
                ..Delivery::default()
            });
            let packet = b.packet();
            let (header, headers) = header_of(&mut b, &packet);
            assert!(packet.complete_checksum(&mut b.guest, &header, &headers));
            assert_eq!(b.bytes(&packet), whole);
            b.done(&packet);
            b.clean();
        }
    }
    let mut b = bench();
    b.plain(&[8; 100]);
    let packet = b.packet();
    let (header, headers) = header_of(&mut b, &packet);
    assert!(!packet.complete_checksum(&mut b.guest, &header, &headers));
}

#[test]
fn checksums_are_verified() {
    use Verdict::{Bad, Good, NotChecked};
    let bad_byte = |at: usize| move |frame: &mut Vec<u8>| frame[at] ^= 0x10;
    let none = |frame: &mut Vec<u8>| frame[40..42].fill(0);
    let none_v6 = |frame: &mut Vec<u8>| frame[60..62].fill(0);
    let fragment = |frame: &mut Vec<u8>| frame[20] |= 0x20;
    type Case<'a> = (Frame, &'a dyn Fn(&mut Vec<u8>), Verdict, Verdict);
    let cases: &[Case<'_>] = &[
        (Frame::tcp4(), &|_| (), Good, Good),
        (Frame::tcp4(), &bad_byte(80), Good, Bad),
        (Frame::tcp4(), &bad_byte(24), Bad, Good),
        (Frame::tcp4(), &fragment, Bad, NotChecked),
        (Frame::tcp6(), &|_| (), NotChecked, Good),
        (Frame::tcp6(), &bad_byte(30), NotChecked, Bad),
        (Frame::udp4(), &|_| (), Good, Good),
        (Frame::udp4(), &none, Good, NotChecked),
        (Frame::udp6(), &none_v6, NotChecked, Bad),
    ];
    for (frame, spoil, ip, transport) in cases {
        let mut frame = frame.clone().payload(301).bytes();
        spoil(&mut frame);
        let mut b = bench();
        b.deliver(&Delivery {
            frame,
            cuts: vec![61, 100],
            ..Delivery::default()
        });
        let packet = b.packet();
        let (header, headers) = header_of(&mut b, &packet);
        let verified = packet.verify_checksum(&mut b.guest, &header, &headers);
        let expected = Verified {
            ip: *ip,
            transport: *transport,
        };
        assert_eq!(verified, expected);
        b.done(&packet);
        b.clean();
    }
}

#[test]
fn padding_is_not_part_of_a_checksum() {
    let mut frame = Frame::udp4().payload(3).bytes();
    frame.resize(60, 0xEE);
    let mut b = bench();
    b.plain(&frame);
    let packet = b.packet();
    let (header, headers) = header_of(&mut b, &packet);
    let verified = packet.verify_checksum(&mut b.guest, &header, &headers);
    assert_eq!(verified.transport, Verdict::Good);
}

#[test]
fn headers_can_be_pulled_into_one_piece() {
    let frame = Frame::tcp4().payload(5000).bytes();
    for (cuts, offset) in [
        (vec![14, 20, 20], 0),
        (vec![1, 1, 1, 1], 4000),
        (vec![54], 10),
        (vec![40], 4090),
        (vec![], 0),
    ] {
        for count in [14, 54, 200, 256] {
            let mut b = bench();
            b.deliver(&Delivery {
                frame: frame.clone(),
                cuts: cuts.clone(),
                offset,
                ..Delivery::default()
            });
            let mut packet = b.packet();
            assert!(packet.pull_up(&mut b.guest, count));
            assert!(u32::from(packet.pieces()[0].length) >= count);
            assert_eq!(b.bytes(&packet), frame);
            b.done(&packet);
            b.clean();
        }
    }
    let mut b = bench();
    b.plain(&frame);
    let mut packet = b.packet();
    assert!(!packet.pull_up(&mut b.guest, 257));
}

#[test]
fn a_tag_can_be_taken_out() {
    let mut b = bench();
    b.plain(&Frame::udp4().tag(0xE123).payload(100).bytes());
    let mut packet = b.packet();
    assert_eq!(packet.strip_tag(&mut b.guest), Some(0xE123));
    assert_eq!(b.bytes(&packet), Frame::udp4().payload(100).bytes());
    assert_eq!(packet.strip_tag(&mut b.guest), None);
    b.done(&packet);
    b.plain(&Frame::udp4().payload(100).bytes());
    let mut packet = b.packet();
    assert_eq!(packet.strip_tag(&mut b.guest), None);
    assert_eq!(b.bytes(&packet), Frame::udp4().payload(100).bytes());
}

#[derive(Clone, Debug)]
enum Act {
    Deliver {
        payload: usize,
        cuts: Vec<usize>,
        offset: u16,
        large: bool,
    },
    Lie(u16, u16, u16, i16, bool),
    Jump(u32),
    Take(u32),
    Done(usize),
    Refill,
    Map(bool),
    Tick,
    Reconnect,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0usize..66_000, proptest::collection::vec(1usize..4096, 0..5), 0u16..3000, any::<bool>())
            .prop_map(|(payload, cuts, offset, large)| Act::Deliver {
                payload: if payload % 3 == 0 { payload } else { payload % 1500 },
                cuts, offset: if offset % 2 == 0 { 0 } else { offset }, large,
            }),
        3 => (any::<u16>(), any::<u16>(), 0u16..32, any::<i16>(), any::<bool>())
            .prop_map(|(id, offset, flags, status, good)| Act::Lie(
                id, if good { offset % 5000 } else { offset }, flags, status, good,
            )),
        1 => any::<u32>().prop_map(Act::Jump),
        4 => (0u32..200).prop_map(Act::Take),
        4 => any::<usize>().prop_map(Act::Done),
        4 => Just(Act::Refill),
        1 => any::<bool>().prop_map(Act::Map),
        1 => Just(Act::Tick),
        1 => Just(Act::Reconnect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever the backend says: no panic, no page is looked at or handed up while it is granted (the model asserts
    /// that), and no page is lost.
    #[test]
    fn a_backend_that_lies_gets_no_page_and_loses_none(
        acts in proptest::collection::vec(act(), 1..100), lies: bool,
    ) {
        let mut b = bench_of(300);
        let mut up: Vec<Packet> = Vec::new();
        let mut sent: Vec<Vec<u8>> = Vec::new();
        let mut received = 0;
        for act in acts {
            match act {
                Act::Deliver { payload, cuts, offset, large } => {
                    let frame = Frame::tcp4().payload(payload.min(65_000)).bytes();
                    let delivery = Delivery {
                        frame: frame.clone(),
                        cuts,
                        offset,
                        gso: large.then(|| gso(1, 1460)),
                        ..Delivery::default()
                    };
                    if b.backend.deliver(&mut b.guest, &delivery) {
                        sent.push(frame);
                    }
                }
                Act::Lie(id, offset, flags, status, good) if lies => {
                    let id = match b.backend.next_id() {
                        Some(next) if good => next,
                        _ => id,
                    };
                    b.backend.lie(RxResponse { id, offset, flags, status });
                }
                Act::Jump(by) if lies => {
                    let prod = b.backend.ring.rsp_prod.wrapping_add(by);
                    b.backend.ring.memory.words()[RSP_PROD].store(prod, Ordering::Release);
                }
                Act::Take(mut budget) => {
                    if let Ok(Some(packet)) = b.queue.take(&mut b.guest, &mut budget) {
                        let bytes = b.bytes(&packet);
                        prop_assert!(packet.length() <= PACKET_BYTES);
                        if !lies {
                            // Packets of many small pieces may be dropped, but none is changed or swapped.
                            let next = sent[received..].iter().position(|frame| *frame == bytes);
                            prop_assert!(next.is_some());
                            received += next.unwrap() + 1;
                        }
                        up.push(packet);
                    }
                }
                Act::Done(index) if !up.is_empty() => {
                    let packet = up.swap_remove(index % up.len());
                    b.done(&packet);
                }
                Act::Refill => { b.refill(); }
                Act::Map(mapped) if lies => b.guest.grants.map_all(mapped),
                Act::Tick => b.queue.tick(&mut b.guest),
                Act::Reconnect => {
                    let _ = b.queue.disconnect(&mut b.guest);
                    received = sent.len();
                    b.reconnect();
                }
                _ => {}
            }
            let queue = &b.queue;
            let lent = up.iter().map(|p| p.pieces().len()).sum::<usize>();
            let pending = queue.assembly.packet.pieces.len();
            prop_assert_eq!(queue.lent(), lent + pending);
            prop_assert_eq!(queue.counters().misused, 0);
        }
        if !lies {
            prop_assert_eq!(b.queue.fault(), None);
        }
        for packet in &up {
            b.done(packet);
        }
        b.guest.grants.map_all(false);
        b.queue.tick(&mut b.guest);
        b.clean();
    }
}
