use std::sync::OnceLock;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;
use xen_abi::blkif::{Operation, Status};

use crate::grant::{Client, Fragment, Sectors};
use crate::model::{Backend, FlatMemory, Guest};
use crate::queue::{Capacity, Fault, Kind, Limits, Outcome, Queue, Stall};
use crate::ring::FrontRing;

type TestQueue = Queue<FlatMemory, Guest>;

const CAPACITY: Capacity = Capacity {
    transfers: 64,
    requests: 32,
    segments: 512,
    pages: 64,
};
/// Bytes of the backend's disk.
const DISK: usize = 4 << 20;
const LIMITS: Limits = Limits {
    handle: 51712,
    segments: 11,
    flush: true,
    barrier: false,
    secure_discard: false,
    bounce_all: false,
    block: 512,
};

struct Bench {
    queue: TestQueue,
    guest: Guest,
    backend: Backend,
}

fn pattern(bytes: usize) -> Vec<u8> {
    static PATTERN: OnceLock<Vec<u8>> = OnceLock::new();
    let whole = PATTERN.get_or_init(|| (0..DISK).map(|i| (i / 512 * 7 + i) as u8).collect());
    whole[..bytes].to_vec()
}

fn bench(limits: Limits) -> Bench {
    bench_of(CAPACITY, limits)
}

fn bench_of(capacity: Capacity, limits: Limits) -> Bench {
    let mut queue = Queue::new(capacity).unwrap();
    let ring = FlatMemory::new(1);
    queue
        .connect(FrontRing::new(ring.clone()).unwrap(), limits)
        .unwrap();
    let guest = Guest::new(1024, usize::from(capacity.pages));
    Bench {
        queue,
        guest,
        backend: Backend::new(ring, pattern(4 << 20)),
    }
}

impl Bench {
    /// Gives a transfer memory made of these pieces.
    fn list(&mut self, client: usize, pieces: &[(u64, u32)]) {
        let list = pieces.iter().map(|(address, length)| Fragment {
            address: *address,
            length: *length,
        });
        self.guest.lists.insert(client, list.collect());
    }

    fn submit(&mut self, client: usize, kind: Kind, sector: u64, length: u32) {
        self.queue
            .submit(Client(client), kind, sector, length)
            .unwrap();
    }

    fn finished(&mut self) -> Vec<(usize, Outcome)> {
        std::iter::from_fn(|| self.queue.pop_finished())
            .map(|(c, o)| (c.0, o))
            .collect()
    }

    /// Front and back end in turn until nothing moves.
    fn settle(&mut self) -> Vec<(usize, Outcome)> {
        for _ in 0..1000 {
            self.queue.pump(&mut self.guest);
            self.backend.serve(&mut self.guest);
            self.queue.poll(&mut self.guest, 1000).unwrap();
            if self.queue.unfinished() == 0 {
                break;
            }
        }
        self.finished()
    }

    fn bytes(&self, client: usize) -> Vec<u8> {
        self.guest
            .addresses(client)
            .iter()
            .map(|at| self.guest.memory[*at])
            .collect()
    }

    fn reconnect(&mut self, limits: Limits) {
        let ring = FlatMemory::new(1);
        self.queue
            .connect(FrontRing::new(ring.clone()).unwrap(), limits)
            .unwrap();
        self.backend.replace(ring);
    }

    fn clean(&self) {
        assert_eq!((self.queue.in_flight(), self.queue.unfinished()), (0, 0));
        assert_eq!((self.guest.live(), self.queue.quarantined()), (0, 0));
    }
}

#[test]
fn a_read_brings_the_sectors_of_the_disk() {
    let mut b = bench(LIMITS);
    b.list(1, &[(0x1000, 4096), (0x9000, 8192)]);
    b.submit(1, Kind::Read, 5, 12288);
    assert_eq!(b.settle(), [(1, Outcome::Okay)]);
    assert_eq!(b.bytes(1), b.backend.disk[5 * 512..5 * 512 + 12288]);
    b.clean();
}

