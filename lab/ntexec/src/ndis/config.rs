//! NdisOpenConfigurationEx and what is read and written through it.
//!
//! Values that setup writes for "enum" and "int" keywords are strings; NDIS makes numbers of them when a number is asked
//! for. Microsoft's pages do not say how. CHOICE: digits only, decimal for NdisParameterInteger and hexadecimal for
//! NdisParameterHexInteger, without sign, prefix or blanks.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::adapter::Adapter;
use super::{driver, rules};
use crate::cm;
use crate::cm::hive::{parse_multi_sz, parse_sz, reg, sz};
use crate::nt::base::UNICODE_STRING;
use crate::nt::ke::PVOID;
use crate::nt::ndis::*;
use crate::sync::Lock;

/// What a parameter's structure and text are kept in until the configuration is closed.
struct Kept {
    parameter: Box<NDIS_CONFIGURATION_PARAMETER>,
    _text: Box<[u64]>,
}
// SAFETY: the pointers in it lead to its own boxes.
unsafe impl Send for Kept {}

/// An open configuration.
struct Open {
    handle: usize,
    owner: usize,
    key: String,
    kept: Vec<Kept>,
    address: Option<Box<[u8]>>,
}

static OPEN: Lock<Vec<Open>> = Lock::new(Vec::new());
static NEXT: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(1);

/// A value of a key by its kind, as NDIS gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Integer(u32),
    Text(String),
    List(Vec<String>),
    Binary(Vec<u8>),
}

/// Digits to a number.
fn number(text: &str, radix: u32) -> Option<u32> {
    let digits = !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
    digits
        .then(|| u32::from_str_radix(text, radix).ok())
        .flatten()
}

/// What a value in the registry is to a driver that asks for `wanted`.
fn convert(kind: u32, data: &[u8], wanted: u32) -> Option<Value> {
    match kind {
        reg::DWORD => Some(Value::Integer(u32::from_le_bytes(
            data.get(..4)?.try_into().ok()?,
        ))),
        reg::SZ | reg::EXPAND_SZ => {
            let text = parse_sz(data);
            match wanted {
                NdisParameterInteger => number(&text, 10).map(Value::Integer),
                NdisParameterHexInteger => number(&text, 16).map(Value::Integer),
                _ => Some(Value::Text(text)),
            }
        }
        reg::MULTI_SZ => Some(Value::List(parse_multi_sz(data))),
        reg::BINARY => Some(Value::Binary(data.to_vec())),
        _ => None,
    }
}

/// A number below a key: a DWORD, or a string of decimal digits.
pub(super) fn integer(key: &str, name: &str) -> Option<u32> {
    match cm::read(|h| {
        h.get(key, name)
            .and_then(|v| convert(v.kind, &v.data, NdisParameterInteger))
    })? {
        Value::Integer(n) => Some(n),
        _ => None,
    }
}

/// Writes a string below a key, as NDIS does when an OID changes what a keyword says.
pub(super) fn put_string(key: &str, name: &str, value: &str) {
    if let Ok(id) = cm::ensure_key(key) {
        // The class key stays as long as its device does.
        let _ = cm::set_value(id, name, reg::SZ, &sz(value));
    }
}

/// NdisOpenConfigurationEx. PASSIVE_LEVEL. With a driver's handle: the service's Parameters; an adapter's: its class key.
pub(super) unsafe extern "win64" fn NdisOpenConfigurationEx(
    object: *const NDIS_CONFIGURATION_OBJECT,
    handle: *mut PVOID,
) -> NDIS_STATUS {
    const CALL: &str = "NdisOpenConfigurationEx";
    handle.write(core::ptr::null_mut());
    let o = &*object;
    if o.Header.Type != NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT
        || o.Header.Size < NDIS_SIZEOF_CONFIGURATION_OBJECT_REVISION_1
    {
        crate::check::violation(
            rules::OBJECT,
            format_args!("{CALL}: the object begins with {:?}", o.Header),
        );
        return NDIS_STATUS_INVALID_PARAMETER;
    }
    let key = if let Some(driver) = driver::find(o.NdisHandle) {
        alloc::format!("{}\\Parameters", driver.registry_path)
    } else if let Some(adapter) = Adapter::of(o.NdisHandle, CALL) {
        adapter.class_key.clone()
    } else {
        return NDIS_STATUS_INVALID_PARAMETER;
    };
    let number = NEXT.fetch_add(16, core::sync::atomic::Ordering::Relaxed);
    OPEN.lock().push(Open {
        handle: number,
        owner: o.NdisHandle as usize,
        key,
        kept: Vec::new(),
        address: None,
    });
    handle.write(number as PVOID);
    NDIS_STATUS_SUCCESS
}

/// NdisCloseConfiguration. PASSIVE_LEVEL.
pub(super) unsafe extern "win64" fn NdisCloseConfiguration(handle: PVOID) {
    let mut open = OPEN.lock();
    let Some(at) = open.iter().position(|o| o.handle == handle as usize) else {
        drop(open);
        not_open("NdisCloseConfiguration", handle);
        return;
    };
    let closed = open.swap_remove(at);
    drop(open);
    drop(closed);
}

