//! Network device protocol (`io/netif.h`).
//!
//! Three rings of one page each: transmit and receive for every queue, and one control ring for the device. Extra
//! infos lie in slots of the transmit and receive rings, between a packet's first slot and its second.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

bitflags::bitflags! {
    /// Flags of a transmit request (`NETTXF_*`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct TxFlags: u16 {
        /// The protocol checksum holds the pseudo header's sum only.
        const CSUM_BLANK = 1;
        /// The data was checked against its checksum, or never left this machine.
        const DATA_VALIDATED = 2;
        /// The packet goes on in the next request.
        const MORE_DATA = 4;
        /// Extra infos follow.
        const EXTRA_INFO = 8;
    }
}

bitflags::bitflags! {
    /// Flags of a receive response (`NETRXF_*`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct RxFlags: u16 {
        /// The data was checked against its checksum, or never left this machine.
        const DATA_VALIDATED = 1;
        /// The protocol checksum holds the pseudo header's sum only.
        const CSUM_BLANK = 2;
        /// The packet goes on in the next response.
        const MORE_DATA = 4;
        /// Extra infos follow.
        const EXTRA_INFO = 8;
        /// A segment size precedes the packet; deprecated.
        const GSO_PREFIX = 16;
    }
}

open_enum! {
    /// How a request ended (`NETIF_RSP_*`).
    Status(i16) {
        /// Dropped.
        DROPPED = -2 => "NETIF_RSP_DROPPED";
        /// Failed.
        ERROR = -1 => "NETIF_RSP_ERROR";
        /// Done. In a receive response zero and more are bytes.
        OKAY = 0 => "NETIF_RSP_OKAY";
        /// The slot held an extra info.
        NULL = 1 => "NETIF_RSP_NULL";
    }
}

open_enum! {
    /// What an extra info is (`XEN_NETIF_EXTRA_TYPE_*`).
    ExtraType(u8) {
        /// Invalid.
        NONE = 0 => "XEN_NETIF_EXTRA_TYPE_NONE";
        /// [`ExtraGso`].
        GSO = 1 => "XEN_NETIF_EXTRA_TYPE_GSO";
        /// [`ExtraMcast`]: let frames to this address through.
        MCAST_ADD = 2 => "XEN_NETIF_EXTRA_TYPE_MCAST_ADD";
        /// [`ExtraMcast`]: no longer.
        MCAST_DEL = 3 => "XEN_NETIF_EXTRA_TYPE_MCAST_DEL";
        /// [`ExtraHash`].
        HASH = 4 => "XEN_NETIF_EXTRA_TYPE_HASH";
    }
}

open_enum! {
    /// Protocol of a large packet (`XEN_NETIF_GSO_TYPE_*`).
    GsoType(u8) {
        /// None.
        NONE = 0 => "XEN_NETIF_GSO_TYPE_NONE";
        /// TCP over IPv4.
        TCPV4 = 1 => "XEN_NETIF_GSO_TYPE_TCPV4";
        /// TCP over IPv6.
        TCPV6 = 2 => "XEN_NETIF_GSO_TYPE_TCPV6";
    }
}

open_enum! {
    /// A hash algorithm (`XEN_NETIF_CTRL_HASH_ALGORITHM_*`).
    HashAlgorithm(u8) {
        /// None: the backend steers as it likes.
        NONE = 0 => "XEN_NETIF_CTRL_HASH_ALGORITHM_NONE";
        /// Toeplitz.
        TOEPLITZ = 1 => "XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ";
    }
}

open_enum! {
    /// What a hash was calculated over, as an extra info says it (`_XEN_NETIF_CTRL_HASH_TYPE_*`).
    HashKind(u8) {
        /// IPv4 addresses.
        IPV4 = 0 => "_XEN_NETIF_CTRL_HASH_TYPE_IPV4";
        /// IPv4 addresses and TCP ports.
        IPV4_TCP = 1 => "_XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP";
        /// IPv6 addresses.
        IPV6 = 2 => "_XEN_NETIF_CTRL_HASH_TYPE_IPV6";
        /// IPv6 addresses and TCP ports.
        IPV6_TCP = 3 => "_XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP";
    }
}

bitflags::bitflags! {
    /// Kinds of hashes, as control requests say them (`XEN_NETIF_CTRL_HASH_TYPE_*`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct HashTypes: u32 {
        /// IPv4 addresses.
        const IPV4 = 1;
        /// IPv4 addresses and TCP ports.
        const IPV4_TCP = 2;
        /// IPv6 addresses.
        const IPV6 = 4;
        /// IPv6 addresses and TCP ports.
        const IPV6_TCP = 8;
    }
}

