//! Nonpaged memory whose absence is an error and no panic.
//!
//! wdk-alloc, the drivers' global allocator, calls `ExAllocatePool2`, which Windows has from 10 2004
//! on. A driver that imports it does not load on older systems; so the symbol is defined here, and no
//! import is made. The definition is in assembly because a `#[no_mangle]` function would become an
//! export of the driver.

use core::alloc::Layout;
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

use rust_alloc::boxed::Box;

use crate::irql;
use crate::status::{Result, Status};
use crate::unicode::UnicodeString;

/// Largest alignment that the pool gives (`MEMORY_ALLOCATION_ALIGNMENT`).
const POOL_ALIGNMENT: usize = 16;

/// `POOL_FLAG_PAGED` and `POOL_FLAG_UNINITIALIZED` of `ExAllocatePool2`.
const FLAG_PAGED: u64 = 0x100;
const FLAG_UNINITIALIZED: u64 = 2;

/// `POOL_TYPE`s of `ExAllocatePoolWithTag`.
const PAGED_POOL: u32 = 1;
const NON_PAGED_POOL_NX: u32 = 0x200;

/// Tag of what this layer allocates by itself.
const TAG: u32 = u32::from_le_bytes(*b"XenW");

type AllocatePool2 = unsafe extern "system" fn(flags: u64, bytes: usize, tag: u32) -> *mut c_void;

unsafe extern "system" {
    // wdk-sys leaves the deprecated routine out of its bindings.
    fn ExAllocatePoolWithTag(kind: u32, bytes: usize, tag: u32) -> *mut c_void;
}

core::arch::global_asm!(
    ".def ExAllocatePool2",
    ".scl 2",
    ".type 32",
    ".endef",
    ".globl ExAllocatePool2",
    ".p2align 4",
    "ExAllocatePool2:",
    "jmp {allocate}",
    allocate = sym allocate_pool2,
);

/// What `MmGetSystemRoutineAddress` said: not yet asked, absent, or the routine's address.
static SYSTEM_ROUTINE: AtomicUsize = AtomicUsize::new(UNKNOWN);
const UNKNOWN: usize = 0;
const ABSENT: usize = 1;

/// The system's own `ExAllocatePool2`. It is looked up once; a call above APC_LEVEL before that does without.
fn system_routine() -> Option<AllocatePool2> {
    let mut address = SYSTEM_ROUTINE.load(Ordering::Relaxed);
    if address == UNKNOWN {
        if irql::current() > irql::APC_LEVEL {
            return None;
        }
        let name = UnicodeString::new(crate::wide!("ExAllocatePool2"));
        // SAFETY: the string lives until the call returns, IRQL <= APC_LEVEL.
        let routine = unsafe { wdk_sys::ntddk::MmGetSystemRoutineAddress(name.as_ptr()) };
        address = if routine.is_null() {
            ABSENT
        } else {
            routine.addr()
        };
        SYSTEM_ROUTINE.store(address, Ordering::Relaxed);
    }
    if address == ABSENT {
        return None;
    }
    // SAFETY: the address is that of the routine with this signature.
    Some(unsafe { core::mem::transmute::<usize, AllocatePool2>(address) })
}

/// The driver's `ExAllocatePool2`.
///
/// # Safety
/// As for the system's routine: IRQL <= DISPATCH_LEVEL for nonpaged memory.
unsafe extern "system" fn allocate_pool2(flags: u64, bytes: usize, tag: u32) -> *mut c_void {
    if let Some(allocate) = system_routine() {
        // SAFETY: the caller's promise is the system routine's.
        return unsafe { allocate(flags, bytes, tag) };
    }
    let kind = if flags & FLAG_PAGED == 0 {
        NON_PAGED_POOL_NX
    } else {
        PAGED_POOL
    };
    // SAFETY: the caller's promise.
    let block = unsafe { ExAllocatePoolWithTag(kind, bytes, tag) };
    if !block.is_null() && flags & FLAG_UNINITIALIZED == 0 {
        // SAFETY: the block has that many bytes.
        unsafe { block.cast::<u8>().write_bytes(0, bytes) };
    }
    block
}

