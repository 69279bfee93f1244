//! The PnP manager: the device tree, its thread, and what drivers and the plan ask of it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use lab_protocol::bundle::Bundle;

use crate::check::violation;
use crate::ke::{KeInitializeSemaphore, KeReleaseSemaphore, KeWaitForSingleObject};
use crate::ldr::Builtin;
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::ke::KSEMAPHORE;
use crate::nt::status::*;
use crate::ob;
use crate::sync::Lock;

pub mod arbiter;
pub mod bus;
pub mod control;
pub mod ide;
pub mod node;
pub mod pci;
pub mod property;
pub mod resources;

use node::{Node, State};
use resources::Interrupt;

/// A driver that is part of the executive, and what it is bound to.
pub struct BuiltinDriver {
    /// The hardware or compatible id
    pub id: &'static str,
    /// Its service's name
    pub service: &'static str,
    /// Its DriverEntry
    pub entry: Builtin,
    /// The class of its devices
    pub class: &'static str,
    /// The class's name
    pub class_name: &'static str,
    /// True if it goes with the packages' drivers
    pub unloads: bool,
}

const SYSTEM: &str = "{4d36e97d-e325-11ce-bfc1-08002be10318}";
const HDC: &str = "{4d36e96a-e325-11ce-bfc1-08002be10318}";
const DISK: &str = "{4d36e967-e325-11ce-bfc1-08002be10318}";

/// The executive's drivers.
pub static BUILTIN: [BuiltinDriver; 4] = [
    BuiltinDriver {
        id: "*PNP0A03",
        service: "pci",
        entry: bus::pci_entry,
        class: SYSTEM,
        class_name: "System",
        unloads: false,
    },
    BuiltinDriver {
        id: "PCI\\CC_0101",
        service: "pciide",
        entry: bus::ide_controller_entry,
        class: HDC,
        class_name: "hdc",
        unloads: false,
    },
    BuiltinDriver {
        id: "*PNP0600",
        service: "atapi",
        entry: bus::ide_channel_entry,
        class: HDC,
        class_name: "hdc",
        unloads: false,
    },
    BuiltinDriver {
        id: "GenDisk",
        service: "disk",
        entry: crate::disk::driver_entry,
        class: DISK,
        class_name: "DiskDrive",
        unloads: true,
    },
];

static BUNDLE: Lock<Option<&'static Bundle>> = Lock::new(None);
static ROOT: AtomicPtr<Node> = AtomicPtr::new(null_mut());
static REBOOT: Lock<Option<String>> = Lock::new(None);
static LOADED_BOOT: AtomicBool = AtomicBool::new(false);

/// The bundle of this boot.
pub fn bundle() -> &'static Bundle {
    BUNDLE.lock().expect("PnP begins with the bundle")
}

/// Asks for a restart of the machine; the plan's runner does it.
pub fn request_reboot(why: &str) {
    let mut reboot = REBOOT.lock();
    if reboot.is_none() {
        *reboot = Some(why.into());
    }
}

/// Who asked for a restart, if anyone did.
pub fn reboot_requested() -> Option<String> {
    REBOOT.lock().clone()
}

/// Looks at the status of an AddDevice or a START for what means more than failure.
fn note_status(instance: &str, status: NTSTATUS) {
    if status == STATUS_PNP_REBOOT_REQUIRED {
        request_reboot(&format!("{instance} needs it"));
    }
}

/// What PnP's thread does.
enum Work {
    Relations(usize),
    DeviceState(usize),
    Eject(usize),
    Call(Box<dyn FnOnce() + Send>),
}

static QUEUE: Lock<VecDeque<Work>> = Lock::new(VecDeque::new());
static PENDING: AtomicU32 = AtomicU32::new(0);

struct Semaphore(UnsafeCell<core::mem::MaybeUninit<KSEMAPHORE>>);
// SAFETY: the dispatcher serialises all use of its objects.
unsafe impl Sync for Semaphore {}
static COUNT: Semaphore = Semaphore(UnsafeCell::new(core::mem::MaybeUninit::uninit()));

fn push(work: Work) {
    PENDING.fetch_add(1, Ordering::AcqRel);
    QUEUE.lock().push_back(work);
    // SAFETY: initialised by `prepare`.
    unsafe { KeReleaseSemaphore(COUNT.0.get().cast(), 0, 1, 0) };
}

fn thread() {
    loop {
        // SAFETY: initialised by `prepare`; this thread is the only one that changes the tree.
        unsafe {
            KeWaitForSingleObject(COUNT.0.get().cast(), 0, 0, 0, null_mut());
            work_off();
        }
    }
}