open_enum! {
    /// What a control request asks for (`XEN_NETIF_CTRL_TYPE_*`).
    CtrlType(u16) {
        /// Invalid.
        INVALID = 0 => "XEN_NETIF_CTRL_TYPE_INVALID";
        /// Which [`HashTypes`] there are.
        GET_HASH_FLAGS = 1 => "XEN_NETIF_CTRL_TYPE_GET_HASH_FLAGS";
        /// Which to calculate.
        SET_HASH_FLAGS = 2 => "XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS";
        /// The key: reference, bytes.
        SET_HASH_KEY = 3 => "XEN_NETIF_CTRL_TYPE_SET_HASH_KEY";
        /// Most entries of the mapping.
        GET_HASH_MAPPING_SIZE = 4 => "XEN_NETIF_CTRL_TYPE_GET_HASH_MAPPING_SIZE";
        /// Entries of the mapping.
        SET_HASH_MAPPING_SIZE = 5 => "XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE";
        /// The mapping: reference, entries, first entry.
        SET_HASH_MAPPING = 6 => "XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING";
        /// The algorithm.
        SET_HASH_ALGORITHM = 7 => "XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM";
    }
}

open_enum! {
    /// How a control request ended (`XEN_NETIF_CTRL_STATUS_*`).
    CtrlStatus(u32) {
        /// Done.
        SUCCESS = 0 => "XEN_NETIF_CTRL_STATUS_SUCCESS";
        /// Unknown to the backend.
        NOT_SUPPORTED = 1 => "XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED";
        /// A value it does not take.
        INVALID_PARAMETER = 2 => "XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER";
        /// More than it has room for.
        BUFFER_OVERFLOW = 3 => "XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW";
    }
}

/// A piece of a packet to send (`struct netif_tx_request`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct TxRequest {
    /// Reference of its page.
    pub gref: u32,
    /// First byte in the page.
    pub offset: u16,
    /// [`TxFlags`].
    pub flags: u16,
    /// Echoed in the response.
    pub id: u16,
    /// Bytes; in a packet's first slot those of the whole packet.
    pub size: u16,
}

/// A response to a transmit request (`struct netif_tx_response`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct TxResponse {
    /// Of the request; nothing in a slot that held an extra info.
    pub id: u16,
    /// How it ended.
    pub status: Status,
}

/// A page for a packet to come (`struct netif_rx_request`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RxRequest {
    /// Echoed in the response.
    pub id: u16,
    /// Padding.
    pub pad: u16,
    /// Reference of the page.
    pub gref: u32,
}

/// A piece of a packet that came (`struct netif_rx_response`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RxResponse {
    /// Of the request.
    pub id: u16,
    /// First byte in the page.
    pub offset: u16,
    /// [`RxFlags`].
    pub flags: u16,
    /// Bytes, or a negative [`Status`].
    pub status: i16,
}

/// What all extra infos have in common (`struct netif_extra_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExtraInfo {
    /// Which of the following it is.
    pub kind: ExtraType,
    /// [`EXTRA_FLAG_MORE`].
    pub flags: u8,
    /// Its contents.
    pub data: [u8; 6],
}

/// Extra info of a large packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExtraGso {
    /// [`ExtraType::GSO`].
    pub kind: ExtraType,
    /// [`EXTRA_FLAG_MORE`].
    pub flags: u8,
    /// Most bytes of payload of a segment.
    pub size: u16,
    /// Its protocol.
    pub gso_type: GsoType,
    /// Padding.
    pub pad: u8,
    /// None are defined.
    pub features: u16,
}

/// Extra info that changes the backend's list of multicast addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExtraMcast {
    /// [`ExtraType::MCAST_ADD`] or [`ExtraType::MCAST_DEL`].
    pub kind: ExtraType,
    /// [`EXTRA_FLAG_MORE`].
    pub flags: u8,
    /// The address.
    pub addr: [u8; 6],
}

/// Extra info with a packet's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExtraHash {
    /// [`ExtraType::HASH`].
    pub kind: ExtraType,
    /// [`EXTRA_FLAG_MORE`].
    pub flags: u8,
    /// What it is over.
    pub hash_kind: HashKind,
    /// How.
    pub algorithm: HashAlgorithm,
    /// Its value, the least significant byte first.
    pub value: [u8; 4],
}

/// A control request (`struct xen_netif_ctrl_request`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CtrlRequest {
    /// Echoed in the response.
    pub id: u16,
    /// What is asked for.
    pub kind: CtrlType,
    /// Its arguments.
    pub data: [u32; 3],
}

/// A control response (`struct xen_netif_ctrl_response`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct CtrlResponse {
    /// Of the request.
    pub id: u16,
    /// Of the request.
    pub kind: CtrlType,
    /// How it ended.
    pub status: CtrlStatus,
    /// What was asked for.
    pub data: u32,
}