#[test]
fn a_write_changes_the_sectors_of_the_disk() {
    let mut b = bench(LIMITS);
    b.guest.memory.fill(0xAB);
    b.list(1, &[(0x1200, 1024), (0x9000, 512)]);
    b.submit(1, Kind::Write, 7, 1536);
    assert_eq!(b.settle(), [(1, Outcome::Okay)]);
    assert_eq!(b.backend.disk[7 * 512..7 * 512 + 1536], [0xAB; 1536]);
    assert_eq!(b.backend.disk[..7 * 512], pattern(4 << 20)[..7 * 512]);
    b.clean();
}

#[test]
fn a_long_transfer_is_split_and_finishes_once() {
    for segments in [11, 32, 512] {
        let mut b = bench(Limits { segments, ..LIMITS });
        b.list(1, &[(0x10000, 1 << 20)]);
        b.submit(1, Kind::Read, 0, 1 << 20);
        b.queue.pump(&mut b.guest);
        b.backend.take(&mut b.guest);
        let longest = b.backend.pending.iter().map(|t| t.segments.len()).max();
        assert_eq!(longest, Some(usize::from(segments).min(256)));
        assert_eq!(b.backend.pending[0].indirect, segments > 11);
        assert_eq!(b.settle(), [(1, Outcome::Okay)]);
        assert_eq!(b.bytes(1), b.backend.disk[..1 << 20]);
        b.clean();
    }
}

#[test]
fn memory_that_is_not_made_of_sectors_goes_through_own_pages() {
    for kind in [Kind::Read, Kind::Write] {
        let mut b = bench(LIMITS);
        b.guest.memory = pattern(b.guest.memory.len()).into_iter().rev().collect();
        b.list(
            1,
            &[
                (0x1004, 100),
                (0x3333, 0),
                (0x2010, 8192 - 100),
                (0x9000, 4096),
            ],
        );
        let before = b.bytes(1);
        b.submit(1, kind, 3, 12288);
        assert_eq!(b.settle(), [(1, Outcome::Okay)]);
        let disk = &b.backend.disk[3 * 512..3 * 512 + 12288];
        match kind {
            Kind::Read => assert_eq!(b.bytes(1), pattern(4 << 20)[3 * 512..3 * 512 + 12288]),
            _ => assert_eq!(disk, before),
        }
        assert_eq!(b.queue.counters().bounced, 2);
        b.clean();
    }
}

#[test]
fn segments_are_whole_blocks_of_a_disk_with_large_ones() {
    for kind in [Kind::Read, Kind::Write] {
        let mut b = bench(Limits {
            block: 4096,
            ..LIMITS
        });
        b.backend.block = 4096;
        b.guest.memory = pattern(b.guest.memory.len()).into_iter().rev().collect();
        // Two whole pages are granted as they are; what begins or ends within a page goes through own ones.
        b.list(
            1,
            &[
                (0x1200, 8192),
                (0x8000, 8192),
                (0x10000, 1024),
                (0x20000, 3072),
            ],
        );
        let before = b.bytes(1);
        b.submit(1, kind, 8, 20480);
        assert_eq!(b.settle(), [(1, Outcome::Okay)]);
        match kind {
            Kind::Read => assert_eq!(b.bytes(1), pattern(4 << 20)[4096..4096 + 20480]),
            _ => assert_eq!(b.backend.disk[4096..4096 + 20480], before),
        }
        assert_eq!(b.queue.counters().bounced, 3);
        b.clean();
    }
}

#[test]
fn a_backend_that_is_not_trusted_sees_own_pages_only() {
    let mut b = bench(Limits {
        bounce_all: true,
        ..LIMITS
    });
    b.list(1, &[(0x4000, 65536)]);
    b.submit(1, Kind::Read, 0, 65536);
    b.queue.pump(&mut b.guest);
    assert_eq!(b.queue.counters().bounced, 16);
    assert_eq!(b.settle(), [(1, Outcome::Okay)]);
    assert_eq!(b.bytes(1), b.backend.disk[..65536]);
    b.clean();
}

