//! What the queues have in common of what they need of the machine.

/// Bytes of a page.
pub const PAGE_SIZE: u32 = 4096;

/// The backend still has the page mapped: it must not be used for anything else yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the grant is still in use by the backend")]
pub struct StillInUse;

/// Grants are left that the backend does not let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the backend still uses {0} granted pages")]
pub struct Held(pub usize);

/// A packet's name, chosen by the driver (the address of its descriptor, for instance). A queue only hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(pub usize);

/// A physically contiguous piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Physical address.
    pub address: u64,
    /// Bytes, one at least.
    pub length: u32,
}
