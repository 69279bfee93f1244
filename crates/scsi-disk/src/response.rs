//! Data-in that the disk makes by itself.

use crate::bytes::put;
use crate::command::{Response, ResponseKind};
use crate::disk::Disk;
use crate::sense::Sense;
use crate::{inquiry, mode};

/// Bytes that no response exceeds.
pub const LENGTH_MAX: usize = 260;

/// Writes the response into `buffer`, cut to the allocation length and to the buffer (SPC-4 4.3.4.6), and says how many
/// bytes it wrote.
pub fn write(disk: &Disk, response: &Response, buffer: &mut [u8]) -> usize {
    let mut data = [0; LENGTH_MAX];
    let length = match response.kind {
        ResponseKind::Inquiry => inquiry::standard(disk, &mut data),
        ResponseKind::Vpd(page) => inquiry::page(disk, page, &mut data),
        ResponseKind::Capacity10 => capacity_10(disk, &mut data),
        ResponseKind::Capacity16 => capacity_16(disk, &mut data),
        ResponseKind::Mode(request) => mode::sense(disk, &request, &mut data),
        ResponseKind::Luns => luns(&mut data),
        ResponseKind::Sense => {
            let sense = Sense::NONE.fixed();
            put(&mut data, 0, &sense);
            sense.len()
        }
    };
    let allocation = usize::try_from(response.allocation).unwrap_or(usize::MAX);
    let length = length.min(LENGTH_MAX).min(allocation).min(buffer.len());
    put(buffer, 0, data.get(..length).unwrap_or(&[]));
    length
}

/// READ CAPACITY(10): FFFFFFFFh says that the last LBA needs the 16-byte command (SBC-3 5.15.2).
fn capacity_10(disk: &Disk, out: &mut [u8]) -> usize {
    let last = u32::try_from(disk.blocks.saturating_sub(1)).unwrap_or(u32::MAX);
    put(out, 0, &last.to_be_bytes());
    put(out, 4, &disk.block_size.to_be_bytes());
    8
}

/// READ CAPACITY(16) (SBC-3 5.16.2). LBPME: blocks can be unmapped.
fn capacity_16(disk: &Disk, out: &mut [u8]) -> usize {
    put(out, 0, &disk.blocks.saturating_sub(1).to_be_bytes());
    put(out, 8, &disk.block_size.to_be_bytes());
    let provisioning = if disk.discard.is_some() { 0x80 } else { 0 };
    put(out, 13, &[disk.physical_exponent & 0xF, provisioning]);
    32
}

/// REPORT LUNS: one unit, LUN 0 (SPC-4 6.33).
fn luns(out: &mut [u8]) -> usize {
    put(out, 0, &8u32.to_be_bytes());
    16
}
