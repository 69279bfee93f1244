//! Memory of frames that are sent, with room for the MDLs that describe them.
//!
//! Buffers are kept and used again: pool fills and checks what it gives, which would be most of the work of a send.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::device::Frame;
use super::shape::{HEAD, TAIL};
use crate::ex::{ExAllocatePoolWithTag, ExFreePoolWithTag};
use crate::machine::PAGE_SIZE;
use crate::mm::{MmBuildMdlForNonPagedPool, MmInitializeMdl};
use crate::nt::ke::PVOID;
use crate::nt::mm::{MDL, PFN_NUMBER};
use crate::nt::ndis::NET_BUFFER_LIST;
use crate::storport::os::NON_PAGED_POOL_NX;
use crate::sync::Lock;

const TAG: u32 = u32::from_le_bytes(*b"TcpB");
/// Sizes of buffers: a frame of an ordinary MTU, of a large one, and a large send.
const CLASSES: [usize; 3] = [PAGE_SIZE, 4 * PAGE_SIZE, 17 * PAGE_SIZE];
/// Buffers of each class that are kept.
const KEPT: [usize; 3] = [512, 32, 64];
/// Bytes before a frame, for what goes before it in its first piece.
const BEFORE: usize = 256;
/// MDLs that a buffer has room for: the pieces of a frame, and the head.
pub const MDLS: usize = super::shape::PIECES + 1;

// A frame's memory is handed through NDIS as a pointer, so it has its box for good.
#[allow(clippy::vec_box)]
static FREE: [Lock<Vec<Box<Memory>>>; 3] = [const { Lock::new(Vec::new()) }; 3];

/// A frame in memory, which is used again when this is dropped. At most DISPATCH_LEVEL.
pub struct Buffer(Option<Box<Memory>>);

/// The memory.
pub struct Memory {
    class: usize,
    data: *mut u8,
    /// [`HEAD`] and [`BEFORE`] bytes for headers that are kept apart
    head: *mut u8,
    mdls: *mut u8,
    /// The list that carries it, which it keeps; null until it has one
    pub list: *mut NET_BUFFER_LIST,
    start: usize,
    length: usize,
}

// SAFETY: the memory is the buffer's alone.
unsafe impl Send for Memory {}

fn pool(bytes: usize) -> *mut u8 {
    // SAFETY: a block of our own, freed by `destroy`.
    unsafe { ExAllocatePoolWithTag(NON_PAGED_POOL_NX, bytes, TAG).cast() }
}

fn release(block: *mut u8) {
    if !block.is_null() {
        // SAFETY: a block from `pool`, not used any more.
        unsafe { ExFreePoolWithTag(block.cast(), TAG) };
    }
}

const fn mdl_room(class: usize) -> usize {
    size_of::<MDL>() + (CLASSES[class] / PAGE_SIZE + 1) * size_of::<PFN_NUMBER>()
}

impl Memory {
    fn make(class: usize) -> Option<Box<Self>> {
        let memory = Box::new(Self {
            class,
            data: pool(CLASSES[class]),
            head: pool(BEFORE + HEAD),
            mdls: pool(mdl_room(class) * MDLS),
            list: core::ptr::null_mut(),
            start: BEFORE,
            length: 0,
        });
        if memory.data.is_null() || memory.head.is_null() || memory.mdls.is_null() {
            memory.destroy();
            return None;
        }
        Some(memory)
    }

    fn destroy(self) {
        super::transmit::free_list(self.list);
        release(self.data);
        release(self.head);
        release(self.mdls);
    }

    fn take(class: usize) -> Option<Box<Self>> {
        let kept = FREE[class].lock().pop();
        kept.or_else(|| Self::make(class))
    }

    fn recycle(self: Box<Self>) {
        let class = self.class;
        let mut free = FREE[class].lock();
        if free.len() < KEPT[class] {
            free.push(self);
            return;
        }
        drop(free);
        self.destroy();
    }

    /// Where the frame begins: moved by up to 63 bytes, so that it begins anywhere.
    fn place(&mut self, length: usize) {
        let odd = (self.data as usize / PAGE_SIZE).wrapping_mul(29) + length.wrapping_mul(7);
        self.start = BEFORE + odd % 64;
        self.length = length;
    }

