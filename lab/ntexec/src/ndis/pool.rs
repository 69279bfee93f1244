//! Pools of NET_BUFFER_LISTs and NET_BUFFERs.
//! <https://learn.microsoft.com/windows-hardware/drivers/network/net-buffer-architecture>
//!
//! Each list or buffer is a block of its own, so that what is written behind it or after it was freed is found: a freed
//! block is filled and rests for a while.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::alloc::Layout;

use super::{buffer, rules};
use crate::nt::ke::PVOID;
use crate::nt::mm::MDL;
use crate::nt::ndis::*;
use crate::storport::os::Buffer;
use crate::sync::Lock;

/// Freed blocks of a pool that rest before they go.
const REST: usize = 64;
const FREED: u8 = 0xdd;
const CONTEXT_ALIGNMENT: u16 = 16;

/// What a block of a pool is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A list, with a buffer if the pool gives both
    List { with_buffer: bool },
    /// A buffer
    Buffer,
}

struct Live {
    /// The data that the pool gives with each buffer
    data: Option<Buffer>,
}
// SAFETY: the buffer's memory is its own.
unsafe impl Send for Live {}

struct State {
    live: BTreeMap<usize, Live>,
    resting: VecDeque<usize>,
}

/// A pool. It is never freed, so that a use that comes too late is recognised.
struct Pool {
    owner: usize,
    driver: alloc::string::String,
    kind: Kind,
    context: u16,
    data: u32,
    freed: core::sync::atomic::AtomicBool,
    state: Lock<State>,
}

static POOLS: Lock<Vec<&'static Pool>> = Lock::new(Vec::new());

fn find(handle: PVOID) -> Option<&'static Pool> {
    POOLS
        .lock()
        .iter()
        .copied()
        .find(|p| core::ptr::eq(core::ptr::from_ref(*p).cast(), handle.cast_const()))
}

/// Round up to what blocks begin at.
const fn up(n: usize) -> usize {
    n.next_multiple_of(16)
}

impl Pool {
    fn handle(&self) -> PVOID {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    /// Where a list's context begins, and its buffer.
    fn offsets(&self) -> (usize, usize) {
        let context = up(size_of::<NET_BUFFER_LIST>());
        let head = if self.context == 0 {
            0
        } else {
            size_of::<NET_BUFFER_LIST_CONTEXT>() + usize::from(self.context)
        };
        (context, context + up(head))
    }

    fn layout(&self) -> Layout {
        let size = match self.kind {
            Kind::List { with_buffer } => {
                let (_, buffer) = self.offsets();
                buffer
                    + if with_buffer {
                        size_of::<NET_BUFFER>()
                    } else {
                        0
                    }
            }
            Kind::Buffer => size_of::<NET_BUFFER>(),
        };
        Layout::from_size_align(size, 16).expect("a size of some hundred bytes")
    }

    fn broken(&self, call: &str, what: core::fmt::Arguments<'_>) {
        crate::check::violation_by(&self.driver, call, rules::OBJECT, what);
    }

    /// A zeroed block; its data, if the pool gives some.
    fn allocate(&self, data: Option<Buffer>) -> Option<*mut u8> {
        // SAFETY: the layout has a size.
        let block = unsafe { alloc::alloc::alloc_zeroed(self.layout()) };
        if block.is_null() {
            return None;
        }
        self.state.lock().live.insert(block as usize, Live { data });
        Some(block)
    }

    /// Takes a block back; false, and a broken rule, if it is none of the pool's.
    fn give_back(&self, call: &str, block: usize) -> bool {
        let gone = {
            let mut state = self.state.lock();
            let gone = state.live.remove(&block);
            if gone.is_some() {
                // SAFETY: the block is the pool's, and no one's any more.
                unsafe { core::ptr::write_bytes(block as *mut u8, FREED, self.layout().size()) };
                state.resting.push_back(block);
            }
            gone
        };
        let Some(gone) = gone else {
            self.broken(
                call,
                format_args!("{block:#x} is not of the pool, or was freed before"),
            );
            return false;
        };
        drop(gone.data);
        self.let_go(REST);
        true
    }

    /// Frees resting blocks until `keep` are left, and looks at each: nothing may have been written since.
    fn let_go(&self, keep: usize) {
        loop {
            let block = {
                let mut state = self.state.lock();
                if state.resting.len() <= keep {
                    return;
                }
                state.resting.pop_front()
            };
            let Some(block) = block else { return };
            // SAFETY: the block rested and is freed once.
            unsafe {
                let bytes = core::slice::from_raw_parts(block as *const u8, self.layout().size());
                if bytes.iter().any(|b| *b != FREED) {
                    self.broken(
                        "",
                        format_args!("{block:#x} was written to after it was freed"),
                    );
                }
                alloc::alloc::dealloc(block as *mut u8, self.layout());
            }
        }
    }
}

fn name_of(owner: PVOID) -> alloc::string::String {
    if let Some(adapter) = super::adapter::Adapter::find(owner) {
        return adapter.name.clone();
    }
    super::driver::find(owner).map_or_else(
        || crate::check::calls::current().0,
        |driver| driver.name.clone(),
    )
}

fn create(owner: PVOID, kind: Kind, context: u16, data: u32) -> PVOID {
    let pool: &'static Pool = Box::leak(Box::new(Pool {
        owner: owner as usize,
        driver: name_of(owner),
        kind,
        context,
        data,
        freed: core::sync::atomic::AtomicBool::new(false),
        state: Lock::new(State {
            live: BTreeMap::new(),
            resting: VecDeque::new(),
        }),
    }));
    POOLS.lock().push(pool);
    pool.handle()
}

