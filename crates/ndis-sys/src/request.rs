//! Requests, indications, statistics and configuration.

use core::ffi::c_void;

use crate::layout::{assert_layout, revision_size};
use crate::object::NDIS_OBJECT_HEADER;
use crate::{NDIS_HANDLE, NDIS_PORT_NUMBER, NDIS_STATUS};

/// `QUERY_INFORMATION` of an OID request.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct QUERY_INFORMATION {
    pub Oid: u32,
    pub InformationBuffer: *mut c_void,
    pub InformationBufferLength: u32,
    pub BytesWritten: u32,
    pub BytesNeeded: u32,
}

/// `SET_INFORMATION` of an OID request.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SET_INFORMATION {
    pub Oid: u32,
    pub InformationBuffer: *mut c_void,
    pub InformationBufferLength: u32,
    pub BytesRead: u32,
    pub BytesNeeded: u32,
}

/// `METHOD_INFORMATION` of an OID request.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct METHOD_INFORMATION {
    pub Oid: u32,
    pub InformationBuffer: *mut c_void,
    pub InputBufferLength: u32,
    pub OutputBufferLength: u32,
    pub MethodId: u32,
    pub BytesWritten: u32,
    pub BytesRead: u32,
    pub BytesNeeded: u32,
}

/// What an OID request asks, by its type.
#[repr(C)]
#[derive(Clone, Copy)]
pub union REQUEST_DATA {
    pub QUERY_INFORMATION: QUERY_INFORMATION,
    pub SET_INFORMATION: SET_INFORMATION,
    pub METHOD_INFORMATION: METHOD_INFORMATION,
}

assert_layout!(REQUEST_DATA, size 40, align 8, {
    QUERY_INFORMATION @ 0,
    SET_INFORMATION @ 0,
    METHOD_INFORMATION @ 0,
});

/// `NDIS_OID_REQUEST`.
#[repr(C)]
pub struct NDIS_OID_REQUEST {
    pub Header: NDIS_OBJECT_HEADER,
    /// One of [`crate::constant::request_type`].
    pub RequestType: u32,
    pub PortNumber: NDIS_PORT_NUMBER,
    pub Timeout: u32,
    pub RequestId: *mut c_void,
    pub RequestHandle: NDIS_HANDLE,
    pub DATA: REQUEST_DATA,
    pub NdisReserved: [u8; 128],
    pub MiniportReserved: [u8; 16],
    pub SourceReserved: [u8; 16],
    pub SupportedRevision: u8,
    pub Reserved1: u8,
    pub Reserved2: u16,
    pub SwitchId: u32,
    pub VPortId: u32,
    pub Flags: u32,
}

assert_layout!(NDIS_OID_REQUEST, size 248, align 8, {
    Header @ 0,
    RequestType @ 4,
    PortNumber @ 8,
    Timeout @ 12,
    RequestId @ 16,
    RequestHandle @ 24,
    DATA @ 32,
    NdisReserved @ 72,
    MiniportReserved @ 200,
    SourceReserved @ 216,
    SupportedRevision @ 232,
    Reserved1 @ 233,
    Reserved2 @ 234,
    SwitchId @ 236,
    VPortId @ 240,
    Flags @ 244,
});

/// `NDIS_STATUS_INDICATION`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_STATUS_INDICATION {
    pub Header: NDIS_OBJECT_HEADER,
    pub SourceHandle: NDIS_HANDLE,
    pub PortNumber: u32,
    pub StatusCode: NDIS_STATUS,
    pub Flags: u32,
    pub DestinationHandle: NDIS_HANDLE,
    pub RequestId: *mut c_void,
    pub StatusBuffer: *mut c_void,
    pub StatusBufferSize: u32,
    pub Guid: [u32; 4],
    pub NdisReserved: [*mut c_void; 4],
}

assert_layout!(NDIS_STATUS_INDICATION, size 112, align 8, {
    Header @ 0,
    SourceHandle @ 8,
    PortNumber @ 16,
    StatusCode @ 20,
    Flags @ 24,
    DestinationHandle @ 32,
    RequestId @ 40,
    StatusBuffer @ 48,
    StatusBufferSize @ 56,
    Guid @ 60,
    NdisReserved @ 80,
});

/// `NDIS_LINK_STATE`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_LINK_STATE {
    pub Header: NDIS_OBJECT_HEADER,
    pub MediaConnectState: u32,
    pub MediaDuplexState: u32,
    pub XmitLinkSpeed: u64,
    pub RcvLinkSpeed: u64,
    pub PauseFunctions: u32,
    pub AutoNegotiationFlags: u32,
}

assert_layout!(NDIS_LINK_STATE, size 40, align 8, {
    Header @ 0,
    MediaConnectState @ 4,
    MediaDuplexState @ 8,
    XmitLinkSpeed @ 16,
    RcvLinkSpeed @ 24,
    PauseFunctions @ 32,
    AutoNegotiationFlags @ 36,
});

