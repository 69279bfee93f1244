//! Device nodes: one a device. What PnP asks a new device, how it builds its stack, starts, stops and removes it.
//!
//! The sequences are those of "Adding a PnP Device to a Running System", "Understanding When Remove IRPs Are Issued" and
//! the IRPs' own pages. Only PnP's thread changes nodes.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::null_mut;

use lab_protocol::record::Record;
use lab_protocol::registry::Data;

use super::arbiter;
use super::resources::{Assigned, arbitrate};
use crate::check::{emit, violation_by};
use crate::cm::hive::{parse_multi_sz, parse_sz};
use crate::cm::{CLASS, ENUM};
use crate::io::build::call;
use crate::io::device::stack;
use crate::io::{IoGetAttachedDevice, IoGetAttachedDeviceReference};
use crate::ldr::driver_name;
use crate::nt::base::{GUID, NTSTATUS, nt_success};
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::status::*;
use crate::ob;

/// Milliseconds between the REMOVE of a bus' children and its own.
const BETWEEN_REMOVALS: i64 = 200;

/// Where a device is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Known, without drivers
    Found,
    /// Its drivers have their device objects
    Added,
    /// Started
    Started,
    /// Stopped, to be started with other resources
    Stopped,
    /// It could not be started; its drivers are gone again
    Failed,
    /// Removed in order; the device is still there
    Removed,
}

impl State {
    /// As records and plans call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Added => "added",
            Self::Started => "started",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }
}

/// A device.
pub struct Node {
    /// Its bus driver's device object
    pub pdo: *mut DEVICE_OBJECT,
    /// The bus that it is on
    pub parent: *mut Node,
    /// The devices on it
    pub children: Vec<*mut Node>,
    /// Instance path: device id and instance
    pub instance: String,
    /// Hardware ids
    pub hardware: Vec<String>,
    /// Compatible ids
    pub compatible: Vec<String>,
    /// Where it is in its life
    pub state: State,
    /// The services of its stack, bottom to top, without the bus driver
    pub services: Vec<String>,
    /// What it can do
    pub caps: DEVICE_CAPABILITIES,
    /// What it was given
    pub assigned: Assigned,
    /// Description and location
    pub text: [String; 2],
    /// Bus type and number
    pub bus: PNP_BUS_INFORMATION,
    /// How far from the root
    pub depth: u32,
    /// True once its bus driver deleted the PDO
    pub deleted: bool,
    /// True while its bus reports it
    pub reported: bool,
    /// True while a REMOVE is on its way: with one that no report follows, the bus driver deletes the PDO
    pub removing: bool,
    /// The stack's top before the first AddDevice: the PDO, or what its bus' filters put on it
    below: *mut DEVICE_OBJECT,
}

/// The node of a PDO.
///
/// # Safety
/// `pdo` is a device object that is referenced.
pub unsafe fn of(pdo: *mut DEVICE_OBJECT) -> Option<&'static mut Node> {
    if pdo.is_null() || ob::kind_of(pdo.cast()) != Some(ob::ObjectKind::Device) {
        return None;
    }
    (*(*pdo).DeviceObjectExtension)
        .DeviceNode
        .cast::<Node>()
        .as_mut()
}

fn log(text: &str) {
    crate::kd::text(text);
}

/// Sends a PnP IRP to the top of a device's stack.
///
/// # Safety
/// PASSIVE_LEVEL, PnP's thread.
pub unsafe fn send(
    node: &Node,
    minor: u8,
    information: usize,
    fill: impl FnOnce(&mut IO_STACK_LOCATION),
) -> IO_STATUS_BLOCK {
    let top = IoGetAttachedDeviceReference(node.pdo);
    let result = call(
        top,
        IRP_MJ_PNP,
        minor,
        STATUS_NOT_SUPPORTED,
        information,
        fill,
    );
    ob::ObfDereferenceObject(top.cast());
    result
}

unsafe fn simple(node: &Node, minor: u8) -> NTSTATUS {
    send(node, minor, 0, |_| {}).Status
}

unsafe fn free(pointer: usize) {
    if pointer != 0 {
        crate::ex::ExFreePoolWithTag((pointer as *mut c_void).cast(), 0);
    }
}

