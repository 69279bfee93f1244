//! The table: who owns which reference.

use alloc::vec::Vec;

use xen_abi::grant_table::{ENTRIES_PER_FRAME, GrantEntryV1};

use super::{FrameMapper, Grant, GrantError, GrantFrame, RESERVED, Reference, entry};
use crate::{Shared, XenError};

/// Frames that are looked at, at most: 2^20 references. Xen's own default limit is 64.
const MAX_FRAMES: u32 = 2048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Xen's, or kept for a crash.
    Reserved,
    /// Nobody's.
    Free,
    /// Somebody's, granting nothing.
    Held,
    /// Somebody's, granting.
    Granted(Grant),
    /// Given up by its owner while a peer had it mapped, or found so.
    Quarantined,
}

/// Counts of references by what they are used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// In the table, the reserved ones included.
    pub total: u32,
    /// Free.
    pub free: u32,
    /// Held, granting nothing.
    pub held: u32,
    /// Granted.
    pub granted: u32,
    /// In quarantine.
    pub quarantined: u32,
}

/// The grant table. It mirrors each entry in memory that Xen cannot write, so that a mistaken or malicious
/// caller is found out, and so that the table can be written again after a resume.
#[derive(Debug)]
pub struct GrantTable {
    frames: Vec<Shared<GrantFrame>>,
    states: Vec<State>,
    free: Vec<u32>,
    max_frames: u32,
    counts: Statistics,
    /// Where the next sweep begins.
    sweep_at: u32,
}

impl GrantTable {
    /// An empty table that may grow to `max_frames` (from [`crate::hypercall::GrantTableOps::query_size`]).
    pub fn new(max_frames: u32) -> Result<Self, XenError> {
        let max_frames = max_frames.min(MAX_FRAMES);
        let mut frames = Vec::new();
        frames
            .try_reserve_exact(max_frames as usize)
            .map_err(|_| OUT_OF_MEMORY)?;
        Ok(Self {
            frames,
            states: Vec::new(),
            free: Vec::new(),
            max_frames,
            counts: Statistics::default(),
            sweep_at: 0,
        })
    }

    /// Adds a frame. Entries that some earlier owner left behind are cleared, or quarantined while mapped.
    pub fn grow(&mut self, mapper: &mut impl FrameMapper) -> Result<(), GrantError> {
        let index = self.frames.len() as u32;
        if index >= self.max_frames {
            return Err(GrantError::Full {
                references: self.counts.total,
            });
        }
        let count = ENTRIES_PER_FRAME as usize;
        self.states
            .try_reserve_exact(count)
            .map_err(|_| OUT_OF_MEMORY)?;
        // Room for every reference there is: giving one back never allocates.
        let room = self.states.len() + count - self.free.len();
        self.free
            .try_reserve_exact(room)
            .map_err(|_| OUT_OF_MEMORY)?;
        let frame = mapper.map(index)?;
        self.frames.push(frame);
        let first = index * ENTRIES_PER_FRAME;
        for reference in first..first + ENTRIES_PER_FRAME {
            let state = if reference < RESERVED {
                State::Reserved
            } else if entry::revoke(frame.entry(reference)) {
                State::Free
            } else {
                State::Quarantined
            };
            self.states.push(state);
            self.count(state, 1);
        }
        self.counts.total += ENTRIES_PER_FRAME;
        // Low references on top.
        let states = &self.states;
        self.free.extend(
            (first..first + ENTRIES_PER_FRAME)
                .rev()
                .filter(|n| states.get(*n as usize) == Some(&State::Free)),
        );
        Ok(())
    }

    /// Takes a reference out of the table; grows it if need be. <= DISPATCH_LEVEL.
    pub fn hold(&mut self, mapper: &mut impl FrameMapper) -> Result<Reference, GrantError> {
        while self.free.is_empty() {
            self.grow(mapper)?;
        }
        let number = self.free.pop().ok_or(GrantError::Full {
            references: self.counts.total,
        })?;
        let reference = Reference(number);
        self.change(reference, State::Held);
        Ok(reference)
    }

    /// Gives a held reference back.
    pub fn give_back(&mut self, reference: Reference) -> Result<(), GrantError> {
        self.expect(reference, "held", |state| state == State::Held)?;
        self.change(reference, State::Free);
        self.free.push(reference.0);
        Ok(())
    }

    /// Grants a page by a held reference.
    pub fn permit(
        &mut self,
        reference: Reference,
        domain: xen_abi::DomId,
        gfn: u64,
        readonly: bool,
    ) -> Result<(), GrantError> {
        self.expect(reference, "held", |state| state == State::Held)?;
        if !domain.is_ordinary() {
            return Err(GrantError::Domain(domain));
        }
        let frame = u32::try_from(gfn).map_err(|_| GrantError::Frame { gfn })?;
        let grant = Grant {
            domain,
            gfn: frame,
            readonly,
        };
        entry::permit(self.entry(reference)?, &grant);
        self.change(reference, State::Granted(grant));
        Ok(())
    }

