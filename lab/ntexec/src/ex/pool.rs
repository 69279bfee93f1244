//! Pool. <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-exallocatepoolwithtag>
//!
//! As Windows promises: blocks below a page are aligned to 16 bytes and do not cross a page, larger ones begin on a page.
//! As Driver Verifier does, the executive checks: each block counts for its driver and tag; what lies behind it is a
//! pattern that must be there when it is freed; freed blocks are filled, rest for a while, and must still be so filled
//! when they are given out again; a block is freed once, with its tag. Memory that is not asked to be zero is filled.

use super::super::check;
use crate::kd::modules;
use crate::machine::{PAGE_SIZE, Protection};
use crate::mm::{self, phys, va};
use crate::nt::ke::{DISPATCH_LEVEL, PVOID};
use crate::sync::Lock;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use lab_protocol::record::PoolLeak;

/// `NonPagedPoolNx`.
pub const NON_PAGED_POOL_NX: u32 = 0x200;
const PAGED_POOL: u32 = 1;
const POOL_FLAG_UNINITIALIZED: u64 = 2;
const POOL_FLAG_PAGED: u64 = 0x100;
const POOL_FLAG_KINDS: u64 = 0x40 | 0x80 | 0x100;

/// Sizes of small blocks.
const CLASSES: [usize; 8] = [32, 64, 128, 256, 512, 1024, 2048, 4096];
/// Guard bytes that a small block has at least.
const GUARD: usize = 8;
/// Freed blocks of a class that rest before one is given out again.
const REST: usize = 64;
const FRESH: u8 = 0xCD;
const FREED: u8 = 0xDE;
const BEYOND: u8 = 0xFB;

/// Where a block came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Home {
    /// A class of small blocks.
    Class(usize),
    /// A run of pages in the direct map.
    Run { pa: u64, pages: usize },
    /// Single pages, mapped.
    Mapped { pages: usize },
}

#[derive(Clone, Copy, Debug)]
struct Block {
    size: usize,
    tag: u32,
    driver: u32,
    caller: usize,
    paged: bool,
    home: Home,
}

struct Pool {
    blocks: BTreeMap<usize, Block>,
    free: [VecDeque<usize>; CLASSES.len()],
    fresh: [Vec<usize>; CLASSES.len()],
    /// The last blocks freed, to name who freed what is freed again.
    freed: VecDeque<(usize, Block, usize)>,
}

static POOL: Lock<Pool> = Lock::new(Pool {
    blocks: BTreeMap::new(),
    free: [const { VecDeque::new() }; CLASSES.len()],
    fresh: [const { Vec::new() }; CLASSES.len()],
    freed: VecDeque::new(),
});

fn class_for(size: usize) -> Option<usize> {
    if size >= PAGE_SIZE {
        return None;
    }
    CLASSES
        .iter()
        .position(|&c| c >= size + GUARD || (c == PAGE_SIZE && c >= size))
}

/// A tag's four characters.
pub fn tag_name(tag: u32) -> String {
    tag.to_le_bytes()
        .iter()
        .map(|&b| {
            if b.is_ascii_graphic() || b == b' ' {
                char::from(b)
            } else {
                '.'
            }
        })
        .collect()
}

enum Found {
    Block(usize),
    Spoiled(usize),
}

impl Pool {
    /// A block of a class; one that rested is looked at.
    fn small(&mut self, class: usize) -> Option<Found> {
        if self.free[class].len() > REST
            && let Some(block) = self.free[class].pop_front()
        {
            // SAFETY: a free block of the class's size, ours.
            let bytes = unsafe { core::slice::from_raw_parts(block as *const u8, CLASSES[class]) };
            let intact = bytes.iter().all(|&b| b == FREED);
            return Some(if intact {
                Found::Block(block)
            } else {
                Found::Spoiled(block)
            });
        }
        if self.fresh[class].is_empty() {
            let page = mm::direct(phys::allocate_page()?) as usize;
            self.fresh[class]
                .extend((0..PAGE_SIZE / CLASSES[class]).map(|i| page + i * CLASSES[class]));
        }
        self.fresh[class].pop().map(Found::Block)
    }
}

