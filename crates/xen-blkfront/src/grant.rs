//! What a queue needs of the machine: grants, own pages, and the pages of the transfers it is given.

use core::sync::atomic::AtomicU32;

/// Bytes of a page.
pub const PAGE_SIZE: u32 = 4096;

/// What a backend may do with a granted page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    ReadOnly,
    /// Read and write it.
    ReadWrite,
}

/// The backend still has the page mapped: it must not be used for anything else yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the grant is still in use by the backend")]
pub struct StillInUse;

/// A transfer's name, chosen by the driver (the address of its request, for instance). A queue only hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client(pub usize);

/// A position in a transfer's memory: an element of its scatter list and a byte within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// Element of the list.
    pub element: u32,
    /// Byte of the element.
    pub offset: u32,
}

/// A physically contiguous piece of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Physical address.
    pub address: u64,
    /// Bytes; none only at an element of length zero.
    pub length: u32,
}

/// A run of sectors of 512 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sectors {
    /// First sector.
    pub first: u64,
    /// Sectors.
    pub count: u64,
}

/// The machine, as a queue sees it. Every call is made with the queue's lock held, so none may block.
pub trait Host {
    /// A grant that was made; what ends it.
    type Grant: Copy;

    /// Grants the page frame `frame` to the backend's domain. `None`: no grant is free now.
    fn grant(&mut self, frame: u64, access: Access) -> Option<Self::Grant>;

    /// The reference of a grant.
    fn reference(&self, grant: Self::Grant) -> u32;

    /// Ends a grant.
    ///
    /// # Errors
    /// The backend still uses the page; the grant stays as it is and may be ended later.
    fn end(&mut self, grant: Self::Grant) -> Result<(), StillInUse>;

    /// Page frame of one of the queue's own pages.
    fn page_frame(&self, page: u16) -> u64;

    /// Contents of one of the queue's own pages.
    fn page(&self, page: u16) -> &[AtomicU32];

    /// The rest of element `at.element` of a transfer's scatter list, from `at.offset` on. `None`: beyond the list.
    fn fragment(&self, client: Client, at: Cursor) -> Option<Fragment>;

    /// The `index`-th extent of a discard. `None`: there are no more.
    fn discard(&self, client: Client, index: u32) -> Option<Sectors>;

    /// Copies `length` bytes of a transfer, from byte `offset` on, to the start of an own page. False: not possible.
    fn copy_in(&mut self, client: Client, offset: u32, page: u16, length: u32) -> bool;

    /// Copies `length` bytes from the start of an own page to byte `offset` of a transfer. False: not possible.
    fn copy_out(&mut self, client: Client, offset: u32, page: u16, length: u32) -> bool;
}