/// Does what is first in the queue; false if it is empty.
unsafe fn work_off() -> bool {
    let work = QUEUE.lock().pop_front();
    match work {
        Some(Work::Relations(pdo)) => with_node(pdo, |n| enumerate(n)),
        Some(Work::DeviceState(pdo)) => with_node(pdo, |n| requery(n)),
        Some(Work::Eject(pdo)) => with_node(pdo, |n| eject(n)),
        Some(Work::Call(f)) => f(),
        None => return false,
    }
    PENDING.fetch_sub(1, Ordering::AcqRel);
    true
}

/// Runs `f` on the node of a PDO that was referenced for it.
unsafe fn with_node(pdo: usize, f: impl FnOnce(*mut Node)) {
    let pdo = pdo as *mut DEVICE_OBJECT;
    if let Some(n) = node::of(pdo) {
        f(n);
    }
    ob::ObfDereferenceObject(pdo.cast());
}

/// Starts PnP's thread and brings the machine's devices up. PASSIVE_LEVEL.
///
/// # Safety
/// Once.
pub unsafe fn start(bundle: &'static Bundle) {
    prepare(bundle);
    if !crate::ke::thread::spawn(thread) {
        crate::kd::text("no memory for PnP's thread");
        return;
    }
    call(|| {
        // SAFETY: on PnP's thread.
        unsafe {
            load_boot_drivers();
            make_root();
        }
    });
}

/// What has to be there before anything is asked of PnP.
///
/// # Safety
/// Once.
pub unsafe fn prepare(bundle: &'static Bundle) {
    *BUNDLE.lock() = Some(bundle);
    KeInitializeSemaphore(COUNT.0.get().cast(), 0, i32::MAX);
}

/// Runs `f` on PnP's thread and waits.
fn call<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let slot = alloc::sync::Arc::new((Lock::new(None), AtomicBool::new(false)));
    let to = slot.clone();
    push(Work::Call(Box::new(move || {
        *to.0.lock() = Some(f());
        to.1.store(true, Ordering::Release);
    })));
    loop {
        if slot.1.load(Ordering::Acquire)
            && let Some(result) = slot.0.lock().take()
        {
            return result;
        }
        if cfg!(test) {
            // There is one thread in a test.
            // SAFETY: the test has the machine.
            unsafe { work_off() };
        }
        delay(5);
    }
}

fn delay(ms: i64) {
    if cfg!(test) {
        return;
    }
    let interval = -ms * 10_000;
    // SAFETY: PASSIVE_LEVEL, a local interval.
    unsafe { crate::ke::KeDelayExecutionThread(0, 0, &raw const interval) };
}

/// Loads the boot and system start drivers of the packages.
unsafe fn load_boot_drivers() {
    LOADED_BOOT.store(true, Ordering::Release);
    let order = crate::cm::read(crate::cm::setup::start_order);
    for s in order {
        if let Err(status) = crate::ldr::load_driver(&s.name) {
            crate::kd::text(&format!("{} did not load: {status:#x}", s.name));
            note_status(&s.name, status);
        }
    }
}

/// The root device, and on it the PCI bus.
unsafe fn make_root() {
    let root = crate::ldr::load_builtin("PnpManager", bus::root_entry);
    let Ok(driver) = root else { return };
    let of_root = bus::Child {
        device: "HTREE\\ROOT".into(),
        instance: "0".into(),
        description: "Root".into(),
        ..bus::Child::default()
    };
    let pci = bus::Child {
        device: "ACPI\\PNP0A03".into(),
        instance: "0".into(),
        hardware: Vec::from(["ACPI\\PNP0A03".into(), "*PNP0A03".into()]),
        description: "PCI Bus".into(),
        bus: (pci::BUS_TYPE, ACPIBus),
        ..bus::Child::default()
    };
    let Ok(root_pdo) = bus::new_pdo(driver, of_root) else {
        return;
    };
    let Some(root) = node::discover(null_mut(), root_pdo) else {
        return;
    };
    (*root).state = State::Started;
    ROOT.store(root, Ordering::Release);
    let Ok(pci_pdo) = bus::new_pdo(driver, pci) else {
        return;
    };
    if let Some(n) = node::discover(root, pci_pdo) {
        (*root).children.push(n);
        bring_up(n);
    }
}

/// Adds, starts and enumerates a device.
unsafe fn bring_up(raw: *mut Node) {
    let n = &mut *raw;
    if !node::add(n) || !node::start(n) {
        return;
    }
    let state = node::device_state(n);
    if state & (PNP_DEVICE_FAILED | PNP_DEVICE_REMOVED) != 0 {
        crate::kd::text(&format!(
            "{}: failed after its start (state {state:#x})",
            n.instance
        ));
        node::remove(raw, true);
        return;
    }
    enumerate(raw);
    node::enumerated(n);
}

