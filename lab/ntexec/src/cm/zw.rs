//! `Zw*Key` routines. PASSIVE_LEVEL; handles are kernel handles.
//!
//! Lengths follow the pages of ZwQueryKey, ZwEnumerateKey, ZwQueryValueKey: STATUS_BUFFER_TOO_SMALL if not even the fixed part
//! fits, STATUS_BUFFER_OVERFLOW if the variable part is cut; ResultLength is what all would take.

use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::null_mut;

use super::hive::{Hive, KeyId, Value};
use crate::nt::base::{HANDLE, NTSTATUS, OBJECT_ATTRIBUTES, UNICODE_STRING};
use crate::nt::status::*;
use crate::ob::{self, ObjectKind};

#[repr(C)]
struct KeyBody {
    id: KeyId,
}

const REG_OPTION_VOLATILE: u32 = 1;

/// Opens a handle to a key.
pub fn open_handle(id: KeyId) -> Result<HANDLE, NTSTATUS> {
    let body = ob::create(ObjectKind::Key, size_of::<KeyBody>(), ob::nothing).cast::<KeyBody>();
    if body.is_null() {
        return Err(STATUS_INSUFFICIENT_RESOURCES);
    }
    // SAFETY: a fresh object of that size.
    unsafe { body.write(KeyBody { id }) };
    let handle = ob::open_handle(body.cast());
    // SAFETY: the object lives by its handle; this is the reference that it was made with.
    unsafe { ob::ObfDereferenceObject(body.cast()) };
    Ok(handle)
}

/// The key of a handle.
pub fn key_of(handle: HANDLE) -> Result<KeyId, NTSTATUS> {
    let object = ob::reference_handle(handle, Some(ObjectKind::Key))?;
    // SAFETY: a key object holds a `KeyBody`, and the reference is ours to drop.
    unsafe {
        let id = (*object.cast::<KeyBody>()).id;
        ob::ObfDereferenceObject(object);
        Ok(id)
    }
}

fn text(s: &UNICODE_STRING) -> String {
    // SAFETY: drivers pass valid counted strings.
    String::from_utf16_lossy(unsafe { s.units() })
}

unsafe fn start(attributes: *const OBJECT_ATTRIBUTES) -> Result<(KeyId, String), NTSTATUS> {
    let a = &*attributes;
    let name = if a.ObjectName.is_null() {
        String::new()
    } else {
        text(&*a.ObjectName)
    };
    if a.RootDirectory.is_null() {
        return if name.starts_with('\\') {
            Ok((Hive::ROOT, name))
        } else {
            Err(STATUS_OBJECT_PATH_SYNTAX_BAD)
        };
    }
    if name.starts_with('\\') {
        return Err(STATUS_OBJECT_PATH_SYNTAX_BAD);
    }
    Ok((key_of(a.RootDirectory)?, name))
}

unsafe fn finish(result: Result<HANDLE, NTSTATUS>, handle: *mut HANDLE) -> NTSTATUS {
    match result {
        Ok(h) => {
            *handle = h;
            STATUS_SUCCESS
        }
        Err(status) => {
            *handle = null_mut();
            status
        }
    }
}

/// ZwOpenKey.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn ZwOpenKey(
    handle: *mut HANDLE,
    _access: u32,
    attributes: *const OBJECT_ATTRIBUTES,
) -> NTSTATUS {
    let result = start(attributes)
        .and_then(|(from, path)| super::read(|h| h.open(from, &path)))
        .map_err(|s| {
            if s == STATUS_OBJECT_PATH_NOT_FOUND {
                STATUS_OBJECT_NAME_NOT_FOUND
            } else {
                s
            }
        })
        .and_then(open_handle);
    finish(result, handle)
}

/// ZwCreateKey.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn ZwCreateKey(
    handle: *mut HANDLE,
    _access: u32,
    attributes: *const OBJECT_ATTRIBUTES,
    _title: u32,
    _class: *const UNICODE_STRING,
    options: u32,
    disposition: *mut u32,
) -> NTSTATUS {
    let result = start(attributes)
        .and_then(|(from, path)| super::create_key(from, &path, options & REG_OPTION_VOLATILE != 0))
        .and_then(|(id, new)| {
            if !disposition.is_null() {
                *disposition = if new { 1 } else { 2 };
            }
            open_handle(id)
        });
    finish(result, handle)
}

/// ZwDeleteKey.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn ZwDeleteKey(handle: HANDLE) -> NTSTATUS {
    match key_of(handle).and_then(super::delete_key) {
        Ok(()) => STATUS_SUCCESS,
        Err(status) => status,
    }
}

/// ZwFlushKey: every change has been told to the host already.
///
/// # Safety
/// None needed.
pub unsafe extern "win64" fn ZwFlushKey(handle: HANDLE) -> NTSTATUS {
    key_of(handle).map_or_else(|s| s, |_| STATUS_SUCCESS)
}

