//! A driver image made of bytes, which keeps every rule; tests break it in one place.

use super::rules::compute_checksum;

/// Where the parts of [`good`] lie in the file.
pub mod at {
    /// `e_lfanew`
    pub const NT_HEADERS: usize = 0x80;
    /// `IMAGE_FILE_HEADER`
    pub const FILE_HEADER: usize = NT_HEADERS + 4;
    /// `IMAGE_OPTIONAL_HEADER64`
    pub const OPTIONAL: usize = FILE_HEADER + 20;
    /// `CheckSum`
    pub const CHECKSUM: usize = OPTIONAL + 64;
    /// The data directories.
    pub const DIRECTORIES: usize = OPTIONAL + 112;
    /// The section headers: .text, .rdata, .pdata, .reloc, .guard.
    pub const SECTIONS: usize = DIRECTORIES + 16 * 8;
    /// The contents of .rdata.
    pub const RDATA: usize = 0x600;
    /// The imported name's text.
    pub const IMPORTED_NAME: usize = RDATA + 0x62;
    /// The imported module's name.
    pub const MODULE: usize = RDATA + 0x80;
    /// The debug entry's bits for shadow stacks.
    pub const CET: usize = RDATA + 0xE0;
    /// The PDB's name.
    pub const PDB: usize = RDATA + 0x118;
    /// The exported name's text.
    pub const EXPORTED_NAME: usize = RDATA + 0x180;
    /// The load configuration.
    pub const LOAD_CONFIG: usize = 0xC00;
    /// The table of functions for control-flow guard: two.
    pub const FUNCTIONS: usize = LOAD_CONFIG + 0xA0;
    /// The resource directory: three tables, the entry for the data, the data.
    pub const RESOURCES: usize = LOAD_CONFIG + 0x100;
    /// The version resource.
    pub const VERSION: usize = RESOURCES + 0x60;
}

/// The size of a section header.
pub const SECTION_HEADER: usize = 40;

/// The bytes of an image that Windows would load.
pub fn good() -> Vec<u8> {
    let mut image = vec![0; 0x1200];
    headers(&mut image);
    section(&mut image, 0, b".text", 0x6000_0020);
    section(&mut image, 1, b".rdata", 0x4000_0040);
    section(&mut image, 2, b".pdata", 0x4000_0040);
    section(&mut image, 3, b".reloc", 0x4200_0040);
    section(&mut image, 4, b".guard", 0x4000_0040);
    // The last one is longer than the others.
    let last = at::SECTIONS + 4 * SECTION_HEADER;
    put32(&mut image, last + 8, &[0x600, 0x5000, 0x600]);
    imports(&mut image);
    debug(&mut image);
    exports(&mut image);
    guard(&mut image);
    resources(&mut image);
    put32(&mut image, 0x800, &[0x1000, 0x1001, 0x2000]); // a RUNTIME_FUNCTION
    put32(&mut image, 0xA00, &[0x2000, 12, 0]); // a relocation block
    seal(&mut image);
    image
}

/// Makes the checksum right again.
pub fn seal(image: &mut [u8]) {
    let sum = compute_checksum(image, at::CHECKSUM);
    put32(image, at::CHECKSUM, &[sum]);
}

/// Writes little-endian numbers.
pub fn put32(image: &mut [u8], offset: usize, values: &[u32]) {
    for (index, value) in values.iter().enumerate() {
        put(image, offset + index * 4, &value.to_le_bytes());
    }
}