/// Compares what a bus reports with what is known of it.
unsafe fn enumerate(raw: *mut Node) {
    let n = &mut *raw;
    if n.state != State::Started {
        return;
    }
    let Some(pdos) = node::bus_relations(n) else {
        return;
    };
    let gone: Vec<*mut Node> = n
        .children
        .iter()
        .copied()
        .filter(|c| !pdos.contains(&(**c).pdo))
        .collect();
    for child in gone {
        (*child).reported = false;
        node::remove(child, true);
        n.children.retain(|c| *c != child);
        node::drop_node(child);
    }
    let mut new = Vec::new();
    for pdo in pdos {
        if n.children.iter().any(|c| (**c).pdo == pdo) {
            ob::ObfDereferenceObject(pdo.cast());
        } else if let Some(child) = node::discover(raw, pdo) {
            n.children.push(child);
            new.push(child);
        }
    }
    for child in new {
        bring_up(child);
    }
}

/// After IoInvalidateDeviceState.
unsafe fn requery(raw: *mut Node) {
    let n = &mut *raw;
    if n.state != State::Started {
        return;
    }
    let state = node::device_state(n);
    if state & (PNP_DEVICE_FAILED | PNP_DEVICE_REMOVED) != 0 {
        crate::kd::text(&format!(
            "{}: its driver reports state {state:#x}",
            n.instance
        ));
        node::remove(raw, true);
    }
}

/// After IoRequestDeviceEject.
unsafe fn eject(raw: *mut Node) {
    let n = &mut *raw;
    let mut asked = Vec::new();
    if !node::query_remove(raw, &mut asked) {
        node::cancel_remove(&asked);
        return;
    }
    node::remove(raw, false);
    if n.caps.Bits & caps::EJECT_SUPPORTED != 0 {
        node::send(n, IRP_MN_EJECT, 0, |_| {});
    }
    let parent = n.parent;
    if !parent.is_null() {
        enumerate(parent);
    }
}

/// Called by IoDeleteDevice: a PDO may go only after its bus stopped reporting it.
///
/// # Safety
/// `device` is a device object.
pub unsafe fn on_device_deleted(device: *mut DEVICE_OBJECT) {
    if let Some(n) = node::of(device) {
        n.deleted = true;
        let in_use = matches!(n.state, State::Started | State::Stopped | State::Added);
        if in_use && !n.removing {
            let name = crate::ldr::driver_name((*device).DriverObject);
            let rule = "0xC9/221 PDO deleted while in use";
            crate::check::violation_by(
                &name,
                "IoDeleteDevice",
                rule,
                format_args!("{}", n.instance),
            );
        }
    }
}

/// The interrupts that PnP gave a device.
///
/// # Safety
/// `pdo` is a device object.
pub unsafe fn interrupts(pdo: *mut DEVICE_OBJECT) -> Vec<Interrupt> {
    node::of(pdo).map_or_else(Vec::new, |n| n.assigned.interrupts.clone())
}

/// The path of a device's hardware key (`Device Parameters`); `pdo` is a device object that is referenced.
#[allow(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "PDOs that callers hold are referenced"
)]
pub fn hardware_key(pdo: *mut DEVICE_OBJECT) -> Option<String> {
    // SAFETY: the caller has a reference.
    unsafe { node::of(pdo) }
        .map(|n| format!("{}\\{}\\Device Parameters", crate::cm::ENUM, n.instance))
}

/// The top of a device's stack.
///
/// # Safety
/// `pdo` is a device object.
pub unsafe fn top_of_stack(pdo: *mut DEVICE_OBJECT) -> *mut DEVICE_OBJECT {
    crate::io::IoGetAttachedDevice(pdo)
}

/// Waits until nothing is left to enumerate and no work item runs; false if that takes longer than `ms`.
pub fn wait_until_settled(ms: u32) -> bool {
    let mut left = i64::from(ms);
    let mut quiet = 0;
    while left > 0 {
        let idle = PENDING.load(Ordering::Acquire) == 0 && crate::io::work::idle();
        quiet = if idle { quiet + 1 } else { 0 };
        if quiet >= 5 {
            return true;
        }
        delay(10);
        left -= 10;
    }
    false
}

fn of_packages(service: &str) -> bool {
    BUILTIN
        .iter()
        .find(|b| b.service.eq_ignore_ascii_case(service))
        .is_none_or(|b| b.unloads)
}

