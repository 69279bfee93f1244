//! CACHE: objects of one size that stay constructed while they wait for their next user.

use core::alloc::Layout;
use core::ffi::{c_char, c_void};
use core::ptr::NonNull;

use rust_alloc::boxed::Box;
use wdm::alloc::try_box;
use wdm::irql::Raised;
use wdm::status::Status;
use wdm::sync::SpinLock;
use xenbus_interface::cache::{Cache, CacheV1, CacheV2, Constructor, Destructor, Lock};
use xenbus_interface::{Boolean, Interface, NtStatus};

use super::table::{Offer, References, Template, providers};

/// What the bus offers.
pub const OFFERS: [Offer; 2] = [Offer::of::<CacheV1>(), Offer::of::<CacheV2>()];

/// State of the interface.
#[derive(Debug, Default)]
pub struct Provider {
    /// Its users.
    pub references: References,
}

/// How many objects beyond those in use (or the reservation, if that is more) are kept: enough for a burst not to build
/// and destroy objects all the time.
const SLACK: u32 = 32;

/// What precedes an object: the link to the next free one. 16 bytes, so that objects are aligned as the pool aligns.
#[repr(C, align(16))]
struct Header {
    next: Option<NonNull<Header>>,
}

impl Header {
    fn object(this: NonNull<Self>) -> *mut c_void {
        this.as_ptr().wrapping_add(1).cast()
    }

    fn of(object: *mut c_void) -> Option<NonNull<Self>> {
        NonNull::new(object.cast::<Self>().wrapping_sub(1))
    }
}

/// Free objects and counts.
#[derive(Default)]
struct Objects {
    free: Option<NonNull<Header>>,
    free_count: u32,
    in_use: u32,
}

// SAFETY: the list owns its objects, which any processor may use.
unsafe impl Send for Objects {}

impl Objects {
    fn push(&mut self, mut header: NonNull<Header>) {
        // SAFETY: a free object of this cache, which the list alone knows.
        unsafe { header.as_mut() }.next = self.free;
        self.free = Some(header);
        self.free_count += 1;
    }

    fn pop(&mut self) -> Option<NonNull<Header>> {
        let header = self.free?;
        // SAFETY: a free object of this cache, which the list alone knows.
        self.free = unsafe { header.as_ref() }.next;
        self.free_count -= 1;
        Some(header)
    }
}

/// What the child asked for.
#[derive(Clone, Copy)]
struct Shape {
    layout: Layout,
    size: usize,
    reservation: u32,
    cap: u32,
    constructor: Constructor,
    destructor: Destructor,
    acquire_lock: Lock,
    release_lock: Lock,
    argument: *mut c_void,
}

/// A child's cache. Its own lock guards the list for a few instructions, at DISPATCH_LEVEL; the child's lock, which the
/// contract has the cache take when the caller does not hold it, is the outer one.
struct State {
    shape: Shape,
    objects: SpinLock<Objects>,
}

/// The child's lock while a method runs. A child's functions are KeAcquireSpinLockAtDpcLevel and its counterpart, as the Xen
/// Project's drivers have them: whoever calls them is at DISPATCH_LEVEL, whatever the caller of the method is at.
struct ChildLock<'a> {
    shape: &'a Shape,
    _raised: Raised,
}

impl<'a> ChildLock<'a> {
    fn take(shape: &'a Shape, locked: Boolean) -> Option<Self> {
        if locked != 0 {
            return None;
        }
        let raised = Raised::to_dispatch();
        // SAFETY: the child's function with its argument.
        unsafe { (shape.acquire_lock)(shape.argument) };
        Some(Self {
            shape,
            _raised: raised,
        })
    }
}

impl Drop for ChildLock<'_> {
    fn drop(&mut self) {
        // SAFETY: the child's function with its argument; the lock was taken by this guard. The level falls after it.
        unsafe { (self.shape.release_lock)(self.shape.argument) };
    }
}

impl State {
    /// Memory for an object, constructed.
    fn build(&self) -> Result<NonNull<Header>, NtStatus> {
        // SAFETY: the layout has a size.
        let memory = unsafe { rust_alloc::alloc::alloc_zeroed(self.shape.layout) };
        let header = NonNull::new(memory.cast::<Header>()).ok_or(Status::NO_MEMORY.0)?;
        // SAFETY: the child's function, on memory of the size that it asked for.
        let status =
            unsafe { (self.shape.constructor)(self.shape.argument, Header::object(header)) };
        if status < 0 {
            self.free(header);
            return Err(status);
        }
        Ok(header)
    }

    fn destroy(&self, header: NonNull<Header>) {
        // SAFETY: the child's function, on an object that its constructor made.
        unsafe { (self.shape.destructor)(self.shape.argument, Header::object(header)) };
        self.free(header);
    }

    fn free(&self, header: NonNull<Header>) {
        // SAFETY: allocated by `build` with this layout, and in no list.
        unsafe { rust_alloc::alloc::dealloc(header.as_ptr().cast(), self.shape.layout) };
    }

    fn reserve(&self) -> Result<(), NtStatus> {
        for _ in 0..self.shape.reservation {
            let header = self.build()?;
            self.objects.lock().push(header);
        }
        Ok(())
    }