/// The bytes of a string that ends in one or two NULs.
unsafe fn wide_bytes(pointer: usize, multi: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let p = pointer as *const u16;
    let mut i = 0;
    loop {
        let (u, after) = (*p.add(i), i + 1);
        out.extend_from_slice(&u.to_le_bytes());
        if u == 0 && (!multi || *p.add(after) == 0) {
            return out;
        }
        i = after;
        if i > 4096 {
            return out;
        }
    }
}

unsafe fn query_id(node: &Node, kind: u32) -> Vec<String> {
    let r = send(node, IRP_MN_QUERY_ID, 0, |l| {
        l.Parameters.QueryIdType = kind
    });
    if !nt_success(r.Status) || r.Information == 0 {
        return Vec::new();
    }
    let multi = matches!(kind, BusQueryHardwareIDs | BusQueryCompatibleIDs);
    let bytes = wide_bytes(r.Information, multi);
    free(r.Information);
    let ids = if multi {
        parse_multi_sz(&bytes)
    } else {
        Vec::from([parse_sz(&bytes)])
    };
    for id in &ids {
        check_id(node, id);
    }
    ids
}

unsafe fn check_id(node: &Node, id: &str) {
    let legal = |c: char| (' '..='\u{7f}').contains(&c) && c != ',';
    if !id.chars().all(legal) || id.len() >= 200 {
        let driver = driver_name((*node.pdo).DriverObject);
        violation_by(
            &driver,
            "IRP_MN_QUERY_ID",
            "0xCA/3 illegal id",
            format_args!("{id:?}"),
        );
    }
}

unsafe fn query_text(node: &Node, kind: u32) -> String {
    let r = send(node, IRP_MN_QUERY_DEVICE_TEXT, 0, |l| {
        l.Parameters.QueryDeviceText.DeviceTextType = kind;
        l.Parameters.QueryDeviceText.LocaleId = 0x409;
    });
    if !nt_success(r.Status) || r.Information == 0 {
        return String::new();
    }
    let text = parse_sz(&wide_bytes(r.Information, false));
    free(r.Information);
    text
}

const NO_CAPS: DEVICE_CAPABILITIES = DEVICE_CAPABILITIES {
    Size: size_of::<DEVICE_CAPABILITIES>() as u16,
    Version: 1,
    Bits: 0,
    Address: u32::MAX,
    UINumber: u32::MAX,
    DeviceState: [0; 7],
    SystemWake: 0,
    DeviceWake: 0,
    D1Latency: 0,
    D2Latency: 0,
    D3Latency: 0,
};

unsafe fn query_caps(node: &Node) -> DEVICE_CAPABILITIES {
    let mut caps = NO_CAPS;
    let r = send(node, IRP_MN_QUERY_CAPABILITIES, 0, |l| {
        l.Parameters.Capabilities = &mut caps
    });
    if caps.Size != NO_CAPS.Size || caps.Version != 1 {
        let driver = driver_name((*node.pdo).DriverObject);
        violation_by(
            &driver,
            "IRP_MN_QUERY_CAPABILITIES",
            "capabilities",
            format_args!("Size or Version changed"),
        );
    }
    if nt_success(r.Status) { caps } else { NO_CAPS }
}

/// A hash for instance prefixes.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |h, b| {
        (h ^ u32::from(b.to_ascii_uppercase())).wrapping_mul(0x0100_0193)
    })
}

