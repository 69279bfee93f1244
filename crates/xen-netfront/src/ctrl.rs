//! The control ring: how the backend hashes what it sends us, and to which queue (`io/netif.h`, "Control ring").
//!
//! One request is outstanding at a time, and has [`ANSWER_MS`] to be answered. A [`Controller`] is told what is wanted and
//! then advanced whenever its event channel fires or a deadline comes; it goes through the requests that it takes. Keys
//! and mappings go through one page that the driver granted read-only.

use xen_abi::netif::{
    CTRL_ENTRY_SIZE, CtrlRequest, CtrlResponse, CtrlStatus, CtrlType, HashAlgorithm, HashTypes,
};
use xen_front::{FrontRing, RingError, RingMemory};
use zerocopy::{FromBytes, IntoBytes};

use crate::hash::KEY_LENGTH;

/// Words of an entry.
const WORDS: usize = CTRL_ENTRY_SIZE / 4;

/// The frontend's end of a control ring.
pub type Ring<M> = FrontRing<M, WORDS>;

/// How long the backend may take to answer, in milliseconds.
pub const ANSWER_MS: u64 = 5_000;
/// Most entries of a mapping: what NDIS gives, and Linux takes.
pub const MAPPING_LENGTH: usize = 128;

/// Steps of one call of [`Controller::advance`]: more than all requests and answers are.
const STEPS: u32 = 64;

/// How packets are to be spread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// What is hashed.
    pub types: HashTypes,
    /// The key.
    pub key: [u8; KEY_LENGTH],
    /// The queue of each hash value modulo `entries`.
    pub mapping: [u8; MAPPING_LENGTH],
    /// Entries of the mapping in use; none: the backend takes the hash modulo the number of queues.
    pub entries: u8,
}

/// What a backend can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// What it hashes.
    pub types: HashTypes,
    /// Most entries of a mapping.
    pub mapping: u32,
}

/// What is wanted of the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To say what it can do.
    Capabilities,
    /// To spread packets as it likes.
    Nothing,
    /// To spread them so.
    Spread(Spread),
}

/// Why what was wanted is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The ring's indexes make no sense; it is not used any more.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// No answer came; the ring is not used any more.
    #[error("the control request {0} was not answered in {ANSWER_MS} ms")]
    Timeout(CtrlType),
    /// An answer to something else; the ring is not used any more.
    #[error("the control response has id {id} and type {kind}, not {expected_id} and {expected}")]
    WrongAnswer {
        /// What the response says.
        id: u16,
        /// What the response says.
        kind: CtrlType,
        /// What was asked.
        expected_id: u16,
        /// What was asked.
        expected: CtrlType,
    },
    /// The backend says no.
    #[error("the control request {kind} ended with {status}")]
    Refused {
        /// What was asked.
        kind: CtrlType,
        /// The answer.
        status: CtrlStatus,
    },
    /// It does not hash what is wanted.
    #[error("the backend hashes {offered:?} only, not {wanted:?}")]
    Types {
        /// What is wanted.
        wanted: HashTypes,
        /// What it offers.
        offered: HashTypes,
    },
    /// Its mapping is too short.
    #[error("the backend's mapping has {offered} entries at most, not {wanted}")]
    Mapping {
        /// Entries that are wanted.
        wanted: u8,
        /// What it offers.
        offered: u32,
    },
    /// The driver's page is too small, or its mapping longer than [`MAPPING_LENGTH`].
    #[error("the key and the mapping do not fit the page")]
    Page,
}

impl Failure {
    /// The ring is of no use any more.
    fn is_fatal(self) -> bool {
        matches!(
            self,
            Self::Ring(_) | Self::Timeout(_) | Self::WrongAnswer { .. }
        )
    }
}

/// Where a controller stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Waits for an answer until this time.
    Waits(u64),
    /// What was wanted is so; with what was asked for, if it was that.
    Done(Option<Capabilities>),
    /// It is not so, and will not be.
    Failed(Failure),
}

/// What [`Controller::advance`] came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advanced {
    /// The backend is to be sent an event.
    pub notify: bool,
    /// Where the controller stands.
    pub progress: Progress,
}