fn not_open(call: &str, handle: PVOID) {
    crate::check::violation(
        rules::OBJECT,
        format_args!("{call}: {handle:p} is no open configuration"),
    );
}

/// How many configurations a driver or an adapter has open.
pub(super) fn open_of(owner: PVOID) -> usize {
    OPEN.lock()
        .iter()
        .filter(|o| o.owner == owner as usize)
        .count()
}

fn key_of(call: &str, handle: PVOID) -> Option<String> {
    let key = OPEN
        .lock()
        .iter()
        .find(|o| o.handle == handle as usize)
        .map(|o| o.key.clone());
    if key.is_none() {
        not_open(call, handle);
    }
    key
}

/// Bytes in memory that is aligned.
fn boxed(bytes: &[u8]) -> Box<[u64]> {
    let mut words = alloc::vec![0u64; bytes.len().div_ceil(8).max(1)];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut eight = [0; 8];
        eight[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_le_bytes(eight);
    }
    words.into_boxed_slice()
}

/// The structure that a driver gets for a value.
fn kept(value: Value, wanted: u32) -> Kept {
    let (kind, bytes, length, integer) = match value {
        Value::Integer(n) => {
            let kind = if wanted == NdisParameterHexInteger {
                NdisParameterHexInteger
            } else {
                NdisParameterInteger
            };
            (kind, Vec::new(), 0, Some(n))
        }
        Value::Text(text) => {
            let bytes = sz(&text);
            let length = bytes.len() - 2;
            (NdisParameterString, bytes, length, None)
        }
        Value::List(list) => {
            let bytes = crate::cm::hive::multi_sz(&list);
            let length = bytes.len();
            (NdisParameterMultiString, bytes, length, None)
        }
        Value::Binary(bytes) => {
            let length = bytes.len();
            (NdisParameterBinary, bytes, length, None)
        }
    };
    let maximum = bytes.len() as u16;
    let mut bytes = boxed(&bytes);
    let mut parameter = Box::new(NDIS_CONFIGURATION_PARAMETER {
        ParameterType: kind,
        Data: UNICODE_STRING {
            Length: length as u16,
            MaximumLength: maximum,
            Buffer: bytes.as_mut_ptr().cast(),
        },
    });
    if let Some(n) = integer {
        // ParameterData is a union: an integer lies where a string's lengths do.
        parameter.Data = UNICODE_STRING {
            Length: n as u16,
            MaximumLength: (n >> 16) as u16,
            Buffer: core::ptr::null_mut(),
        };
    }
    Kept {
        parameter,
        _text: bytes,
    }
}

/// NdisReadConfiguration. PASSIVE_LEVEL.
pub(super) unsafe extern "win64" fn NdisReadConfiguration(
    status: *mut NDIS_STATUS,
    parameter: *mut *mut NDIS_CONFIGURATION_PARAMETER,
    handle: PVOID,
    keyword: *const UNICODE_STRING,
    wanted: u32,
) {
    status.write(NDIS_STATUS_FAILURE);
    parameter.write(core::ptr::null_mut());
    let Some(key) = key_of("NdisReadConfiguration", handle) else {
        return;
    };
    let name = String::from_utf16_lossy((*keyword).units());
    let value = match name.as_str() {
        "NdisVersion" | "Environment" | "ProcessorType" => predefined(&name),
        _ => cm::read(|h| {
            h.get(&key, &name)
                .and_then(|v| convert(v.kind, &v.data, wanted))
        }),
    };
    let Some(value) = value else {
        return;
    };
    let mut kept = kept(value, wanted);
    let pointer: *mut NDIS_CONFIGURATION_PARAMETER = &mut *kept.parameter;
    if let Some(o) = OPEN.lock().iter_mut().find(|o| o.handle == handle as usize) {
        o.kept.push(kept);
        parameter.write(pointer);
        status.write(NDIS_STATUS_SUCCESS);
    }
}

/// Keywords that NDIS answers without the registry.
fn predefined(name: &str) -> Option<Value> {
    const WINDOWS_NT: u32 = 1;
    const PROCESSOR_X64: u32 = 4;
    let (major, minor) = super::system::version();
    match name {
        "NdisVersion" => Some(Value::Integer(u32::from(major) << 16 | u32::from(minor))),
        "Environment" => Some(Value::Integer(WINDOWS_NT)),
        "ProcessorType" => Some(Value::Integer(PROCESSOR_X64)),
        _ => None,
    }
}

