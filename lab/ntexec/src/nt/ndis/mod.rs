//! NDIS' structures and numbers, as miniport drivers see them (NDIS 6.87, x64).

pub mod codes;
pub mod miniport;
pub mod nbl;
pub mod offload;
pub mod oid;

pub use codes::*;
pub use miniport::*;
pub use nbl::*;
pub use offload::*;
pub use oid::*;

/// How an NDIS operation ended: an NTSTATUS, some with values of NDIS' own.
pub type NDIS_STATUS = i32;

/// What most of NDIS' structures begin with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NDIS_OBJECT_HEADER {
    pub Type: u8,
    pub Revision: u8,
    pub Size: u16,
}
assert_layout!(NDIS_OBJECT_HEADER, 4, 2, Type @ 0, Revision @ 1, Size @ 2);

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