/// Makes a node for a new PDO, asks it all there is to ask, and writes its instance key. The reference is the node's.
///
/// # Safety
/// PnP's thread.
pub unsafe fn discover(parent: *mut Node, pdo: *mut DEVICE_OBJECT) -> Option<*mut Node> {
    let depth = parent.as_ref().map_or(0, |p| p.depth + 1);
    let raw = Box::into_raw(Box::new(Node {
        pdo,
        parent,
        children: Vec::new(),
        instance: String::new(),
        hardware: Vec::new(),
        compatible: Vec::new(),
        state: State::Found,
        services: Vec::new(),
        caps: NO_CAPS,
        assigned: Assigned::default(),
        text: [String::new(), String::new()],
        bus: PNP_BUS_INFORMATION {
            BusTypeGuid: GUID::default(),
            LegacyBusType: InterfaceTypeUndefined,
            BusNumber: 0,
        },
        depth,
        deleted: false,
        reported: true,
        removing: false,
        // Bus filters attach to a PDO before PnP hears of it.
        below: IoGetAttachedDevice(pdo),
    }));
    let n = &mut *raw;
    (*(*pdo).DeviceObjectExtension).DeviceNode = raw.cast();
    let one = |l: Vec<String>| l.into_iter().next().unwrap_or_default();
    let device = one(query_id(n, BusQueryDeviceID));
    n.hardware = query_id(n, BusQueryHardwareIDs);
    n.compatible = query_id(n, BusQueryCompatibleIDs);
    let instance = one(query_id(n, BusQueryInstanceID));
    n.caps = query_caps(n);
    let container = if n.caps.Bits & caps::REMOVABLE != 0 {
        one(query_id(n, BusQueryContainerID))
    } else {
        String::new()
    };
    n.text = [
        query_text(n, DeviceTextDescription),
        query_text(n, DeviceTextLocationInformation),
    ];
    let r = send(n, IRP_MN_QUERY_BUS_INFORMATION, 0, |_| {});
    if nt_success(r.Status) && r.Information != 0 {
        n.bus = (r.Information as *const PNP_BUS_INFORMATION).read_unaligned();
        free(r.Information);
    }
    let r = send(n, IRP_MN_QUERY_RESOURCES, 0, |_| {});
    if nt_success(r.Status) {
        free(r.Information);
    }
    free(query_requirements(n));
    if device.is_empty() || instance.is_empty() {
        let driver = driver_name((*pdo).DriverObject);
        violation_by(
            &driver,
            "IRP_MN_QUERY_ID",
            "0xCA required id missing",
            format_args!("device {device:?}"),
        );
        drop_node(raw);
        return None;
    }
    n.instance = if n.caps.Bits & caps::UNIQUE_ID != 0 {
        format!("{device}\\{instance}")
    } else {
        instance_of(&device, &instance, parent.as_ref())
    };
    write_instance(n, &container);
    report(n);
    Some(raw)
}

/// The instance path of a device whose instance id is unique on its bus only.
pub fn instance_of(device: &str, instance: &str, parent: Option<&Node>) -> String {
    let (depth, prefix) = parent.map_or((0, 0), |p| (p.depth + 1, hash(&p.instance)));
    format!("{device}\\{depth}&{prefix:x}&0&{instance}")
}

fn key(node: &Node) -> String {
    format!("{ENUM}\\{}", node.instance)
}

fn write_instance(n: &Node, container: &str) {
    let key = key(n);
    let put = |name: &str, data: Data| crate::cm::put(&key, name, &data);
    if !n.hardware.is_empty() {
        put("HardwareID", Data::MultiSz(n.hardware.clone()));
    }
    if !n.compatible.is_empty() {
        put("CompatibleIDs", Data::MultiSz(n.compatible.clone()));
    }
    if crate::cm::read(|h| h.get(&key, "DeviceDesc").is_none()) {
        put("DeviceDesc", Data::Sz(n.text[0].clone()));
    }
    put("LocationInformation", Data::Sz(n.text[1].clone()));
    put("Capabilities", Data::Dword(n.caps.Bits >> 3 & 0x3ff));
    if n.caps.Address != u32::MAX {
        put("Address", Data::Dword(n.caps.Address));
    }
    if !container.is_empty() {
        put("ContainerID", Data::Sz(container.into()));
    }
}

/// Tells the host of a device's state.
fn report(n: &Node) {
    emit(&Record::Device {
        instance: n.instance.clone(),
        state: n.state.name().into(),
        service: service(n),
    });
}

/// The function driver's service.
pub fn service(n: &Node) -> String {
    crate::cm::read(|h| h.string(&key(n), "Service")).unwrap_or_default()
}

/// The name of the device's setup class, or nothing.
pub fn class(n: &Node) -> String {
    crate::cm::read(|h| h.string(&key(n), "Class")).unwrap_or_default()
}

unsafe fn set_state(n: &mut Node, state: State) {
    n.state = state;
    report(n);
}

