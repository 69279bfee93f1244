//! Counted strings: `Rtl*String` routines, each as its DDI page says.
//!
//! ANSI is taken as Latin-1, which is what drivers' ASCII names need; a unit above 0xff becomes `?`.

use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::null_mut;

use super::crt::{lower_unit, upper_unit};
use crate::ex::{ExAllocatePoolWithTag, ExFreePoolWithTag};
use crate::nt::base::{GUID, NTSTATUS, STRING, UNICODE_STRING};
use crate::nt::status::*;

const TAG: u32 = u32::from_le_bytes(*b"Strg");
const PAGED: u32 = 1;

unsafe fn allocate(bytes: usize) -> *mut c_void {
    ExAllocatePoolWithTag(PAGED, bytes, TAG)
}

fn fits(bytes: usize) -> Option<u16> {
    u16::try_from(bytes).ok()
}

/// RtlInitUnicodeString.
///
/// # Safety
/// `source` is null or ends in a 0.
pub unsafe extern "win64" fn RtlInitUnicodeString(to: *mut UNICODE_STRING, source: *const u16) {
    let bytes = if source.is_null() {
        0
    } else {
        super::crt::wcslen(source) * 2
    };
    let bytes = bytes.min(0xfffc);
    *to = UNICODE_STRING {
        Length: bytes as u16,
        MaximumLength: if source.is_null() {
            0
        } else {
            bytes as u16 + 2
        },
        Buffer: source.cast_mut(),
    };
}

/// RtlInitAnsiString (and RtlInitString).
///
/// # Safety
/// `source` is null or ends in a 0.
pub unsafe extern "win64" fn RtlInitAnsiString(to: *mut STRING, source: *const u8) {
    let bytes = if source.is_null() {
        0
    } else {
        super::crt::strlen(source)
    };
    let bytes = bytes.min(0xfffe);
    *to = STRING {
        Length: bytes as u16,
        MaximumLength: if source.is_null() {
            0
        } else {
            bytes as u16 + 1
        },
        Buffer: source.cast_mut(),
    };
}

/// Room for `bytes` in `to`, from pool if the caller wants it.
unsafe fn room(
    to: *mut UNICODE_STRING,
    bytes: usize,
    with_end: usize,
    allocate_it: bool,
) -> Result<(), NTSTATUS> {
    let total = fits(bytes + with_end).ok_or(STATUS_INVALID_PARAMETER_2)?;
    if allocate_it {
        let buffer = allocate(usize::from(total).max(2));
        if buffer.is_null() {
            return Err(STATUS_NO_MEMORY);
        }
        *to = UNICODE_STRING {
            Length: 0,
            MaximumLength: total,
            Buffer: buffer.cast(),
        };
    } else if usize::from((*to).MaximumLength) < bytes {
        return Err(STATUS_BUFFER_OVERFLOW);
    }
    (*to).Length = bytes as u16;
    Ok(())
}

unsafe fn end_wide(to: *mut UNICODE_STRING) {
    if (*to).Length + 2 <= (*to).MaximumLength {
        *(*to).Buffer.add(usize::from((*to).Length / 2)) = 0;
    }
}

/// RtlAnsiStringToUnicodeString: PASSIVE_LEVEL.
///
/// # Safety
/// Both strings are valid.
pub unsafe extern "win64" fn RtlAnsiStringToUnicodeString(
    to: *mut UNICODE_STRING,
    from: *const STRING,
    allocate_it: u8,
) -> NTSTATUS {
    let bytes = (*from).bytes();
    if let Err(status) = room(to, bytes.len() * 2, 2, allocate_it != 0) {
        return status;
    }
    for (i, &b) in bytes.iter().enumerate() {
        *(*to).Buffer.add(i) = b.into();
    }
    end_wide(to);
    STATUS_SUCCESS
}

