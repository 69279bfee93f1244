//! Task offloads: what an adapter can, what is on, and what shall be.

use crate::layout::{assert_layout, revision_size};
use crate::object::NDIS_OBJECT_HEADER;

/// A structure of `NDIS_TCP_IP_CHECKSUM_OFFLOAD`: one way of one version of IP.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CHECKSUM_DIRECTION {
    pub Encapsulation: u32,
    /// Bits of [`checksum`], two each, of which 1 is "supported".
    pub Supported: u32,
}

/// Bits of [`CHECKSUM_DIRECTION::Supported`] (bit fields of two bits in the DDI).
pub mod checksum {
    /// `IpOptionsSupported` of IPv4.
    pub const IP_OPTIONS: u32 = 1;
    /// `IpExtensionHeadersSupported` of IPv6.
    pub const IP_EXTENSION_HEADERS: u32 = 1;
    /// `TcpOptionsSupported`.
    pub const TCP_OPTIONS: u32 = 1 << 2;
    /// `TcpChecksum`.
    pub const TCP: u32 = 1 << 4;
    /// `UdpChecksum`.
    pub const UDP: u32 = 1 << 6;
    /// `IpChecksum` of IPv4.
    pub const IP: u32 = 1 << 8;
}

/// `NDIS_TCP_IP_CHECKSUM_OFFLOAD`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_TCP_IP_CHECKSUM_OFFLOAD {
    pub IPv4Transmit: CHECKSUM_DIRECTION,
    pub IPv4Receive: CHECKSUM_DIRECTION,
    pub IPv6Transmit: CHECKSUM_DIRECTION,
    pub IPv6Receive: CHECKSUM_DIRECTION,
}

assert_layout!(NDIS_TCP_IP_CHECKSUM_OFFLOAD, size 32, align 4, {
    IPv4Transmit @ 0,
    IPv4Receive @ 8,
    IPv6Transmit @ 16,
    IPv6Receive @ 24,
});

/// `NDIS_TCP_LARGE_SEND_OFFLOAD_V1`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_TCP_LARGE_SEND_OFFLOAD_V1 {
    pub Encapsulation: u32,
    pub MaxOffLoadSize: u32,
    pub MinSegmentCount: u32,
    /// Two bits each: TCP options, IP options.
    pub Options: u32,
}

assert_layout!(NDIS_TCP_LARGE_SEND_OFFLOAD_V1, size 16, align 4, {
    Encapsulation @ 0,
    MaxOffLoadSize @ 4,
    MinSegmentCount @ 8,
    Options @ 12,
});

/// `NDIS_TCP_LARGE_SEND_OFFLOAD_V2`: its parts for IPv4 and IPv6.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_TCP_LARGE_SEND_OFFLOAD_V2 {
    pub IPv4Encapsulation: u32,
    pub IPv4MaxOffLoadSize: u32,
    pub IPv4MinSegmentCount: u32,
    pub IPv6Encapsulation: u32,
    pub IPv6MaxOffLoadSize: u32,
    pub IPv6MinSegmentCount: u32,
    /// Bits of [`lso_v6`].
    pub IPv6Options: u32,
}

/// Bits of [`NDIS_TCP_LARGE_SEND_OFFLOAD_V2::IPv6Options`] (bit fields of two bits in the DDI).
pub mod lso_v6 {
    /// `IpExtensionHeadersSupported`.
    pub const IP_EXTENSION_HEADERS: u32 = 1;
    /// `TcpOptionsSupported`.
    pub const TCP_OPTIONS: u32 = 1 << 2;
}

assert_layout!(NDIS_TCP_LARGE_SEND_OFFLOAD_V2, size 28, align 4, {
    IPv4Encapsulation @ 0,
    IPv4MaxOffLoadSize @ 4,
    IPv4MinSegmentCount @ 8,
    IPv6Encapsulation @ 12,
    IPv6MaxOffLoadSize @ 16,
    IPv6MinSegmentCount @ 20,
    IPv6Options @ 24,
});

