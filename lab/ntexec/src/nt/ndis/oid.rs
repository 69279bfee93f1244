//! OID requests and what they carry: `oidrequest.h`, `ntddndis.h`.

use super::NDIS_OBJECT_HEADER;
use crate::nt::ke::{PROCESSOR_NUMBER, PVOID};

/// What an OID request asks: `QUERY_INFORMATION` and `SET_INFORMATION` differ in the name of `BytesWritten` only.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_OID_REQUEST_DATA {
    pub Oid: u32,
    pub InformationBuffer: PVOID,
    /// The buffer's size; of a method request its input's.
    pub InformationBufferLength: u32,
    /// BytesWritten of a query, BytesRead of a set; a method request's OutputBufferLength.
    pub BytesDone: u32,
    /// A method request's MethodId.
    pub BytesNeeded: u32,
    pub MethodBytes: [u32; 3],
}
assert_layout!(NDIS_OID_REQUEST_DATA, 40, 8, Oid @ 0, InformationBuffer @ 8, InformationBufferLength @ 16,
    BytesDone @ 20, BytesNeeded @ 24);

/// An OID request.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_OID_REQUEST {
    pub Header: NDIS_OBJECT_HEADER,
    pub RequestType: u32,
    pub PortNumber: u32,
    pub Timeout: u32,
    pub RequestId: PVOID,
    pub RequestHandle: PVOID,
    pub DATA: NDIS_OID_REQUEST_DATA,
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
assert_layout!(NDIS_OID_REQUEST, 248, 8, Header @ 0, RequestType @ 4, PortNumber @ 8, Timeout @ 12, RequestId @ 16,
    RequestHandle @ 24, DATA @ 32, NdisReserved @ 72, MiniportReserved @ 200, SourceReserved @ 216,
    SupportedRevision @ 232, Reserved1 @ 233, Reserved2 @ 234, SwitchId @ 236, VPortId @ 240, Flags @ 244);

/// OID_GEN_STATISTICS.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
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
assert_layout!(NDIS_STATISTICS_INFO, 152, 8, Header @ 0, SupportedStatistics @ 4, ifInDiscards @ 8, ifInErrors @ 16,
    ifHCInOctets @ 24, ifHCInUcastPkts @ 32, ifHCInMulticastPkts @ 40, ifHCInBroadcastPkts @ 48, ifHCOutOctets @ 56,
    ifHCOutUcastPkts @ 64, ifHCOutMulticastPkts @ 72, ifHCOutBroadcastPkts @ 80, ifOutErrors @ 88, ifOutDiscards @
    96, ifHCInUcastOctets @ 104, ifHCInMulticastOctets @ 112, ifHCInBroadcastOctets @ 120, ifHCOutUcastOctets @ 128,
    ifHCOutMulticastOctets @ 136, ifHCOutBroadcastOctets @ 144);

/// OID_GEN_INTERRUPT_MODERATION.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_INTERRUPT_MODERATION_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub InterruptModeration: u32,
}
assert_layout!(NDIS_INTERRUPT_MODERATION_PARAMETERS, 12, 4, Header @ 0, Flags @ 4, InterruptModeration @ 8);

/// OID_GEN_RECEIVE_SCALE_PARAMETERS; key and table lie behind it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_RECEIVE_SCALE_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u16,
    pub BaseCpuNumber: u16,
    pub HashInformation: u32,
    pub IndirectionTableSize: u16,
    pub IndirectionTableOffset: u32,
    pub HashSecretKeySize: u16,
    pub HashSecretKeyOffset: u32,
    pub ProcessorMasksOffset: u32,
    pub NumberOfProcessorMasks: u32,
    pub ProcessorMasksEntrySize: u32,
    pub DefaultProcessorNumber: PROCESSOR_NUMBER,
}
assert_layout!(NDIS_RECEIVE_SCALE_PARAMETERS, 44, 4, Header @ 0, Flags @ 4, BaseCpuNumber @ 6, HashInformation @ 8,
    IndirectionTableSize @ 12, IndirectionTableOffset @ 16, HashSecretKeySize @ 20, HashSecretKeyOffset @ 24,
    ProcessorMasksOffset @ 28, NumberOfProcessorMasks @ 32, ProcessorMasksEntrySize @ 36, DefaultProcessorNumber @
    40);

/// What NdisGetRssProcessorInformation gives.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_RSS_PROCESSOR_INFO {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u32,
    pub RssBaseProcessor: PROCESSOR_NUMBER,
    pub MaxNumRssProcessors: u32,
    pub PreferredNumaNode: u16,
    pub RssProcessorArrayOffset: u32,
    pub RssProcessorCount: u32,
    pub RssProcessorEntrySize: u32,
    pub RssMaxProcessor: PROCESSOR_NUMBER,
    pub RssProfile: u32,
}
assert_layout!(NDIS_RSS_PROCESSOR_INFO, 40, 4, Header @ 0, Flags @ 4, RssBaseProcessor @ 8, MaxNumRssProcessors @
    12, PreferredNumaNode @ 16, RssProcessorArrayOffset @ 20, RssProcessorCount @ 24, RssProcessorEntrySize @ 28,
    RssMaxProcessor @ 32, RssProfile @ 36);

/// A processor that RSS may use.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_RSS_PROCESSOR {
    pub ProcNum: PROCESSOR_NUMBER,
    pub PreferenceIndex: u16,
    pub Reserved: u16,
}
assert_layout!(NDIS_RSS_PROCESSOR, 8, 2, ProcNum @ 0, PreferenceIndex @ 4, Reserved @ 6);

/// OID_PM_PARAMETERS.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_PM_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub EnabledWoLPacketPatterns: u32,
    pub EnabledProtocolOffloads: u32,
    pub WakeUpFlags: u32,
    pub MediaSpecificWakeUpEvents: u32,
}
assert_layout!(NDIS_PM_PARAMETERS, 20, 4, Header @ 0, EnabledWoLPacketPatterns @ 4, EnabledProtocolOffloads @ 8,
    WakeUpFlags @ 12, MediaSpecificWakeUpEvents @ 16);

/// OID_TCP_RSC_STATISTICS.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_RSC_STATISTICS_INFO {
    pub Header: NDIS_OBJECT_HEADER,
    pub CoalescedPkts: u64,
    pub CoalescedOctets: u64,
    pub CoalesceEvents: u64,
    pub Aborts: u64,
}
assert_layout!(NDIS_RSC_STATISTICS_INFO, 40, 8, Header @ 0, CoalescedPkts @ 8, CoalescedOctets @ 16, CoalesceEvents
    @ 24, Aborts @ 32);

/// OID_GEN_LINK_PARAMETERS.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NDIS_LINK_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub MediaDuplexState: u32,
    pub XmitLinkSpeed: u64,
    pub RcvLinkSpeed: u64,
    pub PauseFunctions: u32,
    pub AutoNegotiationFlags: u32,
}
assert_layout!(NDIS_LINK_PARAMETERS, 32, 8, Header @ 0, MediaDuplexState @ 4, XmitLinkSpeed @ 8, RcvLinkSpeed @ 16,
    PauseFunctions @ 24, AutoNegotiationFlags @ 28);