#[test]
fn a_transfer_of_nothing_finishes_at_once() {
    let mut b = bench(LIMITS);
    for (client, kind) in [(1, Kind::Read), (2, Kind::Write), (3, Kind::Discard)] {
        b.submit(client, kind, 0, 0);
    }
    b.queue.pump(&mut b.guest);
    assert_eq!(
        b.finished(),
        [(1, Outcome::Okay), (2, Outcome::Okay), (3, Outcome::Okay)]
    );
    b.clean();
}

#[test]
fn a_discard_is_one_request_an_extent() {
    let mut b = bench(LIMITS);
    let extents = [(8, 8), (100, 0), (64, 16)].map(|(first, count)| Sectors { first, count });
    b.guest.extents.insert(1, extents.to_vec());
    b.submit(1, Kind::Discard, 0, 0);
    assert_eq!(b.settle(), [(1, Outcome::Okay)]);
    assert_eq!(
        b.backend.done,
        [(Operation::DISCARD, 8), (Operation::DISCARD, 64)]
    );
    assert_eq!(b.backend.disk[64 * 512..80 * 512], [0; 16 * 512]);
    b.clean();
}

#[test]
fn a_flush_uses_what_the_backend_offers() {
    for (flush, barrier, done) in [
        (true, true, &[(Operation::FLUSH_DISKCACHE, 0)][..]),
        (false, true, &[(Operation::WRITE_BARRIER, 0)]),
        (false, false, &[]),
    ] {
        let mut b = bench(Limits {
            flush,
            barrier,
            ..LIMITS
        });
        b.submit(1, Kind::Flush, 0, 0);
        assert_eq!(b.settle(), [(1, Outcome::Okay)]);
        assert_eq!(b.backend.done, done);
        b.clean();
    }
}

#[test]
fn a_flush_that_the_backend_refuses_is_tried_as_a_barrier_and_then_given_up() {
    let mut b = bench(Limits {
        barrier: true,
        ..LIMITS
    });
    b.submit(1, Kind::Flush, 0, 0);
    for operation in [Operation::FLUSH_DISKCACHE, Operation::WRITE_BARRIER] {
        b.queue.pump(&mut b.guest);
        b.backend.take(&mut b.guest);
        assert_eq!(b.backend.pending[0].operation, operation);
        b.backend.refuse(&mut b.guest, 0, Status::EOPNOTSUPP);
        b.queue.poll(&mut b.guest, 10).unwrap();
    }
    b.queue.pump(&mut b.guest);
    assert_eq!(b.finished(), [(1, Outcome::Okay)]);
    assert_eq!(
        (b.queue.limits().flush, b.queue.limits().barrier),
        (false, false)
    );
    b.clean();
}

#[test]
fn a_write_through_is_flushed_before_it_finishes() {
    let mut b = bench(LIMITS);
    b.list(1, &[(0, 65536)]);
    b.submit(1, Kind::WriteThrough, 0, 65536);
    b.queue.pump(&mut b.guest);
    b.backend.serve(&mut b.guest);
    b.queue.poll(&mut b.guest, 10).unwrap();
    assert_eq!(b.finished(), []);
    assert_eq!(b.settle(), [(1, Outcome::Okay)]);
    let operations = b.backend.done.iter().map(|d| d.0).collect::<Vec<_>>();
    assert_eq!(
        operations,
        [
            Operation::WRITE,
            Operation::WRITE,
            Operation::FLUSH_DISKCACHE
        ]
    );
    b.clean();
}

#[test]
fn a_write_through_that_failed_is_not_flushed() {
    let mut b = bench(LIMITS);
    b.list(1, &[(0, 4096)]);
    b.submit(1, Kind::WriteThrough, 0, 4096);
    b.queue.pump(&mut b.guest);
    b.backend.take(&mut b.guest);
    b.backend.refuse(&mut b.guest, 0, Status::ERROR);
    assert_eq!(b.settle(), [(1, Outcome::Error)]);
    assert_eq!(b.backend.done, []);
}

