//! The object manager: headers with reference counts before each object, and the system's handle table.
//!
//! What drivers see follows the pages of ObReferenceObjectByHandle, ObfReferenceObject, ObfDereferenceObject and ZwClose.
//! Types of their own for handles to files and sections do not exist; names live with what they name (devices, callbacks,
//! keys).

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use alloc::vec::Vec;
use core::ffi::c_void;
use core::mem::size_of;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicI64, Ordering};

use crate::check::violation;
use crate::nt::base::{HANDLE, NTSTATUS};
use crate::nt::status::*;
use crate::sync::Lock;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum ObjectKind {
    /// ETHREAD
    Thread = 1,
    /// KEVENT
    Event,
    /// An open registry key
    Key,
    /// FILE_OBJECT
    File,
    /// DEVICE_OBJECT
    Device,
    /// DRIVER_OBJECT
    Driver,
    /// CALLBACK_OBJECT
    Callback,
    /// KSEMAPHORE
    Semaphore,
    /// KMUTANT
    Mutant,
    /// EPROCESS
    Process,
}

/// What drivers get as `POBJECT_TYPE`; opaque to them.
#[repr(C)]
pub struct OBJECT_TYPE {
    kind: ObjectKind,
}

/// Ends an object whose last reference is gone; its memory goes back afterwards.
pub type Destroy = unsafe fn(*mut c_void);

const MAGIC: u32 = 0x4a42_4f4e;
const DEAD: u32 = 0x4441_4544;

#[repr(C, align(16))]
struct Header {
    magic: u32,
    kind: ObjectKind,
    references: AtomicI64,
    destroy: Destroy,
    size: usize,
}

static THREAD_TYPE: OBJECT_TYPE = OBJECT_TYPE {
    kind: ObjectKind::Thread,
};
static EVENT_TYPE: OBJECT_TYPE = OBJECT_TYPE {
    kind: ObjectKind::Event,
};
static SEMAPHORE_TYPE: OBJECT_TYPE = OBJECT_TYPE {
    kind: ObjectKind::Semaphore,
};
static FILE_TYPE: OBJECT_TYPE = OBJECT_TYPE {
    kind: ObjectKind::File,
};
static PROCESS_TYPE: OBJECT_TYPE = OBJECT_TYPE {
    kind: ObjectKind::Process,
};

/// A variable of type `POBJECT_TYPE`, which drivers import as data.
#[repr(transparent)]
pub struct TypeVariable(*const OBJECT_TYPE);
// SAFETY: it points to an immutable static and never changes.
unsafe impl Sync for TypeVariable {}

/// The type of threads.
pub static PsThreadType: TypeVariable = TypeVariable(&raw const THREAD_TYPE);
/// The type of events.
pub static ExEventObjectType: TypeVariable = TypeVariable(&raw const EVENT_TYPE);
/// The type of semaphores.
pub static ExSemaphoreObjectType: TypeVariable = TypeVariable(&raw const SEMAPHORE_TYPE);
/// The type of files.
pub static IoFileObjectType: TypeVariable = TypeVariable(&raw const FILE_TYPE);
/// The type of processes.
pub static PsProcessType: TypeVariable = TypeVariable(&raw const PROCESS_TYPE);

fn layout(size: usize) -> Option<Layout> {
    Layout::from_size_align(size_of::<Header>().checked_add(size)?, 16).ok()
}

/// Makes an object of `size` zeroed bytes with one reference; null if memory is short.
pub fn create(kind: ObjectKind, size: usize, destroy: Destroy) -> *mut c_void {
    let Some(layout) = layout(size) else {
        return null_mut();
    };
    // SAFETY: the layout is not empty, it holds the header.
    let header = unsafe { alloc_zeroed(layout) }.cast::<Header>();
    if header.is_null() {
        return null_mut();
    }
    // SAFETY: fresh memory of that layout.
    unsafe {
        header.write(Header {
            magic: MAGIC,
            kind,
            references: AtomicI64::new(1),
            destroy,
            size,
        });
        header.add(1).cast()
    }
}

/// A destructor for objects that own nothing.
///
/// # Safety
/// None needed.
pub unsafe fn nothing(_: *mut c_void) {}

unsafe fn header(object: *mut c_void) -> Option<*mut Header> {
    if object.is_null() || !(object as usize).is_multiple_of(16) {
        return None;
    }
    let h = object.cast::<Header>().wrapping_sub(1);
    ((*h).magic == MAGIC).then_some(h)
}

