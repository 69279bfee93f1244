//! What drivers ask PnP about a device: properties, registry keys, interfaces.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::null_mut;

use super::node;
use crate::cm::hive::{multi_sz, sz};
use crate::cm::{CLASS, ENUM};
use crate::nt::base::{GUID, HANDLE, NTSTATUS, UNICODE_STRING};
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::status::*;

unsafe fn property(pdo: *mut DEVICE_OBJECT, which: u32) -> Result<Vec<u8>, NTSTATUS> {
    let n = node::of(pdo).ok_or(STATUS_INVALID_DEVICE_REQUEST)?;
    let key = format!("{ENUM}\\{}", n.instance);
    let value = |name: &str| {
        crate::cm::read(|h| h.get(&key, name).map(|v| v.data.clone()))
            .ok_or(STATUS_OBJECT_NAME_NOT_FOUND)
    };
    match which {
        DevicePropertyDeviceDescription => value("DeviceDesc"),
        DevicePropertyHardwareID => Ok(multi_sz(&n.hardware)),
        DevicePropertyCompatibleIDs => Ok(multi_sz(&n.compatible)),
        DevicePropertyClassName => value("Class"),
        DevicePropertyClassGuid => value("ClassGUID"),
        DevicePropertyDriverKeyName => value("Driver"),
        DevicePropertyManufacturer => value("Mfg"),
        DevicePropertyFriendlyName => value("FriendlyName"),
        DevicePropertyLocationInformation => Ok(sz(&n.text[1])),
        DevicePropertyPhysicalDeviceObjectName => Ok(sz(&crate::io::names::name_of(pdo.cast()))),
        DevicePropertyBusTypeGuid => {
            let g = n.bus.BusTypeGuid;
            Ok([
                &g.Data1.to_le_bytes()[..],
                &g.Data2.to_le_bytes(),
                &g.Data3.to_le_bytes(),
                &g.Data4,
            ]
            .concat())
        }
        DevicePropertyLegacyBusType => Ok(n.bus.LegacyBusType.to_le_bytes().to_vec()),
        DevicePropertyBusNumber => Ok(n.bus.BusNumber.to_le_bytes().to_vec()),
        DevicePropertyEnumeratorName => Ok(sz(n.instance.split('\\').next().unwrap_or_default())),
        DevicePropertyAddress if n.caps.Address != u32::MAX => {
            Ok(n.caps.Address.to_le_bytes().to_vec())
        }
        DevicePropertyUINumber if n.caps.UINumber != u32::MAX => {
            Ok(n.caps.UINumber.to_le_bytes().to_vec())
        }
        DevicePropertyInstallState => Ok(0u32.to_le_bytes().to_vec()),
        DevicePropertyContainerID => value("ContainerID"),
        DevicePropertyAddress | DevicePropertyUINumber => Err(STATUS_OBJECT_NAME_NOT_FOUND),
        _ => Err(STATUS_INVALID_PARAMETER_2),
    }
}

/// IoGetDeviceProperty: PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoGetDeviceProperty(
    pdo: *mut DEVICE_OBJECT,
    which: u32,
    size: u32,
    to: *mut c_void,
    needed: *mut u32,
) -> NTSTATUS {
    match property(pdo, which) {
        Ok(bytes) => {
            *needed = bytes.len() as u32;
            if (size as usize) < bytes.len() {
                return STATUS_BUFFER_TOO_SMALL;
            }
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), to.cast(), bytes.len());
            STATUS_SUCCESS
        }
        Err(status) => {
            *needed = 0;
            status
        }
    }
}

unsafe fn open(path: &str, handle: *mut HANDLE) -> NTSTATUS {
    match crate::cm::ensure_key(path).and_then(crate::cm::zw::open_handle) {
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

/// IoOpenDeviceRegistryKey: PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoOpenDeviceRegistryKey(
    pdo: *mut DEVICE_OBJECT,
    kind: u32,
    _access: u32,
    handle: *mut HANDLE,
) -> NTSTATUS {
    *handle = null_mut();
    let Some(n) = node::of(pdo) else {
        return STATUS_INVALID_DEVICE_REQUEST;
    };
    let key = format!("{ENUM}\\{}", n.instance);
    match kind & 3 {
        // PLUGPLAY_REGKEY_DEVICE
        1 => open(&format!("{key}\\Device Parameters"), handle),
        // PLUGPLAY_REGKEY_DRIVER
        2 => match crate::cm::read(|h| h.string(&key, "Driver")) {
            Some(driver) => open(&format!("{CLASS}\\{driver}"), handle),
            None => STATUS_OBJECT_NAME_NOT_FOUND,
        },
        _ => STATUS_INVALID_PARAMETER,
    }
}

/// IoOpenDriverRegistryKey: PASSIVE_LEVEL. DriverRegKeyParameters (0) is the service's Parameters key; the others
/// (persistent, shared persistent state) are keys below it here.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoOpenDriverRegistryKey(
    driver: *mut DRIVER_OBJECT,
    kind: u32,
    _access: u32,
    flags: u32,
    handle: *mut HANDLE,
) -> NTSTATUS {
    *handle = null_mut();
    if flags != 0 {
        return STATUS_INVALID_PARAMETER_4;
    }
    let service = crate::cm::service_key(&crate::ldr::service_of(driver));
    match kind {
        0 => open(&format!("{service}\\Parameters"), handle),
        1 => open(&format!("{service}\\State"), handle),
        _ => STATUS_INVALID_PARAMETER_2,
    }
}

const STATUS_INVALID_PARAMETER_4: NTSTATUS = 0xc000_00f2_u32 as NTSTATUS;

/// IoRegisterDeviceInterface: PASSIVE_LEVEL. The link's name is made as Windows makes it.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoRegisterDeviceInterface(
    pdo: *mut DEVICE_OBJECT,
    class: *const GUID,
    reference: *const UNICODE_STRING,
    link: *mut UNICODE_STRING,
) -> NTSTATUS {
    let Some(n) = node::of(pdo) else {
        return STATUS_INVALID_DEVICE_REQUEST;
    };
    let class = crate::rtl::strings::guid_text(&*class);
    let mut name = format!("\\??\\{}#{class}", n.instance.replace('\\', "#"));
    if !reference.is_null() && (*reference).Length != 0 {
        name.push('\\');
        name.push_str(&String::from_utf16_lossy((*reference).units()));
    }
    let bytes = sz(&name);
    let buffer = crate::ex::ExAllocatePoolWithTag(1, bytes.len(), u32::from_le_bytes(*b"PnpI"));
    if buffer.is_null() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    core::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast(), bytes.len());
    *link = UNICODE_STRING {
        Length: bytes.len() as u16 - 2,
        MaximumLength: bytes.len() as u16,
        Buffer: buffer.cast(),
    };
    crate::io::names::register_interface(&name, pdo)
}

/// IoSetDeviceInterfaceState: PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoSetDeviceInterfaceState(
    link: *const UNICODE_STRING,
    enable: u8,
) -> NTSTATUS {
    crate::io::names::enable_interface(&String::from_utf16_lossy((*link).units()), enable != 0)
}

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl {
        IoGetDeviceProperty, IoOpenDeviceRegistryKey, IoOpenDriverRegistryKey, IoRegisterDeviceInterface,
        IoSetDeviceInterfaceState,
    }
}
