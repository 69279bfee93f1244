use super::*;
use crate::model::FlatMemory;
use core::sync::atomic::Ordering;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

/// Words of a ring's head, and of its indexes.
const HEAD: usize = 16;
const PAGE: u32 = 77;

/// A backend that answers control requests.
struct Backend {
    memory: FlatMemory,
    seen: u32,
    answered: u32,
    /// What it hashes, and most entries of its mapping.
    types: u32,
    mapping: u32,
    /// The algorithm, what is hashed, key and mapping that were set.
    algorithm: u32,
    flags: u32,
    key: Vec<u8>,
    table: Vec<u32>,
    asked: Vec<CtrlType>,
}

impl Backend {
    fn take(&mut self) -> Option<CtrlRequest> {
        let words = self.memory.words();
        if words[0].load(Ordering::Acquire) == self.seen {
            return None;
        }
        let at = HEAD + (self.seen % 128) as usize * WORDS;
        let entry: [u32; WORDS] = core::array::from_fn(|i| words[at + i].load(Ordering::Relaxed));
        self.seen += 1;
        Some(zerocopy::transmute!(entry))
    }

    fn answer(&mut self, id: u16, kind: CtrlType, status: CtrlStatus, data: u32) {
        let response = CtrlResponse {
            id,
            kind,
            status,
            data,
        };
        let at = HEAD + (self.answered % 128) as usize * WORDS;
        let words = self.memory.words();
        for (i, word) in response.as_bytes().chunks_exact(4).enumerate() {
            let word = u32::from_le_bytes(word.try_into().unwrap());
            words[at + i].store(word, Ordering::Relaxed);
        }
        self.answered += 1;
        words[2].store(self.answered, Ordering::Release);
    }

    fn serve(&mut self, page: &[u8]) {
        while let Some(request) = self.take() {
            self.asked.push(request.kind);
            let [a, b, c] = request.data;
            let mut data = 0;
            match request.kind {
                CtrlType::SET_HASH_ALGORITHM => self.algorithm = a,
                CtrlType::GET_HASH_FLAGS => data = self.types,
                CtrlType::SET_HASH_FLAGS => self.flags = a,
                CtrlType::SET_HASH_KEY => {
                    assert_eq!(a, PAGE);
                    self.key = page[..b as usize].to_vec();
                }
                CtrlType::GET_HASH_MAPPING_SIZE => data = self.mapping,
                CtrlType::SET_HASH_MAPPING_SIZE => self.table = vec![0; a as usize],
                CtrlType::SET_HASH_MAPPING => {
                    assert_eq!((a, c), (PAGE, 0));
                    for (i, entry) in self.table.iter_mut().enumerate().take(b as usize) {
                        *entry = u32::from_le_bytes(page[i * 4..][..4].try_into().unwrap());
                    }
                }
                other => panic!("{other}"),
            }
            self.answer(request.id, request.kind, CtrlStatus::SUCCESS, data);
        }
    }
}

struct Bench {
    controller: Controller<FlatMemory>,
    backend: Backend,
    page: Vec<u8>,
}

fn bench() -> Bench {
    let memory = FlatMemory::new(1);
    Bench {
        controller: Controller::new(Ring::new(memory.clone()).unwrap(), PAGE),
        backend: Backend {
            memory,
            seen: 0,
            answered: 0,
            types: 0xF,
            mapping: 128,
            algorithm: 99,
            flags: 0,
            key: Vec::new(),
            table: Vec::new(),
            asked: Vec::new(),
        },
        page: vec![0; 4096],
    }
}

impl Bench {
    fn advance(&mut self, now: u64) -> Progress {
        self.controller.advance(&mut self.page, now).progress
    }

    fn settle(&mut self) -> Progress {
        for _ in 0..20 {
            match self.advance(0) {
                Progress::Waits(_) => self.backend.serve(&self.page),
                progress => return progress,
            }
        }
        panic!("no end");
    }
}

fn spread(entries: u8) -> Spread {
    Spread {
        types: HashTypes::IPV4_TCP | HashTypes::IPV4,
        key: core::array::from_fn(|i| i as u8 + 1),
        mapping: core::array::from_fn(|i| i as u8 % 4),
        entries,
    }
}

#[test]
fn a_backend_is_told_how_to_spread() {
    let mut b = bench();
    b.controller.want(Wanted::Spread(spread(128)));
    assert_eq!(b.settle(), Progress::Done(None));
    assert_eq!((b.backend.algorithm, b.backend.flags), (1, 3));
    assert_eq!(b.backend.key, spread(0).key);
    let mapping = spread(0).mapping.map(u32::from);
    assert_eq!(b.backend.table, mapping);
    // The first request wakes the backend.
    b.controller.want(Wanted::Nothing);
    assert_eq!(b.settle(), Progress::Done(None));
    assert_eq!(b.backend.algorithm, 0);
}

#[test]
fn a_spread_without_a_mapping_sets_its_size_to_zero() {
    let mut b = bench();
    b.backend.mapping = 0;
    b.controller.want(Wanted::Spread(spread(0)));
    assert_eq!(b.settle(), Progress::Done(None));
    assert_eq!(b.backend.table, []);
    assert_eq!(
        b.backend.asked.last(),
        Some(&CtrlType::SET_HASH_MAPPING_SIZE)
    );
}