/// `NDIS_OFFLOAD`: what this project's miniport leaves at zero is plain words.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_OFFLOAD {
    pub Header: NDIS_OBJECT_HEADER,
    pub Checksum: NDIS_TCP_IP_CHECKSUM_OFFLOAD,
    pub LsoV1: NDIS_TCP_LARGE_SEND_OFFLOAD_V1,
    pub IPsecV1: [u32; 7],
    pub LsoV2: NDIS_TCP_LARGE_SEND_OFFLOAD_V2,
    pub Flags: u32,
    pub IPsecV2: [u32; 8],
    pub RscIPv4: u8,
    pub RscIPv6: u8,
    pub Padding1: u16,
    pub EncapsulatedPacketTaskOffloadGre: [u32; 2],
    pub EncapsulatedPacketTaskOffloadVxlan: [u32; 5],
    pub EncapsulationTypes: u8,
    pub Padding2: [u8; 3],
    pub Rfc6877Xlat: [u32; 2],
    pub UdpSegmentation: [u32; 7],
}

assert_layout!(NDIS_OFFLOAD, size 216, align 4, {
    Header @ 0,
    Checksum @ 4,
    LsoV1 @ 36,
    IPsecV1 @ 52,
    LsoV2 @ 80,
    Flags @ 108,
    IPsecV2 @ 112,
    RscIPv4 @ 144,
    RscIPv6 @ 145,
    EncapsulatedPacketTaskOffloadGre @ 148,
    EncapsulatedPacketTaskOffloadVxlan @ 156,
    EncapsulationTypes @ 176,
    Rfc6877Xlat @ 180,
    UdpSegmentation @ 188,
});

revision_size!(
    /// `NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_4`.
    SIZEOF_OFFLOAD_REVISION_4 = 0xB1,
    NDIS_OFFLOAD up to EncapsulationTypes: u8
);
revision_size!(
    /// `NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_5`.
    SIZEOF_OFFLOAD_REVISION_5 = 0xBC,
    NDIS_OFFLOAD up to Rfc6877Xlat: [u32; 2]
);
revision_size!(
    /// `NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_6` and `NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_7`.
    SIZEOF_OFFLOAD_REVISION_6 = 0xD8,
    NDIS_OFFLOAD up to UdpSegmentation: [u32; 7]
);

/// `NDIS_OFFLOAD_PARAMETERS`, what OID_TCP_OFFLOAD_PARAMETERS sets; values of [`parameter`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_OFFLOAD_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub IPv4Checksum: u8,
    pub TCPIPv4Checksum: u8,
    pub UDPIPv4Checksum: u8,
    pub TCPIPv6Checksum: u8,
    pub UDPIPv6Checksum: u8,
    pub LsoV1: u8,
    pub IPsecV1: u8,
    pub LsoV2IPv4: u8,
    pub LsoV2IPv6: u8,
    pub TcpConnectionIPv4: u8,
    pub TcpConnectionIPv6: u8,
    pub Padding1: u8,
    pub Flags: u32,
    pub IPsecV2: u8,
    pub IPsecV2IPv4: u8,
    pub RscIPv4: u8,
    pub RscIPv6: u8,
    pub EncapsulatedPacketTaskOffload: u8,
    pub EncapsulationTypes: u8,
    pub Padding2: u16,
    pub EncapsulationProtocolParameters: u32,
    pub UsoIPv4: u8,
    pub UsoIPv6: u8,
    pub Padding3: u16,
}

assert_layout!(NDIS_OFFLOAD_PARAMETERS, size 36, align 4, {
    Header @ 0,
    IPv4Checksum @ 4,
    TCPIPv4Checksum @ 5,
    UDPIPv4Checksum @ 6,
    TCPIPv6Checksum @ 7,
    UDPIPv6Checksum @ 8,
    LsoV1 @ 9,
    IPsecV1 @ 10,
    LsoV2IPv4 @ 11,
    LsoV2IPv6 @ 12,
    TcpConnectionIPv4 @ 13,
    TcpConnectionIPv6 @ 14,
    Flags @ 16,
    IPsecV2 @ 20,
    IPsecV2IPv4 @ 21,
    RscIPv4 @ 22,
    RscIPv6 @ 23,
    EncapsulatedPacketTaskOffload @ 24,
    EncapsulationTypes @ 25,
    EncapsulationProtocolParameters @ 28,
    UsoIPv4 @ 32,
    UsoIPv6 @ 33,
});

