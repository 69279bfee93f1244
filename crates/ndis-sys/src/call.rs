//! Calls into ndis.sys: the exports that this project's miniport uses, each with the IRQL at which it may be called.

use core::ffi::c_void;

use crate::miniport::NDIS_MINIPORT_DRIVER_CHARACTERISTICS;
use crate::nbl::{MDL, NET_BUFFER_LIST, NET_BUFFER_LIST_POOL_PARAMETERS};
use crate::request::{
    NDIS_CONFIGURATION_OBJECT, NDIS_CONFIGURATION_PARAMETER, NDIS_STATUS_INDICATION, NDIS_STRING,
};
use crate::{NDIS_HANDLE, NDIS_PORT_NUMBER, NDIS_STATUS};

unsafe extern "C" {
    /// The running NDIS' version: major number times 65536 and minor number. IRQL <= DISPATCH_LEVEL.
    pub safe fn NdisGetVersion() -> u32;

    /// Registers a miniport. PASSIVE_LEVEL, in DriverEntry.
    pub fn NdisMRegisterMiniportDriver(
        DriverObject: *mut c_void,
        RegistryPath: *mut c_void,
        MiniportDriverContext: NDIS_HANDLE,
        MiniportDriverCharacteristics: *mut NDIS_MINIPORT_DRIVER_CHARACTERISTICS,
        NdisMiniportDriverHandle: *mut NDIS_HANDLE,
    ) -> NDIS_STATUS;

    /// Takes a registration back. PASSIVE_LEVEL, in the unload routine or in a DriverEntry that fails.
    pub fn NdisMDeregisterMiniportDriver(NdisMiniportDriverHandle: NDIS_HANDLE);

    /// Tells NDIS what an adapter is (registration, general, offload attributes, in this order). PASSIVE_LEVEL, in the
    /// initialize routine.
    pub fn NdisMSetMiniportAttributes(
        NdisMiniportHandle: NDIS_HANDLE,
        MiniportAttributes: *mut c_void,
    ) -> NDIS_STATUS;

    /// The adapter's device objects and resources; each pointer may be null. PASSIVE_LEVEL.
    pub fn NdisMGetDeviceProperty(
        MiniportAdapterHandle: NDIS_HANDLE,
        PhysicalDeviceObject: *mut *mut c_void,
        FunctionalDeviceObject: *mut *mut c_void,
        NextDeviceObject: *mut *mut c_void,
        AllocatedResources: *mut *mut c_void,
        AllocatedResourcesTranslated: *mut *mut c_void,
    );

    /// Opens the adapter's configuration. PASSIVE_LEVEL.
    pub fn NdisOpenConfigurationEx(
        ConfigObject: *mut NDIS_CONFIGURATION_OBJECT,
        ConfigurationHandle: *mut NDIS_HANDLE,
    ) -> NDIS_STATUS;

    /// Reads a value, which lives until the configuration is closed. PASSIVE_LEVEL.
    pub fn NdisReadConfiguration(
        Status: *mut NDIS_STATUS,
        ParameterValue: *mut *mut NDIS_CONFIGURATION_PARAMETER,
        ConfigurationHandle: NDIS_HANDLE,
        Keyword: *mut NDIS_STRING,
        ParameterType: u32,
    );

    /// Reads the value NetworkAddress, whose bytes live until the configuration is closed. PASSIVE_LEVEL.
    pub fn NdisReadNetworkAddress(
        Status: *mut NDIS_STATUS,
        NetworkAddress: *mut *mut c_void,
        NetworkAddressLength: *mut u32,
        ConfigurationHandle: NDIS_HANDLE,
    );

    /// Closes a configuration and frees all that was read from it. PASSIVE_LEVEL.
    pub fn NdisCloseConfiguration(ConfigurationHandle: NDIS_HANDLE);

    /// Makes a pool of net buffer lists; null: out of memory. IRQL <= DISPATCH_LEVEL.
    pub fn NdisAllocateNetBufferListPool(
        NdisHandle: NDIS_HANDLE,
        Parameters: *const NET_BUFFER_LIST_POOL_PARAMETERS,
    ) -> NDIS_HANDLE;

    /// Frees a pool that has none of its lists out. IRQL <= DISPATCH_LEVEL.
    pub fn NdisFreeNetBufferListPool(PoolHandle: NDIS_HANDLE);

    /// A list with one net buffer; null: out of memory. IRQL <= DISPATCH_LEVEL.
    pub fn NdisAllocateNetBufferAndNetBufferList(
        PoolHandle: NDIS_HANDLE,
        ContextSize: u16,
        ContextBackFill: u16,
        MdlChain: *mut MDL,
        DataOffset: u32,
        DataLength: usize,
    ) -> *mut NET_BUFFER_LIST;

    /// Frees a list and its net buffer. IRQL <= DISPATCH_LEVEL.
    pub fn NdisFreeNetBufferList(NetBufferList: *mut NET_BUFFER_LIST);

    /// Hands received frames up. IRQL <= DISPATCH_LEVEL.
    pub fn NdisMIndicateReceiveNetBufferLists(
        MiniportAdapterHandle: NDIS_HANDLE,
        NetBufferLists: *mut NET_BUFFER_LIST,
        PortNumber: NDIS_PORT_NUMBER,
        NumberOfNetBufferLists: u32,
        ReceiveFlags: u32,
    );

    /// Hands sent frames back, each list with its status. IRQL <= DISPATCH_LEVEL.
    pub fn NdisMSendNetBufferListsComplete(
        MiniportAdapterHandle: NDIS_HANDLE,
        NetBufferLists: *mut NET_BUFFER_LIST,
        SendCompleteFlags: u32,
    );

    /// Indicates a status. IRQL <= DISPATCH_LEVEL.
    pub fn NdisMIndicateStatusEx(
        MiniportAdapterHandle: NDIS_HANDLE,
        StatusIndication: *mut NDIS_STATUS_INDICATION,
    );

    /// Ends a pause that was answered PENDING. IRQL <= DISPATCH_LEVEL.
    pub fn NdisMPauseComplete(MiniportAdapterHandle: NDIS_HANDLE);
}
