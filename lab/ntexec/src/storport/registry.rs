//! The registry as a miniport sees it: its service's `Parameters` and the adapter's hardware key.
#![allow(clippy::missing_safety_doc)]

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_void};

use super::adapter::Adapter;
use super::init;
use crate::cm;
use crate::cm::hive::{parse_sz, reg, sz};
use crate::nt::storport::*;

/// A DWORD below the service's `Parameters` key.
pub(crate) fn parameter(adapter: &Adapter, name: &str) -> Option<u32> {
    let key = format!("{}\\Parameters", init::registry_path(adapter.driver));
    cm::read(|hive| hive.dword(&key, name))
}

/// A DWORD below `Parameters\Device<n>`, else below `Parameters\Device`.
pub(crate) fn device_parameter(adapter: &Adapter, name: &str) -> Option<u32> {
    device_keys(adapter)
        .iter()
        .find_map(|key| cm::read(|hive| hive.dword(key, name)))
}

/// `DriverParameter`: what HwFindAdapter gets as its argument string.
pub(crate) fn argument(adapter: &Adapter) -> String {
    device_keys(adapter)
        .iter()
        .find_map(|key| cm::read(|hive| hive.string(key, "DriverParameter")))
        .unwrap_or_default()
}

fn device_keys(adapter: &Adapter) -> [String; 2] {
    let base = init::registry_path(adapter.driver);
    [
        format!("{base}\\Parameters\\Device{}", adapter.number),
        format!("{base}\\Parameters\\Device"),
    ]
}

unsafe fn text(from: *const u8) -> String {
    if from.is_null() {
        return String::new();
    }
    String::from_utf8_lossy(CStr::from_ptr(from.cast()).to_bytes()).into_owned()
}

/// The form that the registry gives a value in: strings become bytes (StorPort's strings are ASCII).
fn outward(kind: u32, data: &[u8]) -> Vec<u8> {
    if matches!(kind, reg::SZ | reg::EXPAND_SZ) {
        parse_sz(data).into_bytes().into_iter().chain([0]).collect()
    } else {
        data.to_vec()
    }
}

unsafe fn inward(kind: u32, buffer: *const u8, length: u32) -> Vec<u8> {
    let bytes = core::slice::from_raw_parts(buffer, length as usize);
    if kind == reg::SZ {
        sz(String::from_utf8_lossy(bytes).trim_end_matches('\0'))
    } else {
        bytes.to_vec()
    }
}

/// StorPortRegistryRead: `length` is the buffer's size, and becomes the value's.
pub(crate) unsafe fn read(
    adapter: &Adapter,
    name: *const u8,
    global: bool,
    kind: u32,
    buffer: *mut u8,
    length: *mut u32,
) -> u8 {
    if buffer.is_null() || length.is_null() {
        return 0;
    }
    let name = text(name);
    let keys = device_keys(adapter);
    let found = keys
        .iter()
        .skip(usize::from(global))
        .find_map(|key| cm::read(|hive| hive.get(key, &name).cloned()));
    let Some(value) = found.filter(|value| value.kind == kind) else {
        *length = 0;
        return 0;
    };
    let data = outward(value.kind, &value.data);
    let room = *length as usize;
    *length = data.len() as u32;
    if data.len() > room {
        return 0;
    }
    buffer.copy_from_nonoverlapping(data.as_ptr(), data.len());
    1
}

/// StorPortRegistryWrite.
pub(crate) unsafe fn write(
    adapter: &Adapter,
    name: *const u8,
    global: bool,
    kind: u32,
    buffer: *const u8,
    length: u32,
) -> u8 {
    if buffer.is_null() {
        return 0;
    }
    let [own, all] = device_keys(adapter);
    let key = if global { all } else { own };
    let set = cm::ensure_key(&key)
        .and_then(|id| cm::set_value(id, &text(name), kind, &inward(kind, buffer, length)));
    u8::from(set.is_ok())
}

/// The hardware key's part that miniports may use: `Device Parameters\StorPort\<subkey>`.
unsafe fn adapter_key(adapter: &Adapter, subkey: &str) -> Option<String> {
    let base = crate::pnp::hardware_key(adapter.pdo)?;
    Some(if subkey.is_empty() {
        format!("{base}\\StorPort")
    } else {
        format!("{base}\\StorPort\\{subkey}")
    })
}

/// StorPortRegistryReadAdapterKey: the value's data go to `*data`, a buffer of the miniport's of `*length` bytes.
pub(crate) unsafe fn read_adapter_key(
    adapter: &Adapter,
    subkey: *const u8,
    name: *const u8,
    kind: u32,
    data: *mut *mut c_void,
    length: *mut u32,
) -> u32 {
    if data.is_null() || (*data).is_null() || length.is_null() {
        return STOR_STATUS_INVALID_PARAMETER;
    }
    let Some(key) = adapter_key(adapter, &text(subkey)) else {
        return STOR_STATUS_UNSUCCESSFUL;
    };
    let name = text(name);
    let Some(value) =
        cm::read(|hive| hive.get(&key, &name).cloned()).filter(|value| value.kind == kind)
    else {
        return STOR_STATUS_INVALID_PARAMETER;
    };
    let bytes = outward(value.kind, &value.data);
    let room = *length as usize;
    *length = bytes.len() as u32;
    if bytes.len() > room {
        return STOR_STATUS_BUFFER_TOO_SMALL;
    }
    (*data)
        .cast::<u8>()
        .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
    STOR_STATUS_SUCCESS
}

/// StorPortRegistryWriteAdapterKey.
pub(crate) unsafe fn write_adapter_key(
    adapter: &Adapter,
    subkey: *const u8,
    name: *const u8,
    kind: u32,
    data: *const u8,
    length: u32,
) -> u32 {
    if data.is_null() {
        return STOR_STATUS_INVALID_PARAMETER;
    }
    let Some(key) = adapter_key(adapter, &text(subkey)) else {
        return STOR_STATUS_UNSUCCESSFUL;
    };
    let set = cm::ensure_key(&key)
        .and_then(|id| cm::set_value(id, &text(name), kind, &inward(kind, data, length)));
    if set.is_ok() {
        STOR_STATUS_SUCCESS
    } else {
        STOR_STATUS_UNSUCCESSFUL
    }
}
