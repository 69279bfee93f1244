//! Basic types of `ntdef.h`.

use core::mem::size_of;

/// How an operation ended; negative is an error.
pub type NTSTATUS = i32;
/// A 64-bit integer; C's union adds nothing on x64.
pub type LARGE_INTEGER = i64;
/// A handle.
pub type HANDLE = *mut core::ffi::c_void;

/// A counted string of UTF-16 units; lengths are bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct UNICODE_STRING {
    pub Length: u16,
    pub MaximumLength: u16,
    pub Buffer: *mut u16,
}

/// A counted string of bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct STRING {
    pub Length: u16,
    pub MaximumLength: u16,
    pub Buffer: *mut u8,
}

/// Another name of [`STRING`].
pub type ANSI_STRING = STRING;

/// A GUID.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct GUID {
    pub Data1: u32,
    pub Data2: u16,
    pub Data3: u16,
    pub Data4: [u8; 8],
}

/// How an object is named and opened.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OBJECT_ATTRIBUTES {
    pub Length: u32,
    pub RootDirectory: HANDLE,
    pub ObjectName: *mut UNICODE_STRING,
    pub Attributes: u32,
    pub SecurityDescriptor: *mut core::ffi::c_void,
    pub SecurityQualityOfService: *mut core::ffi::c_void,
}

const _: () = {
    assert!(size_of::<UNICODE_STRING>() == 16);
    assert!(size_of::<STRING>() == 16);
    assert!(size_of::<GUID>() == 16);
    assert!(size_of::<OBJECT_ATTRIBUTES>() == 48);
};

impl UNICODE_STRING {
    /// The empty string.
    pub const EMPTY: Self = Self {
        Length: 0,
        MaximumLength: 0,
        Buffer: core::ptr::null_mut(),
    };

    /// The string's units.
    ///
    /// # Safety
    /// `Buffer` must be readable for `Length` bytes for as long as the result lives.
    pub unsafe fn units<'a>(&self) -> &'a [u16] {
        if self.Buffer.is_null() {
            return &[];
        }
        // SAFETY: the caller's promise.
        unsafe { core::slice::from_raw_parts(self.Buffer, usize::from(self.Length / 2)) }
    }
}

impl STRING {
    /// The string's bytes.
    ///
    /// # Safety
    /// `Buffer` must be readable for `Length` bytes for as long as the result lives.
    pub unsafe fn bytes<'a>(&self) -> &'a [u8] {
        if self.Buffer.is_null() {
            return &[];
        }
        // SAFETY: the caller's promise.
        unsafe { core::slice::from_raw_parts(self.Buffer, usize::from(self.Length)) }
    }
}

/// NT_SUCCESS: success or information.
pub const fn nt_success(status: NTSTATUS) -> bool {
    status >= 0
}
