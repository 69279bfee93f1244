//! NET_BUFFER and NET_BUFFER_LIST, their pools and out-of-band data: `nbl.h`, `nblapi.h`, `nblchecksum.h`, `nbllso.h`.

use super::{NDIS_OBJECT_HEADER, NDIS_STATUS};
use crate::nt::ke::PVOID;
use crate::nt::mm::MDL;

/// One frame: `DataLength` bytes from `DataOffset` on in `MdlChain`.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct NET_BUFFER {
    pub Next: *mut NET_BUFFER,
    pub CurrentMdl: *mut MDL,
    pub CurrentMdlOffset: u32,
    _pad0: u32,
    pub DataLength: u32,
    _pad1: u32,
    pub MdlChain: *mut MDL,
    pub DataOffset: u32,
    _pad2: u32,
    pub ChecksumBias: u16,
    pub Reserved: u16,
    pub NdisPoolHandle: PVOID,
    pub NdisReserved: [PVOID; 2],
    pub ProtocolReserved: [PVOID; 6],
    pub MiniportReserved: [PVOID; 4],
    pub DataPhysicalAddress: i64,
    pub SharedMemoryInfo: PVOID,
}
assert_layout!(NET_BUFFER, 176, 16, Next @ 0, CurrentMdl @ 8, CurrentMdlOffset @ 16, DataLength @ 24, MdlChain @ 32,
    DataOffset @ 40, ChecksumBias @ 48, Reserved @ 50, NdisPoolHandle @ 56, NdisReserved @ 64, ProtocolReserved @
    80, MiniportReserved @ 128, DataPhysicalAddress @ 160, SharedMemoryInfo @ 168);

/// Frames that share out-of-band data.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct NET_BUFFER_LIST {
    pub Next: *mut NET_BUFFER_LIST,
    pub FirstNetBuffer: *mut NET_BUFFER,
    pub Context: *mut NET_BUFFER_LIST_CONTEXT,
    pub ParentNetBufferList: *mut NET_BUFFER_LIST,
    pub NdisPoolHandle: PVOID,
    _pad: PVOID,
    pub NdisReserved: [PVOID; 2],
    pub ProtocolReserved: [PVOID; 4],
    pub MiniportReserved: [PVOID; 2],
    pub Scratch: PVOID,
    pub SourceHandle: PVOID,
    pub NblFlags: u32,
    pub ChildRefCount: i32,
    pub Flags: u32,
    pub Status: NDIS_STATUS,
    pub NetBufferListInfo: [PVOID; 27],
}
assert_layout!(NET_BUFFER_LIST, 368, 16, Next @ 0, FirstNetBuffer @ 8, Context @ 16, ParentNetBufferList @ 24,
    NdisPoolHandle @ 32, NdisReserved @ 48, ProtocolReserved @ 64, MiniportReserved @ 96, Scratch @ 112,
    SourceHandle @ 120, NblFlags @ 128, ChildRefCount @ 132, Flags @ 136, Status @ 140, NetBufferListInfo @ 144);

/// Where context data lies, behind this head.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct NET_BUFFER_LIST_CONTEXT {
    pub Next: *mut NET_BUFFER_LIST_CONTEXT,
    pub Size: u16,
    pub Offset: u16,
}
assert_layout!(NET_BUFFER_LIST_CONTEXT, 16, 16, Next @ 0, Size @ 8, Offset @ 10);

/// What a pool of NET_BUFFER_LISTs gives.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NET_BUFFER_LIST_POOL_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub ProtocolId: u8,
    pub fAllocateNetBuffer: u8,
    pub ContextSize: u16,
    pub PoolTag: u32,
    pub DataSize: u32,
    pub Flags: u32,
}
assert_layout!(NET_BUFFER_LIST_POOL_PARAMETERS, 20, 4, Header @ 0, ProtocolId @ 4, fAllocateNetBuffer @ 5,
    ContextSize @ 6, PoolTag @ 8, DataSize @ 12, Flags @ 16);

/// What a pool of NET_BUFFERs gives.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NET_BUFFER_POOL_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub PoolTag: u32,
    pub DataSize: u32,
    pub Flags: u32,
}
assert_layout!(NET_BUFFER_POOL_PARAMETERS, 16, 4, Header @ 0, PoolTag @ 4, DataSize @ 8, Flags @ 12);

/// NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO of a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveChecksum(pub u64);

impl ReceiveChecksum {
    const fn bits(self, failed: u32, succeeded: u32) -> (bool, bool) {
        (self.0 >> failed & 1 != 0, self.0 >> succeeded & 1 != 0)
    }

    /// TcpChecksumFailed, TcpChecksumSucceeded.
    pub const fn tcp(self) -> (bool, bool) {
        self.bits(0, 3)
    }

    /// UdpChecksumFailed, UdpChecksumSucceeded.
    pub const fn udp(self) -> (bool, bool) {
        self.bits(1, 4)
    }

    /// IpChecksumFailed, IpChecksumSucceeded.
    pub const fn ip(self) -> (bool, bool) {
        self.bits(2, 5)
    }
}

/// NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO of a frame to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransmitChecksum {
    /// The frame is IPv4; neither this nor `v6` asks for nothing.
    pub v4: bool,
    /// The frame is IPv6.
    pub v6: bool,
    pub tcp: bool,
    pub udp: bool,
    /// The IPv4 header's.
    pub ip: bool,
    /// Bytes before the TCP header; with `tcp` only.
    pub tcp_header_offset: u16,
}

impl TransmitChecksum {
    /// The slot's value.
    pub const fn value(self) -> u64 {
        self.v4 as u64
            | (self.v6 as u64) << 1
            | (self.tcp as u64) << 2
            | (self.udp as u64) << 3
            | (self.ip as u64) << 4
            | (self.tcp_header_offset as u64 & 0x3ff) << 16
    }
}

/// NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO, version 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LargeSend {
    /// Payload bytes of a segment; 0 is no large send.
    pub mss: u32,
    pub tcp_header_offset: u16,
    pub v6: bool,
}

impl LargeSend {
    const TYPE: u64 = 1 << 30;

    /// The slot's value.
    pub const fn value(self) -> u64 {
        self.mss as u64 & 0xf_ffff
            | (self.tcp_header_offset as u64 & 0x3ff) << 20
            | Self::TYPE
            | (self.v6 as u64) << 31
    }

    /// Whether a slot asks for a large send of version 2.
    pub const fn asked(slot: u64) -> bool {
        slot & Self::TYPE != 0 && slot & 0xf_ffff != 0
    }

    /// Whether a slot is what a completed large send of version 2 leaves: `LsoV2TransmitComplete.Reserved` is 0 and the
    /// type is still there.
    pub const fn completed(slot: u64) -> bool {
        slot & Self::TYPE != 0 && slot & (Self::TYPE - 1) == 0
    }
}
