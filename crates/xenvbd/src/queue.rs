//! What a disk's queue needs of Windows and of the bus: memory, grants, copies.

use core::ffi::c_void;
use core::sync::atomic::AtomicU32;

use scsi_disk::unmap::{Bounds, List};
use storport_sys::srb::STOR_SCATTER_GATHER_LIST;
use wdm::alloc::Shared;
use wdm::pages::{PAGE_SIZE, Pages};
use xen_blkfront::grant::{Access, Client, Cursor, Fragment, Host, Sectors, StillInUse};
use xen_blkfront::queue::Capacity;
use xen_blkfront::ring::RingMemory;
use xenbus_client::granter::{self, Grant, Granter};

use crate::srb::Srb;

/// Sizes of a disk's tables. StorPort sends a unit at most [`DEPTH`] requests at once.
pub const CAPACITY: Capacity = Capacity {
    transfers: 272,
    requests: 512,
    segments: 4096,
    pages: 96,
};
/// Requests that StorPort may have under way at a unit.
pub const DEPTH: u32 = 254;
/// The flush that the driver itself submits before it closes a connection.
pub const OWN_FLUSH: Client = Client(0);

/// A request's own memory, behind its SRB; zeroed by BuildIo.
#[repr(C)]
pub struct Context {
    /// The SRB.
    pub srb: Option<Srb>,
    /// Its scatter list, if it has data.
    pub list: *const STOR_SCATTER_GATHER_LIST,
    /// Its data in the system's address space, if anything has to be copied.
    pub system: *mut u8,
    /// Bytes at `system`.
    pub system_length: u32,
    /// Bytes to transfer.
    pub length: u32,
    /// What it is, for the sense data of a failure.
    pub operation: Operation,
    /// Bytes of an UNMAP parameter list.
    pub unmap_length: u16,
    /// What that list is checked against.
    pub unmap_bounds: Bounds,
    /// A logical block is 2^this sectors of 512 bytes.
    pub block_shift: u8,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Operation {
    /// Read.
    Read,
    /// Write.
    Write,
    /// Make writes durable.
    Flush,
    /// Discard.
    Unmap,
}

/// The context behind a client's name.
pub fn context<'a>(client: Client) -> Option<&'a Context> {
    let pointer = core::ptr::with_exposed_provenance::<Context>(client.0);
    // SAFETY: a client other than our own flush is the exposed address of the context of an SRB that is not completed.
    unsafe { pointer.as_ref() }
}

/// A ring's pages, shared with the backend and with the thread that ends their grants.
pub struct RingPages(pub Shared<Pages>);

impl RingMemory for RingPages {
    fn words(&self) -> &[AtomicU32] {
        words(self.0.as_ptr().as_ptr(), self.0.count())
    }
}

fn words<'a>(first: *mut u8, pages: usize) -> &'a [AtomicU32] {
    // SAFETY: whole pages, aligned and alive as long as their owner, read and written as atomics only.
    unsafe { core::slice::from_raw_parts(first.cast(), pages * PAGE_SIZE / 4) }
}

/// The machine, as a queue sees it.
pub struct Machine {
    granter: Shared<Granter>,
    /// The backend's domain.
    pub domain: u16,
    own: Pages,
}

impl Machine {
    /// `own` has as many pages as [`CAPACITY`] says.
    pub fn new(granter: Shared<Granter>, own: Pages) -> Self {
        Self {
            granter,
            domain: 0,
            own,
        }
    }

    /// The `index`-th element of a request's scatter list.
    fn element(context: &Context, index: u32) -> Option<(u64, u32)> {
        if context.list.is_null() {
            return None;
        }
        // SAFETY: StorPort's list, valid until the SRB is completed.
        let count = unsafe { (*context.list).NumberOfElements };
        if index >= count {
            return None;
        }
        // SAFETY: as above.
        let first = unsafe { &raw const (*context.list).List }
            .cast::<storport_sys::srb::STOR_SCATTER_GATHER_ELEMENT>();
        // SAFETY: the list has that many elements.
        let element = unsafe { first.add(index as usize) };
        // SAFETY: as above.
        let element = unsafe { element.read() };
        Some((element.PhysicalAddress.cast_unsigned(), element.Length))
    }