#[test]
fn a_backend_says_what_it_can_do() {
    let mut b = bench();
    (b.backend.types, b.backend.mapping) = (0xFFFF_FFF3, 64);
    b.controller.want(Wanted::Capabilities);
    let capabilities = Capabilities {
        types: HashTypes::IPV4 | HashTypes::IPV4_TCP,
        mapping: 64,
    };
    assert_eq!(b.settle(), Progress::Done(Some(capabilities)));
    assert_eq!(b.advance(0), Progress::Done(Some(capabilities)));
}

#[test]
fn what_the_backend_cannot_do_fails_and_something_else_can_be_wanted() {
    let mut b = bench();
    b.backend.types = 0b1101;
    b.controller.want(Wanted::Spread(spread(128)));
    let failure = Failure::Types {
        wanted: HashTypes::IPV4 | HashTypes::IPV4_TCP,
        offered: HashTypes::from_bits_truncate(0b1101),
    };
    assert_eq!(b.settle(), Progress::Failed(failure));
    (b.backend.types, b.backend.mapping) = (0xF, 64);
    b.controller.want(Wanted::Spread(spread(128)));
    let failure = Failure::Mapping {
        wanted: 128,
        offered: 64,
    };
    assert_eq!(b.settle(), Progress::Failed(failure));
    b.controller.want(Wanted::Spread(spread(64)));
    assert_eq!(b.settle(), Progress::Done(None));
}

#[test]
fn a_refusal_fails_what_was_wanted() {
    let mut b = bench();
    b.controller.want(Wanted::Capabilities);
    assert_eq!(b.advance(0), Progress::Waits(ANSWER_MS));
    let request = b.backend.take().unwrap();
    b.backend
        .answer(request.id, request.kind, CtrlStatus::NOT_SUPPORTED, 0);
    let failure = Failure::Refused {
        kind: CtrlType::SET_HASH_ALGORITHM,
        status: CtrlStatus::NOT_SUPPORTED,
    };
    assert_eq!(b.advance(0), Progress::Failed(failure));
    b.controller.want(Wanted::Nothing);
    assert_eq!(b.settle(), Progress::Done(None));
}

#[test]
fn a_backend_that_never_answers_fails_after_a_time_and_for_good() {
    let mut b = bench();
    b.controller.want(Wanted::Capabilities);
    assert_eq!(b.advance(10), Progress::Waits(10 + ANSWER_MS));
    assert_eq!(b.advance(9 + ANSWER_MS), Progress::Waits(10 + ANSWER_MS));
    let failure = Progress::Failed(Failure::Timeout(CtrlType::SET_HASH_ALGORITHM));
    assert_eq!(b.advance(10 + ANSWER_MS), failure);
    b.controller.want(Wanted::Nothing);
    b.backend.serve(&b.page);
    assert_eq!(b.advance(0), failure);
}

#[test]
fn what_is_wanted_can_change_while_a_request_is_outstanding() {
    let mut b = bench();
    b.controller.want(Wanted::Spread(spread(8)));
    b.advance(0);
    b.controller.want(Wanted::Capabilities);
    assert_eq!(b.advance(0), Progress::Waits(ANSWER_MS));
    assert!(matches!(b.settle(), Progress::Done(Some(_))));
    assert_eq!(b.backend.asked.len(), 4, "one of them for nothing");
}

#[test]
fn a_mapping_that_is_longer_than_its_table_is_refused_here() {
    let mut b = bench();
    b.backend.mapping = 1000;
    b.controller.want(Wanted::Spread(spread(200)));
    assert_eq!(b.settle(), Progress::Failed(Failure::Page));
}

#[test]
fn answers_to_something_else_end_the_use_of_the_ring() {
    for (id, kind) in [
        (1, CtrlType::SET_HASH_ALGORITHM),
        (0, CtrlType::GET_HASH_FLAGS),
    ] {
        let mut b = bench();
        b.controller.want(Wanted::Capabilities);
        b.advance(0);
        b.backend.take().unwrap();
        b.backend.answer(id, kind, CtrlStatus::SUCCESS, 0);
        let wrong = Failure::WrongAnswer {
            id,
            kind,
            expected_id: 0,
            expected: CtrlType::SET_HASH_ALGORITHM,
        };
        assert_eq!(b.advance(0), Progress::Failed(wrong));
    }
    let mut b = bench();
    b.controller.want(Wanted::Capabilities);
    b.advance(0);
    b.backend.memory.words()[2].store(9, Ordering::Release);
    assert!(matches!(
        b.advance(0),
        Progress::Failed(Failure::Ring(RingError::ProducerJumped { .. }))
    ));
}

proptest! {
    #[test]
    fn any_answers_end(answers: Vec<(u8, u8, u8, u32, i8)>) {
        let mut b = bench();
        b.controller.want(Wanted::Spread(spread(128)));
        let mut now = 0;
        for (id, kind, status, data, jump) in answers {
            now += 100;
            b.advance(now);
            let (id, kind) = match b.backend.take() {
                Some(request) if kind > 8 => (request.id, request.kind),
                _ => (u16::from(id), CtrlType(u16::from(kind))),
            };
            b.backend.answer(id, kind, CtrlStatus(u32::from(status / 64)), data);
            if jump != 0 {
                b.backend.answered = b.backend.answered.wrapping_add_signed(i32::from(jump / 100));
            }
        }
        for _ in 0..20 {
            now += ANSWER_MS;
            b.advance(now);
        }
        prop_assert!(!matches!(b.advance(now), Progress::Waits(_)));
    }
}
