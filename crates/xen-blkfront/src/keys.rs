//! What a backend says of itself in xenstore, parsed and checked.
//!
//! Values are byte strings that another domain wrote: they are input. Numbers are decimal, as `io/blkif.h` has them.

use xen_abi::blkif::{VDISK_CDROM, VDISK_READONLY, VDISK_REMOVABLE};

pub use xen_front::keys::{decimal, state};

/// Largest ring order that this frontend uses.
pub const MAX_RING_ORDER: u8 = 4;
/// Most segments of one request: one page of indirect segments.
pub const MAX_SEGMENTS: u16 = xen_abi::blkif::SEGMENTS_PER_INDIRECT_PAGE as u16;
/// Most sectors of 512 bytes that a disk may have: 2^64 bytes stay out of reach of every sum.
const MAX_SECTORS: u64 = 1 << 54;

/// A key that does not say what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A key that must be there is not.
    #[error("the backend has no key {0}")]
    Missing(&'static str),
    /// Not a decimal number, or one that is too large.
    #[error("the backend's key {0} is not a number of its range")]
    NotANumber(&'static str),
    /// A disk of no sectors, of too many, or of no whole number of blocks.
    #[error("the backend's sectors {sectors} make no disk with sector-size {sector_size}")]
    Size {
        /// Value of `sectors`.
        sectors: u64,
        /// Value of `sector-size`.
        sector_size: u32,
    },
    /// Neither 512 nor 4096: Windows has no disks with other blocks.
    #[error("the backend's sector-size {0} is neither 512 nor 4096")]
    SectorSize(u32),
    /// A CD-ROM, which stays with the emulated drive.
    #[error("the backend's info says that this is a CD-ROM")]
    CdRom,
}

/// Reads the keys of the backend's directory through a function of the driver's.
struct Reader<F>(F);

impl<V: AsRef<[u8]>, F: FnMut(&'static str) -> Option<V>> Reader<F> {
    fn number(&mut self, key: &'static str, maximum: u64) -> Result<Option<u64>, KeyError> {
        match (self.0)(key) {
            None => Ok(None),
            Some(value) => match decimal(value.as_ref()) {
                Some(number) if number <= maximum => Ok(Some(number)),
                _ => Err(KeyError::NotANumber(key)),
            },
        }
    }

    fn u32(&mut self, key: &'static str) -> Result<Option<u32>, KeyError> {
        let number = self.number(key, u64::from(u32::MAX))?;
        Ok(number.and_then(|n| u32::try_from(n).ok()))
    }

    fn flag(&mut self, key: &'static str) -> Result<Option<bool>, KeyError> {
        self.u32(key).map(|number| number.map(|n| n != 0))
    }
}

/// What a backend in state InitWait offers for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// `max-ring-page-order`, or what `max-ring-pages` says, no more than [`MAX_RING_ORDER`].
    pub ring_order: u8,
    /// `multi-queue-max-queues`; 1 where it is not there.
    pub queues: u32,
}

impl Transport {
    /// Reads the keys through `read`.
    ///
    /// # Errors
    /// The first key that is malformed.
    pub fn parse<V: AsRef<[u8]>>(
        read: impl FnMut(&'static str) -> Option<V>,
    ) -> Result<Self, KeyError> {
        let mut keys = Reader(read);
        let order = match keys.u32("max-ring-page-order")? {
            Some(order) => order,
            None => keys.u32("max-ring-pages")?.unwrap_or(1).max(1).ilog2(),
        };
        Ok(Self {
            ring_order: u8::try_from(order).unwrap_or(u8::MAX).min(MAX_RING_ORDER),
            queues: keys.u32("multi-queue-max-queues")?.unwrap_or(1).max(1),
        })
    }
}

/// What a connected backend says of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Properties {
    /// Size in sectors of 512 bytes, whatever the block size.
    pub sectors: u64,
    /// Bytes of a logical block.
    pub sector_size: u32,
    /// Bytes of a physical block.
    pub physical_sector_size: u32,
    /// Writes are refused.
    pub read_only: bool,
    /// The medium can be taken out.
    pub removable: bool,
    /// BLKIF_OP_WRITE_BARRIER works.
    pub barrier: bool,
    /// BLKIF_OP_FLUSH_DISKCACHE works.
    pub flush: bool,
    /// What BLKIF_OP_DISCARD can do.
    pub discard: Option<DiscardKeys>,
    /// Most segments of one request: more than 11 only with indirect segments.
    pub segments: u16,
}