/// Binds a device to a package's model, or to a driver of the executive; true if it has a function driver.
fn bind(n: &Node) -> bool {
    let key = key(n);
    if crate::cm::read(|h| h.get(&key, "Service").is_some()) {
        return true;
    }
    let bundle = super::bundle();
    if let Some((package, model, id)) =
        crate::cm::setup::find(&bundle.packages, &n.hardware, &n.compatible)
    {
        log(&format!(
            "{}: {} of {} by {id}",
            n.instance, model.description, package.inf
        ));
        let changes =
            crate::cm::read(|h| crate::cm::setup::device(h, &n.instance, package, model, &id));
        // What the plan says of the device stands over what the INF says.
        let over = crate::cm::setup::of_plan(&bundle.plan, &n.instance);
        changes.iter().chain(&over).for_each(crate::cm::apply);
        return true;
    }
    let ids = || n.hardware.iter().chain(&n.compatible);
    let found = super::BUILTIN
        .iter()
        .find(|b| ids().any(|id| id.eq_ignore_ascii_case(b.id)));
    if let Some(b) = found {
        let class = b.class;
        crate::cm::put(&key, "ClassGUID", &Data::Sz(class.into()));
        crate::cm::put(&key, "Class", &Data::Sz(b.class_name.into()));
        crate::cm::put(
            &format!("{CLASS}\\{class}"),
            "Class",
            &Data::Sz(b.class_name.into()),
        );
        crate::cm::put(&key, "Service", &Data::Sz(b.service.into()));
    }
    found.is_some()
}

/// The services of a device's stack from bottom to top: lower filters of device and class, function driver, upper filters of
/// device and class.
fn stack_services(n: &Node) -> Vec<String> {
    let key = key(n);
    crate::cm::read(|h| {
        let class = h
            .string(&key, "ClassGUID")
            .map(|g| format!("{CLASS}\\{g}"))
            .unwrap_or_default();
        let mut out = h.strings(&key, "LowerFilters");
        out.extend(h.strings(&class, "LowerFilters"));
        out.extend(h.string(&key, "Service"));
        out.extend(h.strings(&key, "UpperFilters"));
        out.extend(h.strings(&class, "UpperFilters"));
        out
    })
}

unsafe fn load(service: &str) -> Result<*mut DRIVER_OBJECT, NTSTATUS> {
    match super::BUILTIN
        .iter()
        .find(|b| b.service.eq_ignore_ascii_case(service))
    {
        Some(b) => crate::ldr::load_builtin(b.service, b.entry),
        None => crate::ldr::load_driver(service),
    }
}

/// Loads the device's drivers and calls their AddDevice.
///
/// # Safety
/// PnP's thread.
pub unsafe fn add(n: &mut Node) -> bool {
    if !bind(n) {
        return n.caps.Bits & caps::RAW_DEVICE_OK != 0;
    }
    let services = stack_services(n);
    let function = service(n);
    n.services.clear();
    n.below = IoGetAttachedDevice(n.pdo);
    for name in &services {
        let result = load(name).and_then(|driver| add_device(n, driver, name));
        if let Err(status) = result {
            log(&format!("{}: {name} failed with {status:#x}", n.instance));
            super::note_status(&n.instance, status);
            // A filter that fails its AddDevice is passed over; a function driver that does ends the device, and so does
            // any driver that cannot be loaded.
            let loaded = crate::ldr::find_driver(name).is_some();
            if !loaded || name.eq_ignore_ascii_case(&function) {
                fail(n);
                return false;
            }
            continue;
        }
        n.services.push(name.to_string());
    }
    set_state(n, State::Added);
    check_stack(n);
    true
}

unsafe fn add_device(n: &Node, driver: *mut DRIVER_OBJECT, name: &str) -> Result<(), NTSTATUS> {
    let Some(routine) = (*(*driver).DriverExtension).AddDevice else {
        log(&format!("{}: {name} has no AddDevice", n.instance));
        return Err(STATUS_DRIVER_UNABLE_TO_LOAD);
    };
    let status = routine(driver, n.pdo);
    let irql = crate::ke::KeGetCurrentIrql();
    if irql != 0 {
        violation_by(
            &driver_name(driver),
            "AddDevice",
            "irql",
            format_args!("returned at IRQL {irql}"),
        );
        crate::ke::KeLowerIrql(0);
    }
    if nt_success(status) {
        Ok(())
    } else {
        Err(status)
    }
}