/// A request on the ring.
#[derive(Clone, Copy, Debug)]
struct Outstanding {
    id: u16,
    kind: CtrlType,
    deadline: u64,
    /// What is wanted has changed since: its answer does not matter.
    stale: bool,
}

/// The requests that what is wanted takes, in order.
fn request(wanted: &Wanted, step: u8) -> Option<CtrlType> {
    let steps: &[CtrlType] = match wanted {
        Wanted::Nothing => &[CtrlType::SET_HASH_ALGORITHM],
        Wanted::Capabilities => &[
            CtrlType::SET_HASH_ALGORITHM,
            CtrlType::GET_HASH_FLAGS,
            CtrlType::GET_HASH_MAPPING_SIZE,
        ],
        Wanted::Spread(spread) => {
            const ALL: &[CtrlType] = &[
                CtrlType::SET_HASH_ALGORITHM,
                CtrlType::GET_HASH_FLAGS,
                CtrlType::SET_HASH_FLAGS,
                CtrlType::SET_HASH_KEY,
                CtrlType::GET_HASH_MAPPING_SIZE,
                CtrlType::SET_HASH_MAPPING_SIZE,
                CtrlType::SET_HASH_MAPPING,
            ];
            let length = if spread.entries == 0 {
                ALL.len() - 1
            } else {
                ALL.len()
            };
            ALL.get(..length).unwrap_or(ALL)
        }
    };
    steps.get(usize::from(step)).copied()
}

/// A control ring with what is wanted of it.
#[derive(Debug)]
pub struct Controller<M> {
    ring: Ring<M>,
    /// Reference of the page for keys and mappings.
    page: u32,
    wanted: Wanted,
    step: u8,
    outstanding: Option<Outstanding>,
    capabilities: Capabilities,
    next_id: u16,
    failure: Option<Failure>,
}

impl<M: RingMemory> Controller<M> {
    /// A controller that wants nothing yet. `page` is the reference of the page that [`Self::advance`] is given.
    pub fn new(ring: Ring<M>, page: u32) -> Self {
        Self {
            ring,
            page,
            wanted: Wanted::Nothing,
            step: u8::MAX,
            outstanding: None,
            capabilities: Capabilities {
                types: HashTypes::empty(),
                mapping: 0,
            },
            next_id: 0,
            failure: None,
        }
    }