    fn room(&self) -> usize {
        CLASSES[self.class] - self.start - TAIL as usize
    }

    /// Copies `count` bytes of the frame's beginning to the memory for the head, and gives the address there.
    pub fn copy_head(&mut self, count: usize) -> usize {
        let count = count.min(HEAD).min(self.length);
        // SAFETY: both are as long, and are different blocks.
        unsafe {
            let to = self.head.add(BEFORE);
            core::ptr::copy_nonoverlapping(self.data.add(self.start), to, count);
            to as usize
        }
    }

    /// The address of the frame's byte `at`.
    pub fn address(&self, at: usize) -> usize {
        self.data as usize + self.start + at
    }

    /// Describes `length` bytes at `address`, which lie in this buffer, by its MDL number `index`, and puts `next` behind.
    pub fn describe(
        &mut self,
        index: usize,
        address: usize,
        length: usize,
        next: *mut MDL,
    ) -> *mut MDL {
        let room = mdl_room(self.class);
        // SAFETY: `index` is below MDLS, and each has room for all pages of the buffer and one more.
        unsafe {
            let mdl = self.mdls.add(index.min(MDLS - 1) * room).cast::<MDL>();
            MmInitializeMdl(mdl, address as PVOID, length);
            MmBuildMdlForNonPagedPool(mdl);
            (*mdl).Next = next;
            mdl
        }
    }
}

/// The most bytes that may lie before the frame in its first piece.
pub const MOST_BEFORE: usize = BEFORE;

impl Memory {
    /// The frame.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the frame lies in the block.
        unsafe { core::slice::from_raw_parts(self.data.add(self.start), self.length) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; the memory is borrowed for writing.
        unsafe { core::slice::from_raw_parts_mut(self.data.add(self.start), self.length) }
    }

    fn for_frame(length: usize) -> Option<Box<Self>> {
        let needed = length + BEFORE + 64 + TAIL as usize;
        let class = CLASSES.iter().position(|&size| size >= needed)?;
        let mut memory = Self::take(class)?;
        memory.place(length);
        Some(memory)
    }

    /// The same frame in the largest kind of memory.
    fn enlarged(&self, length: usize) -> Option<Box<Self>> {
        let mut larger = Self::take(CLASSES.len() - 1)?;
        larger.place(self.length);
        if length > larger.room() {
            larger.recycle();
            return None;
        }
        larger.bytes_mut().copy_from_slice(self.bytes());
        Some(larger)
    }
}

impl Buffer {
    /// Hands the memory over: [`Self::from_raw`] takes it back.
    pub fn into_raw(mut self) -> *mut Memory {
        self.0.take().map_or(core::ptr::null_mut(), Box::into_raw)
    }

    /// Takes memory back.
    ///
    /// # Safety
    /// `raw` came from [`Self::into_raw`], and is taken back once.
    pub unsafe fn from_raw(raw: *mut Memory) -> Self {
        Self((!raw.is_null()).then(|| Box::from_raw(raw)))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(memory) = self.0.take() {
            memory.recycle();
        }
    }
}

impl Frame for Buffer {
    fn new(length: usize) -> Option<Self> {
        Memory::for_frame(length).map(|memory| Self(Some(memory)))
    }

    fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |memory| memory.bytes())
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.as_mut().map_or(&mut [], |memory| memory.bytes_mut())
    }

    fn append(&mut self, more: &[u8]) -> bool {
        let Some(memory) = &mut self.0 else {
            return false;
        };
        let length = memory.length + more.len();
        if length > memory.room() {
            let Some(larger) = memory.enlarged(length) else {
                return false;
            };
            core::mem::replace(memory, larger).recycle();
        }
        let at = memory.length;
        memory.length = length;
        if let Some(place) = memory.bytes_mut().get_mut(at..) {
            place.copy_from_slice(more);
        }
        true
    }
}

/// Frees the memory that is kept.
pub fn free_all() {
    for class in &FREE {
        loop {
            let memory = class.lock().pop();
            let Some(memory) = memory else { break };
            memory.destroy();
        }
    }
}
