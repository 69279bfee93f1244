//! A bus whose children come and go, and what its children's driver hears of it.

use super::*;
use alloc::string::ToString;
use bus::Child;
use lab_protocol::plan::devices::Change;
use lab_protocol::registry::Data;

/// What is on the bus.
static THERE: Lock<Vec<&'static str>> = Lock::new(Vec::new());
/// What the children's driver was asked: the child and the minor function of a PnP request, or `ADDED`, or `POWER`.
static HEARD: Lock<Vec<(String, u8)>> = Lock::new(Vec::new());
/// The minor function that the driver refuses.
static REFUSED: AtomicU32 = AtomicU32::new(u32::MAX);

const ADDED: u8 = 0xFF;
const POWER: u8 = 0xFE;

fn scan(_address: u32) -> Vec<Child> {
    let child = |name: &&str| Child {
        device: "TEST\\CHILD".into(),
        instance: name.to_string(),
        hardware: Vec::from(["TEST\\CHILD".to_string()]),
        ..Child::default()
    };
    THERE.lock().iter().map(child).collect()
}

unsafe extern "win64" fn add_bus(driver: *mut DRIVER_OBJECT, pdo: *mut DEVICE_OBJECT) -> NTSTATUS {
    bus::add_device(driver, pdo, scan)
}

unsafe extern "win64" fn bus_entry(
    driver: *mut DRIVER_OBJECT,
    _: *mut crate::nt::base::UNICODE_STRING,
) -> NTSTATUS {
    bus::set_up(driver, add_bus);
    STATUS_SUCCESS
}

#[repr(C)]
struct Fdo {
    lower: *mut DEVICE_OBJECT,
    pdo: *mut DEVICE_OBJECT,
}

unsafe fn hear(pdo: *mut DEVICE_OBJECT, what: u8) {
    let instance = node::of(pdo).map_or_else(String::new, |n| n.instance.clone());
    let name = instance.rsplit('&').next().unwrap_or_default().to_string();
    HEARD.lock().push((name, what));
}

unsafe extern "win64" fn add_child(
    driver: *mut DRIVER_OBJECT,
    pdo: *mut DEVICE_OBJECT,
) -> NTSTATUS {
    hear(pdo, ADDED);
    let mut device = null_mut();
    let size = size_of::<Fdo>() as u32;
    let status =
        crate::io::IoCreateDevice(driver, size, core::ptr::null(), 0x22, 0, 0, &mut device);
    assert_eq!(status, STATUS_SUCCESS);
    let lower = crate::io::IoAttachDeviceToDeviceStack(device, pdo);
    (*device)
        .DeviceExtension
        .cast::<Fdo>()
        .write(Fdo { lower, pdo });
    (*device).Flags &= !DO_DEVICE_INITIALIZING;
    STATUS_SUCCESS
}

unsafe extern "win64" fn child_pnp(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let Fdo { lower, pdo } = (*device).DeviceExtension.cast::<Fdo>().read();
    let minor = (*crate::io::irp::current(irp)).MinorFunction;
    hear(pdo, minor);
    if u32::from(minor) == REFUSED.load(Ordering::Relaxed) {
        return crate::io::irp::complete(irp, STATUS_UNSUCCESSFUL);
    }
    if minor != IRP_MN_QUERY_CAPABILITIES {
        (*irp).IoStatus.Status = STATUS_SUCCESS;
    }
    crate::io::irp::skip(irp);
    let status = crate::io::IofCallDriver(lower, irp);
    if minor == IRP_MN_REMOVE_DEVICE {
        crate::io::IoDetachDevice(lower);
        crate::io::IoDeleteDevice(device);
    }
    status
}

unsafe extern "win64" fn child_power(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let Fdo { lower, pdo } = (*device).DeviceExtension.cast::<Fdo>().read();
    let power = (*crate::io::irp::current(irp)).Parameters.Power;
    assert_eq!(power.Type, SystemPowerState);
    assert_eq!(power.State.SystemState, PowerSystemShutdown);
    hear(pdo, POWER);
    crate::io::irp::skip(irp);
    crate::po::PoCallDriver(lower, irp)
}

