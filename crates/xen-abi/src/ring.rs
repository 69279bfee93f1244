//! Shared rings of requests and responses (`io/ring.h`).

use core::sync::atomic::{AtomicU8, AtomicU32};

/// Head of a ring page (what precedes `ring[]` in the structs that `DEFINE_RING_TYPES` makes).
///
/// Indexes run freely and wrap at 2^32; an entry's slot is its index modulo the number of entries.
#[derive(Debug)]
#[repr(C)]
pub struct SringHeader {
    /// Requests produced: written by the frontend.
    pub req_prod: AtomicU32,
    /// The backend wants an event when a request with this index is produced.
    pub req_event: AtomicU32,
    /// Responses produced: written by the backend.
    pub rsp_prod: AtomicU32,
    /// The frontend wants an event when a response with this index is produced.
    pub rsp_event: AtomicU32,
    /// Private to protocols, and padding.
    pub pad: [AtomicU8; 48],
}

impl Default for SringHeader {
    fn default() -> Self {
        Self {
            req_prod: AtomicU32::new(0),
            req_event: AtomicU32::new(0),
            rsp_prod: AtomicU32::new(0),
            rsp_event: AtomicU32::new(0),
            pad: [const { AtomicU8::new(0) }; 48],
        }
    }
}

/// Entries of `entry_size` bytes in a ring of `bytes` bytes: the largest power of two that fits (`__RING_SIZE`).
pub const fn entries(bytes: usize, entry_size: usize) -> u32 {
    let room = bytes.saturating_sub(size_of::<SringHeader>());
    match room.checked_div(entry_size) {
        None | Some(0) => 0,
        Some(count) => 1 << count.ilog2(),
    }
}

abi! {
    constants {}
    layouts {
        SringHeader = "struct { char head[offsetof(struct blkif_sring, ring)]; }", 64 {}
    }
}

const _: () = assert!(core::mem::offset_of!(SringHeader, rsp_event) == 12);
