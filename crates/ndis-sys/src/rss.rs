//! Receive side scaling.

use crate::layout::{assert_layout, revision_size};
use crate::object::NDIS_OBJECT_HEADER;

/// `PROCESSOR_NUMBER`: a group and a processor in it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PROCESSOR_NUMBER {
    pub Group: u16,
    pub Number: u8,
    pub Reserved: u8,
}

assert_layout!(PROCESSOR_NUMBER, size 4, align 2, { Group @ 0, Number @ 2, Reserved @ 3 });

/// `NDIS_RECEIVE_SCALE_CAPABILITIES`; the flags are [`capability`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_RECEIVE_SCALE_CAPABILITIES {
    pub Header: NDIS_OBJECT_HEADER,
    pub CapabilitiesFlags: u32,
    pub NumberOfInterruptMessages: u32,
    pub NumberOfReceiveQueues: u32,
    pub NumberOfIndirectionTableEntries: u16,
    pub Padding: u16,
}

assert_layout!(NDIS_RECEIVE_SCALE_CAPABILITIES, size 20, align 4, {
    Header @ 0,
    CapabilitiesFlags @ 4,
    NumberOfInterruptMessages @ 8,
    NumberOfReceiveQueues @ 12,
    NumberOfIndirectionTableEntries @ 16,
});

revision_size!(
    /// `NDIS_SIZEOF_RECEIVE_SCALE_CAPABILITIES_REVISION_2` and `NDIS_SIZEOF_RECEIVE_SCALE_CAPABILITIES_REVISION_3`.
    SIZEOF_RECEIVE_SCALE_CAPABILITIES_REVISION_2 = 0x12,
    NDIS_RECEIVE_SCALE_CAPABILITIES up to NumberOfIndirectionTableEntries: u16
);

/// Bits of [`NDIS_RECEIVE_SCALE_CAPABILITIES::CapabilitiesFlags`] (`NDIS_RSS_CAPS_…`).
pub mod capability {
    /// `HASH_TYPE_TCP_IPV4`.
    pub const HASH_TYPE_TCP_IPV4: u32 = 0x100;
    /// `HASH_TYPE_TCP_IPV6`.
    pub const HASH_TYPE_TCP_IPV6: u32 = 0x200;
    /// `MESSAGE_SIGNALED_INTERRUPTS`.
    pub const MESSAGE_SIGNALED_INTERRUPTS: u32 = 0x0100_0000;
    /// `CLASSIFICATION_AT_ISR`.
    pub const CLASSIFICATION_AT_ISR: u32 = 0x0200_0000;
    /// `CLASSIFICATION_AT_DPC`.
    pub const CLASSIFICATION_AT_DPC: u32 = 0x0400_0000;
    /// `NdisHashFunctionToeplitz`, or'd in as the hash function.
    pub const TOEPLITZ: u32 = 1;
}

/// Hash functions and types in `HashInformation` and in a frame's hash slot (`NDIS_HASH_…`).
pub mod hash {
    /// `NDIS_HASH_FUNCTION_MASK`.
    pub const FUNCTION_MASK: u32 = 0xFF;
    /// `NDIS_HASH_TYPE_MASK`.
    pub const TYPE_MASK: u32 = 0x00FF_FF00;
    /// `NdisHashFunctionToeplitz`.
    pub const TOEPLITZ: u32 = 1;
    /// `NDIS_HASH_IPV4`.
    pub const IPV4: u32 = 0x100;
    /// `NDIS_HASH_TCP_IPV4`.
    pub const TCP_IPV4: u32 = 0x200;
    /// `NDIS_HASH_IPV6`.
    pub const IPV6: u32 = 0x400;
    /// `NDIS_HASH_TCP_IPV6`.
    pub const TCP_IPV6: u32 = 0x1000;
}

/// `NDIS_RECEIVE_SCALE_PARAMETERS`; the flags are [`parameter_flag`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_RECEIVE_SCALE_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub Flags: u16,
    pub BaseCpuNumber: u16,
    pub HashInformation: u32,
    pub IndirectionTableSize: u16,
    pub Padding1: u16,
    pub IndirectionTableOffset: u32,
    pub HashSecretKeySize: u16,
    pub Padding2: u16,
    pub HashSecretKeyOffset: u32,
    pub ProcessorMasksOffset: u32,
    pub NumberOfProcessorMasks: u32,
    pub ProcessorMasksEntrySize: u32,
    pub DefaultProcessorNumber: PROCESSOR_NUMBER,
}

assert_layout!(NDIS_RECEIVE_SCALE_PARAMETERS, size 44, align 4, {
    Header @ 0,
    Flags @ 4,
    BaseCpuNumber @ 6,
    HashInformation @ 8,
    IndirectionTableSize @ 12,
    IndirectionTableOffset @ 16,
    HashSecretKeySize @ 20,
    HashSecretKeyOffset @ 24,
    ProcessorMasksOffset @ 28,
    NumberOfProcessorMasks @ 32,
    ProcessorMasksEntrySize @ 36,
    DefaultProcessorNumber @ 40,
});

revision_size!(
    /// `NDIS_SIZEOF_RECEIVE_SCALE_PARAMETERS_REVISION_2`.
    SIZEOF_RECEIVE_SCALE_PARAMETERS_REVISION_2 = 0x28,
    NDIS_RECEIVE_SCALE_PARAMETERS up to ProcessorMasksEntrySize: u32
);
revision_size!(
    /// `NDIS_SIZEOF_RECEIVE_SCALE_PARAMETERS_REVISION_3`.
    SIZEOF_RECEIVE_SCALE_PARAMETERS_REVISION_3 = 0x2C,
    NDIS_RECEIVE_SCALE_PARAMETERS up to DefaultProcessorNumber: PROCESSOR_NUMBER
);

/// Bits of [`NDIS_RECEIVE_SCALE_PARAMETERS::Flags`] (`NDIS_RSS_PARAM_FLAG_…`).
pub mod parameter_flag {
    /// `BASE_CPU_UNCHANGED`.
    pub const BASE_CPU_UNCHANGED: u16 = 1;
    /// `HASH_INFO_UNCHANGED`.
    pub const HASH_INFO_UNCHANGED: u16 = 2;
    /// `ITABLE_UNCHANGED`.
    pub const ITABLE_UNCHANGED: u16 = 4;
    /// `HASH_KEY_UNCHANGED`.
    pub const HASH_KEY_UNCHANGED: u16 = 8;
    /// `DISABLE_RSS`.
    pub const DISABLE_RSS: u16 = 0x10;
    /// `DEFAULT_PROCESSOR_UNCHANGED`.
    pub const DEFAULT_PROCESSOR_UNCHANGED: u16 = 0x20;
}

/// `NDIS_RSS_HASH_SECRET_KEY_MAX_SIZE_REVISION_3`: bytes of a key, of all revisions.
pub const SECRET_KEY_SIZE: usize = 40;
/// `NDIS_RSS_INDIRECTION_TABLE_MAX_SIZE_REVISION_3`: most bytes of an indirection table.
pub const INDIRECTION_TABLE_MAX_SIZE: usize = 512;
