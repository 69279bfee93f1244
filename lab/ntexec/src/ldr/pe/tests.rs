//! An image is put together by hand: headers, one code and one data section, an import, an export, a relocation.

use super::*;
use alloc::vec;

const BASE: u64 = 0x1_4000_0000;
const TEXT: u32 = 0x1000;
const DATA: u32 = 0x2000;

struct Writer(Vec<u8>);

impl Writer {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
    fn u16(&mut self, at: usize, n: u16) {
        self.put(at, &n.to_le_bytes());
    }
    fn u32(&mut self, at: usize, n: u32) {
        self.put(at, &n.to_le_bytes());
    }
    fn u64(&mut self, at: usize, n: u64) {
        self.put(at, &n.to_le_bytes());
    }
    fn section(&mut self, n: usize, name: &[u8], rva: u32, raw: u32, flags: u32) {
        let at = 0x188 + 40 * n;
        self.put(at, name);
        self.u32(at + 8, 0x400);
        self.u32(at + 12, rva);
        self.u32(at + 16, 0x400);
        self.u32(at + 20, raw);
        self.u32(at + 36, flags);
    }
}

/// The file: sections at 0x400 (code) and 0x800 (data); the data section holds all tables.
fn image() -> Writer {
    let mut w = Writer(vec![0; 0xc00]);
    w.put(0, b"MZ");
    w.u32(0x3c, 0x80);
    w.put(0x80, b"PE\0\0");
    w.u16(0x84, pe::IMAGE_FILE_MACHINE_AMD64);
    w.u16(0x86, 2);
    w.u16(0x94, 240);
    w.u16(0x96, 0x22);
    let o = 0x98;
    w.u16(o, 0x20b);
    w.u32(o + 16, TEXT + 0x10);
    w.u64(o + 24, BASE);
    w.u32(o + 32, 0x1000);
    w.u32(o + 36, 0x200);
    w.u32(o + 56, 0x3000);
    w.u32(o + 60, 0x400);
    w.u16(o + 68, pe::IMAGE_SUBSYSTEM_NATIVE);
    w.u32(o + 108, 16);
    let mut directory = |n: usize, rva: u32, size: u32| {
        w.u32(o + 112 + 8 * n, rva);
        w.u32(o + 116 + 8 * n, size);
    };
    directory(0, DATA + 0x100, 0x80);
    directory(1, DATA, 40);
    directory(5, DATA + 0x200, 12);
    w.section(
        0,
        b".text",
        TEXT,
        0x400,
        pe::IMAGE_SCN_MEM_EXECUTE | pe::IMAGE_SCN_MEM_READ,
    );
    w.section(
        1,
        b".data",
        DATA,
        0x800,
        pe::IMAGE_SCN_MEM_WRITE | pe::IMAGE_SCN_MEM_READ,
    );
    let d = 0x800;
    // One import descriptor: names at +0x40, slots at +0x60, module's name at +0x80.
    w.u32(d, DATA + 0x40);
    w.u32(d + 12, DATA + 0x80);
    w.u32(d + 16, DATA + 0x60);
    w.u64(d + 0x40, u64::from(DATA + 0x90));
    w.u64(d + 0x60, u64::from(DATA + 0x90));
    w.put(d + 0x80, b"other.sys\0");
    w.put(d + 0x92, b"Wanted\0");
    // The export of one name.
    let e = d + 0x100;
    w.u32(e + 16, 1);
    w.u32(e + 20, 1);
    w.u32(e + 24, 1);
    w.u32(e + 28, DATA + 0x140);
    w.u32(e + 32, DATA + 0x144);
    w.u32(e + 36, DATA + 0x148);
    w.u32(d + 0x140, TEXT + 0x20);
    w.u32(d + 0x144, DATA + 0x150);
    w.put(d + 0x150, b"Given\0");
    // One relocation, of the pointer at +0x300.
    w.u32(d + 0x200, DATA);
    w.u32(d + 0x204, 12);
    w.u16(d + 0x208, 10 << 12 | 0x300);
    w.u64(d + 0x300, BASE + 0x1234);
    w
}

#[test]
fn an_image_is_mapped_and_relocated() {
    let w = image();
    let pe = Pe::parse(&w.0).unwrap();
    assert_eq!((pe.size(), pe.entry()), (0x3000, TEXT + 0x10));
    let mut memory = vec![0; 0x3000];
    pe.map(&mut memory).unwrap();
    pe.relocate(&mut memory, 0xffff_8000_0000_0000).unwrap();
    assert_eq!(
        memory[0x2300..0x2308],
        0xffff_8000_0000_1234_u64.to_le_bytes()
    );
}

#[test]
fn imports_and_exports_have_their_names_and_places() {
    let w = image();
    let pe = Pe::parse(&w.0).unwrap();
    let wanted = Import {
        module: "other.sys".into(),
        name: "Wanted".into(),
        slot: DATA + 0x60,
    };
    assert_eq!(pe.imports().unwrap(), [wanted]);
    assert_eq!(pe.exports().unwrap().get("Given"), Some(&(TEXT + 0x20)));
    assert!(pe.is_code(TEXT + 0x20) && !pe.is_code(DATA));
}

#[test]
fn sections_are_protected_and_writable_code_is_refused() {
    let mut w = image();
    let expected = [
        (0, 0x1000, Protection::Read),
        (TEXT, 0x1000, Protection::ReadExecute),
        (DATA, 0x1000, Protection::ReadWrite),
    ];
    assert_eq!(Pe::parse(&w.0).unwrap().protections().unwrap(), expected);
    w.section(
        0,
        b".text",
        TEXT,
        0x400,
        pe::IMAGE_SCN_MEM_EXECUTE | pe::IMAGE_SCN_MEM_WRITE,
    );
    let refused = Pe::parse(&w.0).unwrap().protections();
    assert!(
        matches!(refused, Err(PeError::WritableCode(_))),
        "{refused:?}"
    );
}

#[test]
fn a_file_that_is_no_driver_is_refused() {
    assert!(matches!(
        Pe::parse(b"MZ but no more").err(),
        Some(PeError::Malformed(_))
    ));
    let mut w = image();
    w.u16(0x98 + 68, 3);
    assert!(matches!(
        Pe::parse(&w.0).err(),
        Some(PeError::NotADriver(_))
    ));
    let mut w = image();
    w.u32(0x98 + 56, 0x7fff_ffff);
    assert!(matches!(Pe::parse(&w.0).err(), Some(PeError::Malformed(_))));
}

#[test]
fn a_relocation_outside_of_the_image_is_refused() {
    let mut w = image();
    w.u32(0x800 + 0x200, 0x2fff_f000);
    let pe = Pe::parse(&w.0).unwrap();
    let mut memory = vec![0; 0x3000];
    pe.map(&mut memory).unwrap();
    assert!(pe.relocate(&mut memory, 0).is_err());
}

proptest::proptest! {
    #[test]
    fn no_damage_to_an_image_makes_the_loader_panic(
        damage in proptest::collection::vec((0usize..0xc00, proptest::prelude::any::<u8>()), 1..8)
    ) {
        let mut w = image();
        for (at, byte) in damage {
            w.0[at] = byte;
        }
        if let Ok(pe) = Pe::parse(&w.0) {
            let mut memory = vec![0; pe.size() as usize];
            let _ = pe.map(&mut memory);
            let _ = pe.relocate(&mut memory, 0);
            let _ = (pe.imports(), pe.exports(), pe.protections(), pe.version());
        }
    }
}