/// What AddDevice must have left behind.
unsafe fn check_stack(n: &Node) {
    let devices = stack(n.pdo);
    for pair in devices.windows(2) {
        let (below, d) = (pair[0], pair[1]);
        let name = driver_name((*d).DriverObject);
        if (*d).Flags & DO_DEVICE_INITIALIZING != 0 {
            violation_by(
                &name,
                "AddDevice",
                "0xC9/243 DO_DEVICE_INITIALIZING left",
                format_args!("device {d:p}"),
            );
        }
        let below_flags = (*below).Flags;
        if below_flags & DO_POWER_PAGABLE == 0 && (*d).Flags & DO_POWER_PAGABLE != 0 {
            violation_by(
                &name,
                "AddDevice",
                "0xC9/23F DO_POWER_PAGABLE",
                format_args!("set over one that lacks it"),
            );
        }
    }
}

/// Has a failed device's drivers removed.
unsafe fn fail(n: &mut Node) {
    if IoGetAttachedDevice(n.pdo) != n.pdo {
        simple(n, IRP_MN_REMOVE_DEVICE);
        check_detached(n);
    }
    give_back(n);
    n.services.clear();
    set_state(n, State::Failed);
}

unsafe fn give_back(n: &mut Node) {
    let assigned = core::mem::take(&mut n.assigned);
    release(n, assigned);
}

/// Resources that a device had go back. A driver disconnects its interrupts when it is stopped or removed.
unsafe fn release(n: &Node, assigned: Assigned) {
    for i in assigned.interrupts.iter().filter(|i| i.message) {
        if crate::ke::interrupt::is_connected(i.vector) {
            violation_by(
                &service(n),
                "IRP_MN_STOP_DEVICE or IRP_MN_REMOVE_DEVICE",
                "interrupts are disconnected before their resources go",
                format_args!("vector {:#x} of {}", i.vector, n.instance),
            );
        }
    }
    arbiter::release(&assigned);
}

/// A fresh requirements list of the PDO's, in pool that PnP frees; 0 if the device needs nothing.
unsafe fn query_requirements(n: &Node) -> usize {
    let r = send(n, IRP_MN_QUERY_RESOURCE_REQUIREMENTS, 0, |_| {});
    if nt_success(r.Status) {
        r.Information
    } else {
        0
    }
}

/// Whether the device's key says that it can have message-signaled interrupts.
fn takes_messages(n: &Node) -> bool {
    let path = r"Device Parameters\Interrupt Management\MessageSignaledInterruptProperties";
    let key = format!("{}\\{path}", key(n));
    crate::cm::read(|h| h.dword(&key, "MSISupported")) == Some(1)
}

/// Asks for resources, assigns them, and starts a device.
///
/// # Safety
/// PnP's thread.
pub unsafe fn start(n: &mut Node) -> bool {
    let list = query_requirements(n);
    let r = send(n, IRP_MN_FILTER_RESOURCE_REQUIREMENTS, list, |l| {
        l.Parameters.IoResourceRequirementList = list as *mut IO_RESOURCE_REQUIREMENTS_LIST;
    });
    // A driver that made a new list freed the old one.
    let filtered = if nt_success(r.Status) {
        r.Information
    } else {
        list
    };
    let assigned = match filtered {
        0 => Some(Assigned::default()),
        list => arbitrate(
            list as *const IO_RESOURCE_REQUIREMENTS_LIST,
            takes_messages(n),
            &mut arbiter::Machine,
        ),
    };
    free(filtered);
    let Some(assigned) = assigned else {
        log(&format!("{}: its resources cannot be had", n.instance));
        return start_failed(n);
    };
    // What a stopped device had goes only now, so that it gets other interrupts.
    let before = core::mem::replace(&mut n.assigned, assigned);
    release(n, before);
    // Drivers write into these lists, and all see the same: they are copies in pool for the IRP's time.
    let (raw, translated) = (copy(&n.assigned.raw), copy(&n.assigned.translated));
    let r = send(n, IRP_MN_START_DEVICE, 0, |l| {
        l.Parameters.StartDevice = ISL_START_DEVICE {
            AllocatedResources: raw.cast(),
            AllocatedResourcesTranslated: translated.cast(),
        };
    });
    free(raw as usize);
    free(translated as usize);
    if !nt_success(r.Status) {
        log(&format!(
            "{}: START failed with {:#x}",
            n.instance, r.Status
        ));
        super::note_status(&n.instance, r.Status);
        return start_failed(n);
    }
    set_state(n, State::Started);
    n.caps = query_caps(n);
    true
}