/// RtlUnicodeStringToAnsiString: PASSIVE_LEVEL. Without room the string is cut and STATUS_BUFFER_OVERFLOW comes back.
///
/// # Safety
/// Both strings are valid.
pub unsafe extern "win64" fn RtlUnicodeStringToAnsiString(
    to: *mut STRING,
    from: *const UNICODE_STRING,
    allocate_it: u8,
) -> NTSTATUS {
    let units = (*from).units();
    let mut n = units.len();
    let mut status = STATUS_SUCCESS;
    if allocate_it != 0 {
        let Some(total) = fits(n + 1) else {
            return STATUS_INVALID_PARAMETER_2;
        };
        let buffer = allocate(total.into());
        if buffer.is_null() {
            return STATUS_NO_MEMORY;
        }
        *to = STRING {
            Length: 0,
            MaximumLength: total,
            Buffer: buffer.cast(),
        };
    } else if usize::from((*to).MaximumLength) < n + 1 {
        if (*to).MaximumLength == 0 {
            return STATUS_BUFFER_OVERFLOW;
        }
        n = usize::from((*to).MaximumLength) - 1;
        status = STATUS_BUFFER_OVERFLOW;
    }
    for (i, &u) in units[..n].iter().enumerate() {
        *(*to).Buffer.add(i) = u8::try_from(u).unwrap_or(b'?');
    }
    *(*to).Buffer.add(n) = 0;
    (*to).Length = n as u16;
    status
}

/// RtlFreeUnicodeString: PASSIVE_LEVEL.
///
/// # Safety
/// The buffer came from a routine that allocates one.
pub unsafe extern "win64" fn RtlFreeUnicodeString(s: *mut UNICODE_STRING) {
    if !(*s).Buffer.is_null() {
        ExFreePoolWithTag((*s).Buffer.cast(), 0);
    }
    *s = UNICODE_STRING::EMPTY;
}

/// RtlFreeAnsiString: PASSIVE_LEVEL.
///
/// # Safety
/// The buffer came from a routine that allocates one.
pub unsafe extern "win64" fn RtlFreeAnsiString(s: *mut STRING) {
    if !(*s).Buffer.is_null() {
        ExFreePoolWithTag((*s).Buffer.cast(), 0);
    }
    *s = STRING {
        Length: 0,
        MaximumLength: 0,
        Buffer: null_mut(),
    };
}

unsafe fn append(to: *mut UNICODE_STRING, units: &[u16]) -> NTSTATUS {
    let old = usize::from((*to).Length);
    if old + units.len() * 2 > usize::from((*to).MaximumLength) {
        return STATUS_BUFFER_TOO_SMALL;
    }
    core::ptr::copy(units.as_ptr(), (*to).Buffer.byte_add(old), units.len());
    (*to).Length = (old + units.len() * 2) as u16;
    end_wide(to);
    STATUS_SUCCESS
}

/// RtlAppendUnicodeToString.
///
/// # Safety
/// `source` is null or ends in a 0.
pub unsafe extern "win64" fn RtlAppendUnicodeToString(
    to: *mut UNICODE_STRING,
    source: *const u16,
) -> NTSTATUS {
    if source.is_null() {
        return STATUS_SUCCESS;
    }
    append(
        to,
        core::slice::from_raw_parts(source, super::crt::wcslen(source)),
    )
}

/// RtlAppendUnicodeStringToString.
///
/// # Safety
/// Both strings are valid.
pub unsafe extern "win64" fn RtlAppendUnicodeStringToString(
    to: *mut UNICODE_STRING,
    source: *const UNICODE_STRING,
) -> NTSTATUS {
    append(to, (*source).units())
}

/// RtlCopyUnicodeString.
///
/// # Safety
/// Both strings are valid; `from` may be null.
pub unsafe extern "win64" fn RtlCopyUnicodeString(
    to: *mut UNICODE_STRING,
    from: *const UNICODE_STRING,
) {
    (*to).Length = 0;
    if from.is_null() {
        return;
    }
    let units = (*from).units();
    let n = units.len().min(usize::from((*to).MaximumLength / 2));
    append(to, &units[..n]);
}

