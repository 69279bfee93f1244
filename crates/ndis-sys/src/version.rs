//! Which version a driver registers with, and which revision of each structure belongs to it.
//!
//! NDIS is documented to refuse a structure of an older revision than the registered version has ("NDIS Version
//! Information", "NDIS_OFFLOAD" and each structure's page).

use crate::miniport::{
    SIZEOF_DRIVER_CHARACTERISTICS_REVISION_2, SIZEOF_DRIVER_CHARACTERISTICS_REVISION_3,
};
use crate::offload::{
    SIZEOF_OFFLOAD_REVISION_4, SIZEOF_OFFLOAD_REVISION_5, SIZEOF_OFFLOAD_REVISION_6,
};
use crate::rss::SIZEOF_RECEIVE_SCALE_CAPABILITIES_REVISION_2;

/// A version of NDIS 6, by its minor number: 60 of 6.60.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u8);

/// A structure's revision and its size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The revision.
    pub revision: u8,
    /// `NDIS_SIZEOF_…_REVISION_…`.
    pub size: u16,
}

const fn revision(revision: u8, size: u16) -> Revision {
    Revision { revision, size }
}

impl Version {
    /// The oldest that this crate's users run on: Windows 10 1607 and Server 2016.
    pub const OLDEST: Self = Self(60);
    /// The newest whose structures this crate has.
    pub const NEWEST: Self = Self(87);

    /// The version to register with on a running NDIS (`NdisGetVersion`: major number times 65536 and minor number): the
    /// lower of what both know. `None` if the running one is too old.
    pub const fn negotiate(running: u32) -> Option<Self> {
        let (major, minor) = (running >> 16, running & 0xFFFF);
        if major > 6 || (major == 6 && minor >= Self::NEWEST.0 as u32) {
            return Some(Self::NEWEST);
        }
        if major < 6 || minor < Self::OLDEST.0 as u32 {
            return None;
        }
        Some(Self(minor as u8))
    }

    /// The minor number.
    pub const fn minor(self) -> u8 {
        self.0
    }

    /// Of `NDIS_MINIPORT_DRIVER_CHARACTERISTICS`.
    pub const fn driver_characteristics(self) -> Revision {
        match self.0 {
            ..80 => revision(2, SIZEOF_DRIVER_CHARACTERISTICS_REVISION_2),
            80.. => revision(3, SIZEOF_DRIVER_CHARACTERISTICS_REVISION_3),
        }
    }

    /// Of `NDIS_OFFLOAD`.
    pub const fn offload(self) -> Revision {
        match self.0 {
            ..70 => revision(4, SIZEOF_OFFLOAD_REVISION_4),
            70..83 => revision(5, SIZEOF_OFFLOAD_REVISION_5),
            83..85 => revision(6, SIZEOF_OFFLOAD_REVISION_6),
            85.. => revision(7, SIZEOF_OFFLOAD_REVISION_6),
        }
    }

    /// Of `NDIS_RECEIVE_SCALE_CAPABILITIES`, which has the same size in both.
    pub const fn receive_scale_capabilities(self) -> Revision {
        revision(3, SIZEOF_RECEIVE_SCALE_CAPABILITIES_REVISION_2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registered_version_is_the_lower_of_ours_and_the_running_one() {
        let minor = |running| Version::negotiate(running).map(Version::minor);
        assert_eq!(minor(0x6_003C), Some(60));
        assert_eq!(minor(0x6_0046), Some(70));
        assert_eq!(minor(0x6_0055), Some(85));
        assert_eq!(minor(0x6_0057), Some(87));
        assert_eq!(minor(0x6_0059), Some(87));
        assert_eq!(minor(0x7_0000), Some(87));
    }

    #[test]
    fn an_ndis_before_windows_10_1607_s_is_refused() {
        assert_eq!(Version::negotiate(0x6_0032), None);
        assert_eq!(Version::negotiate(0x5_0001), None);
    }

    #[test]
    fn each_version_has_its_revisions() {
        let of = |minor| {
            let version = Version(minor);
            let (characteristics, offload) = (version.driver_characteristics(), version.offload());
            (
                characteristics.revision,
                characteristics.size,
                offload.revision,
                offload.size,
            )
        };
        assert_eq!(of(60), (2, 152, 4, 177));
        assert_eq!(of(70), (2, 152, 5, 188));
        assert_eq!(of(80), (3, 160, 5, 188));
        assert_eq!(of(83), (3, 160, 6, 216));
        assert_eq!(of(85), (3, 160, 7, 216));
        assert_eq!(of(87), (3, 160, 7, 216));
    }
}