/// What is left of what is no living object.
unsafe fn remains(object: *mut c_void) -> alloc::string::String {
    if object.is_null() || !(object as usize).is_multiple_of(16) {
        return "no object".into();
    }
    let h = object.cast::<Header>().wrapping_sub(1);
    match (*h).magic {
        DEAD => alloc::format!("a dead {:?}", (*h).kind),
        magic => alloc::format!("no living object (its header begins with {magic:#x})"),
    }
}

/// The object's kind, if it is a living object.
///
/// # Safety
/// `object` must have been an object, or be null.
pub unsafe fn kind_of(object: *mut c_void) -> Option<ObjectKind> {
    header(object).map(|h| (*h).kind)
}

/// The number of references to a living object.
///
/// # Safety
/// As [`kind_of`].
pub unsafe fn references(object: *mut c_void) -> i64 {
    header(object).map_or(0, |h| (*h).references.load(Ordering::Acquire))
}

/// Takes a reference. Any IRQL up to DISPATCH_LEVEL.
///
/// # Safety
/// `object` must be a living object.
pub unsafe extern "win64" fn ObfReferenceObject(object: *mut c_void) -> i64 {
    match header(object) {
        Some(h) => (*h).references.fetch_add(1, Ordering::AcqRel) + 1,
        None => {
            violation(
                "object",
                format_args!("ObfReferenceObject of {object:p}, which is no living object"),
            );
            0
        }
    }
}

/// Drops a reference; the last one ends the object. Any IRQL up to DISPATCH_LEVEL.
///
/// # Safety
/// The caller must own the reference.
pub unsafe extern "win64" fn ObfDereferenceObject(object: *mut c_void) -> i64 {
    let Some(h) = header(object) else {
        violation(
            "object",
            format_args!(
                "ObfDereferenceObject of {object:p}, which is {}",
                remains(object)
            ),
        );
        return 0;
    };
    let left = (*h).references.fetch_sub(1, Ordering::AcqRel) - 1;
    if left == 0 {
        ((*h).destroy)(object);
        (*h).magic = DEAD;
        if let Some(layout) = layout((*h).size) {
            dealloc(h.cast(), layout);
        }
    } else if left < 0 {
        violation("object", format_args!("{object:p} has {left} references"));
    }
    left
}

/// ObReferenceObjectByPointer: takes a reference if the object is of the type.
///
/// # Safety
/// `object` must be a living object, `object_type` null or one of the type variables' values.
pub unsafe extern "win64" fn ObReferenceObjectByPointer(
    object: *mut c_void,
    _access: u32,
    object_type: *const OBJECT_TYPE,
    _mode: i8,
) -> NTSTATUS {
    if !object_type.is_null() && kind_of(object) != Some((*object_type).kind) {
        return STATUS_OBJECT_TYPE_MISMATCH;
    }
    ObfReferenceObject(object);
    STATUS_SUCCESS
}

struct Table(Vec<*mut c_void>);
// SAFETY: the table's pointers are used under its lock only, and objects are for all threads.
unsafe impl Send for Table {}
static HANDLES: Lock<Table> = Lock::new(Table(Vec::new()));

/// Kernel handles have the upper bits set, so that no driver takes one for a user's.
const KERNEL: usize = 0xffff_ffff_8000_0000;
const CURRENT_PROCESS: usize = usize::MAX;
const CURRENT_THREAD: usize = usize::MAX - 1;

fn index(handle: HANDLE) -> Option<usize> {
    let value = (handle as usize) ^ KERNEL;
    (value != 0 && value.is_multiple_of(4) && value < 1 << 24).then(|| value / 4 - 1)
}

/// Opens a handle, which has a reference of its own to the (living) object.
#[allow(clippy::not_unsafe_ptr_arg_deref, reason = "callers have a reference")]
pub fn open_handle(object: *mut c_void) -> HANDLE {
    // SAFETY: callers have a reference.
    unsafe { ObfReferenceObject(object) };
    let mut table = HANDLES.lock();
    let slot = match table.0.iter().position(|o| o.is_null()) {
        Some(slot) => slot,
        None => {
            table.0.push(null_mut());
            table.0.len() - 1
        }
    };
    table.0[slot] = object;
    (KERNEL ^ ((slot + 1) * 4)) as HANDLE
}

