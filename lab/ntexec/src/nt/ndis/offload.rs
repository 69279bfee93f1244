//! Offloads: what is offered, what is on, what is asked for: `ntddndis.h`, `encapsulationconfig.h`.
//!
//! The headers' bit fields are words here; each bit field is named by a constant of its shift.

use super::NDIS_OBJECT_HEADER;

/// One direction and IP version of [`NDIS_TCP_IP_CHECKSUM_OFFLOAD`]. `Bits` are fields of two bits.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_CHECKSUM_OFFLOAD {
    pub Encapsulation: u32,
    pub Bits: u32,
}
assert_layout!(NDIS_CHECKSUM_OFFLOAD, 8, 4, Encapsulation @ 0, Bits @ 4);

impl NDIS_CHECKSUM_OFFLOAD {
    /// IP options of IPv4, extension headers of IPv6.
    pub const IP_OPTIONS: u32 = 0;
    pub const TCP_OPTIONS: u32 = 2;
    pub const TCP_CHECKSUM: u32 = 4;
    pub const UDP_CHECKSUM: u32 = 6;
    /// Of IPv4 only.
    pub const IP_CHECKSUM: u32 = 8;

    /// Whether the field of that shift says "supported".
    pub fn has(&self, field: u32) -> bool {
        self.Bits >> field & 3 == super::NDIS_OFFLOAD_SUPPORTED
    }
}

/// Checksum offload.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_TCP_IP_CHECKSUM_OFFLOAD {
    pub IPv4Transmit: NDIS_CHECKSUM_OFFLOAD,
    pub IPv4Receive: NDIS_CHECKSUM_OFFLOAD,
    pub IPv6Transmit: NDIS_CHECKSUM_OFFLOAD,
    pub IPv6Receive: NDIS_CHECKSUM_OFFLOAD,
}
assert_layout!(NDIS_TCP_IP_CHECKSUM_OFFLOAD, 32, 4, IPv4Transmit @ 0, IPv4Receive @ 8, IPv6Transmit @ 16,
    IPv6Receive @ 24);

/// Large send offload, version 1.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_TCP_LARGE_SEND_OFFLOAD_V1 {
    pub Encapsulation: u32,
    pub MaxOffLoadSize: u32,
    pub MinSegmentCount: u32,
    /// TcpOptions, IpOptions: two bits each.
    pub Bits: u32,
}
assert_layout!(NDIS_TCP_LARGE_SEND_OFFLOAD_V1, 16, 4, Encapsulation @ 0, MaxOffLoadSize @ 4, MinSegmentCount @ 8,
    Bits @ 12);

/// Large send offload, version 2.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_TCP_LARGE_SEND_OFFLOAD_V2 {
    pub IPv4: NDIS_LARGE_SEND,
    pub IPv6: NDIS_LARGE_SEND,
    /// IpExtensionHeadersSupported, TcpOptionsSupported: two bits each.
    pub IPv6Bits: u32,
}
assert_layout!(NDIS_TCP_LARGE_SEND_OFFLOAD_V2, 28, 4, IPv4 @ 0, IPv6 @ 12, IPv6Bits @ 24);

/// An IP version of [`NDIS_TCP_LARGE_SEND_OFFLOAD_V2`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_LARGE_SEND {
    pub Encapsulation: u32,
    pub MaxOffLoadSize: u32,
    pub MinSegmentCount: u32,
}
assert_layout!(NDIS_LARGE_SEND, 12, 4, Encapsulation @ 0, MaxOffLoadSize @ 4, MinSegmentCount @ 8);

/// Receive segment coalescing: on or off.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_TCP_RECV_SEG_COALESCE_OFFLOAD {
    pub IPv4Enabled: u8,
    pub IPv6Enabled: u8,
}
assert_layout!(NDIS_TCP_RECV_SEG_COALESCE_OFFLOAD, 2, 1, IPv4Enabled @ 0, IPv6Enabled @ 1);

