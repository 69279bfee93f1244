//! Receive side scaling: what the stack asks for, and how it is laid out over the adapter's queues.

use ndis_sys::rss::{
    INDIRECTION_TABLE_MAX_SIZE, PROCESSOR_NUMBER, SECRET_KEY_SIZE,
    SIZEOF_RECEIVE_SCALE_PARAMETERS_REVISION_2, SIZEOF_RECEIVE_SCALE_PARAMETERS_REVISION_3, hash,
    parameter_flag,
};
use ndis_sys::{NDIS_STATUS, status};

use crate::bytes::{u8_at, u16_at, u32_at};

/// Entries of the indirection table: what the NDIS of all supported versions asks adapters for.
pub const ENTRIES: usize = 128;
/// Most queues.
pub const QUEUES: usize = 8;
/// Kinds of hashes that the adapter computes.
pub const HASH_TYPES: u32 = hash::IPV4 | hash::TCP_IPV4 | hash::IPV6 | hash::TCP_IPV6;

const _: () = assert!(ENTRIES * size_of::<PROCESSOR_NUMBER>() <= INDIRECTION_TABLE_MAX_SIZE);

/// What the stack asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rss {
    enabled: bool,
    types: u32,
    key: [u8; SECRET_KEY_SIZE],
    table: [PROCESSOR_NUMBER; ENTRIES],
    entries: usize,
}

impl Default for Rss {
    fn default() -> Self {
        Self::new()
    }
}

/// How hashes lead to queues and queues to processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// A queue for each value of the low bits of a hash; of as many as there are entries.
    pub mapping: [u8; ENTRIES],
    /// Entries of the mapping, a power of two.
    pub entries: usize,
    /// The processor of each queue, where one is named.
    pub processors: [Option<PROCESSOR_NUMBER>; QUEUES],
}

impl Rss {
    /// Off, as after initialization.
    pub const fn new() -> Self {
        const NONE: PROCESSOR_NUMBER = PROCESSOR_NUMBER {
            Group: 0,
            Number: 0,
            Reserved: 0,
        };
        Self {
            enabled: false,
            types: 0,
            key: [0; SECRET_KEY_SIZE],
            table: [NONE; ENTRIES],
            entries: 0,
        }
    }

    /// Whether it is on.
    pub const fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Kinds of hashes (`NDIS_HASH_…`), none while it is off.
    pub const fn types(&self) -> u32 {
        if self.enabled { self.types } else { 0 }
    }

    /// The secret key.
    pub const fn key(&self) -> &[u8; SECRET_KEY_SIZE] {
        &self.key
    }