fn destroy(call: &str, handle: PVOID) {
    use core::sync::atomic::Ordering;
    let Some(pool) = find(handle) else {
        crate::check::violation(rules::OBJECT, format_args!("{call}: {handle:p} is no pool"));
        return;
    };
    if pool.freed.swap(true, Ordering::AcqRel) {
        pool.broken(call, format_args!("the pool is freed twice"));
        return;
    }
    let left = pool.state.lock().live.len();
    if left != 0 {
        pool.broken(
            call,
            format_args!("{left} of the pool's lists or buffers are not freed"),
        );
    }
    pool.let_go(0);
}

/// Pools that a driver or an adapter did not free.
pub(super) fn left(owner: PVOID) -> usize {
    POOLS
        .lock()
        .iter()
        .filter(|p| {
            p.owner == owner as usize && !p.freed.load(core::sync::atomic::Ordering::Acquire)
        })
        .count()
}

fn usable(call: &str, handle: PVOID) -> Option<&'static Pool> {
    let pool = find(handle);
    match pool {
        Some(p) if !p.freed.load(core::sync::atomic::Ordering::Acquire) => Some(p),
        _ => {
            crate::check::violation(
                rules::OBJECT,
                format_args!("{call}: {handle:p} is no pool, or it was freed"),
            );
            None
        }
    }
}

/// NdisAllocateNetBufferListPool. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisAllocateNetBufferListPool(
    owner: PVOID,
    parameters: *const NET_BUFFER_LIST_POOL_PARAMETERS,
) -> PVOID {
    const CALL: &str = "NdisAllocateNetBufferListPool";
    let refuse = |what: &str| {
        crate::check::violation(rules::OBJECT, format_args!("{CALL}: {what}"));
        core::ptr::null_mut()
    };
    let p = &*parameters;
    if p.Header.Type != NDIS_OBJECT_TYPE_DEFAULT
        || p.Header.Size < NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1
    {
        return refuse("the parameters have no header of theirs");
    }
    if !p.ContextSize.is_multiple_of(CONTEXT_ALIGNMENT) {
        return refuse("ContextSize is no multiple of MEMORY_ALLOCATION_ALIGNMENT");
    }
    if p.DataSize != 0 && p.fAllocateNetBuffer == 0 {
        return refuse("DataSize without fAllocateNetBuffer");
    }
    create(
        owner,
        Kind::List {
            with_buffer: p.fAllocateNetBuffer != 0,
        },
        p.ContextSize,
        p.DataSize,
    )
}

/// NdisFreeNetBufferListPool. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisFreeNetBufferListPool(pool: PVOID) {
    destroy("NdisFreeNetBufferListPool", pool);
}

/// NdisAllocateNetBufferPool. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisAllocateNetBufferPool(
    owner: PVOID,
    parameters: *const NET_BUFFER_POOL_PARAMETERS,
) -> PVOID {
    let p = &*parameters;
    if p.Header.Type != NDIS_OBJECT_TYPE_DEFAULT
        || p.Header.Size < NDIS_SIZEOF_NET_BUFFER_POOL_PARAMETERS_REVISION_1
    {
        crate::check::violation(
            rules::OBJECT,
            format_args!("NdisAllocateNetBufferPool: the parameters have no header of theirs"),
        );
        return core::ptr::null_mut();
    }
    create(owner, Kind::Buffer, 0, p.DataSize)
}

/// NdisFreeNetBufferPool. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisFreeNetBufferPool(pool: PVOID) {
    destroy("NdisFreeNetBufferPool", pool);
}

/// Memory for a pool that gives data, or none for one that does not; `None` if memory is short.
fn data_for(pool: &Pool) -> Option<Option<Buffer>> {
    match pool.data {
        0 => Some(None),
        size => Buffer::new(size as usize).map(Some),
    }
}

unsafe fn fill(nb: *mut NET_BUFFER, pool: PVOID, chain: *mut MDL, offset: u32, length: u32) {
    (*nb).NdisPoolHandle = pool;
    (*nb).MdlChain = chain;
    (*nb).DataOffset = offset;
    (*nb).DataLength = length;
    buffer::set_current(nb);
}

