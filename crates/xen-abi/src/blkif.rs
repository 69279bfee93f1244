//! Block device protocol (`io/blkif.h`).
//!
//! Sectors in requests and segments are 512 bytes, whatever `sector-size` says: `blkif.h` was reconciled so
//! in September 2024 (Xen commit 221f2748e8). Backends with a larger sector size that count otherwise refuse a
//! frontend that does not set `feature-large-sector-size`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes of a sector on the ring.
pub const SECTOR_SIZE: u32 = 512;
/// Sectors of a page.
pub const SECTORS_PER_PAGE: u8 = 8;

open_enum! {
    /// What a request asks for (`BLKIF_OP_*`).
    Operation(u8) {
        /// Read.
        READ = 0 => "BLKIF_OP_READ";
        /// Write.
        WRITE = 1 => "BLKIF_OP_WRITE";
        /// Write, after all before it and before all after it.
        WRITE_BARRIER = 2 => "BLKIF_OP_WRITE_BARRIER";
        /// Make all completed writes durable.
        FLUSH_DISKCACHE = 3 => "BLKIF_OP_FLUSH_DISKCACHE";
        /// Sectors are no longer needed.
        DISCARD = 5 => "BLKIF_OP_DISCARD";
        /// The segments are in pages of their own.
        INDIRECT = 6 => "BLKIF_OP_INDIRECT";
    }
}

open_enum! {
    /// How a request ended (`BLKIF_RSP_*`).
    Status(i16) {
        /// Done.
        OKAY = 0 => "BLKIF_RSP_OKAY";
        /// Failed.
        ERROR = -1 => "BLKIF_RSP_ERROR";
        /// Not supported.
        EOPNOTSUPP = -2 => "BLKIF_RSP_EOPNOTSUPP";
    }
}

/// A part of one granted page (`struct blkif_request_segment`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct Segment {
    /// Reference of the page.
    pub gref: u32,
    /// First sector, 0 to 7.
    pub first_sect: u8,
    /// Last sector, inclusive, 0 to 7.
    pub last_sect: u8,
    /// Padding.
    pub pad: u16,
}

/// A direct request (`struct blkif_request`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Request {
    /// Read, write, barrier or flush.
    pub operation: Operation,
    /// Segments in use.
    pub nr_segments: u8,
    /// The device's number.
    pub handle: u16,
    /// Padding.
    pub pad: u32,
    /// Echoed in the response.
    pub id: u64,
    /// First sector on the disk.
    pub sector_number: u64,
    /// Where the data is.
    pub seg: [Segment; MAX_SEGMENTS_PER_REQUEST],
}

/// A discard (`struct blkif_request_discard`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RequestDiscard {
    /// [`Operation::DISCARD`].
    pub operation: Operation,
    /// [`DISCARD_SECURE`] or zero.
    pub flag: u8,
    /// The device's number.
    pub handle: u16,
    /// Padding.
    pub pad: u32,
    /// Echoed in the response.
    pub id: u64,
    /// First sector on the disk.
    pub sector_number: u64,
    /// Sectors.
    pub nr_sectors: u64,
}

/// A request whose segments are in pages of their own (`struct blkif_request_indirect`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct RequestIndirect {
    /// [`Operation::INDIRECT`].
    pub operation: Operation,
    /// Read or write.
    pub indirect_op: Operation,
    /// Segments in use.
    pub nr_segments: u16,
    /// Padding.
    pub pad0: u32,
    /// Echoed in the response.
    pub id: u64,
    /// First sector on the disk.
    pub sector_number: u64,
    /// The device's number.
    pub handle: u16,
    /// Padding.
    pub pad1: u16,
    /// References of the pages of [`Segment`]s.
    pub indirect_grefs: [u32; MAX_INDIRECT_PAGES_PER_REQUEST],
    /// Padding to the size of the C struct.
    pub pad2: u32,
}

/// A response (`struct blkif_response`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Response {
    /// Of the request.
    pub id: u64,
    /// Of the request.
    pub operation: Operation,
    /// Padding.
    pub pad0: u8,
    /// How it ended.
    pub status: Status,
    /// Padding.
    pub pad1: u32,
}

abi! {
    constants {
        /// Segments of a direct request.
        MAX_SEGMENTS_PER_REQUEST: usize = 11 => "BLKIF_MAX_SEGMENTS_PER_REQUEST";
        /// Pages of segments of an indirect request.
        MAX_INDIRECT_PAGES_PER_REQUEST: usize = 8 => "BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST";
        /// Make discarded data unrecoverable.
        DISCARD_SECURE: u8 = 1 => "BLKIF_DISCARD_SECURE";
        /// `info`: a CD-ROM.
        VDISK_CDROM: u32 = 1 => "VDISK_CDROM";
        /// `info`: removable.
        VDISK_REMOVABLE: u32 = 2 => "VDISK_REMOVABLE";
        /// `info`: read-only.
        VDISK_READONLY: u32 = 4 => "VDISK_READONLY";
        /// Bytes of a ring's entry: the larger of request and response.
        RING_ENTRY_SIZE: usize = 112 => "sizeof(union blkif_sring_entry)";
    }
    text {
        /// The `protocol` key of a 64-bit x86 guest.
        PROTOCOL = "x86_64-abi" => "XEN_IO_PROTO_ABI_X86_64";
    }
    layouts {
        Segment = "struct blkif_request_segment", 8 { gref @ 0, first_sect @ 4, last_sect @ 5 }
        Request = "struct blkif_request", 112 {
            operation @ 0, nr_segments @ 1, handle @ 2, id @ 8, sector_number @ 16, seg @ 24,
        }
        RequestDiscard = "struct blkif_request_discard", 32 {
            operation @ 0, flag @ 1, handle @ 2, id @ 8, sector_number @ 16, nr_sectors @ 24,
        }
        RequestIndirect = "struct blkif_request_indirect", 64 {
            operation @ 0, indirect_op @ 1, nr_segments @ 2, id @ 8, sector_number @ 16, handle @ 24,
            indirect_grefs @ 28,
        }
        Response = "struct blkif_response", 16 { id @ 0, operation @ 8, status @ 10 }
    }
}

/// [`Segment`]s in a page of an indirect request.
pub const SEGMENTS_PER_INDIRECT_PAGE: usize = crate::PAGE_SIZE / size_of::<Segment>();
