//! The data of NET_BUFFERs: where it begins, and copies of it.

use crate::nt::ke::PVOID;
use crate::nt::mm::MDL;
use crate::nt::ndis::*;
use crate::storport::os::{
    IoAllocateMdl, IoFreeMdl, MmBuildMdlForNonPagedPool, mdl_system_address, mdl_va,
};

use super::{chain, memory};

/// Points a buffer's CurrentMdl and CurrentMdlOffset to where its DataOffset leads.
///
/// # Safety
/// The buffer and its MDLs are valid.
pub(super) unsafe fn set_current(nb: *mut NET_BUFFER) {
    // SAFETY: by the caller's word.
    unsafe {
        let mut left = (*nb).DataOffset;
        let mut at = (*nb).MdlChain;
        while !at.is_null() && left >= (*at).ByteCount && !(*at).Next.is_null() {
            left -= (*at).ByteCount;
            at = (*at).Next;
        }
        (*nb).CurrentMdl = at;
        (*nb).CurrentMdlOffset = left;
    }
}

/// The pieces of a buffer's data: mapped addresses and lengths. It ends early where an MDL cannot be mapped.
///
/// # Safety
/// The buffer and its MDLs are valid, and stay so while the pieces are used.
pub(super) unsafe fn pieces(nb: *const NET_BUFFER) -> impl Iterator<Item = (*mut u8, usize)> {
    // SAFETY: by the caller's word.
    let (first, mut skip, mut left) = unsafe {
        (
            (*nb).CurrentMdl,
            (*nb).CurrentMdlOffset as usize,
            (*nb).DataLength as usize,
        )
    };
    // SAFETY: by the caller's word.
    let mut mdls = unsafe { chain::mdls(first) };
    core::iter::from_fn(move || {
        while left != 0 {
            let mdl = mdls.next()?;
            // SAFETY: by the caller's word.
            let count = unsafe { (*mdl).ByteCount as usize };
            let from = core::mem::take(&mut skip);
            let n = count.saturating_sub(from).min(left);
            if n == 0 {
                continue;
            }
            // SAFETY: the MDL describes nonpaged or locked memory.
            let at = unsafe { mdl_system_address(mdl) };
            if at.is_null() {
                return None;
            }
            left -= n;
            // SAFETY: within the MDL.
            return Some((unsafe { at.add(from) }, n));
        }
        None
    })
}

/// Copies data out, from `offset` bytes behind its beginning on; says how many bytes there were.
///
/// # Safety
/// As for [`pieces`].
pub(crate) unsafe fn copy_out(nb: *const NET_BUFFER, offset: usize, to: &mut [u8]) -> usize {
    let (mut skip, mut done) = (offset, 0);
    // SAFETY: by the caller's word.
    for (at, length) in unsafe { pieces(nb) } {
        let from = skip.min(length);
        skip -= from;
        let n = (length - from).min(to.len() - done);
        // SAFETY: the piece is readable; the destination is as long.
        unsafe { core::ptr::copy_nonoverlapping(at.add(from), to[done..].as_mut_ptr(), n) };
        done += n;
        if done == to.len() {
            break;
        }
    }
    done
}

/// NdisAllocateMdl: for nonpaged memory. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisAllocateMdl(
    _owner: PVOID,
    at: PVOID,
    length: u32,
) -> *mut MDL {
    let mdl = IoAllocateMdl(at, length, 0, 0, core::ptr::null_mut());
    if !mdl.is_null() {
        MmBuildMdlForNonPagedPool(mdl);
    }
    mdl
}

/// NdisFreeMdl. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisFreeMdl(mdl: *mut MDL) {
    IoFreeMdl(mdl);
}

/// NET_BUFFER_FREE_MDL.
type FreeMdl = unsafe extern "win64" fn(mdl: *mut MDL);
/// NET_BUFFER_ALLOCATE_MDL.
type AllocateMdl = unsafe extern "win64" fn(size: *mut u32) -> *mut MDL;

/// NdisAdvanceNetBufferDataStart: the data begins later. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisAdvanceNetBufferDataStart(
    nb: *mut NET_BUFFER,
    delta: u32,
    free: u8,
    free_mdl: Option<FreeMdl>,
) {
    (*nb).DataOffset += delta;
    (*nb).DataLength -= delta;
    loop {
        let first = (*nb).MdlChain;
        let before = free != 0
            && !first.is_null()
            && (*nb).DataOffset >= (*first).ByteCount
            && !(*first).Next.is_null();
        if !before {
            break;
        }
        (*nb).DataOffset -= (*first).ByteCount;
        (*nb).MdlChain = (*first).Next;
        match free_mdl {
            Some(free_mdl) => free_mdl(first),
            None => free_own(first),
        }
    }
    set_current(nb);
}