/// Moves a value into nonpaged memory. IRQL <= DISPATCH_LEVEL.
///
/// # Errors
/// [`Status::INSUFFICIENT_RESOURCES`].
pub fn try_box<T>(value: T) -> Result<Box<T>> {
    const {
        assert!(size_of::<T>() > 0);
        assert!(align_of::<T>() <= POOL_ALIGNMENT);
    };
    // SAFETY: the layout has a size.
    let memory = unsafe { rust_alloc::alloc::alloc(Layout::new::<T>()) };
    let memory = NonNull::new(memory.cast::<T>()).ok_or(Status::INSUFFICIENT_RESOURCES)?;
    // SAFETY: fresh memory of T's size and alignment.
    unsafe { memory.write(value) };
    // SAFETY: from the global allocator with T's layout, initialised.
    Ok(unsafe { Box::from_raw(memory.as_ptr()) })
}

/// A value of zero bytes in nonpaged memory, made in place: for what is too large for a kernel's stack. IRQL <=
/// DISPATCH_LEVEL.
///
/// # Errors
/// [`Status::INSUFFICIENT_RESOURCES`].
///
/// # Safety
/// All bytes zero are a value of the type.
pub unsafe fn try_zeroed<T>() -> Result<Box<T>> {
    const {
        assert!(size_of::<T>() > 0);
        assert!(align_of::<T>() <= POOL_ALIGNMENT);
    };
    // SAFETY: the layout has a size.
    let memory = unsafe { rust_alloc::alloc::alloc_zeroed(Layout::new::<T>()) };
    let memory = NonNull::new(memory.cast::<T>()).ok_or(Status::INSUFFICIENT_RESOURCES)?;
    // SAFETY: from the global allocator with T's layout, a value by the caller's promise.
    Ok(unsafe { Box::from_raw(memory.as_ptr()) })
}

/// Memory from the paged pool that Windows will free: answers to PnP queries.
pub struct Paged {
    memory: NonNull<u8>,
    bytes: usize,
}

impl Paged {
    /// `bytes` > 0 zeroed bytes, aligned to 16. IRQL <= APC_LEVEL.
    ///
    /// # Errors
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn new(bytes: usize) -> Result<Self> {
        if bytes == 0 {
            return Err(Status::INVALID_PARAMETER);
        }
        // SAFETY: PASSIVE_LEVEL or APC_LEVEL by contract.
        let memory = unsafe { allocate_pool2(FLAG_PAGED, bytes, TAG) };
        let memory = NonNull::new(memory.cast()).ok_or(Status::INSUFFICIENT_RESOURCES)?;
        Ok(Self { memory, bytes })
    }

    /// The bytes of `data`, which is not empty.
    ///
    /// # Errors
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn copy_of(data: &[u8]) -> Result<Self> {
        let mut paged = Self::new(data.len())?;
        paged.bytes_mut().copy_from_slice(data);
        Ok(paged)
    }

    /// The bytes of UTF-16 units.
    ///
    /// # Errors
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn copy_of_units(units: &[u16]) -> Result<Self> {
        let mut paged = Self::new(size_of_val(units))?;
        for (to, from) in paged.bytes_mut().chunks_exact_mut(2).zip(units) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        Ok(paged)
    }

    /// The memory.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: owned, initialised (zeroed), that many bytes.
        unsafe { core::slice::from_raw_parts_mut(self.memory.as_ptr(), self.bytes) }
    }

    /// Leaves the memory to whoever gets the pointer.
    pub fn into_raw(self) -> *mut c_void {
        let memory = self.memory.as_ptr().cast();
        core::mem::forget(self);
        memory
    }
}

impl Drop for Paged {
    fn drop(&mut self) {
        // SAFETY: allocated from the pool and owned.
        unsafe { free_pool(self.memory.as_ptr().cast()) };
    }
}