abi! {
    constants {
        /// Slots of a packet that every backend takes, extra infos not counted.
        NR_SLOTS_MIN: usize = 18 => "XEN_NETIF_NR_SLOTS_MIN";
        /// Most bytes of a packet to send.
        MAX_TX_SIZE: u32 = 0xFFFF => "XEN_NETIF_MAX_TX_SIZE";
        /// Types of extra infos, the invalid one included.
        EXTRA_TYPE_MAX: u8 = 5 => "XEN_NETIF_EXTRA_TYPE_MAX";
        /// Another extra info follows.
        EXTRA_FLAG_MORE: u8 = 1 => "XEN_NETIF_EXTRA_FLAG_MORE";
        /// Bytes of a transmit ring's entry.
        TX_ENTRY_SIZE: usize = 12 => "sizeof(union netif_tx_sring_entry)";
        /// Bytes of a receive ring's entry.
        RX_ENTRY_SIZE: usize = 8 => "sizeof(union netif_rx_sring_entry)";
        /// Bytes of a control ring's entry.
        CTRL_ENTRY_SIZE: usize = 16 => "sizeof(union xen_netif_ctrl_sring_entry)";
    }
    layouts {
        TxRequest = "struct netif_tx_request", 12 {
            gref @ 0, offset @ 4, flags @ 6, id @ 8, size @ 10,
        }
        TxResponse = "struct netif_tx_response", 4 { id @ 0, status @ 2 }
        RxRequest = "struct netif_rx_request", 8 { id @ 0, pad @ 2, gref @ 4 }
        RxResponse = "struct netif_rx_response", 8 { id @ 0, offset @ 2, flags @ 4, status @ 6 }
        ExtraInfo = "struct netif_extra_info", 8 { kind as "type" @ 0, flags @ 1, data as "u" @ 2 }
        ExtraGso = "struct netif_extra_info", 8 {
            kind as "type" @ 0, flags @ 1, size as "u.gso.size" @ 2, gso_type as "u.gso.type" @ 4,
            features as "u.gso.features" @ 6,
        }
        ExtraMcast = "struct netif_extra_info", 8 {
            kind as "type" @ 0, flags @ 1, addr as "u.mcast.addr" @ 2,
        }
        ExtraHash = "struct netif_extra_info", 8 {
            kind as "type" @ 0, flags @ 1, hash_kind as "u.hash.type" @ 2,
            algorithm as "u.hash.algorithm" @ 3, value as "u.hash.value" @ 4,
        }
        CtrlRequest = "struct xen_netif_ctrl_request", 16 {
            id @ 0, kind as "type" @ 2, data @ 4,
        }
        CtrlResponse = "struct xen_netif_ctrl_response", 12 {
            id @ 0, kind as "type" @ 2, status @ 4, data @ 8,
        }
    }
}

/// The bits of this module's flags, as [`facts`](crate::facts) has them.
pub const FLAG_FACTS: &[crate::Fact] = &[
    flag("NETTXF_csum_blank", TxFlags::CSUM_BLANK.bits() as i64),
    flag(
        "NETTXF_data_validated",
        TxFlags::DATA_VALIDATED.bits() as i64,
    ),
    flag("NETTXF_more_data", TxFlags::MORE_DATA.bits() as i64),
    flag("NETTXF_extra_info", TxFlags::EXTRA_INFO.bits() as i64),
    flag(
        "NETRXF_data_validated",
        RxFlags::DATA_VALIDATED.bits() as i64,
    ),
    flag("NETRXF_csum_blank", RxFlags::CSUM_BLANK.bits() as i64),
    flag("NETRXF_more_data", RxFlags::MORE_DATA.bits() as i64),
    flag("NETRXF_extra_info", RxFlags::EXTRA_INFO.bits() as i64),
    flag("NETRXF_gso_prefix", RxFlags::GSO_PREFIX.bits() as i64),
    flag(
        "XEN_NETIF_CTRL_HASH_TYPE_IPV4",
        HashTypes::IPV4.bits() as i64,
    ),
    flag(
        "XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP",
        HashTypes::IPV4_TCP.bits() as i64,
    ),
    flag(
        "XEN_NETIF_CTRL_HASH_TYPE_IPV6",
        HashTypes::IPV6.bits() as i64,
    ),
    flag(
        "XEN_NETIF_CTRL_HASH_TYPE_IPV6_TCP",
        HashTypes::IPV6_TCP.bits() as i64,
    ),
];

const fn flag(name: &'static str, bits: i64) -> crate::Fact {
    crate::Fact {
        subject: crate::Subject::Value(name),
        claim: crate::Claim::Number(bits),
    }
}
