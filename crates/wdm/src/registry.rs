//! The registry. Everything here needs PASSIVE_LEVEL.

use core::ffi::c_void;
use core::ptr::null_mut;

use rust_alloc::vec::Vec;
use wdk_sys::ntddk::{
    ZwClose, ZwCreateKey, ZwDeleteValueKey, ZwEnumerateKey, ZwOpenKey, ZwQueryValueKey,
    ZwSetValueKey,
};
use wdk_sys::{HANDLE, OBJECT_ATTRIBUTES};

use crate::alloc::try_zeroed_bytes;
use crate::status::{Result, Status};
use crate::unicode::UnicodeString;

/// `OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE`.
const ATTRIBUTES: u32 = 0x40 | 0x200;
/// `KEY_READ`, `KEY_READ | KEY_WRITE`.
const KEY_READ: u32 = 0x2_0019;
const KEY_READ_WRITE: u32 = 0x2_001F;
/// `REG_OPTION_VOLATILE`.
const VOLATILE: u32 = 1;
/// `KeyValuePartialInformation` and where its data begin.
const PARTIAL_INFORMATION: i32 = 2;
const PARTIAL_DATA: usize = 12;
/// `KeyBasicInformation` and where the name begins.
const BASIC_INFORMATION: i32 = 0;
const BASIC_NAME: usize = 16;
/// Largest value that is read: what drivers keep in the registry is small.
const MAX_VALUE: usize = 16 * 1024;
/// `STATUS_BUFFER_OVERFLOW`, `STATUS_BUFFER_TOO_SMALL` come with the length needed.
const TOO_SMALL: [Status; 2] = [Status::BUFFER_OVERFLOW, Status::BUFFER_TOO_SMALL];

/// Type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// `REG_SZ`.
    String = 1,
    /// `REG_DWORD`.
    Dword = 4,
    /// `REG_MULTI_SZ`.
    MultiString = 7,
}

/// What is asked for when a key is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read values and enumerate keys.
    Read,
    /// Also write and delete values and create keys.
    Write,
}

/// An open key.
pub struct Key(HANDLE);

// SAFETY: a kernel handle is valid in every thread.
unsafe impl Send for Key {}
// SAFETY: the configuration manager serialises access.
unsafe impl Sync for Key {}

impl Key {
    /// Opens a key by its full path, `\Registry\Machine\…`.
    ///
    /// # Errors
    /// `OBJECT_NAME_NOT_FOUND` if there is none.
    pub fn open(path: &[u16], access: Access) -> Result<Self> {
        open(null_mut(), path, access)
    }

    /// Opens a key below this one.
    ///
    /// # Errors
    /// `OBJECT_NAME_NOT_FOUND` if there is none.
    pub fn open_child(&self, name: &[u16], access: Access) -> Result<Self> {
        open(self.0, name, access)
    }

    /// Opens a key for reading and writing, after making it if there is none.
    ///
    /// # Errors
    /// What `ZwCreateKey` says; all but the last element of the path exist.
    pub fn create(path: &[u16]) -> Result<Self> {
        create(null_mut(), path, 0)
    }

    /// Like [`Key::create`] for a key below this one.
    ///
    /// # Errors
    /// What `ZwCreateKey` says.
    pub fn create_child(&self, name: &[u16]) -> Result<Self> {
        create(self.0, name, 0)
    }

    /// Like [`Key::create_child`] for a key that is gone after the next boot. If there is one it stays as it
    /// is.
    ///
    /// # Errors
    /// What `ZwCreateKey` says.
    pub fn create_volatile_child(&self, name: &[u16]) -> Result<Self> {
        create(self.0, name, VOLATILE)
    }

    /// A value's type and data.
    ///
    /// # Errors
    /// `OBJECT_NAME_NOT_FOUND` if there is none, `BUFFER_OVERFLOW` if it is absurdly large.
    pub fn value(&self, name: &[u16]) -> Result<(u32, Vec<u8>)> {
        let mut buffer = query(MAX_VALUE + PARTIAL_DATA, |buffer, bytes, needed| {
            let name = UnicodeString::new(name);
            // SAFETY: an open key, a string and a buffer of that size that outlive the call.
            unsafe {
                ZwQueryValueKey(
                    self.0,
                    name.as_ptr(),
                    PARTIAL_INFORMATION,
                    buffer,
                    bytes,
                    needed,
                )
            }
        })?;
        let kind = dword_at(&buffer, 4)?;
        let length = dword_at(&buffer, 8)? as usize;
        buffer.drain(..PARTIAL_DATA.min(buffer.len()));
        buffer.truncate(length);
        Ok((kind, buffer))
    }

    /// A `REG_DWORD`.
    ///
    /// # Errors
    /// `OBJECT_NAME_NOT_FOUND` if there is none, `OBJECT_TYPE_MISMATCH` if it is something else.
    pub fn dword(&self, name: &[u16]) -> Result<u32> {
        let (kind, data) = self.value(name)?;
        if kind != Kind::Dword as u32 {
            return Err(Status::OBJECT_TYPE_MISMATCH);
        }
        dword_at(&data, 0)
    }