/// Compares as NT does: unit by unit, in upper case if `fold`.
pub fn compare(a: &[u16], b: &[u16], fold: bool) -> core::cmp::Ordering {
    let up = |u: &u16| if fold { upper_unit(*u) } else { *u };
    a.iter().map(up).cmp(b.iter().map(up))
}

/// RtlCompareUnicodeString: PASSIVE_LEVEL.
///
/// # Safety
/// Both strings are valid.
pub unsafe extern "win64" fn RtlCompareUnicodeString(
    a: *const UNICODE_STRING,
    b: *const UNICODE_STRING,
    fold: u8,
) -> i32 {
    compare((*a).units(), (*b).units(), fold != 0) as i32
}

/// RtlCompareString: PASSIVE_LEVEL.
///
/// # Safety
/// Both strings are valid.
pub unsafe extern "win64" fn RtlCompareString(a: *const STRING, b: *const STRING, fold: u8) -> i32 {
    let units = |string: *const STRING| (*string).bytes().iter().map(|&byte| u16::from(byte));
    let (a, b): (Vec<u16>, Vec<u16>) = (units(a).collect(), units(b).collect());
    compare(&a, &b, fold != 0) as i32
}

/// RtlEqualUnicodeString: PASSIVE_LEVEL.
///
/// # Safety
/// Both strings are valid.
pub unsafe extern "win64" fn RtlEqualUnicodeString(
    a: *const UNICODE_STRING,
    b: *const UNICODE_STRING,
    fold: u8,
) -> u8 {
    compare((*a).units(), (*b).units(), fold != 0)
        .is_eq()
        .into()
}

/// RtlPrefixUnicodeString: PASSIVE_LEVEL.
///
/// # Safety
/// Both strings are valid.
pub unsafe extern "win64" fn RtlPrefixUnicodeString(
    a: *const UNICODE_STRING,
    b: *const UNICODE_STRING,
    fold: u8,
) -> u8 {
    let (a, b) = ((*a).units(), (*b).units());
    b.get(..a.len())
        .is_some_and(|b| compare(a, b, fold != 0).is_eq())
        .into()
}

unsafe fn map(
    to: *mut UNICODE_STRING,
    from: *const UNICODE_STRING,
    allocate_it: u8,
    f: fn(u16) -> u16,
) -> NTSTATUS {
    let units = (*from).units();
    if let Err(status) = room(to, units.len() * 2, 0, allocate_it != 0) {
        return status;
    }
    for (i, &u) in units.iter().enumerate() {
        *(*to).Buffer.add(i) = f(u);
    }
    STATUS_SUCCESS
}

/// RtlUpcaseUnicodeString: PASSIVE_LEVEL.
///
/// # Safety
/// Both strings are valid.
pub unsafe extern "win64" fn RtlUpcaseUnicodeString(
    to: *mut UNICODE_STRING,
    from: *const UNICODE_STRING,
    allocate_it: u8,
) -> NTSTATUS {
    map(to, from, allocate_it, upper_unit)
}

/// RtlDowncaseUnicodeString: PASSIVE_LEVEL.
///
/// # Safety
/// Both strings are valid.
pub unsafe extern "win64" fn RtlDowncaseUnicodeString(
    to: *mut UNICODE_STRING,
    from: *const UNICODE_STRING,
    allocate_it: u8,
) -> NTSTATUS {
    map(to, from, allocate_it, lower_unit)
}

/// RtlUpcaseUnicodeChar: PASSIVE_LEVEL.
///
/// # Safety
/// None needed.
pub unsafe extern "win64" fn RtlUpcaseUnicodeChar(c: u16) -> u16 {
    upper_unit(c)
}