/// `NDIS_STATISTICS_INFO`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_STATISTICS_INFO {
    pub Header: NDIS_OBJECT_HEADER,
    pub SupportedStatistics: u32,
    pub ifInDiscards: u64,
    pub ifInErrors: u64,
    pub ifHCInOctets: u64,
    pub ifHCInUcastPkts: u64,
    pub ifHCInMulticastPkts: u64,
    pub ifHCInBroadcastPkts: u64,
    pub ifHCOutOctets: u64,
    pub ifHCOutUcastPkts: u64,
    pub ifHCOutMulticastPkts: u64,
    pub ifHCOutBroadcastPkts: u64,
    pub ifOutErrors: u64,
    pub ifOutDiscards: u64,
    pub ifHCInUcastOctets: u64,
    pub ifHCInMulticastOctets: u64,
    pub ifHCInBroadcastOctets: u64,
    pub ifHCOutUcastOctets: u64,
    pub ifHCOutMulticastOctets: u64,
    pub ifHCOutBroadcastOctets: u64,
}

assert_layout!(NDIS_STATISTICS_INFO, size 152, align 8, {
    Header @ 0,
    SupportedStatistics @ 4,
    ifInDiscards @ 8,
    ifInErrors @ 16,
    ifHCInOctets @ 24,
    ifHCInUcastPkts @ 32,
    ifHCInMulticastPkts @ 40,
    ifHCInBroadcastPkts @ 48,
    ifHCOutOctets @ 56,
    ifHCOutUcastPkts @ 64,
    ifHCOutMulticastPkts @ 72,
    ifHCOutBroadcastPkts @ 80,
    ifOutErrors @ 88,
    ifOutDiscards @ 96,
    ifHCInUcastOctets @ 104,
    ifHCInMulticastOctets @ 112,
    ifHCInBroadcastOctets @ 120,
    ifHCOutUcastOctets @ 128,
    ifHCOutMulticastOctets @ 136,
    ifHCOutBroadcastOctets @ 144,
});

/// `NDIS_INTERRUPT_MODERATION_PARAMETERS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_INTERRUPT_MODERATION_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub InterruptModeration: u32,
}

assert_layout!(NDIS_INTERRUPT_MODERATION_PARAMETERS, size 12, align 4, {
    Header @ 0,
    Flags @ 4,
    InterruptModeration @ 8,
});

/// `NDIS_CONFIGURATION_OBJECT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_CONFIGURATION_OBJECT {
    pub Header: NDIS_OBJECT_HEADER,
    pub NdisHandle: NDIS_HANDLE,
    pub Flags: u32,
}

assert_layout!(NDIS_CONFIGURATION_OBJECT, size 24, align 8, {
    Header @ 0,
    NdisHandle @ 8,
    Flags @ 16,
});

/// `UNICODE_STRING`, as NDIS_STRING is.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_STRING {
    pub Length: u16,
    pub MaximumLength: u16,
    pub Buffer: *mut u16,
}

assert_layout!(NDIS_STRING, size 16, align 8, { Length @ 0, MaximumLength @ 2, Buffer @ 8 });

/// `BINARY_DATA`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct BINARY_DATA {
    pub Length: u16,
    pub Buffer: *mut c_void,
}

assert_layout!(BINARY_DATA, size 16, align 8, { Length @ 0, Buffer @ 8 });

/// What NdisReadConfiguration found, by its type.
#[repr(C)]
#[derive(Clone, Copy)]
pub union PARAMETER_DATA {
    pub IntegerData: u32,
    pub StringData: NDIS_STRING,
    pub BinaryData: BINARY_DATA,
}

/// `NDIS_CONFIGURATION_PARAMETER`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NDIS_CONFIGURATION_PARAMETER {
    /// One of [`crate::constant::parameter`].
    pub ParameterType: u32,
    pub ParameterData: PARAMETER_DATA,
}

assert_layout!(NDIS_CONFIGURATION_PARAMETER, size 24, align 8, { ParameterType @ 0, ParameterData @ 8 });

revision_size!(
    /// `NDIS_SIZEOF_OID_REQUEST_REVISION_1`.
    SIZEOF_OID_REQUEST_REVISION_1 = 0xEC,
    NDIS_OID_REQUEST up to Reserved2: u16
);
revision_size!(
    /// `NDIS_SIZEOF_STATUS_INDICATION_REVISION_1`.
    SIZEOF_STATUS_INDICATION_REVISION_1 = 0x70,
    NDIS_STATUS_INDICATION up to NdisReserved: [*mut c_void; 4]
);
revision_size!(
    /// `NDIS_SIZEOF_LINK_STATE_REVISION_1`.
    SIZEOF_LINK_STATE_REVISION_1 = 0x28,
    NDIS_LINK_STATE up to AutoNegotiationFlags: u32
);
revision_size!(
    /// `NDIS_SIZEOF_STATISTICS_INFO_REVISION_1`.
    SIZEOF_STATISTICS_INFO_REVISION_1 = 0x98,
    NDIS_STATISTICS_INFO up to ifHCOutBroadcastOctets: u64
);
revision_size!(
    /// `NDIS_SIZEOF_INTERRUPT_MODERATION_PARAMETERS_REVISION_1`.
    SIZEOF_INTERRUPT_MODERATION_PARAMETERS_REVISION_1 = 0xC,
    NDIS_INTERRUPT_MODERATION_PARAMETERS up to InterruptModeration: u32
);
revision_size!(
    /// `NDIS_SIZEOF_CONFIGURATION_OBJECT_REVISION_1`.
    SIZEOF_CONFIGURATION_OBJECT_REVISION_1 = 0x14,
    NDIS_CONFIGURATION_OBJECT up to Flags: u32
);