    /// The units of a `REG_SZ` or `REG_MULTI_SZ`, with the NULs that it has.
    ///
    /// # Errors
    /// `OBJECT_NAME_NOT_FOUND` if there is none, `OBJECT_TYPE_MISMATCH` if it is something else.
    pub fn text(&self, name: &[u16]) -> Result<Vec<u16>> {
        let (kind, data) = self.value(name)?;
        if kind != Kind::String as u32 && kind != Kind::MultiString as u32 {
            return Err(Status::OBJECT_TYPE_MISMATCH);
        }
        let mut units = Vec::new();
        units
            .try_reserve_exact(data.len() / 2)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        units.extend(
            data.chunks_exact(2)
                .filter_map(|unit| unit.try_into().ok())
                .map(u16::from_le_bytes),
        );
        Ok(units)
    }

    /// Writes a `REG_DWORD`.
    ///
    /// # Errors
    /// What `ZwSetValueKey` says.
    pub fn set_dword(&self, name: &[u16], value: u32) -> Result {
        self.set(name, Kind::Dword, &value.to_le_bytes())
    }

    /// Writes a value.
    ///
    /// # Errors
    /// What `ZwSetValueKey` says.
    pub fn set(&self, name: &[u16], kind: Kind, data: &[u8]) -> Result {
        let name = UnicodeString::new(name);
        let length = u32::try_from(data.len()).map_err(|_| Status::INVALID_PARAMETER)?;
        let data = data.as_ptr().cast_mut().cast::<c_void>();
        // SAFETY: an open key; name and data outlive the call, which only reads them.
        Status::check(unsafe { ZwSetValueKey(self.0, name.as_ptr(), 0, kind as u32, data, length) })
    }

    /// Deletes a value.
    ///
    /// # Errors
    /// `OBJECT_NAME_NOT_FOUND` if there is none.
    pub fn delete_value(&self, name: &[u16]) -> Result {
        let name = UnicodeString::new(name);
        // SAFETY: an open key; the name outlives the call.
        Status::check(unsafe { ZwDeleteValueKey(self.0, name.as_ptr()) })
    }

    /// Name of the `index`th key below this one; `None` beyond the last.
    ///
    /// # Errors
    /// What `ZwEnumerateKey` says.
    pub fn child_name(&self, index: u32) -> Result<Option<Vec<u16>>> {
        let buffer = query(MAX_VALUE, |buffer, bytes, needed| {
            // SAFETY: an open key and a buffer of that size that outlives the call.
            unsafe { ZwEnumerateKey(self.0, index, BASIC_INFORMATION, buffer, bytes, needed) }
        });
        let buffer = match buffer {
            Err(Status(wdk_sys::STATUS_NO_MORE_ENTRIES)) => return Ok(None),
            other => other?,
        };
        let length = dword_at(&buffer, 12)? as usize / 2;
        let mut units = Vec::new();
        units
            .try_reserve_exact(length)
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        let name = buffer
            .get(BASIC_NAME..)
            .unwrap_or_default()
            .chunks_exact(2)
            .take(length);
        units.extend(
            name.filter_map(|unit| unit.try_into().ok())
                .map(u16::from_le_bytes),
        );
        Ok(Some(units))
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: an open handle that is not used any more.
        let _ = unsafe { ZwClose(self.0) };
    }
}

fn attributes(root: HANDLE, name: &UnicodeString<'_>) -> OBJECT_ATTRIBUTES {
    OBJECT_ATTRIBUTES {
        Length: size_of::<OBJECT_ATTRIBUTES>() as u32,
        RootDirectory: root,
        ObjectName: name.as_ptr(),
        Attributes: ATTRIBUTES,
        SecurityDescriptor: null_mut(),
        SecurityQualityOfService: null_mut(),
    }
}

fn open(root: HANDLE, path: &[u16], access: Access) -> Result<Key> {
    let name = UnicodeString::new(path);
    let mut attributes = attributes(root, &name);
    let access = if access == Access::Read {
        KEY_READ
    } else {
        KEY_READ_WRITE
    };
    let mut handle = null_mut();
    // SAFETY: all structures outlive the call.
    Status::check(unsafe { ZwOpenKey(&raw mut handle, access, &raw mut attributes) })?;
    Ok(Key(handle))
}

fn create(root: HANDLE, path: &[u16], options: u32) -> Result<Key> {
    let name = UnicodeString::new(path);
    let mut attributes = attributes(root, &name);
    let mut handle = null_mut();
    // SAFETY: all structures outlive the call; class and disposition are optional.
    Status::check(unsafe {
        ZwCreateKey(
            &raw mut handle,
            KEY_READ_WRITE,
            &raw mut attributes,
            0,
            null_mut(),
            options,
            null_mut(),
        )
    })?;
    Ok(Key(handle))
}

/// Calls `ask` with a small buffer, then, if it says so, with one that is large enough but at most `most`
/// bytes. The result has as many bytes as the answer.
fn query(most: usize, ask: impl Fn(*mut c_void, u32, *mut u32) -> i32) -> Result<Vec<u8>> {
    let mut bytes = 256;
    loop {
        let mut buffer = try_zeroed_bytes(bytes)?;
        let mut needed = 0;
        let status = ask(buffer.as_mut_ptr().cast(), bytes as u32, &raw mut needed);
        let needed = needed as usize;
        match Status::check(status) {
            Ok(()) => {
                buffer.truncate(needed);
                return Ok(buffer);
            }
            Err(status) if TOO_SMALL.contains(&status) && needed > bytes && needed <= most => {
                bytes = needed;
            }
            Err(status) => return Err(status),
        }
    }
}

fn dword_at(bytes: &[u8], offset: usize) -> Result<u32> {
    let dword = bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>());
    dword
        .map(|dword| u32::from_le_bytes(*dword))
        .ok_or(Status::INFO_LENGTH_MISMATCH)
}