/// The number at the head of a string: blanks, a sign, 0x, 0o or 0b if `base` is 0; then digits as far as they go.
pub fn parse_integer(units: &[u16], base: u32) -> Option<u32> {
    let mut rest = units
        .iter()
        .copied()
        .map(|u| char::from_u32(u.into()).unwrap_or('\u{fffd}'))
        .peekable();
    while rest.next_if(|c| *c <= ' ').is_some() {}
    let negative = match rest.next_if(|c| matches!(c, '-' | '+')) {
        Some(sign) => sign == '-',
        None => false,
    };
    let base = match base {
        0 if rest.next_if_eq(&'0').is_some() => {
            let found = match rest.peek() {
                Some('x') => 16,
                Some('o') => 8,
                Some('b') => 2,
                _ => 10,
            };
            if found != 10 {
                rest.next();
            }
            found
        }
        0 => 10,
        2 | 8 | 10 | 16 => base,
        _ => return None,
    };
    let mut value = 0u32;
    while let Some(d) = rest.next().and_then(|c| c.to_digit(base)) {
        value = value.wrapping_mul(base).wrapping_add(d);
    }
    Some(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// RtlUnicodeStringToInteger: PASSIVE_LEVEL.
///
/// # Safety
/// The string is valid, `value` writable.
pub unsafe extern "win64" fn RtlUnicodeStringToInteger(
    s: *const UNICODE_STRING,
    base: u32,
    value: *mut u32,
) -> NTSTATUS {
    match parse_integer((*s).units(), base) {
        Some(n) => {
            *value = n;
            STATUS_SUCCESS
        }
        None => STATUS_INVALID_PARAMETER,
    }
}

/// RtlIntegerToUnicodeString: PASSIVE_LEVEL.
///
/// # Safety
/// The string is valid.
pub unsafe extern "win64" fn RtlIntegerToUnicodeString(
    value: u32,
    base: u32,
    to: *mut UNICODE_STRING,
) -> NTSTATUS {
    let base = match base {
        0 => 10,
        2 | 8 | 10 | 16 => base,
        _ => return STATUS_INVALID_PARAMETER,
    };
    let mut digits = [0u16; 32];
    let (mut n, mut rest) = (0, value);
    loop {
        let d = char::from_digit(rest % base, base)
            .unwrap_or('0')
            .to_ascii_uppercase();
        digits[31 - n] = d as u16;
        n += 1;
        rest /= base;
        if rest == 0 {
            break;
        }
    }
    (*to).Length = 0;
    match append(to, &digits[32 - n..]) {
        STATUS_BUFFER_TOO_SMALL => STATUS_BUFFER_OVERFLOW,
        status => status,
    }
}

/// A GUID as `{00000000-0000-0000-0000-000000000000}`.
pub fn guid_text(g: &GUID) -> alloc::string::String {
    let d = g.Data4;
    alloc::format!(
        "{{{:08x}-{:04x}-{:04x}-{:02x}{:02x}-{:02x}{:02x}{:02x}{:02x}{:02x}{:02x}}}",
        g.Data1,
        g.Data2,
        g.Data3,
        d[0],
        d[1],
        d[2],
        d[3],
        d[4],
        d[5],
        d[6],
        d[7]
    )
}

/// The GUID that `{…}` spells.
pub fn parse_guid(text: &str) -> Option<GUID> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let parts: alloc::vec::Vec<&str> = inner.split('-').collect();
    let [a, b, c, d, e] = parts.as_slice() else {
        return None;
    };
    if [a.len(), b.len(), c.len(), d.len(), e.len()] != [8, 4, 4, 4, 12] {
        return None;
    }
    let tail = u64::from_str_radix(&alloc::format!("{d}{e}"), 16).ok()?;
    Some(GUID {
        Data1: u32::from_str_radix(a, 16).ok()?,
        Data2: u16::from_str_radix(b, 16).ok()?,
        Data3: u16::from_str_radix(c, 16).ok()?,
        Data4: tail.to_be_bytes(),
    })
}

/// RtlStringFromGUID: PASSIVE_LEVEL; the string is the caller's to free.
///
/// # Safety
/// `guid` is readable, `to` writable.
pub unsafe extern "win64" fn RtlStringFromGUID(
    guid: *const GUID,
    to: *mut UNICODE_STRING,
) -> NTSTATUS {
    let text = guid_text(&*guid);
    if let Err(status) = room(to, text.len() * 2, 2, true) {
        return status;
    }
    for (i, b) in text.bytes().enumerate() {
        *(*to).Buffer.add(i) = b.into();
    }
    end_wide(to);
    STATUS_SUCCESS
}

/// RtlGUIDFromString: PASSIVE_LEVEL.
///
/// # Safety
/// Both are valid.
pub unsafe extern "win64" fn RtlGUIDFromString(
    s: *const UNICODE_STRING,
    guid: *mut GUID,
) -> NTSTATUS {
    match parse_guid(&alloc::string::String::from_utf16_lossy((*s).units())) {
        Some(g) => {
            *guid = g;
            STATUS_SUCCESS
        }
        None => STATUS_INVALID_PARAMETER,
    }
}

use RtlInitAnsiString as RtlInitString;

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl {
        RtlInitUnicodeString, RtlInitAnsiString, RtlInitString, RtlAnsiStringToUnicodeString,
        RtlUnicodeStringToAnsiString, RtlFreeUnicodeString, RtlFreeAnsiString, RtlAppendUnicodeToString,
        RtlAppendUnicodeStringToString, RtlCopyUnicodeString, RtlCompareUnicodeString, RtlCompareString, RtlEqualUnicodeString,
        RtlPrefixUnicodeString, RtlUpcaseUnicodeString, RtlDowncaseUnicodeString, RtlUpcaseUnicodeChar,
        RtlUnicodeStringToInteger, RtlIntegerToUnicodeString, RtlStringFromGUID, RtlGUIDFromString,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn w(s: &str) -> Vec<u16> {
        s.encode_utf16().collect()
    }

    #[test]
    fn counted_strings_are_compared_by_their_bytes() {
        let string = |text: &'static str| STRING {
            Length: text.len() as u16,
            MaximumLength: text.len() as u16,
            Buffer: text.as_ptr().cast_mut(),
        };
        let (lower, upper, longer) = (string("net"), string("NET"), string("nets"));
        // SAFETY: the strings are valid.
        unsafe {
            assert_eq!(RtlCompareString(&lower, &upper, 1), 0);
            assert!(RtlCompareString(&lower, &upper, 0) > 0);
            assert!(RtlCompareString(&lower, &longer, 0) < 0);
        }
    }

    #[test]
    fn integers_are_read_with_sign_and_prefix() {
        for (text, base, want) in [
            ("42", 0, Some(42)),
            ("0x2a", 0, Some(42)),
            ("0o52", 0, Some(42)),
            ("0b11", 0, Some(3)),
            ("2A", 16, Some(42)),
            (" -1", 10, Some(u32::MAX)),
            ("12x", 10, Some(12)),
            ("", 10, Some(0)),
            ("1", 7, None),
        ] {
            assert_eq!(parse_integer(&w(text), base), want, "{text}");
        }
    }

    #[test]
    fn a_guid_is_read_back_from_its_text() {
        let text = "{4d36e97d-e325-11ce-bfc1-08002be10318}";
        let g = parse_guid(text).unwrap();
        assert_eq!(g.Data1, 0x4d36_e97d);
        assert_eq!(g.Data4, [0xbf, 0xc1, 8, 0, 0x2b, 0xe1, 3, 0x18]);
        assert_eq!(guid_text(&g), text);
        assert_eq!(parse_guid("{4d36e97d}"), None);
    }

    #[test]
    fn appending_fails_without_room_and_keeps_the_string() {
        let mut b = [0u16; 4];
        let mut s = UNICODE_STRING {
            Length: 0,
            MaximumLength: 8,
            Buffer: b.as_mut_ptr(),
        };
        // SAFETY: valid strings.
        unsafe {
            assert_eq!(append(&mut s, &w("abc")), STATUS_SUCCESS);
            assert_eq!(append(&mut s, &w("de")), STATUS_BUFFER_TOO_SMALL);
            assert_eq!(s.units(), w("abc"));
            assert_eq!(RtlIntegerToUnicodeString(255, 16, &mut s), STATUS_SUCCESS);
            assert_eq!(s.units(), w("FF"));
        }
    }
}
