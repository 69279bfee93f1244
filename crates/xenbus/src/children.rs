//! Which classes xenstore has below `device/`, and which children PnP is told of.

use core::ffi::c_void;
use core::time::Duration;
use rust_alloc::vec::Vec;

use wdm::alloc::{Paged, Shared};
use wdm::mutex::Mutex;
use wdm::status::{Result, Status};
use wdm::thread::{Signals, Thread};
use xenbus_core::children::{Classes, MAX_CLASSES, compare, names};
use xenbus_interface::identity::Class;

use crate::fdo::Fdo;
use crate::pdo::Pdo;

/// The directory whose entries are the classes.
const DIRECTORY: &[u8] = b"device";
/// A watch that is lost must not make the bus blind for ever: the directory is looked at this often anyway.
const RESCAN: Duration = Duration::from_secs(60);

/// The children that there are.
pub struct Children(Mutex<Vec<Shared<Pdo>>>);

impl Children {
    /// None.
    ///
    /// # Errors
    /// `INSUFFICIENT_RESOURCES`.
    pub fn new() -> Result<Self> {
        Ok(Self(Mutex::new("the list of children", Vec::new())?))
    }

    /// Compares xenstore with the children: makes devices for the new, marks those that left. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What xenstore says; a child that cannot be made is logged and tried again with the next scan.
    pub fn scan(fdo: &Shared<Fdo>) -> Result {
        let list = match fdo.providers().get_ref().store().directory(DIRECTORY) {
            Err(Status::OBJECT_NAME_NOT_FOUND | Status::OBJECT_PATH_NOT_FOUND) => Vec::new(),
            other => other?,
        };
        let mut children = fdo.children().0.lock();
        let mut present = Classes::new();
        for child in children.iter().filter(|child| !child.is_missing()) {
            present.insert(child.class());
        }
        let changes = compare(names(&list), &fdo.parameters().classes, &present);
        if changes.is_empty() {
            return Ok(());
        }
        for child in children
            .iter()
            .filter(|child| changes.gone.contains(&child.class()))
        {
            if !child.is_missing() {
                wdm::info!("{} left", child.class());
                child.set_missing();
            }
        }
        for class in changes.arrived.iter() {
            Self::arrive(&mut children, fdo, class);
        }
        drop(children);
        fdo.children().delete_unreported();
        fdo.invalidate();
        Ok(())
    }

    /// Deletes children that left before PnP heard of them. A deletion takes the lock on the list.
    fn delete_unreported(&self) {
        let mut missing = Vec::new();
        let children = self.0.lock();
        if missing.try_reserve(children.len()).is_ok() {
            missing.extend(children.iter().filter(|child| child.is_missing()).cloned());
        }
        drop(children);
        for child in &missing {
            child.delete_unreported();
        }
    }

    fn arrive(children: &mut Vec<Shared<Pdo>>, fdo: &Shared<Fdo>, class: Class) {
        if fdo.class_option(&class, "Enumerate") == Some(0) {
            return;
        }
        // The old device of a class that left and came back may still wait for its removal.
        if children.len() >= 2 * MAX_CLASSES || children.try_reserve(1).is_err() {
            wdm::error!("{class} arrived and there is no room for it");
            return;
        }
        match Pdo::create(fdo.driver(), fdo, class) {
            Ok(child) => {
                wdm::info!("{class} arrived");
                children.push(child);
            }
            Err(status) => wdm::error!("{class} arrived and cannot be reported: {status}"),
        }
    }

    /// The answer to `QUERY_DEVICE_RELATIONS` for the bus, as `DEVICE_RELATIONS` in paged pool; `old`, another
    /// driver's answer that is already there, is kept and freed. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// `INSUFFICIENT_RESOURCES`; `old` is untouched.
    ///
    /// # Safety
    /// `old` is null or a valid `DEVICE_RELATIONS` from the pool, which the caller gives away.
    pub unsafe fn relations(&self, old: *mut c_void) -> Result<*mut c_void> {
        let children = self.0.lock();
        let present = || children.iter().filter(|child| !child.is_missing());
        // SAFETY: the caller's promise.
        let others = unsafe { addresses(old) };
        let count = others.len() + present().count();
        // DEVICE_RELATIONS: a count, then pointers from byte 8 on.
        let mut list = Paged::new(8 + 8 * count.max(1))?;
        let words = list.bytes_mut().chunks_exact_mut(8);
        let devices = others.iter().copied();
        let devices =
            devices.chain(present().map(|child| child.device().as_ptr().expose_provenance()));
        for (word, value) in words.zip([count].into_iter().chain(devices)) {
            word.copy_from_slice(&value.to_le_bytes());
        }
        for child in present() {
            child.device().reference();
            child.set_reported();
        }
        if !old.is_null() {
            // SAFETY: the caller gives it away.
            unsafe { wdm::alloc::free_pool(old) };
        }
        Ok(list.into_raw())
    }

    /// A child's device is deleted. PASSIVE_LEVEL.
    pub fn forget(&self, child: &Pdo) {
        let mut children = self.0.lock();
        children.retain(|one| !core::ptr::eq(&**one, child));
    }

    /// The bus is removed: so are the children, but for those that PnP still has to remove. PASSIVE_LEVEL.
    pub fn parent_removed(&self) {
        let children = core::mem::take(&mut *self.0.lock());
        for child in &children {
            child.parent_removed();
        }
    }
}

/// The device addresses of a `DEVICE_RELATIONS`.
///
/// # Safety
/// `relations` is null or valid, and outlives the slice.
unsafe fn addresses<'a>(relations: *mut c_void) -> &'a [usize] {
    if relations.is_null() {
        return &[];
    }
    // SAFETY: it begins with its count.
    let count = unsafe { relations.cast::<u32>().read() };
    let first = relations.cast::<usize>().wrapping_add(1);
    // SAFETY: as many pointers follow from byte 8 on.
    unsafe { core::slice::from_raw_parts(first, count as usize) }
}

/// The thread that follows xenstore.
pub struct Watcher {
    thread: Thread,
}

impl Watcher {
    /// Looks at xenstore once and has a thread follow it. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What the kernel says, or xenstore to the first look.
    pub fn start(fdo: &Shared<Fdo>) -> Result<Self> {
        Children::scan(fdo)?;
        let own = fdo.clone();
        let thread = Thread::spawn("children", move |signals| follow(&own, signals))?;
        Ok(Self { thread })
    }

    /// Ends the thread. PASSIVE_LEVEL.
    pub fn stop(self, _fdo: &Fdo) {
        self.thread.stop();
    }
}

fn follow(fdo: &Shared<Fdo>, signals: &Signals) {
    let providers = fdo.providers();
    let store = providers.get_ref().store();
    let watch = store.watch(DIRECTORY, signals.wake_event());
    if let Err(status) = &watch {
        wdm::error!("device/ cannot be watched ({status}); it is looked at every {RESCAN:?}");
    }
    while signals.wait(Some(RESCAN)) {
        if let Err(status) = Children::scan(fdo) {
            wdm::warn!("device/ cannot be read: {status}");
        }
    }
    if let Ok(watch) = watch {
        store.unwatch(watch);
    }
}