    fn get(&self) -> Option<NonNull<Header>> {
        let mut objects = self.objects.lock();
        let limit = if self.shape.cap == 0 {
            u32::MAX
        } else {
            self.shape.cap
        };
        if objects.in_use >= limit {
            return None;
        }
        objects.in_use += 1;
        if let Some(header) = objects.pop() {
            return Some(header);
        }
        // The constructor may call back into other interfaces, so it runs without our lock.
        drop(objects);
        let built = self.build().ok();
        if built.is_none() {
            self.objects.lock().in_use -= 1;
        }
        built
    }

    fn put(&self, header: NonNull<Header>) {
        let mut objects = self.objects.lock();
        objects.in_use = objects.in_use.saturating_sub(1);
        let keep = self
            .shape
            .reservation
            .max(objects.in_use.saturating_add(SLACK));
        if objects.free_count < keep {
            return objects.push(header);
        }
        drop(objects);
        self.destroy(header);
    }

    fn empty(&self) {
        // The guard is gone before the destructor runs.
        while let Some(header) = { self.objects.lock().pop() } {
            self.destroy(header);
        }
    }
}

impl Template for CacheV1 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            create: create_v1,
            get,
            put,
            destroy,
        }
    }
}

impl Template for CacheV2 {
    fn template(interface: Interface) -> Self {
        Self {
            interface,
            acquire,
            release,
            create,
            get,
            put,
            destroy,
        }
    }
}

unsafe extern "system" fn acquire(interface: *mut Interface) -> NtStatus {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.cache.references.acquire(providers)
}

unsafe extern "system" fn release(interface: *mut Interface) {
    // SAFETY: called through a table of ours.
    let providers = unsafe { providers(interface) };
    providers.cache.references.release("CACHE");
}

unsafe extern "system" fn create_v1(
    interface: *mut Interface,
    name: *const c_char,
    size: u32,
    reservation: u32,
    constructor: Constructor,
    destructor: Destructor,
    acquire_lock: Lock,
    release_lock: Lock,
    argument: *mut c_void,
    cache: *mut *mut Cache,
) -> NtStatus {
    // SAFETY: the same contract, without a cap.
    unsafe {
        create(
            interface,
            name,
            size,
            reservation,
            0,
            constructor,
            destructor,
            acquire_lock,
            release_lock,
            argument,
            cache,
        )
    }
}

unsafe extern "system" fn create(
    _interface: *mut Interface,
    _name: *const c_char,
    size: u32,
    reservation: u32,
    cap: u32,
    constructor: Constructor,
    destructor: Destructor,
    acquire_lock: Lock,
    release_lock: Lock,
    argument: *mut c_void,
    handle: *mut *mut Cache,
) -> NtStatus {
    let size = size as usize;
    let Ok(layout) = Layout::from_size_align(size_of::<Header>() + size, align_of::<Header>())
    else {
        return Status::INVALID_PARAMETER.0;
    };
    if size == 0 || (cap != 0 && cap < reservation) {
        return Status::INVALID_PARAMETER.0;
    }
    let shape = Shape {
        layout,
        size,
        reservation,
        cap,
        constructor,
        destructor,
        acquire_lock,
        release_lock,
        argument,
    };
    let state = match try_box(State {
        shape,
        objects: SpinLock::new(Objects::default()),
    }) {
        Ok(state) => state,
        Err(why) => return why.0,
    };
    if let Err(why) = state.reserve() {
        state.empty();
        return why;
    }
    // SAFETY: the consumer passes a place for the handle.
    unsafe { handle.write(Box::into_raw(state).cast()) };
    0
}

/// # Safety
/// The handle came from `create` and was not destroyed.
unsafe fn state<'a>(handle: *mut Cache) -> &'a State {
    // SAFETY: the caller's promise.
    unsafe { &*handle.cast_const().cast::<State>() }
}

unsafe extern "system" fn get(
    _interface: *mut Interface,
    handle: *mut Cache,
    locked: Boolean,
) -> *mut c_void {
    // SAFETY: the consumer's handle.
    let state = unsafe { state(handle) };
    let _lock = ChildLock::take(&state.shape, locked);
    state.get().map_or(core::ptr::null_mut(), Header::object)
}

unsafe extern "system" fn put(
    _interface: *mut Interface,
    handle: *mut Cache,
    object: *mut c_void,
    locked: Boolean,
) {
    // SAFETY: the consumer's handle.
    let state = unsafe { state(handle) };
    let _lock = ChildLock::take(&state.shape, locked);
    if let Some(header) = Header::of(object) {
        state.put(header);
    }
}

unsafe extern "system" fn destroy(_interface: *mut Interface, handle: *mut Cache) {
    // SAFETY: the consumer's handle.
    let state = unsafe { state(handle) };
    state.empty();
    let left = state.objects.lock().in_use;
    if left != 0 {
        // An object may still be given back: what remains of the cache has to stay for that.
        let size = state.shape.size;
        wdm::error!(
            "a cache was destroyed with {left} objects of {size} bytes in use; its memory stays"
        );
        return;
    }
    // SAFETY: the consumer's handle, used for the last time.
    drop(unsafe { Box::from_raw(handle.cast::<State>()) });
}