    /// Whether all of a request's memory is made of whole blocks of so many bytes.
    pub fn is_aligned(context: &Context, block: u64) -> bool {
        let mut index = 0;
        while let Some((address, length)) = Self::element(context, index) {
            if !address.is_multiple_of(block) || !u64::from(length).is_multiple_of(block) {
                return false;
            }
            index += 1;
        }
        true
    }

    /// The bytes of a transfer and of an own page, if both have so many.
    fn both(
        &self,
        client: Client,
        offset: u32,
        page: u16,
        length: u32,
    ) -> Option<(*mut u8, *mut u8)> {
        let context = context(client)?;
        let end = offset.checked_add(length)?;
        if context.system.is_null() || end > context.system_length || length as usize > PAGE_SIZE {
            return None;
        }
        let own = self.own.page(usize::from(page))?.as_ptr();
        // SAFETY: within the bytes that StorPort mapped.
        Some((unsafe { context.system.add(offset as usize) }, own))
    }
}

impl Host for Machine {
    type Grant = Grant;

    fn grant(&mut self, frame: u64, access: Access) -> Option<Grant> {
        let access = match access {
            Access::ReadOnly => granter::Access::ReadOnly,
            Access::ReadWrite => granter::Access::ReadWrite,
        };
        self.granter.grant(self.domain, frame, access)
    }

    fn reference(&self, grant: Grant) -> u32 {
        self.granter.reference(grant)
    }

    fn end(&mut self, grant: Grant) -> Result<(), StillInUse> {
        self.granter.end(grant).map_err(|_| StillInUse)
    }

    fn page_frame(&self, page: u16) -> u64 {
        self.own
            .pfn(usize::from(page))
            .map_or(0, |frame| frame as u64)
    }

    fn page(&self, page: u16) -> &[AtomicU32] {
        self.own
            .page(usize::from(page))
            .map_or(&[], |first| words(first.as_ptr(), 1))
    }

    fn fragment(&self, client: Client, at: Cursor) -> Option<Fragment> {
        let (address, length) = Self::element(context(client)?, at.element)?;
        let offset = at.offset.min(length);
        Some(Fragment {
            address: address + u64::from(offset),
            length: length - offset,
        })
    }

    fn discard(&self, client: Client, index: u32) -> Option<Sectors> {
        let context = context(client)?;
        let srb = context.srb?;
        // SAFETY: the SRB is not completed; the slice is used here alone.
        let data: &[u8] = unsafe { srb.data() };
        // The list was checked against the disk when the request came; its memory may be the user's, so it is checked
        // again by the same rules whenever it is read.
        let list = List::parse(context.unmap_bounds, data, context.unmap_length).ok()?;
        let extent = list.extents().nth(index as usize)?;
        let shift = context.block_shift;
        Some(Sectors {
            first: extent.lba << shift,
            count: u64::from(extent.blocks) << shift,
        })
    }

    fn copy_in(&mut self, client: Client, offset: u32, page: u16, length: u32) -> bool {
        let Some((data, own)) = self.both(client, offset, page, length) else {
            return false;
        };
        // SAFETY: so many bytes of the transfer and of the page, which do not overlap.
        unsafe { own.copy_from_nonoverlapping(data, length as usize) };
        true
    }

    fn copy_out(&mut self, client: Client, offset: u32, page: u16, length: u32) -> bool {
        let Some((data, own)) = self.both(client, offset, page, length) else {
            return false;
        };
        // SAFETY: so many bytes of the transfer and of the page, which do not overlap.
        unsafe { data.copy_from_nonoverlapping(own, length as usize) };
        true
    }
}

/// The adapter's extension, as StorPort's routines take it.
#[derive(Clone, Copy)]
pub struct Extension(pub *mut c_void);

// SAFETY: StorPort's routines take it on any thread.
unsafe impl Send for Extension {}
// SAFETY: as above.
unsafe impl Sync for Extension {}