revision_size!(
    /// `NDIS_SIZEOF_OFFLOAD_PARAMETERS_REVISION_1`.
    SIZEOF_OFFLOAD_PARAMETERS_REVISION_1 = 0x14,
    NDIS_OFFLOAD_PARAMETERS up to Flags: u32
);
revision_size!(
    /// `NDIS_SIZEOF_OFFLOAD_PARAMETERS_REVISION_2`.
    SIZEOF_OFFLOAD_PARAMETERS_REVISION_2 = 0x16,
    NDIS_OFFLOAD_PARAMETERS up to IPsecV2IPv4: u8
);
revision_size!(
    /// `NDIS_SIZEOF_OFFLOAD_PARAMETERS_REVISION_3`.
    SIZEOF_OFFLOAD_PARAMETERS_REVISION_3 = 0x1A,
    NDIS_OFFLOAD_PARAMETERS up to EncapsulationTypes: u8
);
revision_size!(
    /// `NDIS_SIZEOF_OFFLOAD_PARAMETERS_REVISION_4`.
    SIZEOF_OFFLOAD_PARAMETERS_REVISION_4 = 0x20,
    NDIS_OFFLOAD_PARAMETERS up to EncapsulationProtocolParameters: u32
);
revision_size!(
    /// `NDIS_SIZEOF_OFFLOAD_PARAMETERS_REVISION_5`.
    SIZEOF_OFFLOAD_PARAMETERS_REVISION_5 = 0x22,
    NDIS_OFFLOAD_PARAMETERS up to UsoIPv6: u8
);

/// Values of [`NDIS_OFFLOAD_PARAMETERS`]' fields (`NDIS_OFFLOAD_PARAMETERS_…`).
pub mod parameter {
    /// `NO_CHANGE`.
    pub const NO_CHANGE: u8 = 0;
    /// `TX_RX_DISABLED` of checksums.
    pub const TX_RX_DISABLED: u8 = 1;
    /// `TX_ENABLED_RX_DISABLED` of checksums.
    pub const TX_ENABLED_RX_DISABLED: u8 = 2;
    /// `RX_ENABLED_TX_DISABLED` of checksums.
    pub const RX_ENABLED_TX_DISABLED: u8 = 3;
    /// `TX_RX_ENABLED` of checksums.
    pub const TX_RX_ENABLED: u8 = 4;
    /// `LSOV2_DISABLED`, `RSC_DISABLED`, `USO_DISABLED`.
    pub const DISABLED: u8 = 1;
    /// `LSOV2_ENABLED`, `RSC_ENABLED`, `USO_ENABLED`.
    pub const ENABLED: u8 = 2;
}

/// `NDIS_OFFLOAD_ENCAPSULATION`, what OID_OFFLOAD_ENCAPSULATION sets.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_OFFLOAD_ENCAPSULATION {
    pub Header: NDIS_OBJECT_HEADER,
    /// Values of [`set`].
    pub IPv4Enabled: u32,
    pub IPv4EncapsulationType: u32,
    pub IPv4HeaderSize: u32,
    pub IPv6Enabled: u32,
    pub IPv6EncapsulationType: u32,
    pub IPv6HeaderSize: u32,
}

assert_layout!(NDIS_OFFLOAD_ENCAPSULATION, size 28, align 4, {
    Header @ 0,
    IPv4Enabled @ 4,
    IPv4EncapsulationType @ 8,
    IPv4HeaderSize @ 12,
    IPv6Enabled @ 16,
    IPv6EncapsulationType @ 20,
    IPv6HeaderSize @ 24,
});

revision_size!(
    /// `NDIS_SIZEOF_OFFLOAD_ENCAPSULATION_REVISION_1`.
    SIZEOF_OFFLOAD_ENCAPSULATION_REVISION_1 = 0x1C,
    NDIS_OFFLOAD_ENCAPSULATION up to IPv6HeaderSize: u32
);

/// Values of the `Enabled` fields (`NDIS_OFFLOAD_SET_…`).
pub mod set {
    /// `NO_CHANGE`.
    pub const NO_CHANGE: u32 = 0;
    /// `ON`.
    pub const ON: u32 = 1;
    /// `OFF`.
    pub const OFF: u32 = 2;
}

/// `NDIS_ENCAPSULATION_IEEE_802_3`.
pub const ENCAPSULATION_IEEE_802_3: u32 = 2;
/// `NDIS_ENCAPSULATION_IEEE_802_3_P_AND_Q_IN_OOB`: the tag is in the out-of-band slot.
pub const ENCAPSULATION_IEEE_802_3_P_AND_Q_IN_OOB: u32 = 8;