#[test]
fn one_failed_request_fails_its_transfer_whatever_the_others_say() {
    for status in [Status::ERROR, Status::EOPNOTSUPP, Status(7)] {
        for bad in 0..3 {
            let mut b = bench(LIMITS);
            b.list(1, &[(0, 33 * 4096)]);
            b.submit(1, Kind::Write, 0, 33 * 4096);
            b.queue.pump(&mut b.guest);
            b.backend.take(&mut b.guest);
            b.backend.refuse(&mut b.guest, bad, status);
            assert_eq!(b.settle(), [(1, Outcome::Error)]);
            b.clean();
        }
    }
}

#[test]
fn a_discard_that_is_not_supported_says_so() {
    let mut b = bench(LIMITS);
    b.guest
        .extents
        .insert(1, vec![Sectors { first: 0, count: 8 }]);
    b.submit(1, Kind::Discard, 0, 0);
    b.queue.pump(&mut b.guest);
    b.backend.take(&mut b.guest);
    b.backend.refuse(&mut b.guest, 0, Status::EOPNOTSUPP);
    assert_eq!(b.settle(), [(1, Outcome::Unsupported)]);
}

#[test]
fn a_response_with_an_unknown_id_ends_the_connection() {
    for id in [31, 32, u64::MAX, 1 << 16] {
        let mut b = bench(LIMITS);
        b.list(1, &[(0, 4096)]);
        b.submit(1, Kind::Read, 0, 4096);
        b.queue.pump(&mut b.guest);
        b.backend.write(id, Operation::READ, Status::OKAY);
        b.backend.show();
        assert_eq!(b.queue.poll(&mut b.guest, 10), Err(Fault::UnknownId(id)));
        assert_eq!(
            b.queue.poll(&mut b.guest, 10),
            Err(Fault::UnknownId(id)),
            "and stays so"
        );
        assert_eq!(b.finished(), []);
    }
}

#[test]
fn a_second_response_to_a_request_ends_the_connection() {
    let mut b = bench(LIMITS);
    b.list(1, &[(0, 4096)]);
    b.list(2, &[(4096, 4096)]);
    b.submit(1, Kind::Read, 0, 4096);
    b.submit(2, Kind::Read, 8, 4096);
    b.queue.pump(&mut b.guest);
    b.backend.take(&mut b.guest);
    let id = b.backend.pending[0].id;
    b.backend.answer(&mut b.guest, 0);
    b.backend.write(id, Operation::READ, Status::OKAY);
    b.backend.show();
    assert_eq!(b.queue.poll(&mut b.guest, 10), Err(Fault::UnknownId(id)));
    assert_eq!(b.finished(), [(1, Outcome::Okay)]);
}

#[test]
fn a_response_to_another_operation_ends_the_connection() {
    let mut b = bench(LIMITS);
    b.list(1, &[(0, 4096)]);
    b.submit(1, Kind::Read, 0, 4096);
    b.queue.pump(&mut b.guest);
    b.backend.write(0, Operation::WRITE, Status::OKAY);
    b.backend.show();
    assert!(matches!(
        b.queue.poll(&mut b.guest, 10),
        Err(Fault::WrongOperation { id: 0, .. })
    ));
}

#[test]
fn an_indirect_request_may_be_answered_as_either_operation() {
    for operation in [Operation::READ, Operation::INDIRECT] {
        let mut b = bench(Limits {
            segments: 64,
            ..LIMITS
        });
        b.list(1, &[(0, 1 << 17)]);
        b.submit(1, Kind::Read, 0, 1 << 17);
        b.queue.pump(&mut b.guest);
        b.backend.write(0, operation, Status::OKAY);
        b.backend.show();
        assert_eq!(b.queue.poll(&mut b.guest, 10), Ok(false));
    }
}

#[test]
fn more_responses_than_requests_end_the_connection() {
    let mut b = bench(LIMITS);
    b.list(1, &[(0, 4096)]);
    b.submit(1, Kind::Read, 0, 4096);
    b.queue.pump(&mut b.guest);
    b.backend.rsp_prod = 5000;
    b.backend.show();
    assert!(matches!(
        b.queue.poll(&mut b.guest, 10),
        Err(Fault::Ring(_))
    ));
}

