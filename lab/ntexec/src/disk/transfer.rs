//! How a read or a write becomes commands: the limit of one transfer, the pieces, the CDBs.

use crate::nt::scsi::*;

/// What the adapter allows, from its descriptor, and what the disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// MaximumTransferLength
    pub transfer: u32,
    /// MaximumPhysicalPages
    pub pages: u32,
    /// Bytes a block
    pub block: u32,
    /// 16-byte commands are used (the capacity needs them)
    pub long: bool,
}

impl Limits {
    /// The most bytes that one SRB may carry: the transfer length, or what surely fits the scatter/gather entries (one page
    /// fewer than they, since a buffer need not begin on a page), at least a page, in whole blocks.
    pub fn max_bytes(&self, page_aligned: bool) -> u32 {
        let pages = u64::from(self.pages);
        let pages = if page_aligned {
            pages
        } else {
            pages.saturating_sub(1)
        }
        .max(1);
        let mut bytes = u64::from(self.transfer).min(pages * 4096).max(4096);
        if !self.long {
            bytes = bytes.min(0xffff * u64::from(self.block));
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        (bytes / self.block.max(1) * self.block).max(self.block)
    }
}

/// A piece of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Offset in the buffer
    pub offset: u32,
    /// Bytes
    pub length: u32,
}

/// The pieces of a transfer of `length` bytes.
pub fn pieces(length: u32, max: u32) -> impl Iterator<Item = Piece> {
    let count = length.div_ceil(max.max(1));
    (0..count).map(move |i| {
        let offset = i * max;
        Piece {
            offset,
            length: max.min(length - offset),
        }
    })
}

/// A READ or WRITE command (SBC-3, 5.8 ff.): its bytes and its length.
pub fn read_write_cdb(write: bool, lba: u64, blocks: u32, long: bool, fua: bool) -> ([u8; 16], u8) {
    let mut cdb = [0u8; 16];
    cdb[1] = if fua { 8 } else { 0 };
    match (u32::try_from(lba), u16::try_from(blocks)) {
        (Ok(lba), Ok(blocks)) if !long => {
            cdb[0] = if write { SCSIOP_WRITE } else { SCSIOP_READ };
            cdb[2..6].copy_from_slice(&lba.to_be_bytes());
            cdb[7..9].copy_from_slice(&blocks.to_be_bytes());
            (cdb, 10)
        }
        _ => {
            cdb[0] = if write { SCSIOP_WRITE16 } else { SCSIOP_READ16 };
            cdb[2..10].copy_from_slice(&lba.to_be_bytes());
            cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
            (cdb, 16)
        }
    }
}

/// The blocks that a READ or WRITE command names: first block and count; `None` for other commands.
pub fn range_of(cdb: &[u8; 16]) -> Option<(u64, u64)> {
    let be32 = |at: usize| {
        u64::from(u32::from_be_bytes([
            cdb[at],
            cdb[at + 1],
            cdb[at + 2],
            cdb[at + 3],
        ]))
    };
    match cdb[0] {
        SCSIOP_READ | SCSIOP_WRITE => {
            Some((be32(2), u64::from(u16::from_be_bytes([cdb[7], cdb[8]]))))
        }
        SCSIOP_READ12 | SCSIOP_WRITE12 => Some((be32(2), be32(6))),
        SCSIOP_READ16 | SCSIOP_WRITE16 => Some((be32(2) << 32 | be32(6), be32(10))),
        _ => None,
    }
}

/// The length of a command by its group code (SPC-4, 4.2.5.1).
pub fn cdb_length(opcode: u8) -> u8 {
    match opcode >> 5 {
        0 => 6,
        1 | 2 => 10,
        5 => 12,
        _ => 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use proptest::prelude::*;
    use std::vec::Vec;

    const LIMITS: Limits = Limits {
        transfer: 1 << 20,
        pages: 17,
        block: 512,
        long: false,
    };

    #[test]
    fn an_unaligned_buffer_gets_a_page_less() {
        assert_eq!(LIMITS.max_bytes(true), 17 * 4096);
        assert_eq!(LIMITS.max_bytes(false), 16 * 4096);
    }

    #[test]
    fn ten_byte_commands_cap_the_blocks() {
        let limits = Limits {
            transfer: u32::MAX,
            pages: u32::MAX,
            ..LIMITS
        };
        assert_eq!(limits.max_bytes(true), 0xffff * 512);
        assert!(
            Limits {
                long: true,
                ..limits
            }
            .max_bytes(true)
                > 0xffff * 512
        );
    }

    #[test]
    fn a_limit_below_a_page_still_moves_a_page() {
        assert_eq!(
            Limits {
                transfer: 512,
                pages: 1,
                ..LIMITS
            }
            .max_bytes(false),
            4096
        );
    }

    #[test]
    fn a_block_beyond_two_to_the_32_takes_sixteen_bytes() {
        let (cdb, length) = read_write_cdb(true, 1 << 32, 8, false, false);
        assert_eq!((cdb[0], length), (SCSIOP_WRITE16, 16));
        assert_eq!(range_of(&cdb), Some((1 << 32, 8)));
    }

    proptest! {
        #[test]
        fn pieces_cover_the_transfer_without_gap(length in 1u32..10_000_000, max in 4096u32..2_000_000) {
            let all: Vec<Piece> = pieces(length, max).collect();
            let mut at = 0;
            for piece in &all {
                prop_assert_eq!(piece.offset, at);
                prop_assert!(piece.length > 0 && piece.length <= max);
                at += piece.length;
            }
            prop_assert_eq!(at, length);
        }

        #[test]
        fn a_command_names_the_range_it_was_made_for(lba in any::<u64>(), blocks in any::<u32>(), write: bool, long: bool, fua: bool) {
            let (cdb, length) = read_write_cdb(write, lba, blocks, long, fua);
            prop_assert_eq!(range_of(&cdb), Some((lba, u64::from(blocks))));
            prop_assert_eq!(cdb_length(cdb[0]), length);
        }
    }
}