/// A device that was stopped is left to the caller, who removes it with all that is on it.
unsafe fn start_failed(n: &mut Node) -> bool {
    if n.state != State::Stopped {
        fail(n);
    }
    false
}

unsafe fn copy(bytes: &[u8]) -> *mut c_void {
    if bytes.is_empty() {
        return null_mut();
    }
    let p = crate::ex::ExAllocatePoolWithTag(0x200, bytes.len(), u32::from_le_bytes(*b"PnpR"));
    if !p.is_null() {
        core::ptr::copy_nonoverlapping(bytes.as_ptr(), p.cast(), bytes.len());
    }
    p.cast()
}

/// IRP_MN_QUERY_PNP_DEVICE_STATE; the flags.
///
/// # Safety
/// PnP's thread.
pub unsafe fn device_state(n: &Node) -> u32 {
    let r = send(n, IRP_MN_QUERY_PNP_DEVICE_STATE, 0, |_| {});
    if nt_success(r.Status) {
        r.Information as u32
    } else {
        0
    }
}

/// Tells the PDO that its enumeration is complete.
///
/// # Safety
/// PnP's thread.
pub unsafe fn enumerated(n: &Node) {
    simple(n, IRP_MN_DEVICE_ENUMERATED);
}

/// The PDOs on a bus, each with a reference; `None` if the bus has none to tell.
///
/// # Safety
/// PnP's thread.
pub unsafe fn bus_relations(n: &Node) -> Option<Vec<*mut DEVICE_OBJECT>> {
    let r = send(n, IRP_MN_QUERY_DEVICE_RELATIONS, 0, |l| {
        l.Parameters.QueryDeviceRelationsType = BusRelations
    });
    if !nt_success(r.Status) || r.Information == 0 {
        return None;
    }
    let list = r.Information as *const DEVICE_RELATIONS;
    let first = (&raw const (*list).Objects).cast::<*mut DEVICE_OBJECT>();
    let mut out = Vec::new();
    let top = IoGetAttachedDevice(n.pdo);
    for i in 0..(*list).Count as usize {
        let pdo = *first.add(i);
        let bad = if ob::kind_of(pdo.cast()) != Some(ob::ObjectKind::Device) {
            Some("0xCA/4 not a device object")
        } else if out.contains(&pdo) {
            Some("0xCA/1 the same PDO twice")
        } else {
            None
        };
        match bad {
            Some(rule) => {
                let driver = driver_name((*top).DriverObject);
                violation_by(&driver, "BusRelations", rule, format_args!("{pdo:p}"));
            }
            None => out.push(pdo),
        }
    }
    free(r.Information);
    Some(out)
}

/// Asks a device and all on it whether they may be removed; the devices that agreed come to `asked`.
///
/// # Safety
/// PnP's thread.
pub unsafe fn query_remove(raw: *mut Node, asked: &mut Vec<*mut Node>) -> bool {
    let n = &mut *raw;
    for child in n.children.clone() {
        if !query_remove(child, asked) {
            return false;
        }
    }
    if n.state != State::Started {
        return true;
    }
    asked.push(raw);
    let status = simple(n, IRP_MN_QUERY_REMOVE_DEVICE);
    if !nt_success(status) {
        log(&format!("{}: may not be removed: {status:#x}", n.instance));
    }
    nt_success(status)
}

/// Calls a removal off.
///
/// # Safety
/// PnP's thread.
pub unsafe fn cancel_remove(asked: &[*mut Node]) {
    for raw in asked {
        must(
            &**raw,
            IRP_MN_CANCEL_REMOVE_DEVICE,
            "IRP_MN_CANCEL_REMOVE_DEVICE",
        );
    }
}

/// Asks a device and all on it whether they may be stopped; the devices that were asked come to `asked`.
///
/// # Safety
/// PnP's thread.
pub unsafe fn query_stop(raw: *mut Node, asked: &mut Vec<*mut Node>) -> bool {
    let n = &mut *raw;
    for child in n.children.clone() {
        if !query_stop(child, asked) {
            return false;
        }
    }
    if n.state != State::Started {
        return true;
    }
    asked.push(raw);
    let status = simple(n, IRP_MN_QUERY_STOP_DEVICE);
    if !nt_success(status) {
        log(&format!("{}: may not be stopped: {status:#x}", n.instance));
    }
    nt_success(status)
}