#[test]
fn unfinished_transfers_are_submitted_again_in_order_after_a_fault() {
    let mut b = bench(LIMITS);
    b.guest.memory = pattern(b.guest.memory.len());
    for client in 0..6usize {
        b.list(client, &[(client as u64 * 0x10000, 65536)]);
        b.submit(client, Kind::Write, client as u64 * 128, 65536);
    }
    b.queue.pump(&mut b.guest);
    b.backend.take(&mut b.guest);
    b.backend.answer(&mut b.guest, 4);
    b.queue.poll(&mut b.guest, 10).unwrap();
    b.backend.write(999, Operation::READ, Status::OKAY);
    b.backend.show();
    assert!(b.queue.poll(&mut b.guest, 10).is_err());
    assert!(
        b.queue.disconnect(&mut b.guest).is_err(),
        "the backend has them mapped"
    );
    b.backend.unmap_all(&mut b.guest);
    b.queue.disconnect(&mut b.guest).unwrap();
    assert_eq!(b.guest.live(), 0);
    b.reconnect(Limits {
        segments: 32,
        ..LIMITS
    });
    b.backend.done.clear();
    let finished = b.settle();
    assert_eq!(finished.len(), 6);
    assert!(
        finished
            .iter()
            .all(|(_, outcome)| *outcome == Outcome::Okay)
    );
    assert!(b.backend.done.is_sorted_by_key(|(_, sector)| *sector));
    assert_eq!(b.backend.disk[..6 * 65536], b.guest.memory[..6 * 65536]);
    assert_eq!(b.queue.counters().resubmitted, 6);
    b.clean();
}

#[test]
fn transfers_that_came_without_a_ring_wait_for_one() {
    let mut b = bench(LIMITS);
    b.queue.disconnect(&mut b.guest).unwrap();
    b.list(1, &[(0, 4096)]);
    b.submit(1, Kind::Read, 0, 4096);
    assert!(!b.queue.pump(&mut b.guest).notify);
    assert_eq!(b.finished(), []);
    b.reconnect(LIMITS);
    assert_eq!(b.settle(), [(1, Outcome::Okay)]);
}

#[test]
fn a_transfer_waits_until_the_backend_lets_go_of_its_memory() {
    let mut b = bench(LIMITS);
    b.list(1, &[(0, 4096)]);
    b.submit(1, Kind::Read, 0, 4096);
    b.queue.pump(&mut b.guest);
    b.backend.take(&mut b.guest);
    let taken = b.backend.pending.remove(0);
    b.backend.write(taken.id, Operation::READ, Status::OKAY);
    b.backend.show();
    b.queue.poll(&mut b.guest, 10).unwrap();
    assert_eq!((b.finished(), b.queue.in_flight()), (vec![], 1));
    b.queue.tick(&mut b.guest);
    assert_eq!(b.finished(), []);
    assert!(
        b.queue.fail_all(Outcome::Gone).is_err(),
        "not even when all ends"
    );
    Backend::unmap(&mut b.guest, &taken);
    b.queue.tick(&mut b.guest);
    assert_eq!(b.finished(), [(1, Outcome::Okay)]);
    b.clean();
}

#[test]
fn an_own_page_that_the_backend_keeps_is_set_aside_and_comes_back() {
    let mut b = bench(LIMITS);
    b.list(1, &[(1, 4096)]);
    b.submit(1, Kind::Read, 0, 4096);
    b.queue.pump(&mut b.guest);
    b.backend.take(&mut b.guest);
    let taken = b.backend.pending.remove(0);
    b.backend.execute(&mut b.guest, &taken);
    b.backend.write(taken.id, Operation::READ, Status::OKAY);
    b.backend.show();
    b.queue.poll(&mut b.guest, 10).unwrap();
    assert_eq!(
        b.finished(),
        [(1, Outcome::Okay)],
        "its memory was never the backend's"
    );
    assert_eq!(b.bytes(1), b.backend.disk[..4096]);
    assert_eq!(b.queue.quarantined(), 1);
    Backend::unmap(&mut b.guest, &taken);
    b.queue.tick(&mut b.guest);
    b.clean();
}

