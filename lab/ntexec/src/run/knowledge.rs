//! What the run knows of a disk's contents: how often it wrote each sector.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use super::pattern::{Stamp, UNIT};

const CHUNK: u64 = 2048;

/// The generation of every sector that was written at random; the others hold the plain pattern, or nothing known.
#[derive(Default)]
pub struct Knowledge {
    chunks: BTreeMap<u64, Box<[u32]>>,
}

impl Knowledge {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            chunks: BTreeMap::new(),
        }
    }

    /// How often a sector was written: 0 if this is not known.
    pub fn generation(&self, sector: u64) -> u32 {
        let within = usize::try_from(sector % CHUNK).unwrap_or(0);
        self.chunks
            .get(&(sector / CHUNK))
            .map_or(0, |chunk| chunk[within])
    }

    /// The generation that the next write of a sector gets.
    pub fn advance(&mut self, sector: u64) -> u32 {
        let within = usize::try_from(sector % CHUNK).unwrap_or(0);
        let chunk = self
            .chunks
            .entry(sector / CHUNK)
            .or_insert_with(|| alloc::vec![0; CHUNK as usize].into_boxed_slice());
        chunk[within] = chunk[within].wrapping_add(1).max(1);
        chunk[within]
    }

    /// The plain pattern was written over a range of sectors.
    pub fn reset(&mut self, first: u64, count: u64) {
        for sector in first..first.saturating_add(count) {
            if let Some(chunk) = self.chunks.get_mut(&(sector / CHUNK)) {
                chunk[usize::try_from(sector % CHUNK).unwrap_or(0)] = 0;
            }
        }
    }

    /// Fills a buffer with what a random write of its sectors gives, and remembers it.
    pub fn fill_next(&mut self, stamp: Stamp, first: u64, bytes: &mut [u8]) {
        for (sector, chunk) in (first..).zip(bytes.chunks_exact_mut(UNIT)) {
            Stamp {
                generation: self.advance(sector),
                ..stamp
            }
            .fill(sector, chunk);
        }
    }

    /// The sector and the byte in it that are not what was last written; sectors of which nothing is known are passed over
    /// unless `plain` says that they hold the plain pattern.
    pub fn mismatch(
        &self,
        stamp: Stamp,
        first: u64,
        bytes: &[u8],
        plain: bool,
    ) -> Option<(u64, usize)> {
        (first..)
            .zip(bytes.chunks_exact(UNIT))
            .find_map(|(sector, chunk)| {
                let generation = self.generation(sector);
                if generation == 0 && !plain {
                    return None;
                }
                Stamp {
                    generation,
                    ..stamp
                }
                .mismatch(sector, chunk)
                .map(|at| (sector, at))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        seed: 3,
        disk: 1,
        generation: 0,
    };

    #[test]
    fn what_was_last_written_is_expected_and_nothing_older() {
        let mut known = Knowledge::new();
        let (mut old, mut new) = ([0u8; UNIT * 2], [0u8; UNIT * 2]);
        known.fill_next(STAMP, 2047, &mut old);
        assert_eq!(known.mismatch(STAMP, 2047, &old, false), None);
        known.fill_next(STAMP, 2047, &mut new);
        assert_eq!(known.mismatch(STAMP, 2047, &new, false), None);
        assert!(known.mismatch(STAMP, 2047, &old, false).is_some());
    }

    #[test]
    fn a_sector_that_nobody_wrote_is_not_judged_unless_the_pattern_was_written() {
        let mut known = Knowledge::new();
        let zeros = [0u8; UNIT];
        assert_eq!(known.mismatch(STAMP, 9, &zeros, false), None);
        assert_eq!(
            known
                .mismatch(STAMP, 9, &zeros, true)
                .map(|(sector, _)| sector),
            Some(9)
        );
        known.advance(9);
        known.reset(9, 1);
        assert_eq!(known.generation(9), 0);
    }
}