    /// Ends a grant; the reference is held again. [`GrantError::InUse`]: it remains granted, try again later.
    /// Only after success may the page be used for anything else.
    pub fn revoke(&mut self, reference: Reference) -> Result<(), GrantError> {
        self.expect(reference, "granted", |state| {
            matches!(state, State::Granted(_))
        })?;
        if !entry::revoke(self.entry(reference)?) {
            return Err(GrantError::InUse {
                reference: reference.0,
            });
        }
        self.change(reference, State::Held);
        Ok(())
    }

    /// The owner of a granted reference leaves; the table keeps it until nobody maps it any more.
    pub fn quarantine(&mut self, reference: Reference) -> Result<(), GrantError> {
        self.expect(reference, "granted", |state| {
            matches!(state, State::Granted(_))
        })?;
        self.change(reference, State::Quarantined);
        Ok(())
    }

    /// Looks at up to `budget` entries for quarantined ones that nobody maps any more, and frees them.
    /// Returns how many. Call again from time to time.
    pub fn sweep(&mut self, budget: u32) -> u32 {
        let mut freed = 0;
        let total = self.counts.total;
        for _ in 0..budget.min(total) {
            if self.counts.quarantined == 0 {
                break;
            }
            let reference = Reference(self.sweep_at % total);
            self.sweep_at = (reference.0 + 1) % total;
            let quarantined = self.state(reference) == Some(State::Quarantined);
            if quarantined && self.entry(reference).is_ok_and(entry::revoke) {
                self.change(reference, State::Free);
                self.free.push(reference.0);
                freed += 1;
            }
        }
        freed
    }

    /// What an entry in the mapped part of the table grants, the toolstack's own included (references below 8).
    pub fn query(&self, number: u32) -> Option<Grant> {
        self.entry(Reference(number)).ok().and_then(entry::read)
    }

    /// After a resume: places all frames again and writes what was granted. Quarantine ends, for the domain's
    /// old peers are gone. HIGH_LEVEL.
    pub fn rebuild(&mut self, mapper: &mut impl FrameMapper) -> Result<(), GrantError> {
        for (index, frame) in self.frames.iter_mut().enumerate() {
            *frame = mapper.map(index as u32)?;
        }
        for number in 0..self.counts.total {
            let reference = Reference(number);
            match self.state(reference) {
                Some(State::Granted(grant)) => entry::permit(self.entry(reference)?, &grant),
                Some(State::Quarantined) if entry::revoke(self.entry(reference)?) => {
                    self.change(reference, State::Free);
                    self.free.push(number);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Counts by state.
    pub fn statistics(&self) -> Statistics {
        self.counts
    }

    /// Frames in use.
    pub fn frames(&self) -> u32 {
        self.frames.len() as u32
    }

    fn entry(&self, reference: Reference) -> Result<&GrantEntryV1, GrantError> {
        self.frames
            .get((reference.0 / ENTRIES_PER_FRAME) as usize)
            .map(|frame| frame.entry(reference.0))
            .ok_or(GrantError::State {
                reference: reference.0,
                expected: "in the table",
            })
    }

    fn state(&self, reference: Reference) -> Option<State> {
        self.states.get(reference.0 as usize).copied()
    }

    fn expect(
        &self,
        reference: Reference,
        expected: &'static str,
        right: impl FnOnce(State) -> bool,
    ) -> Result<(), GrantError> {
        let state = self.state(reference).ok_or(GrantError::State {
            reference: reference.0,
            expected,
        })?;
        if right(state) {
            Ok(())
        } else {
            Err(GrantError::State {
                reference: reference.0,
                expected,
            })
        }
    }

    fn change(&mut self, reference: Reference, to: State) {
        if let Some(state) = self.states.get_mut(reference.0 as usize) {
            let from = core::mem::replace(state, to);
            self.count(from, -1);
            self.count(to, 1);
        }
    }

    fn count(&mut self, state: State, by: i32) {
        let count = match state {
            State::Reserved => return,
            State::Free => &mut self.counts.free,
            State::Held => &mut self.counts.held,
            State::Granted(_) => &mut self.counts.granted,
            State::Quarantined => &mut self.counts.quarantined,
        };
        *count = count.wrapping_add_signed(by);
    }
}

const OUT_OF_MEMORY: XenError = XenError::OutOfMemory {
    what: "grant table",
};