#[test]
fn all_unfinished_transfers_fail_when_the_backend_is_gone() {
    let mut b = bench(LIMITS);
    for client in 0..40 {
        b.list(client, &[(client as u64 * 4096, 4096)]);
        b.submit(client, Kind::Write, 0, 4096);
    }
    b.queue.pump(&mut b.guest);
    b.queue.disconnect(&mut b.guest).unwrap();
    b.queue.fail_all(Outcome::Gone).unwrap();
    assert_eq!(b.finished().len(), 40);
    b.clean();
}

#[test]
fn without_free_grants_nothing_is_lost() {
    let mut b = bench(LIMITS);
    b.list(1, &[(0, 1 << 20)]);
    b.submit(1, Kind::Read, 0, 1 << 20);
    b.guest.limit = 0;
    assert_eq!(b.queue.pump(&mut b.guest).stall, Some(Stall::Grants));
    b.guest.limit = 3;
    assert_eq!(b.settle(), [(1, Outcome::Okay)]);
    assert_eq!(b.bytes(1), b.backend.disk[..1 << 20]);
    b.clean();
}

#[test]
fn a_small_table_of_segments_or_pages_only_slows_down() {
    for (segments, pages) in [(1, 64), (5, 1), (512, 1)] {
        let capacity = Capacity {
            segments,
            pages,
            ..CAPACITY
        };
        let mut b = bench_of(
            capacity,
            Limits {
                segments: 256,
                ..LIMITS
            },
        );
        b.list(1, &[(3, 1 << 18)]);
        b.list(2, &[(1 << 20, 1 << 18)]);
        b.submit(1, Kind::Read, 0, 1 << 18);
        b.submit(2, Kind::Read, 512, 1 << 18);
        assert_eq!(b.settle().len(), 2);
        assert_eq!(b.bytes(1), b.backend.disk[..1 << 18]);
        assert_eq!(b.bytes(2), b.backend.disk[1 << 18..1 << 19]);
        b.clean();
    }
}

#[test]
fn a_list_shorter_than_its_transfer_is_an_error_and_leaves_no_grant() {
    let mut b = bench(LIMITS);
    b.list(1, &[(0, 4096), (8192, 100)]);
    b.submit(1, Kind::Read, 0, 8192);
    assert_eq!(b.settle(), [(1, Outcome::Error)]);
    assert_eq!(b.backend.done, []);
    b.clean();
}

#[test]
fn memory_that_cannot_be_copied_is_an_error() {
    for kind in [Kind::Read, Kind::Write] {
        let mut b = bench(LIMITS);
        b.guest.no_copy = true;
        b.list(1, &[(7, 4096)]);
        b.submit(1, kind, 0, 4096);
        assert_eq!(b.settle(), [(1, Outcome::Error)]);
        b.clean();
    }
}

#[test]
fn a_full_queue_takes_no_transfer() {
    let mut b = bench(LIMITS);
    for client in 0..64 {
        b.submit(client, Kind::Flush, 0, 0);
    }
    assert!(b.queue.submit(Client(64), Kind::Flush, 0, 0).is_err());
    assert_eq!(b.settle().len(), 64);
}