/// Writes bytes.
pub fn put(image: &mut [u8], offset: usize, bytes: &[u8]) {
    image[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Sets a data directory.
pub fn directory(image: &mut [u8], index: usize, address: u32, size: u32) {
    put32(image, at::DIRECTORIES + index * 8, &[address, size]);
}

fn headers(image: &mut [u8]) {
    put(image, 0, b"MZ");
    put32(image, 0x3C, &[at::NT_HEADERS as u32]);
    put(image, at::NT_HEADERS, b"PE\0\0");
    put(image, at::FILE_HEADER, &0x8664_u16.to_le_bytes());
    put(image, at::FILE_HEADER + 2, &5_u16.to_le_bytes());
    put(image, at::FILE_HEADER + 16, &240_u16.to_le_bytes());
    put(image, at::FILE_HEADER + 18, &0x0022_u16.to_le_bytes());
    put(image, at::OPTIONAL, &0x020B_u16.to_le_bytes());
    put32(image, at::OPTIONAL + 16, &[0x1000]); // entry point
    put32(image, at::OPTIONAL + 32, &[0x1000, 0x200]); // alignments
    put(image, at::OPTIONAL + 40, &[6, 0, 0, 0, 0, 0, 0, 0, 6, 0]); // versions
    put32(image, at::OPTIONAL + 56, &[0x6000, 0x400]); // sizes of image and headers
    put(image, at::OPTIONAL + 68, &[1, 0]); // subsystem
    put(image, at::OPTIONAL + 70, &0x41E0_u16.to_le_bytes());
    put32(image, at::OPTIONAL + 108, &[16]);
    for (index, address, size) in [
        (1, 0x2000, 40),
        (3, 0x3000, 12),
        (5, 0x4000, 12),
        (6, 0x20A0, 56),
        (12, 0x2040, 16),
        (10, 0x5000, 0x94),
        (2, 0x5100, 0x500),
    ] {
        directory(image, index, address, size);
    }
    directory(image, 0, 0x2140, 0x60);
}

fn section(image: &mut [u8], index: usize, name: &[u8], flags: u32) {
    let header = at::SECTIONS + index * SECTION_HEADER;
    put(image, header, name);
    let index = index as u32;
    put32(
        image,
        header + 8,
        &[0x200, 0x1000 * (index + 1), 0x200, 0x400 + 0x200 * index],
    );
    put32(image, header + 36, &[flags]);
}

fn imports(image: &mut [u8]) {
    put32(image, at::RDATA, &[0x2050, 0, 0, 0x2080, 0x2040]); // a descriptor, and the empty one behind it
    put32(image, at::RDATA + 0x40, &[0x2060]); // address table
    put32(image, at::RDATA + 0x50, &[0x2060]); // lookup table
    put(image, at::IMPORTED_NAME, b"KeSetEvent\0");
    put(image, at::MODULE, b"ntoskrnl.exe\0");
}

fn debug(image: &mut [u8]) {
    let entry = |kind: u32, size: u32, offset: usize| {
        [
            0,
            0,
            0,
            kind,
            size,
            0x2000 + (offset - at::RDATA) as u32,
            offset as u32,
        ]
    };
    put32(image, at::RDATA + 0xA0, &entry(20, 4, at::CET));
    put32(
        image,
        at::RDATA + 0xA0 + 28,
        &entry(2, 24 + 9, at::PDB - 24),
    );
    put(image, at::CET, &[1]);
    put(image, at::PDB - 24, b"RSDS");
    put(image, at::PDB, b"good.pdb\0");
}

fn exports(image: &mut [u8]) {
    let start = at::RDATA + 0x140;
    put32(image, start + 16, &[1, 1, 1, 0x2168, 0x216C, 0x2170]); // base, counts, tables
    put32(image, start + 0x28, &[0x1000]); // addresses
    put32(image, start + 0x2C, &[0x2180]); // names
    put(image, at::EXPORTED_NAME, b"DriverEntry\0\0\0\0\0");
}

/// A load configuration with a table of two functions.
fn guard(image: &mut [u8]) {
    put32(image, at::LOAD_CONFIG, &[0x94]);
    put32(
        image,
        at::LOAD_CONFIG + 0x70,
        &[0x5098, 0, 0x5098, 0, 0x50A0, 0, 2, 0, 0x500],
    );
    put32(image, at::FUNCTIONS, &[0x1000, 0x1010]);
}

/// A version resource with all strings.
fn resources(image: &mut [u8]) {
    for (table, id, to) in [
        (0, 16, 0x8000_0018),
        (0x18, 1, 0x8000_0030),
        (0x30, 0x409, 0x48),
    ] {
        put(image, at::RESOURCES + table + 14, &[1]); // entries by id
        put32(image, at::RESOURCES + table + 16, &[id, to]);
    }
    let strings: Vec<u8> = [
        "CompanyName",
        "FileDescription",
        "FileVersion",
        "LegalCopyright",
        "OriginalFilename",
        "ProductName",
        "ProductVersion",
    ]
    .iter()
    .flat_map(|name| block(name, 1, b"x\0\0\0", &[]))
    .collect();
    let table = block("040904b0", 1, &[], &strings);
    let info = block("StringFileInfo", 1, &[], &table);
    let version = block("VS_VERSION_INFO", 0, &[0; 52], &info);
    put32(image, at::RESOURCES + 0x48, &[0x5160, version.len() as u32]);
    put(image, at::VERSION, &version);
}

/// A block of a version resource, padded.
fn block(name: &str, kind: u16, value: &[u8], children: &[u8]) -> Vec<u8> {
    let mut block = vec![0; 6];
    block.extend(name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes));
    block.resize(block.len().next_multiple_of(4), 0);
    block.extend(value);
    block.extend(children);
    let unit = if kind == 1 { 2 } else { 1 };
    let (length, value) = (block.len() as u16, value.len() as u16 / unit);
    block[..2].copy_from_slice(&length.to_le_bytes());
    block[2..4].copy_from_slice(&value.to_le_bytes());
    block[4..6].copy_from_slice(&kind.to_le_bytes());
    block
}
