//! INQUIRY data: the standard form (SPC-4 6.4.2) and the vital product data pages (SPC-4 7.8, SBC-3 6.5).

use crate::bytes::put;
use crate::disk::Disk;

/// Bytes of the standard data.
pub(crate) const STANDARD_LENGTH: usize = 96;

/// The VPD pages that a disk has, ascending, as page 00h must list them (SPC-4 7.8.14).
pub fn pages(disk: &Disk) -> &'static [u8] {
    if disk.discard.is_some() {
        &[0x00, 0x80, 0x83, 0xB0, 0xB1, 0xB2]
    } else {
        &[0x00, 0x80, 0x83, 0xB0, 0xB1]
    }
}

/// Writes the standard data and says how long it is.
pub(crate) fn standard(disk: &Disk, out: &mut [u8]) -> usize {
    let removable = if disk.removable { 0x80 } else { 0 };
    // Version 6: SPC-4. Response data format 2. CMDQUE: simple tasks are queued.
    put(
        out,
        0,
        &[0, removable, 6, 2, (STANDARD_LENGTH - 5) as u8, 0, 0, 2],
    );
    put(out, 8, &disk.identity.vendor);
    put(out, 16, &disk.identity.product);
    put(out, 32, &disk.identity.revision);
    // Version descriptors (SPC-4 table 144): SAM-5, SPC-4, SBC-3, each with no version claimed.
    put(out, 58, &[0x00, 0xA0, 0x04, 0x60, 0x04, 0xC0]);
    STANDARD_LENGTH
}

/// Writes page `code` and says how long it is; nothing for a page that the disk does not have.
pub(crate) fn page(disk: &Disk, code: u8, out: &mut [u8]) -> usize {
    if !pages(disk).contains(&code) {
        return 0;
    }
    if let Some(given) = disk.identity.page(code) {
        put(out, 0, given);
        return given.len();
    }
    let length = match code {
        0x00 => supported(disk, out),
        0x80 => serial(disk, out),
        0x83 => identification(disk, out),
        0xB0 => block_limits(disk, out),
        0xB1 => characteristics(out),
        _ => provisioning(out),
    };
    let [high, low] = (length as u16).to_be_bytes();
    put(out, 0, &[0, code, high, low]);
    length + 4
}

fn supported(disk: &Disk, out: &mut [u8]) -> usize {
    put(out, 4, pages(disk));
    pages(disk).len()
}

fn serial(disk: &Disk, out: &mut [u8]) -> usize {
    put(out, 4, disk.identity.serial());
    disk.identity.serial().len()
}

/// One designator: T10 vendor ID based, ASCII, of the logical unit (SPC-4 7.8.6.4).
fn identification(disk: &Disk, out: &mut [u8]) -> usize {
    let serial = disk.identity.serial();
    let length = disk.identity.vendor.len() + serial.len();
    put(out, 4, &[0x02, 0x01, 0, length as u8]);
    put(out, 8, &disk.identity.vendor);
    put(out, 16, serial);
    4 + length
}

/// Block limits (SBC-3 6.5.3).
fn block_limits(disk: &Disk, out: &mut [u8]) -> usize {
    put(
        out,
        6,
        &(1u16 << disk.physical_exponent.min(15)).to_be_bytes(),
    );
    put(out, 8, &disk.maximum_transfer_blocks.to_be_bytes());
    if let Some(discard) = disk.discard {
        // Any number of blocks, as many descriptors as a list holds; UGAVALID tells that the alignment counts.
        put(out, 20, &u32::MAX.to_be_bytes());
        put(out, 24, &discard.maximum_descriptors.to_be_bytes());
        put(out, 28, &discard.granularity.to_be_bytes());
        put(out, 32, &(discard.alignment | 1 << 31).to_be_bytes());
    }
    0x3C
}

/// Block device characteristics (SBC-3 6.5.2): a non-rotating medium.
fn characteristics(out: &mut [u8]) -> usize {
    put(out, 4, &1u16.to_be_bytes());
    0x3C
}

/// Logical block provisioning (SBC-3 6.5.4): UNMAP works; what unmapped blocks read as is not promised.
fn provisioning(out: &mut [u8]) -> usize {
    // LBPU; provisioning type 2: thin.
    put(out, 4, &[0, 0x80, 0x02, 0]);
    4
}