/// ZwSetValueKey.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn ZwSetValueKey(
    handle: HANDLE,
    name: *const UNICODE_STRING,
    _title: u32,
    kind: u32,
    data: *const u8,
    size: u32,
) -> NTSTATUS {
    let bytes = if data.is_null() || size == 0 {
        &[][..]
    } else {
        core::slice::from_raw_parts(data, size as usize)
    };
    match key_of(handle).and_then(|id| super::set_value(id, &text(&*name), kind, bytes)) {
        Ok(()) => STATUS_SUCCESS,
        Err(status) => status,
    }
}

/// ZwDeleteValueKey.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn ZwDeleteValueKey(
    handle: HANDLE,
    name: *const UNICODE_STRING,
) -> NTSTATUS {
    match key_of(handle).and_then(|id| super::delete_value(id, &text(&*name))) {
        Ok(()) => STATUS_SUCCESS,
        Err(status) => status,
    }
}

/// What an information class needs: the bytes, and how many of them are the fixed part.
type Information = (Vec<u8>, usize);

fn put32(out: &mut Vec<u8>, n: usize) {
    out.extend_from_slice(&u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, s: &str) {
    s.encode_utf16()
        .for_each(|u| out.extend_from_slice(&u.to_le_bytes()));
}

fn bytes_of(s: &str) -> usize {
    s.encode_utf16().count() * 2
}

/// KEY_*_INFORMATION of a key.
fn key_information(h: &Hive, id: KeyId, class: u32) -> Result<Information, NTSTATUS> {
    let name = h.name(id)?;
    let subkeys = h.subkeys(id)?;
    let longest_key = subkeys
        .iter()
        .filter_map(|&k| h.name(k).ok())
        .map(bytes_of)
        .max()
        .unwrap_or(0);
    let values = h.values(id)?.len();
    let longest_name = h.values(id)?.map(|v| bytes_of(&v.name)).max().unwrap_or(0);
    let longest_data = h.values(id)?.map(|v| v.data.len()).max().unwrap_or(0);
    let mut out = h.written(id)?.to_le_bytes().to_vec();
    put32(&mut out, 0);
    let fixed = match class {
        // KeyBasicInformation
        0 => {
            put32(&mut out, bytes_of(name));
            put_text(&mut out, name);
            16
        }
        // KeyNodeInformation
        1 => {
            put32(&mut out, u32::MAX as usize);
            put32(&mut out, 0);
            put32(&mut out, bytes_of(name));
            put_text(&mut out, name);
            24
        }
        // KeyFullInformation
        2 => {
            put32(&mut out, u32::MAX as usize);
            put32(&mut out, 0);
            put32(&mut out, subkeys.len());
            put32(&mut out, longest_key);
            put32(&mut out, 0);
            put32(&mut out, values);
            put32(&mut out, longest_name);
            put32(&mut out, longest_data);
            44
        }
        // KeyNameInformation
        3 => {
            let path = h.path(id);
            out.clear();
            put32(&mut out, bytes_of(&path));
            put_text(&mut out, &path);
            4
        }
        // KeyCachedInformation
        4 => {
            put32(&mut out, subkeys.len());
            put32(&mut out, longest_key);
            put32(&mut out, values);
            put32(&mut out, longest_name);
            put32(&mut out, longest_data);
            put32(&mut out, bytes_of(name));
            put32(&mut out, 0);
            40
        }
        _ => return Err(STATUS_INVALID_PARAMETER),
    };
    Ok((out, fixed))
}

/// KEY_VALUE_*_INFORMATION of a value.
fn value_information(v: &Value, class: u32) -> Result<Information, NTSTATUS> {
    let mut out = Vec::new();
    put32(&mut out, 0);
    put32(&mut out, v.kind as usize);
    let fixed = match class {
        // KeyValueBasicInformation
        0 => {
            put32(&mut out, bytes_of(&v.name));
            put_text(&mut out, &v.name);
            12
        }
        // KeyValueFullInformation, and its 64-bit aligned kin: the data begins at a multiple of 8
        1 | 3 => {
            let offset = (20 + bytes_of(&v.name)).next_multiple_of(if class == 1 { 4 } else { 8 });
            put32(&mut out, offset);
            put32(&mut out, v.data.len());
            put32(&mut out, bytes_of(&v.name));
            put_text(&mut out, &v.name);
            out.resize(offset, 0);
            out.extend_from_slice(&v.data);
            20
        }
        // KeyValuePartialInformation
        2 => {
            put32(&mut out, v.data.len());
            out.extend_from_slice(&v.data);
            12
        }
        // KeyValuePartialInformationAlign64: no title index
        4 => {
            out.drain(..4);
            put32(&mut out, v.data.len());
            out.extend_from_slice(&v.data);
            8
        }
        _ => return Err(STATUS_INVALID_PARAMETER),
    };
    Ok((out, fixed))
}

unsafe fn answer(
    result: Result<Information, NTSTATUS>,
    to: *mut c_void,
    size: u32,
    needed: *mut u32,
) -> NTSTATUS {
    let (bytes, fixed) = match result {
        Ok(r) => r,
        Err(status) => return status,
    };
    if !needed.is_null() {
        *needed = bytes.len() as u32;
    }
    let size = size as usize;
    if size < fixed {
        return STATUS_BUFFER_TOO_SMALL;
    }
    core::ptr::copy_nonoverlapping(bytes.as_ptr(), to.cast(), size.min(bytes.len()));
    if size < bytes.len() {
        STATUS_BUFFER_OVERFLOW
    } else {
        STATUS_SUCCESS
    }
}

/// ZwQueryKey.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn ZwQueryKey(
    handle: HANDLE,
    class: u32,
    to: *mut c_void,
    size: u32,
    needed: *mut u32,
) -> NTSTATUS {
    let result = key_of(handle).and_then(|id| super::read(|h| key_information(h, id, class)));
    answer(result, to, size, needed)
}