/// Frees an MDL and the memory that NdisRetreatNetBufferDataStart allocated for it.
unsafe fn free_own(mdl: *mut MDL) {
    let at = mdl_va(mdl);
    IoFreeMdl(mdl);
    memory::free(at as PVOID);
}

/// NdisRetreatNetBufferDataStart: the data begins earlier; where there is no room before it a new MDL is put in front, with
/// `backfill` more bytes. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisRetreatNetBufferDataStart(
    nb: *mut NET_BUFFER,
    delta: u32,
    backfill: u32,
    allocate: Option<AllocateMdl>,
) -> NDIS_STATUS {
    if (*nb).DataOffset >= delta {
        (*nb).DataOffset -= delta;
    } else {
        // What room there is in front of the data is used, too, so that the chain stays without a gap.
        let missing = delta - (*nb).DataOffset;
        let mut size = missing.saturating_add(backfill);
        let mdl = match allocate {
            Some(allocate) => allocate(&mut size),
            None => new_mdl(size),
        };
        if mdl.is_null() || size < missing {
            return NDIS_STATUS_RESOURCES;
        }
        (*mdl).Next = (*nb).MdlChain;
        (*nb).MdlChain = mdl;
        (*nb).DataOffset = size - missing;
    }
    (*nb).DataLength += delta;
    set_current(nb);
    NDIS_STATUS_SUCCESS
}

unsafe fn new_mdl(size: u32) -> *mut MDL {
    let at = memory::allocate(size as usize);
    if at.is_null() {
        return core::ptr::null_mut();
    }
    let mdl = NdisAllocateMdl(core::ptr::null_mut(), at, size);
    if mdl.is_null() {
        memory::free(at);
    }
    mdl
}

/// NdisAdvanceNetBufferListDataStart: of every buffer. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisAdvanceNetBufferListDataStart(
    list: *mut NET_BUFFER_LIST,
    delta: u32,
    free: u8,
    free_mdl: Option<FreeMdl>,
) {
    for nb in chain::buffers(list) {
        NdisAdvanceNetBufferDataStart(nb, delta, free, free_mdl);
    }
}

/// NdisRetreatNetBufferListDataStart: of every buffer, or of none. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisRetreatNetBufferListDataStart(
    list: *mut NET_BUFFER_LIST,
    delta: u32,
    backfill: u32,
    allocate: Option<AllocateMdl>,
    free_mdl: Option<FreeMdl>,
) -> NDIS_STATUS {
    for nb in chain::buffers(list) {
        let status = NdisRetreatNetBufferDataStart(nb, delta, backfill, allocate);
        if status != NDIS_STATUS_SUCCESS {
            for done in chain::buffers(list).take_while(|b| *b != nb) {
                NdisAdvanceNetBufferDataStart(done, delta, 1, free_mdl);
            }
            return status;
        }
    }
    NDIS_STATUS_SUCCESS
}

/// NdisGetDataBuffer: the first `needed` bytes, in place where they lie together and are aligned as asked, else copied to
/// `storage`. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisGetDataBuffer(
    nb: *const NET_BUFFER,
    needed: u32,
    storage: PVOID,
    multiple: u32,
    offset: u32,
) -> PVOID {
    let null = core::ptr::null_mut();
    if needed == 0 || (*nb).DataLength < needed {
        return null;
    }
    let Some((at, length)) = pieces(nb).next() else {
        return null;
    };
    let aligned = multiple <= 1 || (at as usize) % multiple as usize == offset as usize;
    if length >= needed as usize && aligned {
        return at.cast();
    }
    if storage.is_null() {
        return null;
    }
    let to = core::slice::from_raw_parts_mut(storage.cast::<u8>(), needed as usize);
    if copy_out(nb, 0, to) == needed as usize {
        storage
    } else {
        null
    }
}

/// NdisCopyFromNetBufferToNetBuffer. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisCopyFromNetBufferToNetBuffer(
    to: *mut NET_BUFFER,
    to_offset: u32,
    count: u32,
    from: *const NET_BUFFER,
    from_offset: u32,
    copied: *mut u32,
) -> NDIS_STATUS {
    let mut skip = to_offset as usize;
    let mut at = from_offset as usize;
    let mut left = count as usize;
    for (piece, length) in pieces(to) {
        let before = skip.min(length);
        skip -= before;
        let room = (length - before).min(left);
        let into = core::slice::from_raw_parts_mut(piece.add(before), room);
        let n = copy_out(from, at, into);
        at += n;
        left -= n;
        if n < room || left == 0 {
            break;
        }
    }
    copied.write(count - left as u32);
    NDIS_STATUS_SUCCESS
}
