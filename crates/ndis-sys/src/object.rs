//! The header that most structures begin with.

use crate::layout::assert_layout;

/// `NDIS_OBJECT_HEADER`: what a structure is, in which revision, and how many bytes of it are there.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_OBJECT_HEADER {
    /// One of [`kind`].
    pub Type: u8,
    /// The structure's revision, from 1 on; a higher one has all fields of a lower.
    pub Revision: u8,
    /// Bytes, by the revision: `NDIS_SIZEOF_…_REVISION_…`, not the size of the newest structure.
    pub Size: u16,
}

assert_layout!(NDIS_OBJECT_HEADER, size 4, align 2, { Type @ 0, Revision @ 1, Size @ 2 });

impl NDIS_OBJECT_HEADER {
    /// A header.
    pub const fn new(kind: u8, revision: u8, size: u16) -> Self {
        Self {
            Type: kind,
            Revision: revision,
            Size: size,
        }
    }
}

/// Values of [`NDIS_OBJECT_HEADER::Type`] (`NDIS_OBJECT_TYPE_…`).
pub mod kind {
    /// `NDIS_OBJECT_TYPE_DEFAULT`.
    pub const DEFAULT: u8 = 0x80;
    /// `NDIS_OBJECT_TYPE_MINIPORT_INIT_PARAMETERS`.
    pub const MINIPORT_INIT_PARAMETERS: u8 = 0x81;
    /// `NDIS_OBJECT_TYPE_RSS_CAPABILITIES`.
    pub const RSS_CAPABILITIES: u8 = 0x88;
    /// `NDIS_OBJECT_TYPE_RSS_PARAMETERS`.
    pub const RSS_PARAMETERS: u8 = 0x89;
    /// `NDIS_OBJECT_TYPE_MINIPORT_DRIVER_CHARACTERISTICS`.
    pub const MINIPORT_DRIVER_CHARACTERISTICS: u8 = 0x8A;
    /// `NDIS_OBJECT_TYPE_OID_REQUEST`.
    pub const OID_REQUEST: u8 = 0x96;
    /// `NDIS_OBJECT_TYPE_STATUS_INDICATION`.
    pub const STATUS_INDICATION: u8 = 0x98;
    /// `NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES`.
    pub const MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES: u8 = 0x9E;
    /// `NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES`.
    pub const MINIPORT_ADAPTER_GENERAL_ATTRIBUTES: u8 = 0x9F;
    /// `NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES`.
    pub const MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES: u8 = 0xA0;
    /// `NDIS_OBJECT_TYPE_OFFLOAD`.
    pub const OFFLOAD: u8 = 0xA7;
    /// `NDIS_OBJECT_TYPE_OFFLOAD_ENCAPSULATION`.
    pub const OFFLOAD_ENCAPSULATION: u8 = 0xA8;
    /// `NDIS_OBJECT_TYPE_CONFIGURATION_OBJECT`.
    pub const CONFIGURATION_OBJECT: u8 = 0xA9;
}
