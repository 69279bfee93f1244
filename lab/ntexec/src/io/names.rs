//! The object namespace, as far as drivers put names into it: devices, symbolic links, events.

use alloc::collections::BTreeMap;
use alloc::string::String;
use core::ffi::c_void;
use core::ptr::null_mut;

use crate::cm::hive::fold;
use crate::nt::base::{HANDLE, NTSTATUS, UNICODE_STRING};
use crate::nt::ke::KEVENT;
use crate::nt::status::*;
use crate::ob::{self, ObjectKind};
use crate::sync::Lock;

enum Entry {
    Object(usize),
    Link(String),
}

static NAMES: Lock<BTreeMap<String, Entry>> = Lock::new(BTreeMap::new());

/// Names an object; false if the name is taken.
pub fn add(name: &str, object: *mut c_void) -> bool {
    let mut names = NAMES.lock();
    let free = !names.contains_key(&fold(name));
    if free {
        names.insert(fold(name), Entry::Object(object as usize));
    }
    free
}

/// Takes an object's name away.
pub fn remove(object: *mut c_void) {
    NAMES
        .lock()
        .retain(|_, e| !matches!(e, Entry::Object(o) if *o == object as usize));
}

/// The name of an object, or an empty string.
pub fn name_of(object: *mut c_void) -> String {
    let names = NAMES.lock();
    let found = names
        .iter()
        .find(|(_, e)| matches!(e, Entry::Object(o) if *o == object as usize));
    found.map_or_else(String::new, |(n, _)| n.clone())
}

/// The object of a name, through links.
pub fn find(name: &str) -> Option<*mut c_void> {
    let names = NAMES.lock();
    let mut at = fold(name);
    for _ in 0..8 {
        match names.get(&at)? {
            Entry::Object(o) => return Some(*o as *mut c_void),
            Entry::Link(to) => at = fold(to),
        }
    }
    None
}

unsafe fn text(s: *const UNICODE_STRING) -> String {
    if s.is_null() {
        String::new()
    } else {
        String::from_utf16_lossy((*s).units())
    }
}

/// IoCreateSymbolicLink: PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoCreateSymbolicLink(
    link: *const UNICODE_STRING,
    target: *const UNICODE_STRING,
) -> NTSTATUS {
    let mut names = NAMES.lock();
    let key = fold(&text(link));
    if names.contains_key(&key) {
        return STATUS_OBJECT_NAME_COLLISION;
    }
    names.insert(key, Entry::Link(text(target)));
    STATUS_SUCCESS
}

/// IoDeleteSymbolicLink: PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoDeleteSymbolicLink(link: *const UNICODE_STRING) -> NTSTATUS {
    match NAMES.lock().remove(&fold(&text(link))) {
        Some(Entry::Link(_)) => STATUS_SUCCESS,
        _ => STATUS_OBJECT_NAME_NOT_FOUND,
    }
}

unsafe fn event(name: *const UNICODE_STRING, handle: *mut HANDLE, kind: i32) -> *mut KEVENT {
    let name = text(name);
    let old = if name.is_empty() { None } else { find(&name) };
    let object = match old {
        Some(o) => {
            ob::ObfReferenceObject(o);
            o
        }
        None => {
            let o = ob::create(ObjectKind::Event, size_of::<KEVENT>(), forget);
            if o.is_null() {
                return null_mut();
            }
            // Such events begin signalled; those of the kernel's own conditions do not.
            let signalled = !name.to_ascii_lowercase().starts_with("\\kernelobjects\\");
            crate::ke::KeInitializeEvent(o.cast(), kind, signalled.into());
            if !name.is_empty() {
                add(&name, o);
            }
            o
        }
    };
    // The event lives by its handle.
    *handle = ob::open_handle(object);
    ob::ObfDereferenceObject(object);
    object.cast()
}

/// A named event's name goes with it.
unsafe fn forget(object: *mut c_void) {
    remove(object);
}

/// IoCreateNotificationEvent: PASSIVE_LEVEL. Low memory conditions never come: the lab's memory does not run short.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoCreateNotificationEvent(
    name: *const UNICODE_STRING,
    handle: *mut HANDLE,
) -> *mut KEVENT {
    event(name, handle, 0)
}

/// IoCreateSynchronizationEvent: PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoCreateSynchronizationEvent(
    name: *const UNICODE_STRING,
    handle: *mut HANDLE,
) -> *mut KEVENT {
    event(name, handle, 1)
}

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl { IoCreateSymbolicLink, IoDeleteSymbolicLink, IoCreateNotificationEvent, IoCreateSynchronizationEvent }
}

/// The device interfaces, by their links: PDO, and whether they are enabled.
static INTERFACES: Lock<BTreeMap<String, (usize, bool)>> = Lock::new(BTreeMap::new());

/// Notes an interface; STATUS_OBJECT_NAME_EXISTS if it was there, which is a success.
pub fn register_interface(link: &str, pdo: *mut crate::nt::io::DEVICE_OBJECT) -> NTSTATUS {
    match INTERFACES.lock().insert(fold(link), (pdo as usize, false)) {
        Some(_) => STATUS_OBJECT_NAME_EXISTS,
        None => STATUS_SUCCESS,
    }
}

/// Enables or disables an interface.
pub fn enable_interface(link: &str, enable: bool) -> NTSTATUS {
    match INTERFACES.lock().get_mut(&fold(link)) {
        None => STATUS_OBJECT_NAME_NOT_FOUND,
        Some((_, on)) if *on == enable => {
            if enable {
                STATUS_OBJECT_NAME_EXISTS
            } else {
                STATUS_OBJECT_NAME_NOT_FOUND
            }
        }
        Some((_, on)) => {
            *on = enable;
            STATUS_SUCCESS
        }
    }
}