unsafe extern "win64" fn child_entry(
    driver: *mut DRIVER_OBJECT,
    _: *mut crate::nt::base::UNICODE_STRING,
) -> NTSTATUS {
    (*driver).MajorFunction[usize::from(IRP_MJ_PNP)] = Some(child_pnp);
    (*driver).MajorFunction[usize::from(IRP_MJ_POWER)] = Some(child_power);
    (*(*driver).DriverExtension).AddDevice = Some(add_child);
    STATUS_SUCCESS
}

/// The bus, started, with these children on it.
struct Bus {
    node: *mut Node,
    turn: crate::testing::Turn,
}

/// The minor functions that matter to a device's life.
const LIFE: [u8; 11] = [
    POWER,
    IRP_MN_START_DEVICE,
    IRP_MN_QUERY_REMOVE_DEVICE,
    IRP_MN_REMOVE_DEVICE,
    IRP_MN_CANCEL_REMOVE_DEVICE,
    IRP_MN_STOP_DEVICE,
    IRP_MN_QUERY_STOP_DEVICE,
    IRP_MN_CANCEL_STOP_DEVICE,
    IRP_MN_SURPRISE_REMOVAL,
    IRP_MN_EJECT,
    ADDED,
];

impl Bus {
    fn with(children: &[&'static str]) -> Self {
        let turn = crate::testing::machine();
        *THERE.lock() = children.to_vec();
        HEARD.lock().clear();
        REFUSED.store(u32::MAX, Ordering::Relaxed);
        // SAFETY: this test has the machine; nothing else changes devices.
        let node = unsafe {
            let driver = crate::ldr::load_builtin("testbus", bus_entry).unwrap();
            crate::ldr::load_builtin("testchild", child_entry).unwrap();
            let bus = Child {
                device: "TEST\\BUS".into(),
                instance: "0".into(),
                ..Child::default()
            };
            let pdo = bus::new_pdo(driver, bus).unwrap();
            // A reference for the node, as BusRelations gives one.
            ob::ObfReferenceObject(pdo.cast());
            let node = node::discover(null_mut(), pdo).unwrap();
            let key = format!("{}\\{}", crate::cm::ENUM, (*node).instance);
            crate::cm::put(&key, "Service", &Data::Sz("testbus".into()));
            // What setup would have written for the children.
            let prefix = "TEST\\CHILD\\1&";
            for name in ["a", "b", "c"] {
                let instance = node::instance_of("TEST\\CHILD", name, Some(&*node));
                assert!(instance.starts_with(prefix), "{instance}");
                let key = format!("{}\\{instance}", crate::cm::ENUM);
                crate::cm::put(&key, "Service", &Data::Sz("testchild".into()));
            }
            bring_up(node);
            ROOT.store(node, Ordering::Release);
            node
        };
        Self { node, turn }
    }

    /// The bus driver says that its children changed, and PnP asks.
    fn changed(&self, children: &[&'static str]) {
        *THERE.lock() = children.to_vec();
        // SAFETY: as in `with`.
        unsafe {
            IoInvalidateDeviceRelations((*self.node).pdo, BusRelations);
            while work_off() {}
        }
    }

    /// What the children's driver heard since it was asked last.
    fn heard(&self) -> Vec<(String, u8)> {
        let mut all = core::mem::take(&mut *HEARD.lock());
        all.retain(|(_, minor)| LIFE.contains(minor));
        all
    }

    fn states(&self) -> Vec<State> {
        // SAFETY: as in `with`.
        unsafe { (*self.node).children.iter().map(|c| (**c).state).collect() }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        // SAFETY: as in `with`.
        unsafe {
            ROOT.store(null_mut(), Ordering::Release);
            node::remove(self.node, false);
            let pdo = (*self.node).pdo;
            let driver = (*pdo).DriverObject;
            node::drop_node(self.node);
            bus::delete(pdo);
            if !std::thread::panicking() {
                assert!((*driver).DeviceObject.is_null(), "a device is left");
                let log = self.turn.log();
                assert!(!log.iter().any(|l| l.contains("violation")), "{log:?}");
            }
        }
    }
}

/// A device without drivers that was given resources. The caller has the machine.
pub unsafe fn device_with(assigned: resources::Assigned) -> *mut DEVICE_OBJECT {
    let driver = crate::ldr::load_builtin("testbus", bus_entry).unwrap();
    let child = Child {
        device: "TEST\\DEVICE".into(),
        instance: "0".into(),
        ..Child::default()
    };
    let pdo = bus::new_pdo(driver, child).unwrap();
    ob::ObfReferenceObject(pdo.cast());
    (*node::discover(null_mut(), pdo).unwrap()).assigned = assigned;
    pdo
}

/// The end of such a device.
pub unsafe fn drop_device(pdo: *mut DEVICE_OBJECT) {
    let raw: *mut Node = node::of(pdo).unwrap();
    node::remove(raw, false);
    node::drop_node(raw);
    bus::delete(pdo);
}

fn of(name: &str, minors: &[u8]) -> Vec<(String, u8)> {
    minors.iter().map(|m| (name.to_string(), *m)).collect()
}

#[test]
fn a_child_that_comes_is_started_and_the_others_hear_nothing() {
    let bus = Bus::with(&["a"]);
    assert_eq!(bus.heard(), of("a", &[ADDED, IRP_MN_START_DEVICE]));
    bus.changed(&["a", "b"]);
    assert_eq!(bus.heard(), of("b", &[ADDED, IRP_MN_START_DEVICE]));
    assert_eq!(bus.states(), [State::Started, State::Started]);
}

#[test]
fn a_child_that_is_gone_gets_surprise_removal_then_remove() {
    let bus = Bus::with(&["a", "b"]);
    bus.heard();
    bus.changed(&["b"]);
    assert_eq!(
        bus.heard(),
        of("a", &[IRP_MN_SURPRISE_REMOVAL, IRP_MN_REMOVE_DEVICE])
    );
    assert_eq!(bus.states(), [State::Started]);
}

#[test]
fn a_child_that_comes_back_is_a_new_device() {
    let bus = Bus::with(&["a"]);
    bus.changed(&[]);
    bus.heard();
    bus.changed(&["a"]);
    assert_eq!(bus.heard(), of("a", &[ADDED, IRP_MN_START_DEVICE]));
    bus.changed(&["a"]);
    assert_eq!(bus.heard(), []);
}

#[test]
fn a_child_that_was_removed_while_it_was_there_gets_another_remove_when_it_goes() {
    let bus = Bus::with(&["a"]);
    // SAFETY: as in `with`; devices are in their driver's list until they are deleted.
    let devices = || unsafe {
        let mut device = (*(*(*bus.node).pdo).DriverObject).DeviceObject;
        let mut count = 0;
        while !device.is_null() {
            (count, device) = (count + 1, (*device).NextDevice);
        }
        count
    };
    // SAFETY: as in `with`.
    unsafe { node::remove((&(*bus.node).children)[0], false) };
    assert_eq!(devices(), 3);
    bus.changed(&[]);
    assert_eq!((bus.states(), devices()), (Vec::new(), 2));
}

#[test]
fn one_comes_as_another_goes() {
    let bus = Bus::with(&["a"]);
    bus.heard();
    bus.changed(&["c"]);
    let mut expected = of("a", &[IRP_MN_SURPRISE_REMOVAL, IRP_MN_REMOVE_DEVICE]);
    expected.extend(of("c", &[ADDED, IRP_MN_START_DEVICE]));
    assert_eq!(bus.heard(), expected);
}

fn each(names: &[&str], minors: &[u8]) -> Vec<(String, u8)> {
    names.iter().flat_map(|name| of(name, minors)).collect()
}

impl Bus {
    fn change(&self, change: Change) -> Result<(), String> {
        // SAFETY: as in `with`.
        unsafe { control::one(change, self.node) }
    }
}

#[test]
fn a_bus_is_rebalanced_with_its_children_and_all_run_afterwards() {
    let bus = Bus::with(&["a", "b"]);
    bus.heard();
    assert_eq!(bus.change(Change::Rebalance), Ok(()));
    let mut expected = each(&["a", "b"], &[IRP_MN_QUERY_STOP_DEVICE]);
    expected.extend(each(&["a", "b"], &[IRP_MN_STOP_DEVICE]));
    expected.extend(each(&["a", "b"], &[IRP_MN_START_DEVICE]));
    assert_eq!(bus.heard(), expected);
    assert_eq!(bus.states(), [State::Started, State::Started]);
}

#[test]
fn a_stop_that_one_device_refuses_is_called_off_for_all_that_were_asked() {
    let bus = Bus::with(&["a", "b"]);
    bus.heard();
    REFUSED.store(IRP_MN_QUERY_STOP_DEVICE.into(), Ordering::Relaxed);
    assert!(bus.change(Change::Rebalance).is_err());
    assert_eq!(
        bus.heard(),
        of("a", &[IRP_MN_QUERY_STOP_DEVICE, IRP_MN_CANCEL_STOP_DEVICE])
    );
    assert_eq!(bus.states(), [State::Started, State::Started]);
}

#[test]
fn what_does_not_start_again_goes_as_if_it_had_failed() {
    let bus = Bus::with(&["a"]);
    bus.heard();
    REFUSED.store(IRP_MN_START_DEVICE.into(), Ordering::Relaxed);
    assert!(bus.change(Change::Rebalance).is_err());
    let minors = [
        IRP_MN_QUERY_STOP_DEVICE,
        IRP_MN_STOP_DEVICE,
        IRP_MN_START_DEVICE,
        IRP_MN_SURPRISE_REMOVAL,
        IRP_MN_REMOVE_DEVICE,
    ];
    assert_eq!(bus.heard(), of("a", &minors));
    assert_eq!(bus.states(), [State::Removed]);
}

#[test]
fn queries_that_are_called_off_change_nothing() {
    let bus = Bus::with(&["a"]);
    bus.heard();
    assert_eq!(bus.change(Change::CancelStop), Ok(()));
    assert_eq!(bus.change(Change::CancelRemove), Ok(()));
    let minors = [
        IRP_MN_QUERY_STOP_DEVICE,
        IRP_MN_CANCEL_STOP_DEVICE,
        IRP_MN_QUERY_REMOVE_DEVICE,
        IRP_MN_CANCEL_REMOVE_DEVICE,
    ];
    assert_eq!(bus.heard(), of("a", &minors));
    assert_eq!(bus.states(), [State::Started]);
}

#[test]
fn a_system_that_goes_down_tells_what_is_on_a_bus_before_the_bus() {
    let bus = Bus::with(&["a", "b"]);
    bus.heard();
    crate::po::shut_down(false);
    assert_eq!(bus.heard(), each(&["a", "b"], &[POWER]));
}

#[test]
fn a_device_of_the_machine_stays_with_its_filters_when_the_packages_devices_go() {
    let bus = Bus::with(&["a", "b"]);
    let gone = |node: *mut Node| {
        let (mut nodes, mut stay) = (Vec::new(), Vec::new());
        // SAFETY: as in `with`.
        unsafe { topmost(node, &mut nodes, &mut stay) };
        (nodes, stay)
    };
    assert_eq!(gone(bus.node), (Vec::from([bus.node]), Vec::new()));
    // SAFETY: as in `with`.
    let children = unsafe {
        (*bus.node).services = Vec::from(["pci".to_string(), "filter".to_string()]);
        (*bus.node).children.clone()
    };
    assert_eq!(
        gone(bus.node),
        (children, Vec::from(["filter".to_string()]))
    );
}