fn large(size: usize) -> Option<(usize, Home)> {
    let pages = size.div_ceil(PAGE_SIZE);
    if let Some(pa) = phys::allocate(&phys::Request::any(pages)) {
        return Some((mm::direct(pa) as usize, Home::Run { pa, pages }));
    }
    let va = va::reserve(pages);
    va::populate(va, pages, Protection::ReadWrite).ok()?;
    Some((va, Home::Mapped { pages }))
}

fn place(size: usize) -> Option<(usize, Home)> {
    let Some(class) = class_for(size) else {
        return large(size);
    };
    let found = POOL.lock().small(class)?;
    if let Found::Spoiled(block) = found {
        check::violation(
            "freed pool is not written to",
            format_args!("{block:#x} of {} bytes", CLASSES[class]),
        );
    }
    let (Found::Block(block) | Found::Spoiled(block)) = found;
    Some((block, Home::Class(class)))
}

fn room(block: &Block) -> usize {
    match block.home {
        Home::Class(class) => CLASSES[class],
        Home::Run { pages, .. } | Home::Mapped { pages } => pages * PAGE_SIZE,
    }
}

/// Allocates for the driver that the code at `caller` belongs to. At most DISPATCH_LEVEL.
pub fn allocate(size: usize, tag: u32, zero: bool, paged: bool, caller: usize) -> PVOID {
    let size = size.max(1);
    let Some((address, home)) = place(size) else {
        return core::ptr::null_mut();
    };
    let block = Block {
        size,
        tag,
        driver: modules::driver_of(caller),
        caller,
        paged,
        home,
    };
    let p = address as *mut u8;
    // SAFETY: the block is ours and as large as `room` says.
    unsafe {
        p.write_bytes(if zero { 0 } else { FRESH }, size);
        p.add(size).write_bytes(BEYOND, room(&block) - size);
    }
    POOL.lock().blocks.insert(address, block);
    address as PVOID
}

/// Is the guard behind the block as it was left?
fn intact(address: usize, block: &Block) -> bool {
    let len = room(block) - block.size;
    // SAFETY: the block's own memory.
    let guard = unsafe { core::slice::from_raw_parts((address + block.size) as *const u8, len) };
    guard.iter().all(|&b| b == BEYOND)
}

fn take(address: usize, caller: usize) -> Option<Block> {
    let mut pool = POOL.lock();
    let block = pool.blocks.remove(&address)?;
    if pool.freed.len() >= 256 {
        pool.freed.pop_front();
    }
    pool.freed.push_back((address, block, caller));
    Some(block)
}

fn report_bad_free(address: usize, caller: usize) {
    let before = POOL
        .lock()
        .freed
        .iter()
        .rev()
        .find(|f| f.0 == address)
        .copied();
    match before {
        Some((_, block, by)) => check::violation(
            "pool is freed once",
            format_args!(
                "{address:#x} tag {} was freed by {by:#x}, now by {caller:#x}",
                tag_name(block.tag)
            ),
        ),
        None => check::violation(
            "what is freed to pool came from it",
            format_args!("{address:#x}, by {caller:#x}"),
        ),
    }
}

fn verify(address: usize, block: &Block, tag: u32) {
    if tag != 0 && tag != block.tag {
        check::violation(
            "pool is freed with the tag that it was allocated with",
            format_args!(
                "{address:#x} has {}, freed with {}",
                tag_name(block.tag),
                tag_name(tag)
            ),
        );
    }
    if !intact(address, block) {
        check::violation(
            "nothing is written behind a pool block",
            format_args!(
                "{address:#x} of {} bytes, tag {}, from {:#x}",
                block.size,
                tag_name(block.tag),
                block.caller
            ),
        );
    }
    if block.paged && crate::ke::KeGetCurrentIrql() >= DISPATCH_LEVEL {
        check::violation(
            "paged pool is freed below DISPATCH_LEVEL",
            format_args!("{address:#x}"),
        );
    }
}

