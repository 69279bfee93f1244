//! From CDB to operation.

use crate::bytes::{be16, be32, be64, byte};
use crate::disk::Disk;
use crate::sense::Sense;

/// A run of logical blocks, checked to lie on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First block.
    pub lba: u64,
    /// Blocks; may be none.
    pub blocks: u32,
}

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Read blocks into the data-in buffer.
    Read(Extent),
    /// Write blocks from the data-out buffer; with `fua` they are durable before GOOD status (SBC-3 4.15).
    Write {
        /// Where to.
        extent: Extent,
        /// Force unit access.
        fua: bool,
    },
    /// Make all completed writes durable.
    Flush,
    /// Unmap what the parameter list in the data-out buffer names; see [`crate::unmap`].
    Unmap {
        /// PARAMETER LIST LENGTH, in bytes.
        length: u16,
    },
    /// Answer with data; see [`crate::response::write`].
    Respond(Response),
    /// GOOD status, nothing to do.
    Nothing,
}

/// Data-in that the disk makes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// What of.
    pub kind: ResponseKind,
    /// ALLOCATION LENGTH, in bytes: no more than this is sent (SPC-4 4.3.4.6).
    pub allocation: u32,
}

/// The kinds of [`Response`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseKind {
    /// Standard INQUIRY data (SPC-4 6.4.2).
    Inquiry,
    /// A VPD page (SPC-4 7.8).
    Vpd(u8),
    /// READ CAPACITY(10) (SBC-3 5.15).
    Capacity10,
    /// READ CAPACITY(16) (SBC-3 5.16).
    Capacity16,
    /// MODE SENSE(6) or (10) (SPC-4 6.11, 6.12).
    Mode(ModeSense),
    /// REPORT LUNS (SPC-4 6.33).
    Luns,
    /// REQUEST SENSE (SPC-4 6.39).
    Sense,
}

/// The fields of a MODE SENSE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeSense {
    /// The 10-byte command's header is longer.
    pub ten: bool,
    /// No block descriptor is wanted (DBD).
    pub no_descriptor: bool,
    /// Which values: 0 current, 1 changeable, 2 default.
    pub control: u8,
    /// The page, or 3Fh for all.
    pub page: u8,
}

/// What `cdb` asks of `disk`.
///
/// # Errors
/// The sense data of a CHECK CONDITION.
pub fn parse(disk: &Disk, cdb: &[u8]) -> Result<Operation, Sense> {
    match byte(cdb, 0) {
        // TEST UNIT READY, RESERVE/RELEASE(6): one initiator, so there is no one to exclude. START STOP UNIT, PREVENT
        // ALLOW MEDIUM REMOVAL: there is no motor and no door.
        0x00 | 0x16 | 0x17 | 0x1B | 0x1E | 0x56 | 0x57 => Ok(Operation::Nothing),
        0x03 => respond(ResponseKind::Sense, u32::from(byte(cdb, 4))),
        0x12 => inquiry(disk, cdb),
        0x1A => mode_sense(cdb, false),
        0x5A => mode_sense(cdb, true),
        0x25 => respond(ResponseKind::Capacity10, 8),
        0x9E if byte(cdb, 1) & 0x1F == 0x10 => respond(ResponseKind::Capacity16, be32(cdb, 10)),
        0x9E => Err(Sense::invalid_field(1)),
        0xA0 => report_luns(cdb),
        0x08 | 0x28 | 0xA8 | 0x88 => read(disk, cdb),
        0x0A | 0x2A | 0xAA | 0x8A => write(disk, cdb),
        0x2F | 0xAF | 0x8F => verify(disk, cdb),
        0x35 => synchronize(disk, u64::from(be32(cdb, 2)), u32::from(be16(cdb, 7))),
        0x91 => synchronize(disk, be64(cdb, 2), be32(cdb, 10)),
        0x42 => unmap(disk, cdb),
        _ => Err(Sense::INVALID_OPCODE),
    }
}

fn respond(kind: ResponseKind, allocation: u32) -> Result<Operation, Sense> {
    Ok(Operation::Respond(Response { kind, allocation }))
}

fn inquiry(disk: &Disk, cdb: &[u8]) -> Result<Operation, Sense> {
    let (evpd, page) = (byte(cdb, 1) & 1 != 0, byte(cdb, 2));
    let allocation = u32::from(be16(cdb, 3));
    match (evpd, page) {
        (false, 0) => respond(ResponseKind::Inquiry, allocation),
        (true, page) if crate::inquiry::pages(disk).contains(&page) => {
            respond(ResponseKind::Vpd(page), allocation)
        }
        // SPC-4 6.4.1: PAGE CODE without EVPD, and a page that the device does not have, are invalid fields.
        _ => Err(Sense::invalid_field(2)),
    }
}

