//! The adapter's configuration in the registry, through NDIS.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, Ordering};

use ndis_sys::NDIS_HANDLE;
use ndis_sys::call::{
    NdisCloseConfiguration, NdisOpenConfigurationEx, NdisReadConfiguration, NdisReadNetworkAddress,
};
use ndis_sys::constant::parameter;
use ndis_sys::object::{NDIS_OBJECT_HEADER, kind};
use ndis_sys::request::{
    NDIS_CONFIGURATION_OBJECT, NDIS_STRING, SIZEOF_CONFIGURATION_OBJECT_REVISION_1,
};
use ndis_sys::status;
use wdk_sys::PCUNICODE_STRING;
use wdm::registry::{Access, Key};
use wdm::unicode;
use xennet_core::settings::Settings;

/// Longest keyword in UTF-16 units.
const KEYWORD: usize = 40;

/// `FrontendMaxQueues` of the service's parameters, or 0 where it is not set.
static MAX_QUEUES: AtomicU32 = AtomicU32::new(0);

/// Reads what the service's `Parameters` say of all adapters. PASSIVE_LEVEL.
///
/// # Safety
/// `path` is the path of the driver's service key.
pub unsafe fn read_service(path: PCUNICODE_STRING) {
    // SAFETY: the caller's promise.
    let path = unsafe { unicode::units(path) };
    let value = Key::open(path, Access::Read)
        .and_then(|service| service.open_child(wdm::wide!("Parameters"), Access::Read))
        .and_then(|parameters| parameters.dword(wdm::wide!("FrontendMaxQueues")));
    if let Ok(value) = value {
        wdm::info!("parameter FrontendMaxQueues = {value}");
        MAX_QUEUES.store(value, Ordering::Relaxed);
    }
}

/// `FrontendMaxQueues`, where it is set.
pub fn max_queues() -> Option<u32> {
    Some(MAX_QUEUES.load(Ordering::Relaxed)).filter(|queues| *queues != 0)
}

/// What the registry says of an adapter.
pub struct Configuration {
    /// Its keywords.
    pub settings: Settings,
    /// `NetworkAddress`, if it is a station's.
    pub address: Option<[u8; 6]>,
}

/// An open configuration; what is read from it lives as long.
struct Open(NDIS_HANDLE);

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: opened by read, closed once.
        unsafe { NdisCloseConfiguration(self.0) };
    }
}

/// Reads an adapter's configuration; what cannot be read has its default. PASSIVE_LEVEL.
///
/// # Safety
/// `handle` is the adapter's.
pub unsafe fn read(handle: NDIS_HANDLE) -> Configuration {
    let mut object = NDIS_CONFIGURATION_OBJECT {
        Header: NDIS_OBJECT_HEADER::new(
            kind::CONFIGURATION_OBJECT,
            1,
            SIZEOF_CONFIGURATION_OBJECT_REVISION_1,
        ),
        NdisHandle: handle,
        Flags: 0,
    };
    let mut configuration: NDIS_HANDLE = null_mut();
    // SAFETY: the caller's promise; both structures outlive the call.
    let status = unsafe { NdisOpenConfigurationEx(&raw mut object, &raw mut configuration) };
    if status != status::SUCCESS {
        wdm::warn!("the adapter's configuration cannot be read: {status:#x}; it has its defaults");
        return Configuration {
            settings: Settings::read(|_| None),
            address: None,
        };
    }
    let open = Open(configuration);
    Configuration {
        settings: Settings::read(|keyword| open.integer(keyword)),
        address: open.address(),
    }
}

impl Open {
    fn integer(&self, keyword: &str) -> Option<u32> {
        let mut units = [0; KEYWORD];
        let mut length = 0;
        for (unit, place) in keyword.encode_utf16().zip(&mut units) {
            *place = unit;
            length += 2;
        }
        let mut name = NDIS_STRING {
            Length: length,
            MaximumLength: length,
            Buffer: units.as_mut_ptr(),
        };
        let (mut status, mut value) = (status::FAILURE, null_mut());
        // SAFETY: an open configuration; name and receiving variables outlive the call.
        unsafe {
            NdisReadConfiguration(
                &raw mut status,
                &raw mut value,
                self.0,
                &raw mut name,
                parameter::INTEGER,
            );
        }
        if status != status::SUCCESS || value.is_null() {
            return None;
        }
        // SAFETY: NDIS' own structure, alive while the configuration is open.
        let found = unsafe { &*value };
        if !matches!(
            found.ParameterType,
            parameter::INTEGER | parameter::HEX_INTEGER
        ) {
            wdm::warn!("{keyword} is no integer; it has its default");
            return None;
        }
        // SAFETY: the type says that it is this member.
        Some(unsafe { found.ParameterData.IntegerData })
    }

    fn address(&self) -> Option<[u8; 6]> {
        let (mut status, mut length) = (status::FAILURE, 0);
        let mut bytes: *mut c_void = null_mut();
        // SAFETY: an open configuration; the receiving variables outlive the call.
        unsafe {
            NdisReadNetworkAddress(&raw mut status, &raw mut bytes, &raw mut length, self.0);
        }
        if status != status::SUCCESS || bytes.is_null() {
            return None;
        }
        if length != 6 {
            wdm::warn!("NetworkAddress has {length} bytes; it is left aside");
            return None;
        }
        // SAFETY: as many bytes as NDIS says, alive while the configuration is open.
        let address = unsafe { bytes.cast::<[u8; 6]>().read_unaligned() };
        let [first, ..] = address;
        if first & 1 != 0 || address == [0; 6] {
            wdm::warn!("NetworkAddress is no station's; it is left aside");
            return None;
        }
        Some(address)
    }
}