/// An IP version of [`NDIS_UDP_SEGMENTATION_OFFLOAD`]; `MinSegmentCount` is the low six bits of `Bits`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_UDP_SEGMENTATION {
    pub Encapsulation: u32,
    pub MaxOffLoadSize: u32,
    pub Bits: u32,
}
assert_layout!(NDIS_UDP_SEGMENTATION, 12, 4, Encapsulation @ 0, MaxOffLoadSize @ 4, Bits @ 8);

/// UDP segmentation offload.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_UDP_SEGMENTATION_OFFLOAD {
    pub IPv4: NDIS_UDP_SEGMENTATION,
    pub IPv6: NDIS_UDP_SEGMENTATION,
    pub IPv6Bits: u32,
}
assert_layout!(NDIS_UDP_SEGMENTATION_OFFLOAD, 28, 4, IPv4 @ 0, IPv6 @ 12, IPv6Bits @ 24);

/// What a NIC offloads; each revision adds fields at the end.
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
    pub Rsc: NDIS_TCP_RECV_SEG_COALESCE_OFFLOAD,
    pub EncapsulatedPacketTaskOffloadGre: [u32; 2],
    pub EncapsulatedPacketTaskOffloadVxlan: [u32; 5],
    pub EncapsulationTypes: u8,
    pub Rfc6877Xlat: [u32; 2],
    pub UdpSegmentation: NDIS_UDP_SEGMENTATION_OFFLOAD,
}
assert_layout!(NDIS_OFFLOAD, 216, 4, Header @ 0, Checksum @ 4, LsoV1 @ 36, IPsecV1 @ 52, LsoV2 @ 80, Flags @ 108,
    IPsecV2 @ 112, Rsc @ 144, EncapsulatedPacketTaskOffloadGre @ 148, EncapsulatedPacketTaskOffloadVxlan @ 156,
    EncapsulationTypes @ 176, Rfc6877Xlat @ 180, UdpSegmentation @ 188);

/// OID_TCP_OFFLOAD_PARAMETERS.
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
    pub Flags: u32,
    pub IPsecV2: u8,
    pub IPsecV2IPv4: u8,
    pub RscIPv4: u8,
    pub RscIPv6: u8,
    pub EncapsulatedPacketTaskOffload: u8,
    pub EncapsulationTypes: u8,
    pub EncapsulationProtocolParameters: u32,
    /// USO.
    pub IPv4: u8,
    /// USO.
    pub IPv6: u8,
}
assert_layout!(NDIS_OFFLOAD_PARAMETERS, 36, 4, Header @ 0, IPv4Checksum @ 4, TCPIPv4Checksum @ 5, UDPIPv4Checksum @
    6, TCPIPv6Checksum @ 7, UDPIPv6Checksum @ 8, LsoV1 @ 9, IPsecV1 @ 10, LsoV2IPv4 @ 11, LsoV2IPv6 @ 12,
    TcpConnectionIPv4 @ 13, TcpConnectionIPv6 @ 14, Flags @ 16, IPsecV2 @ 20, IPsecV2IPv4 @ 21, RscIPv4 @ 22,
    RscIPv6 @ 23, EncapsulatedPacketTaskOffload @ 24, EncapsulationTypes @ 25, EncapsulationProtocolParameters @ 28,
    IPv4 @ 32, IPv6 @ 33);

/// An IP version of [`NDIS_OFFLOAD_ENCAPSULATION`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_ENCAPSULATION {
    pub Enabled: u32,
    pub EncapsulationType: u32,
    pub HeaderSize: u32,
}
assert_layout!(NDIS_ENCAPSULATION, 12, 4, Enabled @ 0, EncapsulationType @ 4, HeaderSize @ 8);

/// OID_OFFLOAD_ENCAPSULATION.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_OFFLOAD_ENCAPSULATION {
    pub Header: NDIS_OBJECT_HEADER,
    pub IPv4: NDIS_ENCAPSULATION,
    pub IPv6: NDIS_ENCAPSULATION,
}
assert_layout!(NDIS_OFFLOAD_ENCAPSULATION, 28, 4, Header @ 0, IPv4 @ 4, IPv6 @ 16);