/// Calls a stop off. Parents come first: they are what the others stand on.
///
/// # Safety
/// PnP's thread.
pub unsafe fn cancel_stop(asked: &[*mut Node]) {
    for raw in asked.iter().rev() {
        must(
            &**raw,
            IRP_MN_CANCEL_STOP_DEVICE,
            "IRP_MN_CANCEL_STOP_DEVICE",
        );
    }
}

/// Stops a device and, before it, all on it.
///
/// # Safety
/// PnP's thread.
pub unsafe fn stop(raw: *mut Node) {
    let n = &mut *raw;
    for child in n.children.clone() {
        stop(child);
    }
    if n.state == State::Started {
        must(n, IRP_MN_STOP_DEVICE, "IRP_MN_STOP_DEVICE");
        set_state(n, State::Stopped);
    }
}

unsafe fn must(n: &Node, minor: u8, name: &str) {
    let status = simple(n, minor);
    // A vanished PDO may answer its REMOVE with NO_SUCH_DEVICE.
    let gone = minor == IRP_MN_REMOVE_DEVICE && status == STATUS_NO_SUCH_DEVICE;
    if !nt_success(status) && !gone {
        let driver = driver_name((*IoGetAttachedDevice(n.pdo)).DriverObject);
        violation_by(
            &driver,
            name,
            "must not fail",
            format_args!("{}: {status:#x}", n.instance),
        );
    }
}

unsafe fn surprise(raw: *mut Node) {
    let n = &mut *raw;
    for child in n.children.clone() {
        surprise(child);
    }
    if matches!(n.state, State::Started | State::Stopped) {
        must(n, IRP_MN_SURPRISE_REMOVAL, "IRP_MN_SURPRISE_REMOVAL");
    }
}

/// After REMOVE nothing is left of the stack but the PDO and what bus filters put on it: they go with the PDO.
unsafe fn check_detached(n: &Node) {
    let devices = stack(n.pdo);
    let kept = devices
        .iter()
        .position(|d| *d == n.below)
        .map_or(1, |at| at + 1);
    for d in devices.into_iter().skip(kept) {
        let name = driver_name((*d).DriverObject);
        violation_by(
            &name,
            "IRP_MN_REMOVE_DEVICE",
            "0xC9/21D not detached at REMOVE",
            format_args!("device {d:p}"),
        );
    }
}

/// Removes a device and all on it; with `gone` after a surprise removal.
///
/// # Safety
/// PnP's thread.
pub unsafe fn remove(raw: *mut Node, gone: bool) {
    if gone {
        surprise(raw);
    }
    remove_now(raw);
}

unsafe fn remove_now(raw: *mut Node) {
    let n = &mut *raw;
    let children = n.children.clone();
    for child in &children {
        remove_now(*child);
    }
    if !children.is_empty() {
        // Windows has work of its own between the children's REMOVE and the parent's (the registry, notifications to user
        // mode), so drivers whose threads end a child's affairs after its REMOVE get that time; here it is a pause.
        // Relations that a driver invalidates meanwhile are asked for when the removal is over, if the bus is still there
        // ("IRP_MN_QUERY_DEVICE_RELATIONS": bus relations are queried when a device is enumerated and while it is active).
        super::delay(BETWEEN_REMOVALS);
    }
    // A device that was removed while it was there gets a REMOVE once more when its bus stops reporting it: that one is the end
    // of its PDO ("Removing a Device in a Bus Driver").
    if n.state != State::Removed || !n.reported {
        n.removing = true;
        must(n, IRP_MN_REMOVE_DEVICE, "IRP_MN_REMOVE_DEVICE");
        n.removing = false;
        check_detached(n);
        give_back(n);
        n.services.clear();
        set_state(n, State::Removed);
    }
    // The bus driver deleted its children with itself.
    for child in children {
        drop_node(child);
    }
    n.children.clear();
}

/// Forgets a node whose device is gone.
///
/// # Safety
/// PnP's thread; nothing else knows the node.
pub unsafe fn drop_node(raw: *mut Node) {
    let n = Box::from_raw(raw);
    (*(*n.pdo).DeviceObjectExtension).DeviceNode = null_mut();
    ob::ObfDereferenceObject(n.pdo.cast());
}
