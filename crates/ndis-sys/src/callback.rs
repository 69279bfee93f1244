//! The routines of a miniport that NDIS calls. Contexts are what the driver registered: the driver's with the driver, the
//! adapter's in the registration attributes.

use core::ffi::c_void;

use crate::miniport::{
    NDIS_MINIPORT_INIT_PARAMETERS, NDIS_MINIPORT_PAUSE_PARAMETERS,
    NDIS_MINIPORT_RESTART_PARAMETERS, NET_DEVICE_PNP_EVENT,
};
use crate::nbl::NET_BUFFER_LIST;
use crate::request::NDIS_OID_REQUEST;
use crate::{NDIS_HANDLE, NDIS_PORT_NUMBER, NDIS_STATUS};

/// `MINIPORT_INITIALIZE`. PASSIVE_LEVEL.
pub type MINIPORT_INITIALIZE_HANDLER = unsafe extern "C" fn(
    NdisMiniportHandle: NDIS_HANDLE,
    MiniportDriverContext: NDIS_HANDLE,
    MiniportInitParameters: *mut NDIS_MINIPORT_INIT_PARAMETERS,
) -> NDIS_STATUS;

/// `MINIPORT_HALT`; the action is a value of [`crate::constant::halt`]. PASSIVE_LEVEL.
pub type MINIPORT_HALT_HANDLER =
    unsafe extern "C" fn(MiniportAdapterContext: NDIS_HANDLE, HaltAction: u32);

/// `MINIPORT_UNLOAD`. PASSIVE_LEVEL.
pub type MINIPORT_DRIVER_UNLOAD = unsafe extern "C" fn(DriverObject: *mut c_void);

/// `MINIPORT_PAUSE`: SUCCESS or PENDING. PASSIVE_LEVEL.
pub type MINIPORT_PAUSE_HANDLER = unsafe extern "C" fn(
    MiniportAdapterContext: NDIS_HANDLE,
    PauseParameters: *mut NDIS_MINIPORT_PAUSE_PARAMETERS,
) -> NDIS_STATUS;

/// `MINIPORT_RESTART`. PASSIVE_LEVEL.
pub type MINIPORT_RESTART_HANDLER = unsafe extern "C" fn(
    MiniportAdapterContext: NDIS_HANDLE,
    RestartParameters: *mut NDIS_MINIPORT_RESTART_PARAMETERS,
) -> NDIS_STATUS;

/// `MINIPORT_OID_REQUEST`. PASSIVE_LEVEL, one at a time.
pub type MINIPORT_OID_REQUEST_HANDLER = unsafe extern "C" fn(
    MiniportAdapterContext: NDIS_HANDLE,
    OidRequest: *mut NDIS_OID_REQUEST,
) -> NDIS_STATUS;

/// `MINIPORT_SEND_NET_BUFFER_LISTS`; the flags are [`crate::constant::send_flags`]. IRQL <= DISPATCH_LEVEL.
pub type MINIPORT_SEND_NET_BUFFER_LISTS_HANDLER = unsafe extern "C" fn(
    MiniportAdapterContext: NDIS_HANDLE,
    NetBufferList: *mut NET_BUFFER_LIST,
    PortNumber: NDIS_PORT_NUMBER,
    SendFlags: u32,
);

/// `MINIPORT_RETURN_NET_BUFFER_LISTS`. IRQL <= DISPATCH_LEVEL.
pub type MINIPORT_RETURN_NET_BUFFER_LISTS_HANDLER = unsafe extern "C" fn(
    MiniportAdapterContext: NDIS_HANDLE,
    NetBufferLists: *mut NET_BUFFER_LIST,
    ReturnFlags: u32,
);

/// `MINIPORT_CANCEL_SEND`. IRQL <= DISPATCH_LEVEL.
pub type MINIPORT_CANCEL_SEND_HANDLER =
    unsafe extern "C" fn(MiniportAdapterContext: NDIS_HANDLE, CancelId: *mut c_void);

/// `MINIPORT_DEVICE_PNP_EVENT_NOTIFY`. PASSIVE_LEVEL.
pub type MINIPORT_DEVICE_PNP_EVENT_NOTIFY_HANDLER = unsafe extern "C" fn(
    MiniportAdapterContext: NDIS_HANDLE,
    NetDevicePnPEvent: *mut NET_DEVICE_PNP_EVENT,
);

/// `MINIPORT_SHUTDOWN`; the action is a value of [`crate::constant::shutdown`]. PASSIVE_LEVEL, or HIGH_LEVEL in a bug check.
pub type MINIPORT_SHUTDOWN_HANDLER =
    unsafe extern "C" fn(MiniportAdapterContext: NDIS_HANDLE, ShutdownAction: u32);

/// `MINIPORT_CANCEL_OID_REQUEST`. IRQL <= DISPATCH_LEVEL.
pub type MINIPORT_CANCEL_OID_REQUEST_HANDLER =
    unsafe extern "C" fn(MiniportAdapterContext: NDIS_HANDLE, RequestId: *mut c_void);