/// ZwEnumerateKey.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn ZwEnumerateKey(
    handle: HANDLE,
    index: u32,
    class: u32,
    to: *mut c_void,
    size: u32,
    needed: *mut u32,
) -> NTSTATUS {
    let result = key_of(handle).and_then(|id| {
        super::read(|h| {
            let child = h
                .subkeys(id)?
                .get(index as usize)
                .copied()
                .ok_or(STATUS_NO_MORE_ENTRIES)?;
            key_information(h, child, class)
        })
    });
    answer(result, to, size, needed)
}

/// ZwQueryValueKey.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn ZwQueryValueKey(
    handle: HANDLE,
    name: *const UNICODE_STRING,
    class: u32,
    to: *mut c_void,
    size: u32,
    needed: *mut u32,
) -> NTSTATUS {
    let name = text(&*name);
    let result = key_of(handle)
        .and_then(|id| super::read(|h| value_information(h.value(id, &name)?, class)));
    answer(result, to, size, needed)
}

/// ZwEnumerateValueKey.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn ZwEnumerateValueKey(
    handle: HANDLE,
    index: u32,
    class: u32,
    to: *mut c_void,
    size: u32,
    needed: *mut u32,
) -> NTSTATUS {
    let result = key_of(handle).and_then(|id| {
        super::read(|h| {
            let mut values = h.values(id)?;
            value_information(
                values.nth(index as usize).ok_or(STATUS_NO_MORE_ENTRIES)?,
                class,
            )
        })
    });
    answer(result, to, size, needed)
}

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl {
        ZwOpenKey, ZwCreateKey, ZwDeleteKey, ZwFlushKey, ZwSetValueKey, ZwDeleteValueKey, ZwQueryKey, ZwEnumerateKey,
        ZwQueryValueKey, ZwEnumerateValueKey,
    }
}

#[cfg(test)]
mod tests {
    use super::super::hive::reg;
    use super::*;

    #[test]
    fn information_has_the_offsets_of_the_wdk() {
        let v = Value {
            name: "Name".into(),
            kind: reg::DWORD,
            data: alloc::vec![1, 2, 3, 4],
        };
        let (full, fixed) = value_information(&v, 1).unwrap();
        assert_eq!((fixed, full[8], full[12], full[16]), (20, 28, 4, 8));
        assert_eq!(&full[28..], [1, 2, 3, 4]);
        let (partial, fixed) = value_information(&v, 2).unwrap();
        assert_eq!((fixed, partial[4], partial[8]), (12, 4, 4));
        assert_eq!(&partial[12..], [1, 2, 3, 4]);
        let mut h = Hive::new();
        let (id, _) = h
            .create(Hive::ROOT, r"\Registry\Machine\Key", false, 7)
            .unwrap();
        h.create(id, "Sub", false, 7).unwrap();
        h.set(id, "abc", 1, &[0; 6], 7).unwrap();
        let (full, _) = key_information(&h, id, 2).unwrap();
        let at = |o: usize| u32::from_le_bytes(full[o..o + 4].try_into().unwrap());
        assert_eq!((at(20), at(24), at(32), at(36), at(40)), (1, 6, 1, 6, 6));
        let (basic, _) = key_information(&h, id, 0).unwrap();
        assert_eq!((basic[0], basic[12], basic[16]), (7, 6, b'K'));
    }

    #[test]
    fn a_short_buffer_gets_what_fits_and_learns_what_is_needed() {
        let all = || Ok((alloc::vec![9u8; 16], 12));
        let mut b = [0u8; 16];
        let mut needed = 0;
        // SAFETY: buffers of the size given.
        unsafe {
            assert_eq!(
                answer(all(), b.as_mut_ptr().cast(), 4, &mut needed),
                STATUS_BUFFER_TOO_SMALL
            );
            assert_eq!((needed, b[0]), (16, 0));
            assert_eq!(
                answer(all(), b.as_mut_ptr().cast(), 14, &mut needed),
                STATUS_BUFFER_OVERFLOW
            );
            assert_eq!((b[13], b[14]), (9, 0));
            assert_eq!(
                answer(all(), b.as_mut_ptr().cast(), 16, null_mut()),
                STATUS_SUCCESS
            );
        }
    }
}
