//! Queries for other drivers' interfaces.

use core::mem::MaybeUninit;

use wdk_sys::ntddk::IoGetDeviceProperty;
use wdk_sys::{BUS_INTERFACE_STANDARD, DEVICE_OBJECT, DEVICE_REGISTRY_PROPERTY};
use xenbus_interface::{Guid, Interface, InterfaceVersion};

use crate::irp::{MN_QUERY_INTERFACE, send_pnp};
use crate::status::{Result, Status};

/// `GUID_BUS_INTERFACE_STANDARD`.
pub const BUS_INTERFACE: Guid = Guid::from_u128(0x496B8280_6F25_11D0_BEAF_08002BE2092F);
/// The version of [`BUS_INTERFACE_STANDARD`] that all buses answer.
pub const BUS_INTERFACE_VERSION: u16 = 1;
/// A device's address on its bus (`DevicePropertyAddress`). PASSIVE_LEVEL.
///
/// # Errors
/// `OBJECT_NAME_NOT_FOUND` if the bus gave it none.
///
/// # Safety
/// `device` is a physical device object that is kept alive by the caller.
pub unsafe fn bus_address(device: *mut DEVICE_OBJECT) -> Result<u32> {
    let (mut address, mut needed) = (0_u32, 0_u32);
    // SAFETY: the caller's promise; the receiving variables outlive the call.
    Status::check(unsafe {
        IoGetDeviceProperty(
            device,
            DEVICE_REGISTRY_PROPERTY::DevicePropertyAddress,
            size_of::<u32>() as u32,
            (&raw mut address).cast(),
            &raw mut needed,
        )
    })?;
    Ok(address)
}

/// `PCI_WHICHSPACE_CONFIG`.
const PCI_CONFIG: u32 = 0;

/// Asks the stack whose top is `device` for an interface. PASSIVE_LEVEL.
///
/// # Errors
/// `NOT_SUPPORTED` if nobody has it, `INVALID_PARAMETER` if what came back has holes.
///
/// # Safety
/// `device` is the top of a device stack, kept alive by the caller. The provider's table is what its GUID
/// and version promise.
pub unsafe fn query_interface<T: InterfaceVersion>(device: *mut DEVICE_OBJECT) -> Result<T> {
    let mut table = MaybeUninit::<T>::zeroed();
    let pointer = table.as_mut_ptr().cast::<u8>();
    let (guid, version) = (T::GUID, T::VERSION);
    // SAFETY: the caller's promise about the device; the buffer has the size given.
    unsafe { query_raw(device, &guid, version, size_of::<T>() as u16, pointer) }?;
    let words = size_of::<T>() / 8;
    // SAFETY: zeroed and then written by the provider: every byte is initialised; 8-aligned by contract.
    let words = unsafe { core::slice::from_raw_parts(pointer.cast::<usize>(), words) };
    let methods = words.get(size_of::<Interface>() / 8..).unwrap_or_default();
    if methods.contains(&0) {
        crate::error!("{} version {version} came without all its methods", T::NAME);
        return Err(Status::INVALID_PARAMETER);
    }
    // SAFETY: a header of plain data and no null method; the provider vouches for the rest.
    Ok(unsafe { table.assume_init() })
}

/// # Safety
/// As for [`query_interface`]; `table` has `size` bytes.
unsafe fn query_raw(
    device: *mut DEVICE_OBJECT,
    guid: &Guid,
    version: u16,
    size: u16,
    table: *mut u8,
) -> Result {
    let size_and_version = usize::from(size) | usize::from(version) << 16;
    // Other drivers make pointers of these words again.
    let guid = core::ptr::from_ref(guid).expose_provenance();
    let parameters = [guid, size_and_version, table.expose_provenance(), 0];
    // SAFETY: the caller's promise; guid and table outlive the request, which is waited for.
    unsafe { send_pnp(device, MN_QUERY_INTERFACE, parameters) }?;
    Ok(())
}

/// Reads PCI configuration space through the bus driver below. PASSIVE_LEVEL.
///
/// # Errors
/// `NOT_SUPPORTED` if the device is on no such bus, `INFO_LENGTH_MISMATCH` if not all of it could be read.
///
/// # Safety
/// `device` is the top of a device stack, kept alive by the caller.
pub unsafe fn read_pci_config(device: *mut DEVICE_OBJECT, offset: u32, data: &mut [u8]) -> Result {
    let mut bus = BUS_INTERFACE_STANDARD::default();
    let size = size_of::<BUS_INTERFACE_STANDARD>() as u16;
    let table = (&raw mut bus).cast::<u8>();
    // SAFETY: the caller's promise; the buffer has that size.
    unsafe { query_raw(device, &BUS_INTERFACE, BUS_INTERFACE_VERSION, size, table) }?;
    let length = u32::try_from(data.len()).map_err(|_| Status::INVALID_PARAMETER)?;
    let mut read = 0;
    if let Some(get) = bus.GetBusData {
        // SAFETY: the provider's method with its context and a buffer of that length.
        read = unsafe {
            get(
                bus.Context,
                PCI_CONFIG,
                data.as_mut_ptr().cast(),
                offset,
                length,
            )
        };
    }
    if let Some(dereference) = bus.InterfaceDereference {
        // SAFETY: the reference that the query took.
        unsafe { dereference(bus.Context) };
    }
    if read == length {
        Ok(())
    } else {
        Err(Status::INFO_LENGTH_MISMATCH)
    }
}