/// The `discard-*` keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiscardKeys {
    /// Bytes of an extent that can be discarded.
    pub granularity: u32,
    /// Bytes to the first extent.
    pub alignment: u32,
    /// BLKIF_DISCARD_SECURE works.
    pub secure: bool,
}

impl Properties {
    /// Reads the keys through `read`.
    ///
    /// # Errors
    /// The first key that is missing or malformed, or why they make no disk.
    pub fn parse<V: AsRef<[u8]>>(
        read: impl FnMut(&'static str) -> Option<V>,
    ) -> Result<Self, KeyError> {
        let mut keys = Reader(read);
        let sector_size = keys.u32("sector-size")?.unwrap_or(512);
        if sector_size != 512 && sector_size != 4096 {
            return Err(KeyError::SectorSize(sector_size));
        }
        let sectors = keys
            .number("sectors", u64::MAX)?
            .ok_or(KeyError::Missing("sectors"))?;
        let blocks_fit = sectors.is_multiple_of(u64::from(sector_size / 512));
        if sectors == 0 || sectors > MAX_SECTORS || !blocks_fit {
            return Err(KeyError::Size {
                sectors,
                sector_size,
            });
        }
        let info = keys.u32("info")?.unwrap_or(0);
        if info & VDISK_CDROM != 0 {
            return Err(KeyError::CdRom);
        }
        let read_only = (keys.0)("mode").is_some_and(|mode| mode.as_ref() == b"r");
        Ok(Self {
            sectors,
            sector_size,
            physical_sector_size: physical(sector_size, keys.u32("physical-sector-size")?),
            read_only: read_only || info & VDISK_READONLY != 0,
            removable: keys.flag("removable")?.unwrap_or(false) || info & VDISK_REMOVABLE != 0,
            barrier: keys.flag("feature-barrier")?.unwrap_or(false),
            flush: keys.flag("feature-flush-cache")?.unwrap_or(false),
            discard: discard(&mut keys, sector_size)?,
            segments: segments(keys.u32("feature-max-indirect-segments")?),
        })
    }
}

/// A physical block is a power of two of logical ones; anything else says nothing useful.
fn physical(sector_size: u32, given: Option<u32>) -> u32 {
    given
        .filter(|p| p.is_power_of_two() && *p >= sector_size)
        .unwrap_or(sector_size)
}

fn segments(indirect: Option<u32>) -> u16 {
    let direct = xen_abi::blkif::MAX_SEGMENTS_PER_REQUEST as u16;
    let offered = u16::try_from(indirect.unwrap_or(0)).unwrap_or(u16::MAX);
    offered.clamp(direct, MAX_SEGMENTS)
}

fn discard<V: AsRef<[u8]>, F: FnMut(&'static str) -> Option<V>>(
    keys: &mut Reader<F>,
    sector_size: u32,
) -> Result<Option<DiscardKeys>, KeyError> {
    let offered = keys.flag("feature-discard")?.unwrap_or(false);
    if !offered || !keys.flag("discard-enable")?.unwrap_or(true) {
        return Ok(None);
    }
    let granularity = keys.u32("discard-granularity")?.unwrap_or(sector_size);
    let alignment = keys.u32("discard-alignment")?.unwrap_or(0);
    Ok(Some(DiscardKeys {
        granularity: granularity.max(sector_size),
        alignment,
        secure: keys.flag("discard-secure")?.unwrap_or(false),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(keys: &[(&str, &str)]) -> Result<Properties, KeyError> {
        Properties::parse(|key| {
            keys.iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.as_bytes())
        })
    }

    #[test]
    fn the_least_a_backend_may_say_makes_a_disk() {
        let disk = parse(&[("sectors", "2048")]).unwrap();
        assert_eq!(
            (disk.sectors, disk.sector_size, disk.physical_sector_size),
            (2048, 512, 512)
        );
        assert_eq!(
            (disk.read_only, disk.removable, disk.flush, disk.barrier),
            (false, false, false, false)
        );
        assert_eq!((disk.discard, disk.segments), (None, 11));
    }

    #[test]
    fn every_key_is_read() {
        let disk = parse(&[
            ("sectors", "2048"),
            ("sector-size", "4096"),
            ("physical-sector-size", "8192"),
            ("info", "6"),
            ("feature-barrier", "1"),
            ("feature-flush-cache", "1"),
            ("feature-discard", "1"),
            ("discard-granularity", "65536"),
            ("discard-alignment", "512"),
            ("discard-secure", "1"),
            ("feature-max-indirect-segments", "256"),
        ])
        .unwrap();
        assert_eq!(disk.physical_sector_size, 8192);
        assert!(disk.read_only && disk.removable && disk.flush && disk.barrier);
        assert_eq!(
            disk.discard,
            Some(DiscardKeys {
                granularity: 65536,
                alignment: 512,
                secure: true
            })
        );
        assert_eq!(disk.segments, 256);
        assert!(parse(&[("sectors", "8"), ("mode", "r")]).unwrap().read_only);
        assert!(!parse(&[("sectors", "8"), ("mode", "w")]).unwrap().read_only);
    }

    #[test]
    fn the_toolstack_can_switch_discard_off() {
        let keys = [
            ("sectors", "8"),
            ("feature-discard", "1"),
            ("discard-enable", "0"),
        ];
        assert_eq!(parse(&keys).unwrap().discard, None);
    }

    #[test]
    fn garbage_in_any_key_is_an_error_that_names_it() {
        for key in [
            "sectors",
            "sector-size",
            "physical-sector-size",
            "info",
            "removable",
            "feature-barrier",
            "feature-flush-cache",
            "feature-discard",
            "feature-max-indirect-segments",
        ] {
            for value in [
                "",
                "x",
                "-1",
                "0x10",
                "1 ",
                " 1",
                "1\0",
                "99999999999999999999999",
            ] {
                let keys = [(key, value), ("sectors", "8")];
                assert_eq!(
                    parse(&keys),
                    Err(KeyError::NotANumber(key)),
                    "{key} {value:?}"
                );
            }
        }
        for key in [
            "discard-enable",
            "discard-granularity",
            "discard-alignment",
            "discard-secure",
        ] {
            let keys = [("sectors", "8"), ("feature-discard", "1"), (key, "?")];
            assert_eq!(parse(&keys), Err(KeyError::NotANumber(key)));
        }
    }

    #[test]
    fn sizes_that_make_no_disk_are_errors() {
        assert_eq!(parse(&[]), Err(KeyError::Missing("sectors")));
        for (sectors, sector_size) in [
            ("0", 512),
            ("7", 4096),
            ("18446744073709551615", 512),
            ("18014398509481985", 512),
        ] {
            let size = std::format!("{sector_size}");
            let parsed = parse(&[("sectors", sectors), ("sector-size", &size)]);
            assert!(matches!(parsed, Err(KeyError::Size { .. })), "{sectors}");
        }
        for size in [0, 1, 511, 520, 1024, 8192] {
            let text = std::format!("{size}");
            let parsed = parse(&[("sectors", "8"), ("sector-size", &text)]);
            assert_eq!(parsed, Err(KeyError::SectorSize(size)));
        }
        assert_eq!(
            parse(&[("sectors", "8"), ("info", "1")]),
            Err(KeyError::CdRom)
        );
    }

    #[test]
    fn a_backend_that_offers_too_much_is_taken_at_what_we_can() {
        let keys = [
            ("sectors", "8"),
            ("feature-max-indirect-segments", "4294967295"),
        ];
        assert_eq!(parse(&keys).unwrap().segments, MAX_SEGMENTS);
        let keys = [("sectors", "8"), ("feature-max-indirect-segments", "3")];
        assert_eq!(parse(&keys).unwrap().segments, 11);
        let order = |key: &'static str, value: &'static str| {
            Transport::parse(|k| (k == key).then_some(value))
                .unwrap()
                .ring_order
        };
        assert_eq!(order("max-ring-page-order", "4294967295"), MAX_RING_ORDER);
        assert_eq!(order("max-ring-page-order", "2"), 2);
        assert_eq!(order("max-ring-pages", "8"), 3);
        assert_eq!(order("max-ring-pages", "0"), 0);
        assert_eq!(order("none", "8"), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(values: std::vec::Vec<std::vec::Vec<u8>>) {
            let mut values = values.into_iter();
            if let Ok(disk) = Properties::parse(|_| values.next()) {
                prop_assert!(disk.sectors > 0 && disk.sectors <= MAX_SECTORS);
                prop_assert!(disk.segments >= 11 && disk.segments <= MAX_SEGMENTS);
            }
        }
    }
}