unsafe fn list(
    call: &str,
    handle: PVOID,
    context: u16,
    backfill: u16,
    data: (*mut MDL, u32, usize),
    buffer_wanted: bool,
) -> *mut NET_BUFFER_LIST {
    let null = core::ptr::null_mut();
    let Some(pool) = usable(call, handle) else {
        return null;
    };
    let with_buffer = pool.kind == Kind::List { with_buffer: true };
    if pool.kind == Kind::Buffer || buffer_wanted && (!with_buffer || pool.data != 0) {
        pool.broken(
            call,
            format_args!("the pool does not give what is asked for"),
        );
        return null;
    }
    if !context.is_multiple_of(CONTEXT_ALIGNMENT) || !backfill.is_multiple_of(CONTEXT_ALIGNMENT) {
        pool.broken(
            call,
            format_args!("a context size is no multiple of MEMORY_ALLOCATION_ALIGNMENT"),
        );
        return null;
    }
    if context.saturating_add(backfill) > pool.context {
        pool.broken(
            call,
            format_args!(
                "a context of {context} bytes; the pool was made for {}",
                pool.context
            ),
        );
        return null;
    }
    let Some(memory) = data_for(pool) else {
        return null;
    };
    let own = memory.as_ref().map(|m| (m.mdl, m.len()));
    let Some(block) = pool.allocate(memory) else {
        return null;
    };
    let list = block.cast::<NET_BUFFER_LIST>();
    let (at, nb_at) = pool.offsets();
    (*list).NdisPoolHandle = handle;
    if pool.context != 0 {
        let head = block.add(at).cast::<NET_BUFFER_LIST_CONTEXT>();
        (*head).Size = pool.context;
        (*head).Offset = pool.context - context;
        (*list).Context = head;
    }
    if with_buffer {
        let nb = block.add(nb_at).cast::<NET_BUFFER>();
        (*list).FirstNetBuffer = nb;
        match own {
            // The data begins at the end, so that all of it is backfill.
            Some((mdl, size)) => fill(nb, handle, mdl, size as u32, 0),
            None => fill(nb, handle, data.0, data.1, data.2 as u32),
        }
    }
    list
}

/// NdisAllocateNetBufferAndNetBufferList. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisAllocateNetBufferAndNetBufferList(
    pool: PVOID,
    context: u16,
    backfill: u16,
    chain: *mut MDL,
    offset: u32,
    length: usize,
) -> *mut NET_BUFFER_LIST {
    list(
        "NdisAllocateNetBufferAndNetBufferList",
        pool,
        context,
        backfill,
        (chain, offset, length),
        true,
    )
}

/// NdisAllocateNetBufferList. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisAllocateNetBufferList(
    pool: PVOID,
    context: u16,
    backfill: u16,
) -> *mut NET_BUFFER_LIST {
    list(
        "NdisAllocateNetBufferList",
        pool,
        context,
        backfill,
        (core::ptr::null_mut(), 0, 0),
        false,
    )
}

/// NdisFreeNetBufferList. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisFreeNetBufferList(list: *mut NET_BUFFER_LIST) {
    const CALL: &str = "NdisFreeNetBufferList";
    if let Some(pool) = usable(CALL, (*list).NdisPoolHandle) {
        pool.give_back(CALL, list as usize);
    }
}

/// NdisAllocateNetBuffer. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisAllocateNetBuffer(
    handle: PVOID,
    chain: *mut MDL,
    offset: u32,
    length: usize,
) -> *mut NET_BUFFER {
    let Some(pool) = usable("NdisAllocateNetBuffer", handle) else {
        return core::ptr::null_mut();
    };
    if pool.kind != Kind::Buffer {
        pool.broken(
            "NdisAllocateNetBuffer",
            format_args!("the pool does not give buffers"),
        );
        return core::ptr::null_mut();
    }
    let Some(block) = pool.allocate(None) else {
        return core::ptr::null_mut();
    };
    let nb = block.cast::<NET_BUFFER>();
    fill(nb, handle, chain, offset, length as u32);
    nb
}

/// NdisAllocateNetBufferMdlAndData. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisAllocateNetBufferMdlAndData(
    handle: PVOID,
) -> *mut NET_BUFFER {
    const CALL: &str = "NdisAllocateNetBufferMdlAndData";
    let Some(pool) = usable(CALL, handle) else {
        return core::ptr::null_mut();
    };
    if pool.kind != Kind::Buffer || pool.data == 0 {
        pool.broken(
            CALL,
            format_args!("the pool does not give buffers with data"),
        );
        return core::ptr::null_mut();
    }
    let Some(Some(memory)) = data_for(pool) else {
        return core::ptr::null_mut();
    };
    let (mdl, size) = (memory.mdl, memory.len());
    let Some(block) = pool.allocate(Some(memory)) else {
        return core::ptr::null_mut();
    };
    let nb = block.cast::<NET_BUFFER>();
    fill(nb, handle, mdl, size as u32, 0);
    nb
}

/// NdisFreeNetBuffer. At most DISPATCH_LEVEL.
pub(crate) unsafe extern "win64" fn NdisFreeNetBuffer(nb: *mut NET_BUFFER) {
    const CALL: &str = "NdisFreeNetBuffer";
    if let Some(pool) = usable(CALL, (*nb).NdisPoolHandle) {
        pool.give_back(CALL, nb as usize);
    }
}
