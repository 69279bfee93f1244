//! The children that there are, and where each is between xenstore and PnP.
//!
//! PnP owns a child's device from the moment that a list with it was handed over: it may be in use until PnP has removed
//! it, and PnP removes for good only what the last list was without. So a device object goes
//!
//! * at once, if xenstore loses the device before PnP heard of it;
//! * else with the `REMOVE` that comes after a list without it. A `REMOVE` while the last list still has it (a driver is
//!   exchanged, a user disables the device) leaves it where it is, even if xenstore has lost it meanwhile;
//! * with the bus, unless PnP still owes it a `REMOVE` after a surprise removal.
//!
//! There are never two devices with the same ids: one that comes back is held back until the old one is gone.

use alloc::vec::Vec;

use xenbus_interface::identity::Child;

use crate::children::{MAX_CHILDREN, Wanted};

/// Where a child's device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// Made; PnP has not heard of it.
    New,
    /// In PnP's last list.
    Listed,
    /// In PnP's last list, and not to be in the next.
    Leaving,
    /// PnP had a list without it and will send `REMOVE`.
    Dropped,
    /// Nobody needs the device object any more.
    Over,
}

/// What happens to a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// PnP gets a list of those who are there.
    List,
    /// Xenstore lost it, or a user ejected it.
    Left,
    /// PnP's `REMOVE` came.
    Removed,
    /// The bus goes.
    ParentRemoved {
        /// A surprise removal came, and not yet the `REMOVE` that ends it.
        remove_owed: bool,
    },
}

impl Life {
    /// Where it is after an event.
    #[must_use]
    pub const fn after(self, event: Event) -> Self {
        match (self, event) {
            (Self::Over, _) => Self::Over,
            (_, Event::ParentRemoved { remove_owed: false }) => Self::Over,
            (Self::New, Event::ParentRemoved { .. } | Event::Left | Event::Removed) => Self::Over,
            (_, Event::ParentRemoved { .. }) => Self::Dropped,
            (Self::New | Self::Listed, Event::List) => Self::Listed,
            (Self::Listed, Event::Left) => Self::Leaving,
            (Self::Leaving, Event::List) => Self::Dropped,
            (Self::Dropped, Event::Removed) => Self::Over,
            (life, _) => life,
        }
    }

    /// Whether it belongs in a list for PnP.
    pub const fn is_present(self) -> bool {
        matches!(self, Self::New | Self::Listed)
    }
}

/// A child with what stands for its device.
#[derive(Debug)]
struct Entry<T> {
    child: Child,
    life: Life,
    device: T,
}

/// All children of a bus. `T` stands for a device object.
#[derive(Debug)]
pub struct Roster<T> {
    entries: Vec<Entry<T>>,
    /// Ejected by a user; they stay away until xenstore loses them.
    ejected: Vec<Child>,
}

impl<T> Default for Roster<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Roster<T> {
    /// None.
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
            ejected: Vec::new(),
        }
    }

    /// Marks those who left xenstore, calling `left` for each. Those who may go at once are then
    /// [`over`](Self::take_over); if there was anyone, PnP has to ask again.
    pub fn retain(&mut self, wanted: &Wanted, mut left: impl FnMut(&Child)) {
        self.ejected.retain(|child| wanted.contains(child));
        for entry in &mut self.entries {
            if entry.life.is_present() && !wanted.contains(&entry.child) {
                left(&entry.child);
                entry.life = entry.life.after(Event::Left);
            }
        }
    }

    /// What is to be done about a child that xenstore has.
    pub fn arrival(&self, child: &Child) -> Arrival {
        match self.entries.iter().find(|entry| entry.child == *child) {
            Some(entry) if entry.life.is_present() => Arrival::Known,
            Some(_) => Arrival::HeldBack,
            None if self.ejected.contains(child) => Arrival::Ejected,
            None => Arrival::New,
        }
    }

    /// Makes room for one more, so that [`insert`](Self::insert) does not fail; false if there is none.
    pub fn reserve(&mut self) -> bool {
        self.entries.len() < 2 * MAX_CHILDREN
            && self.entries.try_reserve(1).is_ok()
            && self.ejected.try_reserve(1).is_ok()
    }

    /// Adds a child whose arrival is new, after [`reserve`](Self::reserve); gives the device back without it.
    ///
    /// # Errors
    /// The device, if nothing was reserved.
    pub fn insert(&mut self, child: Child, device: T) -> Result<(), T> {
        if self.entries.len() == self.entries.capacity() {
            return Err(device);
        }
        self.entries.push(Entry {
            child,
            life: Life::New,
            device,
        });
        Ok(())
    }

    /// How many there are to report.
    pub fn present(&self) -> usize {
        let entries = self.entries.iter();
        entries.filter(|entry| entry.life.is_present()).count()
    }

    /// PnP gets its list: calls `report` for each device in it, [`present`](Self::present) of them.
    pub fn list(&mut self, mut report: impl FnMut(&T)) {
        for entry in &mut self.entries {
            entry.life = entry.life.after(Event::List);
            if entry.life.is_present() {
                report(&entry.device);
            }
        }
    }

    /// PnP's `REMOVE` came for a device; the device, if it is to be deleted.
    pub fn removed(&mut self, is: impl Fn(&T) -> bool) -> Option<T> {
        let index = self.entries.iter().position(|entry| is(&entry.device))?;
        let entry = self.entries.get_mut(index)?;
        entry.life = entry.life.after(Event::Removed);
        (entry.life == Life::Over).then(|| self.entries.swap_remove(index).device)
    }

    /// A user ejected a device: it leaves, and does not come back before xenstore has lost it.
    pub fn eject(&mut self, is: impl Fn(&T) -> bool) {
        let entry = self.entries.iter_mut().find(|entry| is(&entry.device));
        if let Some(entry) = entry.filter(|entry| entry.life.is_present()) {
            entry.life = entry.life.after(Event::Left);
            if self.ejected.try_reserve(1).is_ok() {
                self.ejected.push(entry.child);
            }
        }
    }

    /// The bus goes; `remove_owed` says of which device PnP still owes a `REMOVE`. All others are then
    /// [`over`](Self::take_over).
    pub fn parent_removed(&mut self, remove_owed: impl Fn(&T) -> bool) {
        for entry in &mut self.entries {
            let remove_owed = remove_owed(&entry.device);
            entry.life = entry.life.after(Event::ParentRemoved { remove_owed });
        }
    }

    /// Takes out a device that nobody needs any more.
    pub fn take_over(&mut self) -> Option<T> {
        let over = |entry: &Entry<T>| entry.life == Life::Over;
        let index = self.entries.iter().position(over)?;
        Some(self.entries.swap_remove(index).device)
    }
}

/// What is to be done about a child that xenstore has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Its device is there.
    Known,
    /// PnP still has its old device: it comes when that is removed.
    HeldBack,
    /// A user ejected it.
    Ejected,
    /// It needs a device.
    New,
}

#[cfg(test)]
mod tests;
