//! Mode parameters (SPC-4 7.5, SBC-3 6.4).

use crate::bytes::put;
use crate::command::ModeSense;
use crate::disk::Disk;

const CACHING: u8 = 0x08;
const CONTROL: u8 = 0x0A;
const INFORMATIONAL_EXCEPTIONS: u8 = 0x1C;
const ALL: u8 = 0x3F;

/// Whether a disk answers for this page.
pub(crate) fn has(page: u8) -> bool {
    matches!(page, CACHING | CONTROL | INFORMATIONAL_EXCEPTIONS | ALL)
}

/// Writes header, block descriptor and pages, and says how long they are.
pub(crate) fn sense(disk: &Disk, request: &ModeSense, out: &mut [u8]) -> usize {
    let header = if request.ten { 8 } else { 4 };
    let descriptor = if request.no_descriptor { 0 } else { 8 };
    let mut length = header;
    if descriptor != 0 {
        length += block_descriptor(disk, length, out);
    }
    for (code, body) in [
        (CACHING, caching(disk)),
        (CONTROL, [0; 18]),
        (INFORMATIONAL_EXCEPTIONS, exceptions()),
    ] {
        if request.page == code || request.page == ALL {
            // No parameter is changeable: the mask of PC = 1 is all zeros (SPC-4 6.11.3).
            let values = if request.control == 1 { [0; 18] } else { body };
            let size = if code == CACHING { 18 } else { 10 };
            put(out, length, &[code, size as u8]);
            put(out, length + 2, values.get(..size).unwrap_or(&[]));
            length += 2 + size;
        }
    }
    header_of(disk, request.ten, descriptor as u8, length, out);
    length
}

/// The mode parameter header (SPC-4 7.5.5). WP: write protected. DPOFUA: FUA is honoured (SBC-3 6.4.1).
fn header_of(disk: &Disk, ten: bool, descriptor: u8, length: usize, out: &mut [u8]) {
    let specific = 0x10 | if disk.read_only { 0x80 } else { 0 };
    if ten {
        let [high, low] = ((length - 2) as u16).to_be_bytes();
        put(out, 0, &[high, low, 0, specific, 0, 0, 0, descriptor]);
    } else {
        put(out, 0, &[(length - 1) as u8, 0, specific, descriptor]);
    }
}

/// The short block descriptor (SBC-3 6.4.2.2); all ones where the number of blocks does not fit.
fn block_descriptor(disk: &Disk, at: usize, out: &mut [u8]) -> usize {
    let blocks = u32::try_from(disk.blocks).unwrap_or(u32::MAX);
    put(out, at, &blocks.to_be_bytes());
    put(out, at + 4, &disk.block_size.to_be_bytes());
    8
}

/// The caching page (SBC-3 6.4.5): WCE decides whether Windows sends SYNCHRONIZE CACHE at all.
fn caching(disk: &Disk) -> [u8; 18] {
    let mut page = [0; 18];
    page[0] = if disk.write_cache { 0x04 } else { 0 };
    page
}

/// The informational exceptions page (SPC-4 7.5.11): DEXCPT, there are none.
fn exceptions() -> [u8; 18] {
    let mut page = [0; 18];
    page[0] = 0x08;
    page
}