    /// OID_GEN_RECEIVE_SCALE_PARAMETERS. On success says how many bytes were looked at.
    ///
    /// Its flags say what has not changed: then the old value stays, and need not be there.
    ///
    /// # Errors
    /// INVALID_LENGTH: shorter than its revision, or than what its offsets lead to; INVALID_DATA: a value that cannot be;
    /// NOT_SUPPORTED: another hash function than Toeplitz's, or none of the hash types. Nothing changes then.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<u32, NDIS_STATUS> {
        let least = match u8_at(bytes, 1) {
            None => return Err(status::INVALID_LENGTH),
            Some(2) => SIZEOF_RECEIVE_SCALE_PARAMETERS_REVISION_2,
            Some(3..) => SIZEOF_RECEIVE_SCALE_PARAMETERS_REVISION_3,
            Some(_) => return Err(status::INVALID_DATA),
        };
        let read = bytes.len() as u32;
        if bytes.len() < usize::from(least) {
            return Err(status::INVALID_LENGTH);
        }
        let short = status::INVALID_LENGTH;
        let flags = u16_at(bytes, 4).ok_or(short)?;
        let information = u32_at(bytes, 8).ok_or(short)?;
        let kept = |flag| flags & flag != 0;
        let off =
            information & hash::FUNCTION_MASK == 0 && !kept(parameter_flag::HASH_INFO_UNCHANGED);
        if kept(parameter_flag::DISABLE_RSS) || off {
            *self = Self::new();
            return Ok(read);
        }
        let mut new = self.clone();
        if !kept(parameter_flag::HASH_INFO_UNCHANGED) {
            let types = information & hash::TYPE_MASK & HASH_TYPES;
            if information & hash::FUNCTION_MASK != hash::TOEPLITZ || types == 0 {
                return Err(status::NOT_SUPPORTED);
            }
            new.types = types;
        }
        if !kept(parameter_flag::ITABLE_UNCHANGED) {
            let size = usize::from(u16_at(bytes, 12).ok_or(short)?);
            new.take_table(slice(bytes, 16, size)?)?;
        }
        if !kept(parameter_flag::HASH_KEY_UNCHANGED) {
            let size = usize::from(u16_at(bytes, 20).ok_or(short)?);
            let key = slice(bytes, 24, size)?;
            new.key = key.try_into().map_err(|_| status::INVALID_DATA)?;
        }
        // What is said not to have changed must have been said before.
        if new.types == 0 || new.entries == 0 {
            return Err(status::INVALID_DATA);
        }
        new.enabled = true;
        *self = new;
        Ok(read)
    }

    fn take_table(&mut self, table: &[u8]) -> Result<(), NDIS_STATUS> {
        let (processors, rest) = table.as_chunks::<4>();
        let entries = processors.len();
        if !rest.is_empty() || !entries.is_power_of_two() {
            return Err(status::INVALID_DATA);
        }
        let slots = self.table.get_mut(..entries).ok_or(status::INVALID_DATA)?;
        for (slot, [low, high, number, _]) in slots.iter_mut().zip(processors) {
            *slot = PROCESSOR_NUMBER {
                Group: u16::from_le_bytes([*low, *high]),
                Number: *number,
                Reserved: 0,
            };
        }
        self.entries = entries;
        Ok(())
    }

    /// Lays the table out over `queues` queues: each processor, in the order in which the table names them, has a queue of
    /// its own as long as there are any; the others share. `None` while it is off.
    pub fn layout(&self, queues: usize) -> Option<Layout> {
        let queues = queues.clamp(1, QUEUES);
        let table = self.table.get(..self.entries).filter(|_| self.enabled)?;
        let mut layout = Layout {
            mapping: [0; ENTRIES],
            entries: self.entries,
            processors: [None; QUEUES],
        };
        let (mut known, mut shared) = (0, 0);
        for (entry, processor) in layout.mapping.iter_mut().zip(table) {
            let own = layout
                .processors
                .iter()
                .position(|p| *p == Some(*processor));
            let queue = own.unwrap_or_else(|| {
                let next = if known < queues {
                    known
                } else {
                    shared % queues
                };
                if let Some(slot) = layout.processors.get_mut(next).filter(|_| known < queues) {
                    *slot = Some(*processor);
                    known += 1;
                } else {
                    shared += 1;
                }
                next
            });
            *entry = queue as u8;
        }
        Some(layout)
    }
}

