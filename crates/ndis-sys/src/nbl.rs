//! Frames: net buffers, the lists that carry them, and their pools.

use core::ffi::c_void;

use crate::layout::{assert_layout, revision_size};
use crate::object::NDIS_OBJECT_HEADER;
use crate::{NDIS_HANDLE, NDIS_STATUS};

/// An `MDL` of the system's; see the kernel's declarations for what is in it.
pub type MDL = c_void;

/// `NET_BUFFER`: one frame, `DataLength` bytes from `CurrentMdlOffset` in `CurrentMdl` on. Of its unions the members that a
/// miniport uses.
#[repr(C, align(16))]
pub struct NET_BUFFER {
    pub Next: *mut NET_BUFFER,
    pub CurrentMdl: *mut MDL,
    pub CurrentMdlOffset: u32,
    pub Padding1: u32,
    pub DataLength: u32,
    pub Padding2: u32,
    pub MdlChain: *mut MDL,
    pub DataOffset: u32,
    pub Padding3: u32,
    pub ChecksumBias: u16,
    pub Reserved: u16,
    pub NdisPoolHandle: NDIS_HANDLE,
    pub NdisReserved: [*mut c_void; 2],
    pub ProtocolReserved: [*mut c_void; 6],
    pub MiniportReserved: [*mut c_void; 4],
    pub DataPhysicalAddress: u64,
    pub SharedMemoryInfo: *mut c_void,
}

assert_layout!(NET_BUFFER, size 176, align 16, {
    Next @ 0,
    CurrentMdl @ 8,
    CurrentMdlOffset @ 16,
    DataLength @ 24,
    MdlChain @ 32,
    DataOffset @ 40,
    ChecksumBias @ 48,
    Reserved @ 50,
    NdisPoolHandle @ 56,
    NdisReserved @ 64,
    ProtocolReserved @ 80,
    MiniportReserved @ 128,
    DataPhysicalAddress @ 160,
    SharedMemoryInfo @ 168,
});

/// Slots of [`NET_BUFFER_LIST::NetBufferListInfo`] in NDIS 6.87; older versions have fewer, in the same places.
pub const INFO_SLOTS: usize = 27;

/// `NET_BUFFER_LIST`: frames of one kind and one way, with what applies to all of them.
#[repr(C, align(16))]
pub struct NET_BUFFER_LIST {
    pub Next: *mut NET_BUFFER_LIST,
    pub FirstNetBuffer: *mut NET_BUFFER,
    pub Context: *mut c_void,
    pub ParentNetBufferList: *mut NET_BUFFER_LIST,
    pub NdisPoolHandle: NDIS_HANDLE,
    pub Padding: u64,
    pub NdisReserved: [*mut c_void; 2],
    pub ProtocolReserved: [*mut c_void; 4],
    pub MiniportReserved: [*mut c_void; 2],
    pub Scratch: *mut c_void,
    pub SourceHandle: NDIS_HANDLE,
    pub NblFlags: u32,
    pub ChildRefCount: i32,
    pub Flags: u32,
    pub Status: NDIS_STATUS,
    /// By the numbers of [`crate::info::slot`]; values, not pointers.
    pub NetBufferListInfo: [*mut c_void; INFO_SLOTS],
}

assert_layout!(NET_BUFFER_LIST, size 368, align 16, {
    Next @ 0,
    FirstNetBuffer @ 8,
    Context @ 16,
    ParentNetBufferList @ 24,
    NdisPoolHandle @ 32,
    NdisReserved @ 48,
    ProtocolReserved @ 64,
    MiniportReserved @ 96,
    Scratch @ 112,
    SourceHandle @ 120,
    NblFlags @ 128,
    ChildRefCount @ 132,
    Flags @ 136,
    Status @ 140,
    NetBufferListInfo @ 144,
});

/// `NET_BUFFER_LIST_POOL_PARAMETERS`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct NET_BUFFER_LIST_POOL_PARAMETERS {
    pub Header: NDIS_OBJECT_HEADER,
    pub ProtocolId: u8,
    pub fAllocateNetBuffer: u8,
    pub ContextSize: u16,
    pub PoolTag: u32,
    pub DataSize: u32,
    pub Flags: u32,
}

assert_layout!(NET_BUFFER_LIST_POOL_PARAMETERS, size 20, align 4, {
    Header @ 0,
    ProtocolId @ 4,
    fAllocateNetBuffer @ 5,
    ContextSize @ 6,
    PoolTag @ 8,
    DataSize @ 12,
    Flags @ 16,
});

revision_size!(
    /// `NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1`.
    SIZEOF_POOL_PARAMETERS_REVISION_1 = 0x10,
    NET_BUFFER_LIST_POOL_PARAMETERS up to DataSize: u32
);
