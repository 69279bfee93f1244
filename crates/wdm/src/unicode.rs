//! Counted UTF-16 strings.

use core::marker::PhantomData;

use wdk_sys::UNICODE_STRING;

/// A `UNICODE_STRING` over borrowed units. Its length is cut to what the structure can say (32767 units).
pub struct UnicodeString<'a> {
    string: UNICODE_STRING,
    units: PhantomData<&'a [u16]>,
}

impl<'a> UnicodeString<'a> {
    /// Describes `units`, which need no NUL.
    pub fn new(units: &'a [u16]) -> Self {
        let units = units.get(..units.len().min(0x7FFF)).unwrap_or_default();
        let bytes = size_of_val(units) as u16;
        let string = UNICODE_STRING {
            Length: bytes,
            MaximumLength: bytes,
            Buffer: units.as_ptr().cast_mut(),
        };
        Self {
            string,
            units: PhantomData,
        }
    }

    /// The structure, for kernel routines that only read it.
    pub fn as_ptr(&self) -> *mut UNICODE_STRING {
        (&raw const self.string).cast_mut()
    }
}

/// The units of a `UNICODE_STRING`.
///
/// # Safety
/// `string` and its buffer are valid and outlive the slice.
pub unsafe fn units<'a>(string: *const UNICODE_STRING) -> &'a [u16] {
    // SAFETY: the caller's promise.
    let string = unsafe { &*string };
    if string.Buffer.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { core::slice::from_raw_parts(string.Buffer, usize::from(string.Length) / 2) }
}