/// `size` bytes at the offset that stands at `at`.
fn slice(bytes: &[u8], at: usize, size: usize) -> Result<&[u8], NDIS_STATUS> {
    let start = u32_at(bytes, at).and_then(|offset| usize::try_from(offset).ok());
    let start = start.ok_or(status::INVALID_LENGTH)?;
    let end = start.checked_add(size).ok_or(status::INVALID_LENGTH)?;
    bytes.get(start..end).ok_or(status::INVALID_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn request(flags: u16, information: u32, processors: &[(u16, u8)], key: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 44];
        bytes[0] = 0x89;
        bytes[1] = 3;
        bytes[2] = 44;
        bytes[4..6].copy_from_slice(&flags.to_le_bytes());
        bytes[8..12].copy_from_slice(&information.to_le_bytes());
        bytes[12..14].copy_from_slice(&((processors.len() * 4) as u16).to_le_bytes());
        bytes[16..20].copy_from_slice(&44_u32.to_le_bytes());
        bytes[20..22].copy_from_slice(&(key.len() as u16).to_le_bytes());
        let at = 44 + processors.len() as u32 * 4;
        bytes[24..28].copy_from_slice(&at.to_le_bytes());
        for (group, number) in processors {
            bytes.extend(group.to_le_bytes());
            bytes.extend([*number, 0]);
        }
        bytes.extend(key);
        bytes
    }

    const ON: u32 = hash::TOEPLITZ | hash::TCP_IPV4 | hash::IPV4;
    const TWO: [(u16, u8); 4] = [(0, 0), (0, 2), (0, 0), (0, 2)];

    #[test]
    fn a_request_turns_it_on_with_all_that_it_says() {
        let mut rss = Rss::new();
        assert_eq!(
            (rss.is_enabled(), rss.types(), rss.layout(4)),
            (false, 0, None)
        );
        let bytes = request(0, ON, &TWO, &[7; 40]);
        assert_eq!(rss.apply(&bytes), Ok(bytes.len() as u32));
        assert!(rss.is_enabled());
        assert_eq!(
            (rss.types(), rss.key()),
            (hash::TCP_IPV4 | hash::IPV4, &[7; 40])
        );
    }

    #[test]
    fn what_is_unchanged_need_not_be_there() {
        let mut rss = Rss::new();
        assert_eq!(rss.apply(&request(0, ON, &TWO, &[7; 40])).err(), None);
        let unchanged = parameter_flag::HASH_KEY_UNCHANGED | parameter_flag::ITABLE_UNCHANGED;
        let mut bytes = request(unchanged, hash::TOEPLITZ | hash::TCP_IPV6, &[], &[]);
        bytes[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(rss.apply(&bytes).err(), None);
        assert_eq!((rss.types(), rss.key()), (hash::TCP_IPV6, &[7; 40]));
        let bytes = request(parameter_flag::HASH_INFO_UNCHANGED, 0, &[(0, 1)], &[8; 40]);
        assert_eq!(rss.apply(&bytes).err(), None);
        assert_eq!((rss.types(), rss.key()), (hash::TCP_IPV6, &[8; 40]));
    }

    #[test]
    fn off_needs_neither_table_nor_key_and_forgets_all() {
        for (flags, information) in [(parameter_flag::DISABLE_RSS, ON), (0, 0)] {
            let mut rss = Rss::new();
            assert_eq!(rss.apply(&request(0, ON, &TWO, &[7; 40])).err(), None);
            assert_eq!(
                rss.apply(&request(flags, information, &[], &[])).err(),
                None
            );
            assert_eq!(rss, Rss::new());
        }
    }

    #[test]
    fn a_request_that_does_not_hold_together_changes_nothing() {
        let mut rss = Rss::new();
        assert_eq!(rss.apply(&request(0, ON, &TWO, &[7; 40])).err(), None);
        let before = rss.clone();
        let mut refused = |bytes: &[u8], status| {
            assert_eq!(rss.apply(bytes), Err(status));
            assert_eq!(rss, before);
        };
        refused(&[], status::INVALID_LENGTH);
        refused(&request(0, ON, &[], &[])[..43], status::INVALID_LENGTH);
        refused(&request(0, ON, &TWO, &[7; 39]), status::INVALID_DATA);
        refused(&request(0, ON, &TWO[..3], &[7; 40]), status::INVALID_DATA);
        refused(
            &request(0, ON, &[(0, 0); 256], &[7; 40]),
            status::INVALID_DATA,
        );
        refused(
            &request(0, 2 | hash::TCP_IPV4, &TWO, &[7; 40]),
            status::NOT_SUPPORTED,
        );
        refused(
            &request(0, hash::TOEPLITZ, &TWO, &[7; 40]),
            status::NOT_SUPPORTED,
        );
        for at in [16, 24] {
            let mut bytes = request(0, ON, &TWO, &[7; 40]);
            bytes[at..at + 4].copy_from_slice(&(u32::MAX - 3).to_le_bytes());
            refused(&bytes, status::INVALID_LENGTH);
        }
        let unchanged = parameter_flag::ITABLE_UNCHANGED | parameter_flag::HASH_KEY_UNCHANGED;
        assert_eq!(
            Rss::new().apply(&request(unchanged, ON, &[], &[])),
            Err(status::INVALID_DATA)
        );
    }

    #[test]
    fn each_processor_has_a_queue_of_its_own_while_there_are_any() {
        let mut rss = Rss::new();
        let table = [
            (0, 4),
            (0, 6),
            (1, 0),
            (0, 4),
            (1, 2),
            (0, 6),
            (1, 0),
            (1, 2),
        ];
        assert_eq!(rss.apply(&request(0, ON, &table, &[7; 40])).err(), None);
        let layout = rss.layout(8).expect("it is on");
        assert_eq!(layout.entries, 8);
        assert_eq!(layout.mapping[..8], [0, 1, 2, 0, 3, 1, 2, 3]);
        let processor = layout.processors[2].map(|p| (p.Group, p.Number));
        assert_eq!((processor, layout.processors[4]), (Some((1, 0)), None));
        let layout = rss.layout(2).expect("it is on");
        assert!(layout.mapping[..8].iter().all(|queue| *queue < 2));
        assert_eq!(layout.mapping[..2], [0, 1]);
        assert_eq!(layout.processors[2], None);
        assert_eq!(
            rss.layout(1).map(|layout| layout.mapping),
            Some([0; ENTRIES])
        );
    }
}