/// The topmost devices that packages' drivers run. What the machine stands on, as the root of PCI, is not among them, whatever
/// filters are on it: Windows does not let anybody remove it (DN_DISABLEABLE is not set), and its filters stay with it.
/// Their services are put into `stay`.
unsafe fn topmost(raw: *mut Node, out: &mut Vec<*mut Node>, stay: &mut Vec<String>) {
    let services = &(*raw).services;
    if !services.is_empty() && services.iter().all(|s| of_packages(s)) {
        out.push(raw);
        return;
    }
    stay.extend(services.iter().filter(|s| of_packages(s)).cloned());
    for child in (*raw).children.clone() {
        topmost(child, out, stay);
    }
}

/// Removes every device that a package's driver runs, and unloads those drivers; false if a device or a driver refused.
pub fn remove_all_and_unload() -> bool {
    // SAFETY: on PnP's thread.
    call(|| unsafe { remove_all() })
}

unsafe fn remove_all() -> bool {
    let root = ROOT.load(Ordering::Acquire);
    if root.is_null() {
        return false;
    }
    let (mut nodes, mut stay) = (Vec::new(), Vec::new());
    topmost(root, &mut nodes, &mut stay);
    let mut ok = true;
    for raw in nodes {
        let mut asked = Vec::new();
        if node::query_remove(raw, &mut asked) {
            node::remove(raw, false);
        } else {
            node::cancel_remove(&asked);
            ok = false;
        }
    }
    crate::mm::grants::report();
    unload_all(&stay) && ok
}

unsafe fn unload_all(stay: &[String]) -> bool {
    let mut ok = true;
    for service in crate::ldr::loaded_services() {
        if stay.iter().any(|s| s.eq_ignore_ascii_case(&service)) {
            crate::kd_log!("{service} stays: it is a filter on a device that cannot be removed");
        } else if of_packages(&service) && service != "PnpManager" {
            ok &= crate::ldr::unload_driver(&service);
        }
    }
    ok
}

/// Brings up again what [`remove_all_and_unload`] took down; false if a device does not start.
pub fn start_all() -> bool {
    // SAFETY: on PnP's thread.
    call(|| unsafe {
        load_boot_drivers();
        let root = ROOT.load(Ordering::Acquire);
        !root.is_null() && restart(root)
    })
}

unsafe fn restart(raw: *mut Node) -> bool {
    let mut ok = true;
    for child in (*raw).children.clone() {
        if (*child).state == State::Removed {
            bring_up(child);
            ok &= (*child).state == State::Started;
        } else {
            ok &= restart(child);
        }
    }
    ok
}

/// Calls `f` with each device, leaves first. PnP's thread does it.
pub fn for_each_leaf_first(f: impl Fn(&Node) + Send + 'static) {
    unsafe fn walk(raw: *mut Node, f: &dyn Fn(&Node)) {
        for child in (*raw).children.clone() {
            walk(child, f);
        }
        f(&*raw);
    }
    call(move || {
        let root = ROOT.load(Ordering::Acquire);
        if !root.is_null() {
            // SAFETY: on PnP's thread.
            unsafe { walk(root, &f) };
        }
    });
}

unsafe fn request(pdo: *mut DEVICE_OBJECT, routine: &str, make: fn(usize) -> Work) {
    if node::of(pdo).is_none() {
        violation("0xCA/2 not a PDO", format_args!("{routine}({pdo:p})"));
        return;
    }
    ob::ObfReferenceObject(pdo.cast());
    push(make(pdo as usize));
}

/// IoInvalidateDeviceRelations: `<= DISPATCH_LEVEL`. Only the bus relations are kept, so only they can be invalid.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoInvalidateDeviceRelations(pdo: *mut DEVICE_OBJECT, kind: u32) {
    if matches!(kind, BusRelations | SingleBusRelations) {
        request(pdo, "IoInvalidateDeviceRelations", Work::Relations);
    }
}

/// IoInvalidateDeviceState: `<= DISPATCH_LEVEL`.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoInvalidateDeviceState(pdo: *mut DEVICE_OBJECT) {
    request(pdo, "IoInvalidateDeviceState", Work::DeviceState);
}

/// IoRequestDeviceEject: `<= DISPATCH_LEVEL`.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoRequestDeviceEject(pdo: *mut DEVICE_OBJECT) {
    request(pdo, "IoRequestDeviceEject", Work::Eject);
}

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl { IoInvalidateDeviceRelations, IoInvalidateDeviceState, IoRequestDeviceEject }
}

#[cfg(test)]
pub mod tests;