/// Frees a block. At most DISPATCH_LEVEL.
pub fn free(address: PVOID, tag: u32, caller: usize) {
    let address = address as usize;
    let Some(block) = take(address, caller) else {
        return report_bad_free(address, caller);
    };
    verify(address, &block, tag);
    // SAFETY: the block is nobody's now.
    unsafe { (address as *mut u8).write_bytes(FREED, room(&block)) };
    match block.home {
        Home::Class(class) => POOL.lock().free[class].push_back(address),
        Home::Run { pa, pages } => {
            (0..pages).for_each(|i| mm::grants::freeing(pa + (i * PAGE_SIZE) as u64));
            phys::free(pa, pages);
        }
        Home::Mapped { pages } => va::release(address, pages),
    }
}

/// How many leaked blocks are logged with where they were allocated.
const LEAKS_LOGGED: usize = 16;

fn log_leak(address: usize, block: &Block) {
    let (tag, size, caller) = (tag_name(block.tag), block.size, block.caller);
    match modules::find(caller) {
        Some(m) => crate::kd_log!(
            "pool: {size} bytes at {address:#x}, tag {tag}, were allocated by {}+{:#x}",
            m.name(),
            caller - m.base
        ),
        None => crate::kd_log!(
            "pool: {size} bytes at {address:#x}, tag {tag}, were allocated by {caller:#x}"
        ),
    }
}

/// What `driver` has not given back, by tag. Who allocated it is logged, as far as the driver's image is still known.
pub fn leaks(driver: u32) -> Vec<PoolLeak> {
    let mut tags = BTreeMap::<u32, (u64, u64)>::new();
    let mut logged = Vec::new();
    for (&address, block) in POOL
        .lock()
        .blocks
        .iter()
        .filter(|(_, b)| b.driver == driver)
    {
        let t = tags.entry(block.tag).or_default();
        t.0 += 1;
        t.1 += block.size as u64;
        if logged.len() < LEAKS_LOGGED {
            logged.push((address, *block));
        }
    }
    for (address, block) in &logged {
        log_leak(*address, block);
    }
    tags.into_iter()
        .map(|(tag, (blocks, bytes))| PoolLeak {
            tag: tag_name(tag),
            blocks,
            bytes,
        })
        .collect()
}

/// The blocks that `driver` has not given back: address, size, and who allocated.
pub fn leaked_blocks(driver: u32) -> Vec<(usize, usize, usize)> {
    POOL.lock()
        .blocks
        .iter()
        .filter(|(_, b)| b.driver == driver)
        .map(|(&a, b)| (a, b.size, b.caller))
        .collect()
}

/// Pool that `driver` holds: blocks and bytes.
pub fn usage(driver: u32) -> (usize, usize) {
    let pool = POOL.lock();
    pool.blocks
        .values()
        .filter(|b| b.driver == driver)
        .fold((0, 0), |(n, bytes), b| (n + 1, bytes + b.size))
}

/// The pool block that begins at `address`: its size.
pub fn block_size(address: usize) -> Option<usize> {
    POOL.lock().blocks.get(&address).map(|b| b.size)
}

unsafe extern "win64" fn with_tag(
    kind: u32,
    size: usize,
    tag: u32,
    _: usize,
    _: usize,
    _: usize,
    caller: usize,
) -> PVOID {
    allocate(size, tag, false, kind & PAGED_POOL != 0, caller)
}

