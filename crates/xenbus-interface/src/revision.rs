//! Revisions: each distinct set of interface versions is one revision of the children's devices.
//!
//! A child's hardware ids list all revisions, newest first, so that a driver whose INF names one of
//! them binds for as long as that row exists.

use crate::{
    Guid, cache, console, debug, evtchn, gnttab, range_set, shared_info, store, suspend, unplug,
};

/// One row of the revision table: the newest version of each interface in that revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The number after `REV_` in a hardware id.
    pub number: u32,
    /// SUSPEND's version.
    pub suspend: u16,
    /// SHARED_INFO's version.
    pub shared_info: u16,
    /// EVTCHN's version.
    pub evtchn: u16,
    /// DEBUG's version.
    pub debug: u16,
    /// STORE's version.
    pub store: u16,
    /// RANGE_SET's version.
    pub range_set: u16,
    /// CACHE's version.
    pub cache: u16,
    /// GNTTAB's version.
    pub gnttab: u16,
    /// UNPLUG's version.
    pub unplug: u16,
    /// CONSOLE's version.
    pub console: u16,
}

const OLDEST: Revision = Revision {
    number: 0x0900_0008,
    suspend: 1,
    shared_info: 3,
    evtchn: 9,
    debug: 1,
    store: 2,
    range_set: 1,
    cache: 2,
    gnttab: 4,
    unplug: 1,
    console: 1,
};

/// All revisions, oldest first.
pub const REVISIONS: [Revision; 4] = [
    OLDEST,
    Revision {
        number: 0x0900_0009,
        shared_info: 4,
        ..OLDEST
    },
    Revision {
        number: 0x0900_000A,
        shared_info: 4,
        unplug: 2,
        ..OLDEST
    },
    Revision {
        number: 0x0900_000B,
        shared_info: 4,
        unplug: 3,
        ..OLDEST
    },
];

impl Revision {
    /// The interfaces that a device of this revision answers, with their versions.
    pub const fn interfaces(&self) -> [(Guid, u16); 10] {
        [
            (suspend::GUID, self.suspend),
            (shared_info::GUID, self.shared_info),
            (evtchn::GUID, self.evtchn),
            (debug::GUID, self.debug),
            (store::GUID, self.store),
            (range_set::GUID, self.range_set),
            (cache::GUID, self.cache),
            (gnttab::GUID, self.gnttab),
            (unplug::GUID, self.unplug),
            (console::GUID, self.console),
        ]
    }

    /// Whether `answers` holds for every interface of this revision.
    pub fn is_served(&self, answers: impl Fn(&Guid, u16) -> bool) -> bool {
        self.interfaces()
            .iter()
            .all(|(guid, version)| answers(guid, *version))
    }
}
