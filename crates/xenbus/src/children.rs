//! Which children xenstore asks for below `device/`, and which PnP is told of.

use core::ffi::c_void;
use core::time::Duration;
use rust_alloc::vec::Vec;

use wdm::alloc::{Paged, Shared};
use wdm::mutex::Mutex;
use wdm::status::{Result, Status};
use wdm::text::FormatBuffer;
use wdm::thread::{Signals, Thread};
use xenbus_core::children::{Wanted, classes, names};
use xenbus_core::roster::{Arrival, Roster};
use xenbus_interface::identity::{Child, Class};

use crate::fdo::Fdo;
use crate::pdo::Pdo;

/// The directory whose entries are the classes.
const DIRECTORY: &[u8] = b"device";
/// A watch that is lost must not make the bus blind for ever: the directory is looked at this often anyway.
const RESCAN: Duration = Duration::from_secs(60);

/// The children that there are.
pub struct Children(Mutex<Roster<Shared<Pdo>>>);

impl Children {
    /// None.
    ///
    /// # Errors
    /// `INSUFFICIENT_RESOURCES`.
    pub fn new() -> Result<Self> {
        Ok(Self(Mutex::new("the list of children", Roster::new())?))
    }

    /// Compares xenstore with the children: makes devices for the new, marks those that left. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// What xenstore says; a child that cannot be made is logged and tried again with the next scan.
    pub fn scan(fdo: &Shared<Fdo>) -> Result {
        let wanted = wanted(fdo)?;
        let mut changed = false;
        let mut roster = fdo.children().0.lock();
        roster.retain(&wanted, |child| {
            wdm::info!("{child} left");
            changed = true;
        });
        for child in wanted.iter() {
            match roster.arrival(&child) {
                Arrival::New => changed |= arrive(&mut roster, fdo, child),
                Arrival::HeldBack => {
                    wdm::info!("{child} is back and waits until its old device is removed");
                }
                Arrival::Known | Arrival::Ejected => {}
            }
        }
        drop(roster);
        fdo.children().delete_over();
        if changed {
            fdo.invalidate();
        }
        Ok(())
    }

    /// Deletes the devices that nobody needs. PASSIVE_LEVEL.
    fn delete_over(&self) {
        loop {
            let over = self.0.lock().take_over();
            let Some(child) = over else { return };
            child.delete();
        }
    }

    /// PnP's `REMOVE` came for a child; true: its device is to be deleted, once the request is complete. PASSIVE_LEVEL.
    pub fn removed(&self, child: &Pdo) -> bool {
        let taken = self.0.lock().removed(|one| core::ptr::eq(&**one, child));
        taken.is_some()
    }

    /// A user ejected a child. PASSIVE_LEVEL.
    pub fn eject(&self, child: &Pdo) {
        self.0.lock().eject(|one| core::ptr::eq(&**one, child));
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
        let mut roster = self.0.lock();
        // SAFETY: the caller's promise.
        let others = unsafe { addresses(old) };
        let count = others.len() + roster.present();
        // DEVICE_RELATIONS: a count, then pointers from byte 8 on.
        let mut list = Paged::new(8 + 8 * count.max(1))?;
        let mut words = list.bytes_mut().chunks_exact_mut(8);
        let mut put = |value: usize| {
            if let Some(word) = words.next() {
                word.copy_from_slice(&value.to_le_bytes());
            }
        };
        put(count);
        others.iter().for_each(|device| put(*device));
        roster.list(|child| {
            child.device().reference();
            put(child.device().as_ptr().expose_provenance());
        });
        if !old.is_null() {
            // SAFETY: the caller gives it away.
            unsafe { wdm::alloc::free_pool(old) };
        }
        Ok(list.into_raw())
    }

    /// The bus is removed: so are the children, but for those that PnP still has to remove. PASSIVE_LEVEL.
    pub fn parent_removed(&self) {
        self.0
            .lock()
            .parent_removed(|child| child.is_surprise_removed());
        self.delete_over();
    }
}

/// What xenstore asks for. PASSIVE_LEVEL.
fn wanted(fdo: &Fdo) -> Result<Wanted> {
    let parameters = fdo.parameters();
    let list = directory(fdo, DIRECTORY)?;
    let mut wanted = Wanted::new();
    for class in classes(names(&list), &parameters.classes).iter() {
        if fdo.class_option(&class, "Enumerate") == Some(0) {
            continue;
        }
        let left_out = if parameters.per_device.contains(&class) {
            devices(fdo, class, &mut wanted)?
        } else {
            usize::from(!wanted.insert(Child::of_class(class)))
        };
        if left_out != 0 {
            wdm::error!("{class}: there is no room for {left_out} of its devices");
        }
    }
    Ok(wanted)
}

/// Adds the devices of a class; says how many had no room.
fn devices(fdo: &Fdo, class: Class, wanted: &mut Wanted) -> Result<usize> {
    let path = FormatBuffer::<64>::format(format_args!("device/{}", class.directory()));
    let list = directory(fdo, path.as_bytes())?;
    Ok(wanted.insert_devices(class, names(&list)))
}

/// A directory's entries; one that is not there has none.
fn directory(fdo: &Fdo, path: &[u8]) -> Result<Vec<u8>> {
    match fdo.providers().get_ref().store().directory(path) {
        Err(Status::OBJECT_NAME_NOT_FOUND | Status::OBJECT_PATH_NOT_FOUND) => Ok(Vec::new()),
        other => other,
    }
}

/// Makes a device for a child; true if PnP has to hear of it.
fn arrive(roster: &mut Roster<Shared<Pdo>>, fdo: &Shared<Fdo>, child: Child) -> bool {
    if !roster.reserve() {
        wdm::error!("{child} arrived and there is no room for it");
        return false;
    }
    let made = Pdo::create(fdo.driver(), fdo, child);
    match made.map(|device| roster.insert(child, device)) {
        Ok(Ok(())) => {
            wdm::info!("{child} arrived");
            true
        }
        Ok(Err(device)) => {
            device.delete();
            false
        }
        Err(status) => {
            wdm::error!("{child} arrived and cannot be reported: {status}");
            false
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

    /// Has the thread look at xenstore now. IRQL <= DISPATCH_LEVEL.
    pub fn wake(&self) {
        self.thread.wake();
    }

    /// Ends the thread. PASSIVE_LEVEL.
    pub fn stop(self) {
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
