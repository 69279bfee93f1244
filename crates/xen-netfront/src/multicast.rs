//! Which multicast addresses the backend lets through (`io/netif.h`, "request-multicast-control").
//!
//! The backend keeps a list, which is changed by one request an address ([`crate::tx::Queue::multicast`]), and sends
//! nothing else to a group once `request-multicast-control` says so. That key may be written while connected only where the
//! backend offers `feature-dynamic-multicast-control`. A [`Membership`] is told what is wanted and says what to ask next, one
//! change at a time, and whether the key may say that the list counts: not before all of it was taken, and not after a
//! change was refused (Linux' list has 64 addresses), since a frame too many can be dropped here, and one too few
//! cannot be had.

use arrayvec::ArrayVec;

use crate::tx::{Multicast, Outcome};

/// Most addresses of a list.
pub const MOST: usize = 64;

type List = ArrayVec<[u8; 6], MOST>;

/// What the backend was told, and what is wanted.
#[derive(Clone, Debug, Default)]
pub struct Membership {
    wanted: List,
    /// Frames to all groups are wanted.
    all: bool,
    told: List,
    /// The change that is not answered.
    pending: Option<Multicast>,
    /// The backend refused a change: it floods, on this connection.
    refused: bool,
}

impl Membership {
    /// Wants frames to all groups, and no backend knows better.
    pub fn new() -> Self {
        Self {
            all: true,
            ..Self::default()
        }
    }

    /// A new connection, to a backend with an empty list.
    pub fn reset(&mut self) {
        self.told.clear();
        self.pending = None;
        self.refused = false;
    }

    /// Wants frames to these groups only.
    pub fn want(&mut self, groups: impl IntoIterator<Item = [u8; 6]>) {
        self.wanted.clear();
        self.all = false;
        for group in groups {
            if !self.wanted.contains(&group) && self.wanted.try_push(group).is_err() {
                self.all = true;
            }
        }
    }

    /// Wants frames to all groups.
    pub fn want_all(&mut self) {
        self.all = true;
    }

    /// What to ask of the backend next. `None`: nothing, or something is asked already. Whoever gets a change and cannot
    /// ask for it calls [`Self::unasked`].
    pub fn next_change(&mut self) -> Option<Multicast> {
        // While all are wanted the list does not count, and stays as it is.
        if self.pending.is_some() || self.refused || self.all {
            return None;
        }
        let gone = self.told.iter().find(|group| !self.wanted.contains(group));
        let new = self.wanted.iter().find(|group| !self.told.contains(group));
        // First what is no longer wanted, so that there is room.
        self.pending = match (gone, new) {
            (Some(gone), _) => Some(Multicast::Remove(*gone)),
            (None, Some(new)) => Some(Multicast::Add(*new)),
            (None, None) => None,
        };
        self.pending
    }

    /// The change could not be asked for now.
    pub fn unasked(&mut self) {
        self.pending = None;
    }

    /// How the change ended.
    pub fn answered(&mut self, outcome: Outcome) {
        match (self.pending.take(), outcome) {
            (Some(Multicast::Add(group)), Outcome::Sent) => {
                // There is room: nothing else is told, and no more is wanted than fits.
                let _ = self.told.try_push(group);
            }
            (Some(Multicast::Remove(group)), Outcome::Sent) => {
                self.told.retain(|told| *told != group);
            }
            (Some(_), Outcome::Dropped | Outcome::Error) => self.refused = true,
            // Lost with its connection; the next begins with an empty list.
            (Some(_), Outcome::Lost) | (None, _) => {}
        }
    }

