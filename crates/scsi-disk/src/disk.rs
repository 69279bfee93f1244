//! What a disk says of itself.

/// Longest serial number, in bytes.
pub const SERIAL_MAX: usize = 36;
/// Longest device identification page that a toolstack may give, in bytes.
pub const PAGE_MAX: usize = 252;

/// A disk, as far as its commands are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Logical blocks; more than none.
    pub blocks: u64,
    /// Bytes of a logical block: a power of two, at least 512.
    pub block_size: u32,
    /// Logical blocks in a physical block, as a power of two (SBC-3 5.16.2).
    pub physical_exponent: u8,
    /// Writes are refused.
    pub read_only: bool,
    /// The medium can be taken out.
    pub removable: bool,
    /// Writes may sit in a volatile cache until SYNCHRONIZE CACHE: the caching page's WCE.
    pub write_cache: bool,
    /// What UNMAP can do, if anything.
    pub discard: Option<Discard>,
    /// Most blocks in one transfer.
    pub maximum_transfer_blocks: u32,
    /// Who the disk is.
    pub identity: Identity,
}

impl Disk {
    /// What an UNMAP parameter list is checked against; no descriptor passes where there is no UNMAP.
    pub fn unmap_bounds(&self) -> crate::unmap::Bounds {
        let maximum_descriptors = self
            .discard
            .map_or(0, |discard| discard.maximum_descriptors);
        crate::unmap::Bounds {
            blocks: self.blocks,
            maximum_descriptors,
        }
    }
}

/// How blocks are unmapped (SBC-3 6.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discard {
    /// Optimal granularity in logical blocks, at least 1.
    pub granularity: u32,
    /// First block of the first extent, modulo the granularity.
    pub alignment: u32,
    /// Most descriptors in one UNMAP.
    pub maximum_descriptors: u32,
}

/// Serial number and device identification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// T10 vendor identification, space padded (SPC-4 6.4.2).
    pub vendor: [u8; 8],
    /// Product identification, space padded.
    pub product: [u8; 16],
    /// Product revision level, space padded.
    pub revision: [u8; 4],
    serial: [u8; SERIAL_MAX],
    serial_length: usize,
    page_80: Page,
    page_83: Page,
}

/// A whole VPD page that a toolstack gives in the place of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    bytes: [u8; PAGE_MAX],
    length: usize,
}

impl Page {
    const NONE: Self = Self {
        bytes: [0; PAGE_MAX],
        length: 0,
    };

    fn get(&self) -> Option<&[u8]> {
        self.bytes
            .get(..self.length)
            .filter(|page| !page.is_empty())
    }

    /// Takes a page whose page code and length fields say what it is (SPC-4 7.8.2).
    fn set(&mut self, code: u8, page: &[u8]) -> bool {
        let well_formed = page.len() > 4
            && page.len() <= PAGE_MAX
            && crate::bytes::byte(page, 1) == code
            && usize::from(crate::bytes::be16(page, 2)) == page.len() - 4;
        if !well_formed {
            return false;
        }
        crate::bytes::put(&mut self.bytes, 0, page);
        self.length = page.len();
        true
    }
}

impl Identity {
    /// An identity with this serial number: its printable ASCII characters, at most [`SERIAL_MAX`].
    pub fn new(vendor: [u8; 8], product: [u8; 16], revision: [u8; 4], serial: &[u8]) -> Self {
        let mut identity = Self {
            vendor,
            product,
            revision,
            serial: [b' '; SERIAL_MAX],
            serial_length: 0,
            page_80: Page::NONE,
            page_83: Page::NONE,
        };
        for byte in serial.iter().filter(|byte| byte.is_ascii_graphic()) {
            if let Some(slot) = identity.serial.get_mut(identity.serial_length) {
                *slot = *byte;
                identity.serial_length += 1;
            }
        }
        identity
    }

    /// The serial number.
    pub fn serial(&self) -> &[u8] {
        self.serial.get(..self.serial_length).unwrap_or(&[])
    }

    /// Takes a whole VPD page 80h or 83h in the place of ours. False: it is not a well-formed page of that code.
    pub fn override_page(&mut self, page: &[u8]) -> bool {
        match crate::bytes::byte(page, 1) {
            0x80 => self.page_80.set(0x80, page),
            0x83 => self.page_83.set(0x83, page),
            _ => false,
        }
    }

    pub(crate) fn page(&self, code: u8) -> Option<&[u8]> {
        match code {
            0x80 => self.page_80.get(),
            0x83 => self.page_83.get(),
            _ => None,
        }
    }
}
