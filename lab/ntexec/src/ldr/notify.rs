//! Who wants to know of images and processes, and what images there are.

use alloc::vec::Vec;
use core::ffi::c_void;

use crate::nt::base::{NTSTATUS, UNICODE_STRING};
use crate::nt::status::*;
use crate::sync::Lock;

/// IMAGE_INFO of `ntddk.h`.
#[repr(C)]
pub struct IMAGE_INFO {
    /// SystemModeImage and such
    pub properties: u32,
    base: *mut c_void,
    selector: u32,
    size: usize,
    section: u32,
}
const _: () = assert!(size_of::<IMAGE_INFO>() == 40);

/// PLOAD_IMAGE_NOTIFY_ROUTINE
pub type LoadNotify = unsafe extern "win64" fn(*mut UNICODE_STRING, *mut c_void, *mut IMAGE_INFO);

static LOAD: Lock<Vec<LoadNotify>> = Lock::new(Vec::new());
static PROCESS: Lock<Vec<usize>> = Lock::new(Vec::new());

/// PsSetLoadImageNotifyRoutine: PASSIVE_LEVEL.
///
/// # Safety
/// The routine must stay callable until it is removed.
pub unsafe extern "win64" fn PsSetLoadImageNotifyRoutine(routine: LoadNotify) -> NTSTATUS {
    LOAD.lock().push(routine);
    STATUS_SUCCESS
}

/// PsRemoveLoadImageNotifyRoutine: PASSIVE_LEVEL.
///
/// # Safety
/// None needed.
pub unsafe extern "win64" fn PsRemoveLoadImageNotifyRoutine(routine: LoadNotify) -> NTSTATUS {
    let mut list = LOAD.lock();
    match list.iter().position(|r| core::ptr::fn_addr_eq(*r, routine)) {
        Some(at) => {
            list.remove(at);
            STATUS_SUCCESS
        }
        None => STATUS_PROCEDURE_NOT_FOUND,
    }
}

/// PsSetCreateProcessNotifyRoutine: PASSIVE_LEVEL. There is one process and it never ends, so no routine is ever called.
///
/// # Safety
/// None needed.
pub unsafe extern "win64" fn PsSetCreateProcessNotifyRoutine(
    routine: usize,
    remove: u8,
) -> NTSTATUS {
    let mut list = PROCESS.lock();
    match (list.iter().position(|r| *r == routine), remove != 0) {
        (None, false) => list.push(routine),
        (Some(at), true) => {
            list.remove(at);
        }
        _ => return STATUS_INVALID_PARAMETER,
    }
    STATUS_SUCCESS
}

/// Tells those who asked of a new image.
///
/// # Safety
/// PASSIVE_LEVEL; the image is mapped.
pub unsafe fn loaded(name: &str, base: usize, size: usize) {
    let routines = LOAD.lock().clone();
    let mut path: Vec<u16> = "\\SystemRoot\\System32\\drivers\\"
        .encode_utf16()
        .chain(name.encode_utf16())
        .collect();
    let bytes = (path.len() * 2) as u16;
    let mut string = UNICODE_STRING {
        Length: bytes,
        MaximumLength: bytes,
        Buffer: path.as_mut_ptr(),
    };
    // SystemModeImage and IMAGE_ADDRESSING_MODE_32BIT.
    let mut info = IMAGE_INFO {
        properties: 0x103,
        base: base as *mut c_void,
        selector: 0,
        size,
        section: 0,
    };
    for routine in routines {
        routine(&mut string, core::ptr::null_mut(), &mut info);
    }
}

/// RTL_PROCESS_MODULE_INFORMATION, as SystemModuleInformation gives it.
#[repr(C)]
struct ModuleInformation {
    section: usize,
    mapped_base: usize,
    image_base: usize,
    image_size: u32,
    flags: u32,
    load_order: u16,
    init_order: u16,
    load_count: u16,
    name_offset: u16,
    path: [u8; 256],
}
const _: () = assert!(size_of::<ModuleInformation>() == 296);

/// ZwQuerySystemInformation: PASSIVE_LEVEL. SystemModuleInformation (11) only: the loaded images.
///
/// # Safety
/// `to` is writable for `size` bytes.
pub unsafe extern "win64" fn ZwQuerySystemInformation(
    class: u32,
    to: *mut u8,
    size: u32,
    needed: *mut u32,
) -> NTSTATUS {
    if class != 11 {
        return STATUS_INVALID_INFO_CLASS;
    }
    let images = super::images();
    let bytes = 8 + images.len() * size_of::<ModuleInformation>();
    if !needed.is_null() {
        *needed = bytes as u32;
    }
    if (size as usize) < bytes {
        return STATUS_INFO_LENGTH_MISMATCH;
    }
    to.cast::<u64>().write_unaligned(images.len() as u64);
    let list = to.add(8).cast::<ModuleInformation>();
    for (n, (name, base, len)) in images.iter().enumerate() {
        let directory = b"\\SystemRoot\\System32\\drivers\\";
        let mut path = [0u8; 256];
        for (to, from) in path[..255]
            .iter_mut()
            .zip(directory.iter().copied().chain(name.bytes()))
        {
            *to = from;
        }
        list.add(n).write_unaligned(ModuleInformation {
            section: 0,
            mapped_base: 0,
            image_base: *base,
            image_size: *len as u32,
            flags: 0,
            load_order: n as u16,
            init_order: 0,
            load_count: 1,
            name_offset: directory.len() as u16,
            path,
        });
    }
    STATUS_SUCCESS
}

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl {
        PsSetLoadImageNotifyRoutine, PsRemoveLoadImageNotifyRoutine, PsSetCreateProcessNotifyRoutine,
        ZwQuerySystemInformation,
    }
}
