//! Modules of the executive that drivers find by walking the list of images instead of importing from them.
//!
//! Each is an image in memory as the list has it: headers, an export directory, and behind each name a jump to the routine.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{Image, STATE};
use crate::exports::{Export, Kind, Module};
use crate::machine::{PAGE_SIZE, Protection};

/// Bytes of a jump: `mov rax, routine; jmp rax`, and what fills it up.
const JUMP: usize = 16;
/// Where the export directory begins: behind the headers' page.
const DIRECTORY: usize = PAGE_SIZE;
const DIRECTORY_SIZE: usize = 40;
const HEADERS_AT: usize = 0x80;

/// An image's bytes, and where its code begins.
struct Built {
    bytes: Vec<u8>,
    code: usize,
    exports: BTreeMap<alloc::string::String, (u32, bool)>,
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn word(bytes: &mut [u8], at: usize, value: u32) {
    put(bytes, at, &value.to_le_bytes());
}

/// Lays the image of a module out. `exports` are its routines.
fn build(name: &str, exports: &[&Export]) -> Built {
    let mut exports: Vec<&Export> = exports.to_vec();
    // Who walks the directory may search it by halves.
    exports.sort_by_key(|e| e.name);
    let n = exports.len();
    let functions = DIRECTORY + DIRECTORY_SIZE;
    let names = functions + 4 * n;
    let ordinals = names + 4 * n;
    let text = ordinals + (2 * n).next_multiple_of(4);
    let text_length: usize =
        exports.iter().map(|e| e.name.len() + 1).sum::<usize>() + name.len() + 1;
    let code = (text + text_length).next_multiple_of(PAGE_SIZE);
    let size = (code + JUMP * n).next_multiple_of(PAGE_SIZE);
    let mut b = alloc::vec![0u8; size];
    headers(&mut b, code, size, text + text_length - DIRECTORY);
    let mut at = text;
    let mut say = |b: &mut [u8], what: &str| {
        put(b, at, what.as_bytes());
        let here = at;
        at += what.len() + 1;
        here as u32
    };
    let own = say(&mut b, name);
    let mut map = BTreeMap::new();
    for (i, e) in exports.iter().enumerate() {
        let jump = code + JUMP * i;
        put(&mut b, jump, &[0x48, 0xb8]);
        put(&mut b, jump + 2, &(e.addr as u64).to_le_bytes());
        put(&mut b, jump + 10, &[0xff, 0xe0]);
        word(&mut b, functions + 4 * i, jump as u32);
        let text = say(&mut b, e.name);
        word(&mut b, names + 4 * i, text);
        put(&mut b, ordinals + 2 * i, &(i as u16).to_le_bytes());
        map.insert(e.name.into(), (jump as u32, true));
    }
    for (field, value) in [
        (12, own),
        (16, 1),
        (20, n as u32),
        (24, n as u32),
        (28, functions as u32),
        (32, names as u32),
        (36, ordinals as u32),
    ] {
        word(&mut b, DIRECTORY + field, value);
    }
    Built {
        bytes: b,
        code,
        exports: map,
    }
}

/// The DOS header, the PE headers and two sections.
fn headers(b: &mut [u8], code: usize, size: usize, directory_length: usize) {
    const OPTIONAL: usize = 0xf0;
    put(b, 0, b"MZ");
    word(b, 0x3c, HEADERS_AT as u32);
    put(b, HEADERS_AT, b"PE\0\0");
    let file = HEADERS_AT + 4;
    put(b, file, &0x8664u16.to_le_bytes());
    put(b, file + 2, &2u16.to_le_bytes());
    put(b, file + 16, &(OPTIONAL as u16).to_le_bytes());
    // Executable, large addresses, a DLL.
    put(b, file + 18, &0x2022u16.to_le_bytes());
    let optional = file + 20;
    put(b, optional, &0x20bu16.to_le_bytes());
    for (field, value) in [
        (4, size - code),
        (20, code),
        (32, PAGE_SIZE),
        (36, PAGE_SIZE),
        (56, size),
        (60, PAGE_SIZE),
        // IMAGE_SUBSYSTEM_NATIVE.
        (68, 1),
        (108, 16),
        (112, DIRECTORY),
        (116, directory_length),
    ] {
        word(b, optional + field, value as u32);
    }
    let sections = optional + OPTIONAL;
    let all: [(&[u8], usize, usize, u32); 2] = [
        (b".edata", DIRECTORY, code - DIRECTORY, 0x4000_0040),
        (b".text", code, size - code, 0x6000_0020),
    ];
    for (i, (name, at, length, flags)) in all.into_iter().enumerate() {
        let section = sections + 40 * i;
        put(b, section, name);
        for (field, value) in [(8, length), (12, at), (16, length), (20, at)] {
            word(b, section + field, value as u32);
        }
        word(b, section + 36, flags);
    }
}

/// Puts a module into the list of images. Nothing happens if there is no memory for it.
///
/// # Safety
/// Once for each module, before drivers run.
pub(super) unsafe fn install(module: Module) {
    let exports: Vec<&Export> = super::tables::tables()
        .into_iter()
        .flatten()
        .filter(|e| e.module == module && e.kind == Kind::Function)
        .collect();
    let built = build(module.file_name(), &exports);
    let size = built.bytes.len();
    let Some(base) = crate::mm::image::allocate(size) else {
        return;
    };
    core::ptr::copy_nonoverlapping(built.bytes.as_ptr(), base as *mut u8, size);
    super::protect(base, built.code, Protection::Read);
    super::protect(
        base + built.code,
        size - built.code,
        Protection::ReadExecute,
    );
    let mut state = STATE.lock();
    let id = state.next;
    state.next += 1;
    state.images.push(Image {
        id,
        name: module.file_name().into(),
        base,
        size,
        exports: built.exports,
        imports: Vec::new(),
        importers: 1,
        thunks: None,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ldr::pe::Pe;
    use alloc::string::String;

    extern "win64" fn b() -> u32 {
        2
    }
    extern "win64" fn a() -> u32 {
        1
    }

    fn export(name: &'static str, addr: *const ()) -> Export {
        Export {
            module: Module::Netio,
            kind: Kind::Function,
            name,
            addr,
        }
    }

    #[test]
    fn the_loaders_own_parser_finds_the_exports_and_the_jumps_lead_to_the_routines() {
        let (second, first) = (
            export("Second", b as *const ()),
            export("First", a as *const ()),
        );
        let built = build("netio.sys", &[&second, &first]);
        let pe = Pe::parse(&built.bytes).expect("an image");
        assert_eq!(pe.size() as usize, built.bytes.len());
        let found: Vec<(String, u32)> = pe.exports().expect("a directory").into_iter().collect();
        let names: Vec<&str> = found.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["First", "Second"]);
        for ((_, at), routine) in found.iter().zip([a as *const (), b as *const ()]) {
            assert!(pe.is_code(*at));
            let jump = &built.bytes[*at as usize..][..12];
            assert_eq!(jump[..2], [0x48, 0xb8]);
            assert_eq!(jump[2..10], (routine as u64).to_le_bytes());
            assert_eq!(jump[10..], [0xff, 0xe0]);
        }
    }
}