fn mode_sense(cdb: &[u8], ten: bool) -> Result<Operation, Sense> {
    let (control, page) = (byte(cdb, 2) >> 6, byte(cdb, 2) & 0x3F);
    let (subpage, allocation) = (
        byte(cdb, 3),
        if ten {
            u32::from(be16(cdb, 7))
        } else {
            u32::from(byte(cdb, 4))
        },
    );
    if control == 3 {
        return Err(Sense::SAVING_NOT_SUPPORTED);
    }
    if !crate::mode::has(page) {
        return Err(Sense::invalid_field(2));
    }
    if subpage != 0 && subpage != 0xFF {
        return Err(Sense::invalid_field(3));
    }
    let no_descriptor = byte(cdb, 1) & 0x08 != 0;
    respond(
        ResponseKind::Mode(ModeSense {
            ten,
            no_descriptor,
            control,
            page,
        }),
        allocation,
    )
}

fn report_luns(cdb: &[u8]) -> Result<Operation, Sense> {
    match byte(cdb, 2) {
        // SPC-4 6.33: 00h and 02h list all but well known units. There is no well known unit (01h): an empty list.
        0..=2 => respond(ResponseKind::Luns, be32(cdb, 6)),
        _ => Err(Sense::invalid_field(2)),
    }
}

/// LBA and TRANSFER LENGTH of a read, write or verify command, by the group of its operation code.
fn fields(cdb: &[u8]) -> (u64, u32) {
    match byte(cdb, 0) >> 5 {
        // SBC-3 5.10: a length of zero in a 6-byte command is 256 blocks.
        0 => {
            let blocks = if byte(cdb, 4) == 0 {
                256
            } else {
                u32::from(byte(cdb, 4))
            };
            (u64::from(be32(cdb, 0) & 0x1F_FFFF), blocks)
        }
        1 => (u64::from(be32(cdb, 2)), u32::from(be16(cdb, 7))),
        4 => (be64(cdb, 2), be32(cdb, 10)),
        _ => (u64::from(be32(cdb, 2)), be32(cdb, 6)),
    }
}

/// The blocks of a command, if they lie on the disk (SBC-3 4.2.2: else LOGICAL BLOCK ADDRESS OUT OF RANGE).
pub(crate) fn within(capacity: u64, lba: u64, blocks: u32) -> Result<Extent, Sense> {
    match lba.checked_add(u64::from(blocks)) {
        Some(end) if end <= capacity => Ok(Extent { lba, blocks }),
        _ => Err(Sense::LBA_OUT_OF_RANGE),
    }
}

/// RDPROTECT or WRPROTECT must be zero: there is no protection information (SBC-3 4.22).
fn unprotected(cdb: &[u8]) -> Result<(), Sense> {
    let six = byte(cdb, 0) >> 5 == 0;
    if !six && byte(cdb, 1) >> 5 != 0 {
        Err(Sense::invalid_field(1))
    } else {
        Ok(())
    }
}

/// A transfer on the disk and no longer than the block limits page allows (SBC-3 6.5.3).
fn transfer(disk: &Disk, cdb: &[u8]) -> Result<Extent, Sense> {
    unprotected(cdb)?;
    let (lba, blocks) = fields(cdb);
    let extent = within(disk.blocks, lba, blocks)?;
    if blocks > disk.maximum_transfer_blocks {
        return Err(Sense::invalid_field(match byte(cdb, 0) >> 5 {
            0 => 4,
            1 => 7,
            4 => 10,
            _ => 6,
        }));
    }
    Ok(extent)
}

fn read(disk: &Disk, cdb: &[u8]) -> Result<Operation, Sense> {
    transfer(disk, cdb).map(Operation::Read)
}

fn write(disk: &Disk, cdb: &[u8]) -> Result<Operation, Sense> {
    if disk.read_only {
        return Err(Sense::WRITE_PROTECTED);
    }
    let extent = transfer(disk, cdb)?;
    let fua = byte(cdb, 0) >> 5 != 0 && byte(cdb, 1) & 0x08 != 0;
    Ok(Operation::Write { extent, fua })
}

fn verify(disk: &Disk, cdb: &[u8]) -> Result<Operation, Sense> {
    unprotected(cdb)?;
    // BYTCHK would compare data (SBC-3 5.29); without it the medium is checked, which is the backend's business.
    if byte(cdb, 1) & 0x06 != 0 {
        return Err(Sense::invalid_field(1));
    }
    let (lba, blocks) = fields(cdb);
    within(disk.blocks, lba, blocks).map(|_| Operation::Nothing)
}

fn synchronize(disk: &Disk, lba: u64, blocks: u32) -> Result<Operation, Sense> {
    // SBC-3 5.20: zero blocks are all blocks from the LBA on.
    within(disk.blocks, lba, blocks)?;
    Ok(if disk.write_cache {
        Operation::Flush
    } else {
        Operation::Nothing
    })
}

fn unmap(disk: &Disk, cdb: &[u8]) -> Result<Operation, Sense> {
    if disk.discard.is_none() {
        return Err(Sense::INVALID_OPCODE);
    }
    if disk.read_only {
        return Err(Sense::WRITE_PROTECTED);
    }
    // ANCHOR (SBC-3 5.28): anchored blocks are not offered (ANC_SUP in page B2h is zero).
    if byte(cdb, 1) & 1 != 0 {
        return Err(Sense::invalid_field(1));
    }
    match be16(cdb, 7) {
        0 => Ok(Operation::Nothing),
        length => Ok(Operation::Unmap { length }),
    }
}