    /// Whether `request-multicast-control` may say 1: the backend knows every group that is wanted, and was not asked to
    /// forget it.
    pub fn is_complete(&self) -> bool {
        let known =
            |group| self.told.contains(group) && self.pending != Some(Multicast::Remove(*group));
        !self.all && !self.refused && self.wanted.iter().all(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    fn group(n: u8) -> [u8; 6] {
        [1, 0, 0x5E, 0, 0, n]
    }

    /// A backend with a list of so many addresses at most.
    struct Backend {
        list: BTreeSet<[u8; 6]>,
        most: usize,
    }

    impl Backend {
        fn new(most: usize) -> Self {
            let list = BTreeSet::new();
            Self { list, most }
        }

        fn ask(&mut self, change: Multicast) -> Outcome {
            match change {
                Multicast::Add(_) if self.list.len() == self.most => return Outcome::Error,
                Multicast::Add(group) => assert!(self.list.insert(group), "told twice"),
                Multicast::Remove(group) => assert!(self.list.remove(&group), "never told"),
            }
            Outcome::Sent
        }
    }

    fn settle(membership: &mut Membership, backend: &mut Backend) {
        while let Some(change) = membership.next_change() {
            assert_eq!(membership.next_change(), None, "one at a time");
            let outcome = backend.ask(change);
            membership.answered(outcome);
        }
    }

    #[test]
    fn the_backend_is_told_of_each_group_before_its_list_counts() {
        let (mut membership, mut backend) = (Membership::new(), Backend::new(64));
        assert_eq!(
            (membership.next_change(), membership.is_complete()),
            (None, false)
        );
        membership.want([group(1), group(2), group(1)]);
        assert!(!membership.is_complete());
        assert_eq!(membership.next_change(), Some(Multicast::Add(group(1))));
        assert_eq!(membership.next_change(), None);
        membership.answered(Outcome::Sent);
        backend.list.insert(group(1));
        assert!(!membership.is_complete());
        settle(&mut membership, &mut backend);
        assert!(membership.is_complete());
        assert_eq!(backend.list, BTreeSet::from([group(1), group(2)]));
        membership.want([]);
        assert!(membership.is_complete(), "a group too many does no harm");
        settle(&mut membership, &mut backend);
        assert!(backend.list.is_empty());
    }

    #[test]
    fn a_refusal_means_that_the_list_never_counts_on_this_connection() {
        let (mut membership, mut backend) = (Membership::new(), Backend::new(2));
        membership.want([1, 2, 3].map(group));
        settle(&mut membership, &mut backend);
        assert!(!membership.is_complete());
        membership.want([group(1)]);
        assert_eq!(
            (membership.next_change(), membership.is_complete()),
            (None, false)
        );
        membership.reset();
        settle(&mut membership, &mut Backend::new(2));
        assert!(membership.is_complete());
    }

    #[test]
    fn all_groups_are_wanted_without_a_list() {
        let (mut membership, mut backend) = (Membership::new(), Backend::new(64));
        membership.want([group(1)]);
        settle(&mut membership, &mut backend);
        membership.want_all();
        assert_eq!(
            (membership.next_change(), membership.is_complete()),
            (None, false)
        );
        membership.want((0..=MOST as u8).map(group));
        assert!(!membership.is_complete(), "more than fit");
        membership.want([group(1)]);
        assert!(membership.is_complete(), "the backend still knows");
    }

    #[test]
    fn a_change_that_could_not_be_asked_for_comes_again() {
        let mut membership = Membership::new();
        membership.want([group(1)]);
        assert_eq!(membership.next_change(), Some(Multicast::Add(group(1))));
        membership.unasked();
        assert_eq!(membership.next_change(), Some(Multicast::Add(group(1))));
        membership.answered(Outcome::Lost);
        membership.reset();
        assert_eq!(membership.next_change(), Some(Multicast::Add(group(1))));
    }

    #[test]
    fn a_group_wanted_again_while_the_backend_forgets_it_is_told_again() {
        let (mut membership, mut backend) = (Membership::new(), Backend::new(64));
        membership.want([group(1)]);
        settle(&mut membership, &mut backend);
        membership.want([]);
        let change = membership.next_change().expect("one to forget");
        membership.want([group(1)]);
        assert!(!membership.is_complete(), "it is being forgotten");
        membership.answered(backend.ask(change));
        assert_eq!(membership.next_change(), Some(Multicast::Add(group(1))));
    }

    proptest! {
        #[test]
        fn a_list_that_counts_has_every_group_that_is_wanted(
            acts in proptest::collection::vec((0u8..6, proptest::collection::vec(0u8..80, 0..70)), 1..40),
            most in 1usize..80,
        ) {
            let (mut membership, mut backend) = (Membership::new(), Backend::new(most));
            let mut wanted: Option<Vec<[u8; 6]>> = None;
            let mut answer = None;
            for (act, groups) in acts {
                match act {
                    0 => {
                        membership.want_all();
                        wanted = None;
                    }
                    1 | 2 => {
                        let groups = groups.into_iter().map(group).collect::<Vec<_>>();
                        membership.want(groups.iter().copied());
                        wanted = Some(groups);
                    }
                    3 => {
                        membership.reset();
                        backend.list.clear();
                        answer = None;
                    }
                    4 => {
                        if let Some(outcome) = answer.take() {
                            membership.answered(outcome);
                        }
                        settle(&mut membership, &mut backend);
                    }
                    _ => match answer.take() {
                        Some(outcome) => membership.answered(outcome),
                        None => answer = membership.next_change().map(|c| backend.ask(c)),
                    },
                }
                if membership.is_complete() {
                    let wanted = wanted.as_ref().expect("not all");
                    prop_assert!(wanted.iter().all(|group| backend.list.contains(group)));
                }
            }
        }
    }
}
