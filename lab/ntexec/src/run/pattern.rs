//! What is written to disks: bytes that depend on the run's seed, the disk, the sector and how often it was written.

/// Bytes of the unit that the pattern counts in: a sector of 512 bytes, whatever the disk's block is.
pub const UNIT: usize = 512;

/// A generator of random numbers (splitmix64), for choices and patterns.
#[derive(Clone, Copy, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins at `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The bias is below 2^-64 * bound, which no disk notices.
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }
}

/// Where pattern bytes belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The run's seed
    pub seed: u64,
    /// SCSI target
    pub disk: u32,
    /// How often the sector was written before; 0 for the plain pattern
    pub generation: u32,
}

impl Stamp {
    /// Fills `sector` ([`UNIT`] bytes) with the pattern of the sector with that number.
    pub fn fill(&self, sector: u64, bytes: &mut [u8]) {
        let mut random = self.generator(sector);
        for chunk in bytes.chunks_exact_mut(8) {
            chunk.copy_from_slice(&random.draw().to_le_bytes());
        }
    }

    /// The offset of the first byte that differs from the pattern.
    pub fn mismatch(&self, sector: u64, bytes: &[u8]) -> Option<usize> {
        let mut random = self.generator(sector);
        bytes.chunks_exact(8).enumerate().find_map(|(i, chunk)| {
            let expected = random.draw().to_le_bytes();
            if expected == *chunk {
                return None;
            }
            let within = chunk.iter().zip(expected).position(|(a, b)| *a != b)?;
            Some(i * 8 + within)
        })
    }

    fn generator(&self, sector: u64) -> Random {
        let mut mix = Random::new(
            self.seed
                ^ u64::from(self.disk).rotate_left(40)
                ^ u64::from(self.generation).rotate_left(20),
        );
        let mixed = mix.draw();
        Random::new(mixed ^ sector.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        seed: 1,
        disk: 4,
        generation: 0,
    };

    #[test]
    fn a_sector_matches_its_own_pattern_and_no_other() {
        let mut sector = [0u8; UNIT];
        STAMP.fill(77, &mut sector);
        assert_eq!(STAMP.mismatch(77, &sector), None);
        assert!(STAMP.mismatch(78, &sector).is_some());
        for other in [
            Stamp { seed: 2, ..STAMP },
            Stamp { disk: 5, ..STAMP },
            Stamp {
                generation: 1,
                ..STAMP
            },
        ] {
            assert!(other.mismatch(77, &sector).is_some(), "{other:?}");
        }
    }

    #[test]
    fn the_first_differing_byte_is_named() {
        let mut sector = [0u8; UNIT];
        STAMP.fill(0, &mut sector);
        sector[300] ^= 1;
        assert_eq!(STAMP.mismatch(0, &sector), Some(300));
    }

    #[test]
    fn numbers_below_a_bound_stay_below_it_and_reach_both_ends() {
        let mut random = Random::new(5);
        let mut seen = [false; 4];
        for _ in 0..200 {
            seen[usize::try_from(random.below(4)).unwrap()] = true;
        }
        assert_eq!(seen, [true; 4]);
    }
}