#[derive(Clone, Debug)]
enum Event {
    Submit {
        write: bool,
        sector: u16,
        sectors: u8,
        skew: u8,
        through: bool,
    },
    Pump,
    Answer(u8),
    Refuse(u8),
    Poll,
    Hold,
    Break,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (any::<bool>(), 0u16..4000, 1u8..200, any::<u8>(), any::<bool>()).prop_map(
            |(write, sector, sectors, skew, through)| Event::Submit { write, sector, sectors, skew, through }
        ),
        4 => Just(Event::Pump),
        6 => any::<u8>().prop_map(Event::Answer),
        1 => any::<u8>().prop_map(Event::Refuse),
        4 => Just(Event::Poll),
        1 => Just(Event::Hold),
        1 => Just(Event::Break),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the order of answers, refusals, faults and reconnects: every transfer finishes exactly once, reads bring
    /// what the disk holds, writes leave on it what memory held, and no grant is left.
    #[test]
    fn every_transfer_finishes_once_and_right(events in proptest::collection::vec(event(), 0..80), indirect: bool) {
        let limits = Limits { segments: if indirect { 64 } else { 11 }, ..LIMITS };
        let mut b = bench(limits);
        let mut kinds = Vec::new();
        let mut outcomes: Vec<Option<Outcome>> = Vec::new();
        let mut refused = false;
        let collect = |b: &mut Bench, outcomes: &mut Vec<Option<Outcome>>| {
            for (client, outcome) in b.finished() {
                assert_eq!(outcomes[client], None, "a transfer finishes once");
                outcomes[client] = Some(outcome);
            }
        };
        for event in events {
            match event {
                Event::Submit { write, sector, sectors, skew, through } => {
                    let client = kinds.len();
                    if client == 32 { continue; }
                    // Memory of its own, and for writes a region of the disk of its own.
                    let base = client as u64 * 30 * 4096 + u64::from(skew % 3) * 100;
                    let sector = if write { 4096 + client as u64 * 120 } else { u64::from(sector) };
                    let length = u32::from(sectors.min(100)) * 512;
                    b.list(client, &[(base, length / 2), (base + u64::from(length / 2), length - length / 2)]);
                    if write {
                        for at in b.guest.addresses(client) { b.guest.memory[at] = (client * 3 + 1 + at) as u8; }
                    }
                    let kind = match (write, through) { (false, _) => Kind::Read, (true, false) => Kind::Write, _ => Kind::WriteThrough };
                    b.submit(client, kind, sector, length);
                    kinds.push((kind, sector, length));
                    outcomes.push(None);
                }
                Event::Pump => { b.queue.pump(&mut b.guest); }
                Event::Answer(which) => {
                    b.backend.take(&mut b.guest);
                    if !b.backend.pending.is_empty() {
                        let index = usize::from(which) % b.backend.pending.len();
                        b.backend.answer(&mut b.guest, index);
                    }
                }
                Event::Refuse(which) => {
                    b.backend.take(&mut b.guest);
                    if !b.backend.pending.is_empty() {
                        refused = true;
                        let index = usize::from(which) % b.backend.pending.len();
                        b.backend.refuse(&mut b.guest, index, Status::ERROR);
                    }
                }
                Event::Poll => { b.queue.poll(&mut b.guest, 7).unwrap(); }
                Event::Hold => { b.backend.take(&mut b.guest); b.queue.tick(&mut b.guest); }
                Event::Break => {
                    b.backend.write(12345, Operation::READ, Status::OKAY);
                    b.backend.show();
                    while b.queue.poll(&mut b.guest, 100).is_ok() && b.queue.in_flight() != 0 {}
                    let _ = b.queue.disconnect(&mut b.guest);
                    b.backend.unmap_all(&mut b.guest);
                    b.queue.disconnect(&mut b.guest).unwrap();
                    b.reconnect(limits);
                }
            }
            collect(&mut b, &mut outcomes);
        }
        let rest = b.settle();
        for (client, outcome) in rest {
            prop_assert_eq!(outcomes[client], None);
            outcomes[client] = Some(outcome);
        }
        for (client, (kind, sector, length)) in kinds.iter().enumerate() {
            let outcome = outcomes[client].expect("every transfer finishes");
            prop_assert!(refused || outcome == Outcome::Okay);
            if outcome == Outcome::Okay {
                let at = *sector as usize * 512;
                let disk = &b.backend.disk[at..at + *length as usize];
                prop_assert!(b.bytes(client) == disk, "{:?} {}", kind, client);
            }
        }
        b.clean();
    }
}