/// The object of a handle with one more reference, if it is of that kind.
///
/// # Errors
/// STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH.
pub fn reference_handle(handle: HANDLE, kind: Option<ObjectKind>) -> Result<*mut c_void, NTSTATUS> {
    let table = HANDLES.lock();
    let object = index(handle)
        .and_then(|i| table.0.get(i).copied())
        .filter(|o| !o.is_null())
        .ok_or(STATUS_INVALID_HANDLE)?;
    // SAFETY: the handle owns a reference, and the lock keeps it open.
    unsafe {
        if kind.is_some() && kind_of(object) != kind {
            return Err(STATUS_OBJECT_TYPE_MISMATCH);
        }
        ObfReferenceObject(object);
    }
    Ok(object)
}

/// How many handles are open.
pub fn open_handles() -> usize {
    HANDLES.lock().0.iter().filter(|o| !o.is_null()).count()
}

/// ObReferenceObjectByHandle: PASSIVE_LEVEL.
///
/// # Safety
/// `object` must be writable; `object_type` as ObReferenceObjectByPointer's.
pub unsafe extern "win64" fn ObReferenceObjectByHandle(
    handle: HANDLE,
    _access: u32,
    object_type: *const OBJECT_TYPE,
    _mode: i8,
    object: *mut *mut c_void,
    information: *mut c_void,
) -> NTSTATUS {
    *object = null_mut();
    if !information.is_null() {
        // OBJECT_HANDLE_INFORMATION: attributes, granted access.
        information
            .cast::<[u32; 2]>()
            .write_unaligned([0, 0x001f_ffff]);
    }
    let kind = (!object_type.is_null()).then(|| (*object_type).kind);
    let found = match handle as usize {
        CURRENT_THREAD => {
            let thread = crate::ke::KeGetCurrentThread().cast::<c_void>();
            if kind.is_some_and(|k| k != ObjectKind::Thread) {
                Err(STATUS_OBJECT_TYPE_MISMATCH)
            } else {
                ObfReferenceObject(thread);
                Ok(thread)
            }
        }
        CURRENT_PROCESS => Err(STATUS_OBJECT_TYPE_MISMATCH),
        _ => reference_handle(handle, kind),
    };
    match found {
        Ok(o) => {
            *object = o;
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// ZwClose: PASSIVE_LEVEL.
///
/// # Safety
/// The handle must be the caller's.
pub unsafe extern "win64" fn ZwClose(handle: HANDLE) -> NTSTATUS {
    if handle as usize >= CURRENT_THREAD {
        return STATUS_SUCCESS;
    }
    let object = {
        let mut table = HANDLES.lock();
        match index(handle).and_then(|i| table.0.get_mut(i)) {
            Some(slot) if !slot.is_null() => core::mem::replace(slot, null_mut()),
            _ => {
                drop(table);
                violation(
                    "handle",
                    format_args!("ZwClose of {handle:p}, which is not open"),
                );
                return STATUS_INVALID_HANDLE;
            }
        }
    };
    ObfDereferenceObject(object);
    STATUS_SUCCESS
}

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl {
        ObfReferenceObject, ObfDereferenceObject, ObReferenceObjectByPointer, ObReferenceObjectByHandle, ZwClose,
    };
    data { PsThreadType, ExEventObjectType, ExSemaphoreObjectType, IoFileObjectType, PsProcessType }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::AtomicUsize;

    static ENDED: AtomicUsize = AtomicUsize::new(0);
    unsafe fn count(_: *mut c_void) {
        ENDED.fetch_add(1, Ordering::SeqCst);
    }

    #[test]
    fn an_object_ends_with_its_last_reference_and_a_handle_holds_one() {
        let object = create(ObjectKind::Event, 24, count);
        let handle = open_handle(object);
        // SAFETY: a living object and its handle.
        unsafe {
            let mut found = null_mut();
            let status =
                ObReferenceObjectByHandle(handle, 0, PsThreadType.0, 0, &mut found, null_mut());
            assert_eq!(status, STATUS_OBJECT_TYPE_MISMATCH);
            let status = ObReferenceObjectByHandle(
                handle,
                0,
                ExEventObjectType.0,
                0,
                &mut found,
                null_mut(),
            );
            assert_eq!((status, found), (STATUS_SUCCESS, object));
            assert_eq!(ObfDereferenceObject(object), 2);
            assert_eq!(ZwClose(handle), STATUS_SUCCESS);
            assert_eq!(ENDED.load(Ordering::SeqCst), 0);
            assert_eq!(ObfDereferenceObject(object), 0);
            assert_eq!(ENDED.load(Ordering::SeqCst), 1);
        }
        assert_eq!(reference_handle(handle, None), Err(STATUS_INVALID_HANDLE));
    }
}
