//! The table of watches.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Path, StoreError};

/// Bits of a token for the place in the table; the rest counts its uses.
const PLACE_BITS: u32 = 12;
/// Watches at most.
const MAX_WATCHES: usize = 1 << PLACE_BITS;

/// A watch: also the token that the server echoes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchId(pub(super) u32);

impl WatchId {
    /// The token.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// A watch by a number that may come from anywhere: every use is checked.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

#[derive(Debug)]
struct Watch {
    id: u32,
    path: Box<[u8]>,
    /// Who is told, opaque.
    cookie: usize,
    fired: bool,
}

/// The watches.
#[derive(Debug, Default)]
pub(super) struct Watches {
    places: Vec<Option<Watch>>,
    uses: u32,
    any_fired: bool,
}

impl Watches {
    /// Enters a watch.
    pub fn add(&mut self, path: &Path<'_>, cookie: usize) -> Result<WatchId, StoreError> {
        let path = path.to_bytes()?;
        let place = match self.places.iter().position(Option::is_none) {
            Some(place) => place,
            None if self.places.len() < MAX_WATCHES => {
                self.places
                    .try_reserve(1)
                    .map_err(|_| StoreError::OutOfMemory)?;
                self.places.push(None);
                self.places.len() - 1
            }
            None => return Err(StoreError::OutOfMemory),
        };
        // Never zero, so that an id can stand for a pointer.
        self.uses = (self.uses.wrapping_add(1) << PLACE_BITS >> PLACE_BITS).max(1);
        let id = (self.uses << PLACE_BITS) | place as u32;
        if let Some(entry) = self.places.get_mut(place) {
            *entry = Some(Watch {
                id,
                path,
                cookie,
                fired: false,
            });
        }
        Ok(WatchId(id))
    }

    fn find(&mut self, id: WatchId) -> Option<&mut Option<Watch>> {
        let place = id.0 as usize % MAX_WATCHES;
        self.places
            .get_mut(place)
            .filter(|entry| entry.as_ref().is_some_and(|watch| watch.id == id.0))
    }

    /// Takes a watch out. Returns its path.
    pub fn remove(&mut self, id: WatchId) -> Option<Box<[u8]>> {
        self.find(id)?.take().map(|watch| watch.path)
    }

    /// The watch's event came. False: there is no such watch.
    pub fn fire(&mut self, id: WatchId) -> bool {
        let Some(Some(watch)) = self.find(id) else {
            return false;
        };
        watch.fired = true;
        self.any_fired = true;
        true
    }

    /// All events came, for all that anyone knows.
    pub fn fire_all(&mut self) {
        for watch in self.places.iter_mut().flatten() {
            watch.fired = true;
            self.any_fired = true;
        }
    }

    /// Tells the cookies of the watches that fired.
    pub fn take_fired(&mut self, mut tell: impl FnMut(usize)) {
        if !core::mem::take(&mut self.any_fired) {
            return;
        }
        for watch in self.places.iter_mut().flatten() {
            if core::mem::take(&mut watch.fired) {
                tell(watch.cookie);
            }
        }
    }

    /// Every watch with its path.
    pub fn iter(&self) -> impl Iterator<Item = (WatchId, &[u8])> {
        self.places
            .iter()
            .flatten()
            .map(|watch| (WatchId(watch.id), &*watch.path))
    }
}

impl Path<'_> {
    /// The joined path as bytes of its own.
    fn to_bytes(self) -> Result<Box<[u8]>, StoreError> {
        let mut bytes = Vec::new();
        bytes
            .try_reserve_exact(self.len())
            .map_err(|_| StoreError::OutOfMemory)?;
        for part in self.parts() {
            bytes.extend_from_slice(part);
        }
        Ok(bytes.into_boxed_slice())
    }
}