unsafe extern "win64" fn without_tag(
    kind: u32,
    size: usize,
    _: usize,
    _: usize,
    _: usize,
    _: usize,
    caller: usize,
) -> PVOID {
    allocate(
        size,
        u32::from_le_bytes(*b"enoN"),
        false,
        kind & PAGED_POOL != 0,
        caller,
    )
}

unsafe extern "win64" fn pool2(
    flags: u64,
    size: usize,
    tag: u32,
    _: usize,
    _: usize,
    _: usize,
    caller: usize,
) -> PVOID {
    if size == 0 || tag == 0 || flags & POOL_FLAG_KINDS == 0 {
        return core::ptr::null_mut();
    }
    allocate(
        size,
        tag,
        flags & POOL_FLAG_UNINITIALIZED == 0,
        flags & POOL_FLAG_PAGED != 0,
        caller,
    )
}

unsafe extern "win64" fn free_tag(
    p: PVOID,
    tag: u32,
    _: usize,
    _: usize,
    _: usize,
    _: usize,
    caller: usize,
) {
    free(p, tag, caller);
}

unsafe extern "win64" fn free_any(
    p: PVOID,
    _: usize,
    _: usize,
    _: usize,
    _: usize,
    _: usize,
    caller: usize,
) {
    free(p, 0, caller);
}

crate::with_caller! {
    /// `ExAllocatePoolWithTag`: null without memory. Executable pool is not executable here, as with HVCI.
    fn ExAllocatePoolWithTag(PoolType: u32, NumberOfBytes: usize, Tag: u32) -> PVOID => with_tag;
    /// `ExAllocatePool`.
    fn ExAllocatePool(PoolType: u32, NumberOfBytes: usize) -> PVOID => without_tag;
    /// `ExAllocatePoolWithTagPriority`.
    fn ExAllocatePoolWithTagPriority(PoolType: u32, NumberOfBytes: usize, Tag: u32, Priority: i32) -> PVOID => with_tag;
    /// `ExAllocatePoolWithQuotaTag`: the system process has no quota.
    fn ExAllocatePoolWithQuotaTag(PoolType: u32, NumberOfBytes: usize, Tag: u32) -> PVOID => with_tag;
    /// `ExAllocatePool2`: zeroed unless told otherwise; null for no size, no tag or no kind.
    fn ExAllocatePool2(Flags: u64, NumberOfBytes: usize, Tag: u32) -> PVOID => pool2;
    /// `ExAllocatePool3`: the extended parameters are optional ones.
    fn ExAllocatePool3(Flags: u64, NumberOfBytes: usize, Tag: u32, Parameters: PVOID, Count: u32) -> PVOID => pool2;
    /// `ExFreePoolWithTag`. At most DISPATCH_LEVEL.
    fn ExFreePoolWithTag(P: PVOID, Tag: u32) -> () => free_tag;
    /// `ExFreePool`.
    fn ExFreePool(P: PVOID) -> () => free_any;
    /// `ExFreePool2`.
    fn ExFreePool2(P: PVOID, Tag: u32, Parameters: PVOID, Count: u32) -> () => free_tag;
}

exports! { pub static EXPORTS;
    Ntoskrnl {
        ExAllocatePoolWithTag, ExAllocatePool, ExAllocatePoolWithTagPriority, ExAllocatePoolWithQuotaTag, ExAllocatePool2,
        ExAllocatePool3, ExFreePoolWithTag, ExFreePool, ExFreePool2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_small_block_has_a_guard_and_no_page_is_crossed() {
        for size in 1..PAGE_SIZE {
            let class = CLASSES[class_for(size).unwrap()];
            assert!(class >= size && PAGE_SIZE.is_multiple_of(class));
            assert!(class - size >= GUARD || class == PAGE_SIZE, "{size}");
        }
        assert_eq!(class_for(PAGE_SIZE), None);
    }

    #[test]
    fn a_tag_is_printed_in_memory_order() {
        assert_eq!(tag_name(u32::from_le_bytes(*b"XEN\x01")), "XEN.");
    }
}