/// Frees a block of either pool. IRQL <= APC_LEVEL for paged, <= DISPATCH_LEVEL for nonpaged memory.
///
/// # Safety
/// The block came from the pool and is not used afterwards.
pub unsafe fn free_pool(block: *mut c_void) {
    // SAFETY: the caller's promise; a tag of 0 matches any.
    unsafe { wdk_sys::ntddk::ExFreePoolWithTag(block, 0) };
}

/// `count` values in nonpaged memory, all zero bytes. IRQL <= DISPATCH_LEVEL.
///
/// # Errors
/// [`Status::INSUFFICIENT_RESOURCES`].
pub fn try_zeroed_bytes(count: usize) -> Result<rust_alloc::vec::Vec<u8>> {
    let mut bytes = rust_alloc::vec::Vec::new();
    bytes
        .try_reserve_exact(count)
        .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
    bytes.resize(count, 0);
    Ok(bytes)
}

struct Inner<T> {
    references: AtomicUsize,
    value: T,
}

/// A value in nonpaged memory shared by counted references, dropped with the last of them.
pub struct Shared<T>(NonNull<Inner<T>>);

// SAFETY: as for Arc: references to the value are handed to any thread.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Moves a value into nonpaged memory. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// [`Status::INSUFFICIENT_RESOURCES`].
    pub fn new(value: T) -> Result<Self> {
        let inner = try_box(Inner {
            references: AtomicUsize::new(1),
            value,
        })?;
        Ok(Self(NonNull::from(Box::leak(inner))))
    }

    fn inner(&self) -> &Inner<T> {
        // SAFETY: alive while a reference is.
        unsafe { self.0.as_ref() }
    }

    /// The reference as a pointer, for a context that C code carries.
    pub fn into_raw(self) -> *const c_void {
        let pointer = self.0.as_ptr().cast_const().cast();
        core::mem::forget(self);
        pointer
    }

    /// The reference that [`Shared::into_raw`] made a pointer.
    ///
    /// # Safety
    /// The pointer came from `into_raw` of the same type and is used once.
    pub unsafe fn from_raw(pointer: *const c_void) -> Self {
        // SAFETY: into_raw never returns null.
        Self(unsafe { NonNull::new_unchecked(pointer.cast_mut().cast()) })
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        self.inner().references.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.inner().value
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        if self.inner().references.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        core::sync::atomic::fence(Ordering::Acquire);
        // SAFETY: the last reference; made by Box::leak.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

/// A place for one value that is written once and lives as long as the driver.
pub struct Once<T> {
    state: AtomicUsize,
    value: core::cell::UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: the value is written once before it is shared.
unsafe impl<T: Send + Sync> Sync for Once<T> {}

impl<T> Once<T> {
    const EMPTY: usize = 0;
    const WRITING: usize = 1;
    const FULL: usize = 2;

    /// Empty.
    pub const fn new() -> Self {
        Self {
            state: AtomicUsize::new(Self::EMPTY),
            value: core::cell::UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Writes the value; false if there is one already. Any IRQL.
    pub fn set(&self, value: T) -> bool {
        let (empty, writing) = (Self::EMPTY, Self::WRITING);
        if self
            .state
            .compare_exchange(empty, writing, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return false;
        }
        // SAFETY: this caller alone has left EMPTY; nobody reads before FULL.
        unsafe { self.value.get().write(MaybeUninit::new(value)) };
        self.state.store(Self::FULL, Ordering::Release);
        true
    }

    /// The value, once it is written. Any IRQL.
    pub fn get(&self) -> Option<&T> {
        if self.state.load(Ordering::Acquire) != Self::FULL {
            return None;
        }
        // SAFETY: FULL: written and never changed again.
        let value = unsafe { &*self.value.get() };
        // SAFETY: as above.
        Some(unsafe { value.assume_init_ref() })
    }
}

impl<T> Drop for Once<T> {
    fn drop(&mut self) {
        if *self.state.get_mut() == Self::FULL {
            // SAFETY: FULL: the value was written, and nobody can reach it any more.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self::new()
    }
}