/// NdisWriteConfiguration. PASSIVE_LEVEL.
pub(super) unsafe extern "win64" fn NdisWriteConfiguration(
    status: *mut NDIS_STATUS,
    handle: PVOID,
    keyword: *const UNICODE_STRING,
    parameter: *const NDIS_CONFIGURATION_PARAMETER,
) {
    status.write(NDIS_STATUS_FAILURE);
    let Some(key) = key_of("NdisWriteConfiguration", handle) else {
        return;
    };
    let name = String::from_utf16_lossy((*keyword).units());
    let p = &*parameter;
    let text =
        || core::slice::from_raw_parts(p.Data.Buffer.cast::<u8>(), usize::from(p.Data.Length));
    let (kind, data) = match p.ParameterType {
        NdisParameterInteger | NdisParameterHexInteger => {
            let n = u32::from(p.Data.Length) | u32::from(p.Data.MaximumLength) << 16;
            (reg::DWORD, n.to_le_bytes().to_vec())
        }
        NdisParameterString => (reg::SZ, sz(&String::from_utf16_lossy(p.Data.units()))),
        NdisParameterMultiString => (reg::MULTI_SZ, text().to_vec()),
        NdisParameterBinary => (reg::BINARY, text().to_vec()),
        _ => {
            status.write(NDIS_STATUS_NOT_SUPPORTED);
            return;
        }
    };
    let done = cm::ensure_key(&key).and_then(|id| cm::set_value(id, &name, kind, &data));
    if done.is_ok() {
        status.write(NDIS_STATUS_SUCCESS);
    }
}

/// A network address as text: hexadecimal digits, in pairs that hyphens may part.
fn network_address(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| *c != '-')
        .map(|c| c.to_digit(16).map(|d| d as u8))
        .collect::<Option<_>>()?;
    (!digits.is_empty() && digits.len().is_multiple_of(2))
        .then(|| digits.chunks(2).map(|p| p[0] << 4 | p[1]).collect())
}

/// NdisReadNetworkAddress: any number of bytes, unchecked. PASSIVE_LEVEL. They live until the configuration is closed.
pub(super) unsafe extern "win64" fn NdisReadNetworkAddress(
    status: *mut NDIS_STATUS,
    address: *mut PVOID,
    length: *mut u32,
    handle: PVOID,
) {
    status.write(NDIS_STATUS_FAILURE);
    length.write(0);
    let Some(key) = key_of("NdisReadNetworkAddress", handle) else {
        return;
    };
    let text = cm::read(|h| h.string(&key, "NetworkAddress"));
    let Some(bytes) = text.as_deref().and_then(network_address) else {
        return;
    };
    let bytes = bytes.into_boxed_slice();
    if let Some(o) = OPEN.lock().iter_mut().find(|o| o.handle == handle as usize) {
        let kept = o.address.insert(bytes);
        address.write(kept.as_mut_ptr().cast());
        length.write(kept.len() as u32);
        status.write(NDIS_STATUS_SUCCESS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_become_numbers_when_numbers_are_asked_for() {
        let text = |t: &str| sz(t);
        let (dec, hex) = (NdisParameterInteger, NdisParameterHexInteger);
        for (t, wanted, result) in [
            ("3", dec, Some(Value::Integer(3))),
            ("1514", dec, Some(Value::Integer(1514))),
            ("10", hex, Some(Value::Integer(16))),
            ("4294967296", dec, None),
            ("", dec, None),
            ("-1", dec, None),
            ("0x10", hex, None),
            ("on", dec, None),
            ("on", NdisParameterString, Some(Value::Text("on".into()))),
        ] {
            assert_eq!(convert(reg::SZ, &text(t), wanted), result, "{t:?}");
        }
        assert_eq!(
            convert(reg::DWORD, &[6, 0, 0, 0], NdisParameterString),
            Some(Value::Integer(6))
        );
        assert_eq!(convert(reg::DWORD, &[6, 0], NdisParameterInteger), None);
        assert_eq!(convert(reg::QWORD, &[0; 8], NdisParameterInteger), None);
    }

    #[test]
    fn what_a_driver_gets_has_its_type_and_length() {
        let n = kept(Value::Integer(0x0001_0002), NdisParameterInteger);
        assert_eq!(n.parameter.ParameterType, NdisParameterInteger);
        assert_eq!(
            (n.parameter.Data.Length, n.parameter.Data.MaximumLength),
            (2, 1)
        );
        let t = kept(Value::Text("ab".into()), NdisParameterString);
        assert_eq!(t.parameter.ParameterType, NdisParameterString);
        assert_eq!(t.parameter.Data.Length, 4);
        // SAFETY: the text lies in the box.
        assert_eq!(unsafe { t.parameter.Data.units() }, [97, 98]);
    }

    #[test]
    fn a_network_address_is_hexadecimal_digits_and_hyphens() {
        for (text, wanted) in [
            ("00163e010203", Some(vec![0, 0x16, 0x3e, 1, 2, 3])),
            ("00-16-3E-01-02-03", Some(vec![0, 0x16, 0x3e, 1, 2, 3])),
            ("0016", Some(vec![0, 0x16])),
            ("001", None),
            ("", None),
            ("00:16", None),
        ] {
            assert_eq!(network_address(text), wanted, "{text}");
        }
    }

    use alloc::vec;
}