    /// Wants something else; what was under way is given up. [`Self::advance`] begins with it.
    pub fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.step = 0;
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.stale = true;
        }
        self.failure = self.failure.filter(|failure| failure.is_fatal());
    }

    /// Gives the ring's memory back.
    pub fn into_memory(self) -> M {
        self.ring.into_memory()
    }

    /// Takes answers and asks what comes next. `page` are the bytes of the driver's page; `now` is in milliseconds.
    pub fn advance(&mut self, page: &mut [u8], now: u64) -> Advanced {
        let mut notify = false;
        for _ in 0..STEPS {
            let progress = match self.failure {
                Some(failure) => Some(Progress::Failed(failure)),
                None => self
                    .move_on(page, now, &mut notify)
                    .unwrap_or_else(|failure| {
                        self.failure = Some(failure);
                        None
                    }),
            };
            if let Some(progress) = progress {
                return Advanced { notify, progress };
            }
        }
        // A backend that keeps changing its mind is looked at again later.
        let progress = Progress::Waits(self.outstanding.map_or(now, |o| o.deadline));
        Advanced { notify, progress }
    }

    /// One step. `None`: there is another at once.
    fn move_on(
        &mut self,
        page: &mut [u8],
        now: u64,
        notify: &mut bool,
    ) -> Result<Option<Progress>, Failure> {
        let Some(outstanding) = self.outstanding else {
            let Some(kind) = request(&self.wanted, self.step) else {
                let asked = matches!(self.wanted, Wanted::Capabilities) && self.step != u8::MAX;
                return Ok(Some(Progress::Done(asked.then_some(self.capabilities))));
            };
            *notify |= self.ask(kind, page, now)?;
            return Ok(None);
        };
        let Some(taken) = self.ring.take()? else {
            if self.ring.arm() {
                return Ok(None);
            }
            if now >= outstanding.deadline {
                return Err(Failure::Timeout(outstanding.kind));
            }
            return Ok(Some(Progress::Waits(outstanding.deadline)));
        };
        let Ok((response, _)) = CtrlResponse::read_from_prefix(taken.words.as_bytes()) else {
            return Ok(None);
        };
        if (response.id, response.kind) != (outstanding.id, outstanding.kind) {
            return Err(Failure::WrongAnswer {
                id: response.id,
                kind: response.kind,
                expected_id: outstanding.id,
                expected: outstanding.kind,
            });
        }
        self.outstanding = None;
        if !outstanding.stale {
            self.answered(&response)?;
            self.step += 1;
        }
        Ok(None)
    }

    /// The request with its data in place. True: the backend wants an event.
    fn ask(&mut self, kind: CtrlType, page: &mut [u8], now: u64) -> Result<bool, Failure> {
        let data = self.data(kind, page).ok_or(Failure::Page)?;
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        let request = CtrlRequest { id, kind, data };
        // There is room: no other is outstanding.
        self.ring.push(&zerocopy::transmute!(request));
        self.outstanding = Some(Outstanding {
            id,
            kind,
            deadline: now.saturating_add(ANSWER_MS),
            stale: false,
        });
        Ok(self.ring.publish())
    }

    fn data(&self, kind: CtrlType, page: &mut [u8]) -> Option<[u32; 3]> {
        let Wanted::Spread(spread) = &self.wanted else {
            let algorithm = match self.wanted {
                Wanted::Capabilities => HashAlgorithm::TOEPLITZ,
                _ => HashAlgorithm::NONE,
            };
            return Some(match kind {
                CtrlType::SET_HASH_ALGORITHM => [u32::from(algorithm.0), 0, 0],
                _ => [0; 3],
            });
        };
        let entries = u32::from(spread.entries);
        Some(match kind {
            CtrlType::SET_HASH_ALGORITHM => [u32::from(HashAlgorithm::TOEPLITZ.0), 0, 0],
            CtrlType::SET_HASH_FLAGS => [spread.types.bits(), 0, 0],
            CtrlType::SET_HASH_KEY => {
                page.get_mut(..KEY_LENGTH)?.copy_from_slice(&spread.key);
                [self.page, KEY_LENGTH as u32, 0]
            }
            CtrlType::SET_HASH_MAPPING_SIZE => [entries, 0, 0],
            CtrlType::SET_HASH_MAPPING => {
                let mapping = spread.mapping.get(..usize::from(spread.entries))?;
                let (words, _) = page.get_mut(..mapping.len() * 4)?.as_chunks_mut::<4>();
                for (word, queue) in words.iter_mut().zip(mapping) {
                    *word = u32::from(*queue).to_le_bytes();
                }
                [self.page, entries, 0]
            }
            _ => [0; 3],
        })
    }

    fn answered(&mut self, response: &CtrlResponse) -> Result<(), Failure> {
        if response.status != CtrlStatus::SUCCESS {
            return Err(Failure::Refused {
                kind: response.kind,
                status: response.status,
            });
        }
        match response.kind {
            CtrlType::GET_HASH_FLAGS => {
                self.capabilities.types = HashTypes::from_bits_truncate(response.data);
            }
            CtrlType::GET_HASH_MAPPING_SIZE => self.capabilities.mapping = response.data,
            _ => {}
        }
        let Wanted::Spread(spread) = &self.wanted else {
            return Ok(());
        };
        let Capabilities { types, mapping } = self.capabilities;
        match response.kind {
            CtrlType::GET_HASH_FLAGS if !types.contains(spread.types) => Err(Failure::Types {
                wanted: spread.types,
                offered: types,
            }),
            CtrlType::GET_HASH_MAPPING_SIZE if u32::from(spread.entries) > mapping => {
                Err(Failure::Mapping {
                    wanted: spread.entries,
                    offered: mapping,
                })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
