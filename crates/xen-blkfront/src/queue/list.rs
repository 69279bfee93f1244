//! Lists of transfers, linked through the table that holds them.

use super::Transfer;
use xen_front::Table;

/// A transfer's place in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Links {
    prev: Option<u16>,
    next: Option<u16>,
}

impl Links {
    pub(super) const NONE: Self = Self {
        prev: None,
        next: None,
    };
}

/// First and last of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List {
    first: Option<u16>,
    last: Option<u16>,
}

impl List {
    pub(super) const EMPTY: Self = Self {
        first: None,
        last: None,
    };

    pub(super) fn first(&self) -> Option<u16> {
        self.first
    }

    pub(super) fn after(&self, table: &Table<Transfer>, id: u16) -> Option<u16> {
        table.get(id).and_then(|transfer| transfer.links.next)
    }

    pub(super) fn count(&self, table: &Table<Transfer>) -> usize {
        core::iter::successors(self.first, |id| self.after(table, *id)).count()
    }

    pub(super) fn push(&mut self, table: &mut Table<Transfer>, id: u16) {
        if let Some(transfer) = table.get_mut(id) {
            transfer.links = Links {
                prev: self.last,
                next: None,
            };
        }
        match self.last.and_then(|last| table.get_mut(last)) {
            Some(last) => last.links.next = Some(id),
            None => self.first = Some(id),
        }
        self.last = Some(id);
    }

    pub(super) fn remove(&mut self, table: &mut Table<Transfer>, id: u16) {
        let Some(links) = table.get(id).map(|transfer| transfer.links) else {
            return;
        };
        match links.prev.and_then(|prev| table.get_mut(prev)) {
            Some(prev) => prev.links.next = links.next,
            None => self.first = links.next,
        }
        match links.next.and_then(|next| table.get_mut(next)) {
            Some(next) => next.links.prev = links.prev,
            None => self.last = links.prev,
        }
        if let Some(transfer) = table.get_mut(id) {
            transfer.links = Links::NONE;
        }
    }
}
