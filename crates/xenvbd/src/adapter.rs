//! The routines that StorPort calls, and the state behind them.

use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use core::time::Duration;

use rust_alloc::boxed::Box;
use storport_sys::call;
use storport_sys::constant::{
    ADDRESS_TYPE_FLAG_BTL8, INTERFACE_TYPE_INTERNAL, adapter_control, adapter_control_status,
    dma64, feature, map_buffers, perf, sp_return, srb_type_flag, synchronization,
};
use storport_sys::port::{
    HW_INITIALIZATION_DATA, PERF_CONFIGURATION_DATA, PORT_CONFIGURATION_INFORMATION,
    SCSI_SUPPORTED_CONTROL_TYPE_LIST,
};
use storport_sys::srb::STORAGE_REQUEST_BLOCK;
use wdk_sys::{DEVICE_OBJECT, NTSTATUS};
use wdm::alloc::{Shared, try_box};
use wdm::event::{Event, Kind};
use wdm::status::Result;
use wdm::sync::SpinLock;
use wdm::thread::Thread;
use xenbus_client::announce::Driver;
use xenbus_client::bus::Bus;
use xenbus_client::store::Store;
use xenbus_interface::unplug::DISKS;

use crate::disk::{Disk, InUse};
use crate::frontend::MAXIMUM_TRANSFER;
use crate::queue::{Context, Extension};
use crate::request;
use crate::scan;
use crate::srb::Srb;

/// Targets of the adapter.
pub const TARGETS: usize = 255;
/// Adapters that the driver can have: there is one VBD child, two for one that is being replaced.
const ADAPTERS: usize = 4;
/// How long the first scan may take before StorPort goes on without it.
const FIRST_SCAN: Duration = Duration::from_secs(30);
/// What the toolstack is told of the driver.
const DRIVER: Driver = Driver {
    name: "xen-windows-drivers XENVBD",
    version: env!("CARGO_PKG_VERSION"),
    class: "vbd",
};

/// The adapters, so that a device object can be told to be one's.
static ALL: [AtomicPtr<Adapter>; ADAPTERS] = [const { AtomicPtr::new(null_mut()) }; ADAPTERS];

/// The device extension that StorPort keeps: zeroed once, then ours.
#[repr(C)]
struct DeviceExtension {
    adapter: AtomicPtr<Adapter>,
}

/// Says that disks came or went. IRQL <= DISPATCH_LEVEL.
pub struct BusChange(pub Extension);

impl BusChange {
    /// Has StorPort ask the units anew.
    pub fn detected(&self) {
        // SAFETY: the adapter's extension; its threads end before it does.
        unsafe { call::bus_change_detected(self.0.0, 0) };
    }
}

/// An adapter, from its first HwFindAdapter to its removal.
pub struct Adapter {
    /// The device extension, as StorPort's routines take it.
    pub extension: Extension,
    fdo: *mut c_void,
    lower: *mut DEVICE_OBJECT,
    targets: Shared<Targets>,
    active: SpinLock<Option<Active>>,
}

// SAFETY: the device objects outlive the adapter; the rest is shared by its own locks.
unsafe impl Send for Adapter {}
// SAFETY: as above.
unsafe impl Sync for Adapter {}

/// The disks, by target.
struct Targets(SpinLock<[Option<Shared<Disk>>; TARGETS]>);

/// What runs while the adapter does.
struct Active {
    thread: Thread,
    running: Shared<Running>,
}

/// What the scan thread works with.
pub struct Running {
    /// The device extension.
    pub extension: Extension,
    /// The bus driver's interfaces.
    pub bus: Shared<Bus>,
    /// Tells StorPort of changes.
    pub changed: BusChange,
    /// The emulated disks are gone.
    pub unplugged: bool,
    /// The thread is to end.
    pub stopping: AtomicBool,
    targets: Shared<Targets>,
    wake: Event,
    settled: Event,
}

impl Running {
    /// Whether a target has a disk.
    pub fn has(&self, target: u8) -> bool {
        self.targets
            .0
            .lock()
            .get(usize::from(target))
            .is_some_and(Option::is_some)
    }

    /// Gives a target a disk, or takes it away; the old one comes back.
    pub fn put(&self, target: u8, disk: Option<Shared<Disk>>) -> Option<Shared<Disk>> {
        let mut targets = self.targets.0.lock();
        match targets.get_mut(usize::from(target)) {
            Some(slot) => core::mem::replace(slot, disk),
            None => disk,
        }
    }
}

impl Adapter {
    /// A target's disk, in use until the result is dropped. IRQL <= DISPATCH_LEVEL.
    pub fn disk(&self, target: u8) -> Option<InUse> {
        let targets = self.targets.0.lock();
        targets
            .get(usize::from(target))?
            .as_ref()
            .map(|disk| InUse::new(disk))
    }

    /// A reset of the bus: takes what the backends have answered. True: nothing is under way any more. What is under way
    /// stays so, since its memory is the backend's until it answers or closes. DISPATCH_LEVEL.
    pub fn reset(&self) -> bool {
        let mut idle = true;
        for target in 0..TARGETS as u8 {
            if let Some(disk) = self.disk(target) {
                while disk.serve(64) {}
                idle &= disk.unfinished() == 0;
                disk.wake.set();
            }
        }
        idle
    }

    /// Acquires the bus's interfaces and starts the scan; waits for its first result. PASSIVE_LEVEL.
    fn start(&self) -> Result {
        // SAFETY: the device below the adapter, told by StorPort.
        let bus = Shared::new(unsafe { Bus::acquire(self.lower) }?)?;
        let unplugged = bus.is_unplugged(DISKS);
        let running = Shared::new(Running {
            extension: self.extension,
            changed: BusChange(self.extension),
            unplugged,
            stopping: AtomicBool::new(false),
            targets: self.targets.clone(),
            wake: Event::new(Kind::Synchronization)?,
            settled: Event::new(Kind::Notification)?,
            bus,
        })?;
        // The next boot may do without the emulated disks: this driver has started.
        running.bus.request_unplug(DISKS, true);
        DRIVER.announce(Store::new(&running.bus.store));
        let body = running.clone();
        let thread = Thread::spawn("vbd scan", move |_| {
            scan::run(&body, &body.wake, &body.settled);
        });
        let thread = thread.inspect_err(|_| running.bus.request_unplug(DISKS, false))?;
        if !running.settled.wait(FIRST_SCAN) {
            wdm::warn!(
                "the first scan is not over after {} s",
                FIRST_SCAN.as_secs()
            );
        }
        *self.active.lock() = Some(Active { thread, running });
        Ok(())
    }

    /// Closes all connections, withdraws what was asked for at the start, and gives the interfaces back. PASSIVE_LEVEL.
    pub fn stop(&self) {
        let Some(Active { thread, running }) = self.active.lock().take() else {
            return;
        };
        running.stopping.store(true, Ordering::Release);
        running.wake.set();
        drop(thread);
        // The bus counts requests: each start makes one, be it after a stop for other resources.
        running.bus.request_unplug(DISKS, false);
        DRIVER.retract(Store::new(&running.bus.store));
        wdm::info!("stopped");
    }
}

/// The adapter whose device object this is. PASSIVE_LEVEL.
pub fn of_device(device: *mut c_void) -> Option<&'static Adapter> {
    ALL.iter().find_map(|slot| {
        // SAFETY: adapters are freed after they are taken off the list, by the request that removes their device.
        let adapter = unsafe { slot.load(Ordering::Acquire).as_ref() }?;
        (adapter.fdo == device).then_some(adapter)
    })
}

/// Frees an adapter.
///
/// # Safety
/// Its device is removed and nobody uses it any more.
pub unsafe fn free(adapter: &'static Adapter) {
    let pointer = core::ptr::from_ref(adapter).cast_mut();
    for slot in &ALL {
        let _ = slot.compare_exchange(pointer, null_mut(), Ordering::AcqRel, Ordering::Relaxed);
    }
    // SAFETY: made by Box::into_raw in find_adapter; the caller's promise.
    drop(unsafe { Box::from_raw(pointer) });
}

/// Registers the miniport. PASSIVE_LEVEL, in DriverEntry.
///
/// # Safety
/// DriverEntry's arguments.
pub unsafe fn initialize(driver: *mut c_void, path: *mut c_void) -> NTSTATUS {
    // SAFETY: plain data and nullable function pointers: all zeros is a value of the structure.
    let mut data: HW_INITIALIZATION_DATA = unsafe { core::mem::zeroed() };
    data.HwInitializationDataSize = size_of::<HW_INITIALIZATION_DATA>() as u32;
    data.AdapterInterfaceType = INTERFACE_TYPE_INTERNAL;
    data.HwInitialize = Some(hw_initialize);
    data.HwStartIo = Some(hw_start_io);
    data.HwInterrupt = Some(hw_interrupt);
    data.HwFindAdapter = Some(hw_find_adapter);
    data.HwResetBus = Some(hw_reset_bus);
    data.HwAdapterControl = Some(hw_adapter_control);
    data.HwBuildIo = Some(hw_build_io);
    data.DeviceExtensionSize = size_of::<DeviceExtension>() as u32;
    data.SrbExtensionSize = size_of::<Context>() as u32;
    // The child reports one page and one interrupt so that StorPort takes it for a physical adapter.
    data.NumberOfAccessRanges = 2;
    data.MapBuffers = map_buffers::NON_READ_WRITE_BUFFERS;
    data.NeedPhysicalAddresses = 1;
    data.TaggedQueuing = 1;
    data.AutoRequestSense = 1;
    data.MultipleRequestPerLu = 1;
    data.FeatureSupport = feature::FULL_PNP_DEVICE_CAPABILITIES;
    data.SrbTypeFlags = srb_type_flag::STORAGE_REQUEST_BLOCK;
    data.AddressTypeFlags = ADDRESS_TYPE_FLAG_BTL8;
    // SAFETY: DriverEntry's own arguments and a filled structure, which StorPort copies.
    let status = unsafe { call::StorPortInitialize(driver, path, &raw mut data, null_mut()) };
    status.cast_signed()
}

/// The adapter behind a device extension.
///
/// # Safety
/// `extension` is the extension that StorPort keeps for the adapter.
unsafe fn adapter<'a>(extension: *mut c_void) -> Option<&'a Adapter> {
    // SAFETY: the caller's promise.
    let extension = unsafe { &*extension.cast::<DeviceExtension>() };
    // SAFETY: null, or an adapter that lives until its device is removed.
    unsafe { extension.adapter.load(Ordering::Acquire).as_ref() }
}

unsafe extern "C" fn hw_find_adapter(
    extension: *mut c_void,
    _context: *mut c_void,
    _bus: *mut c_void,
    _arguments: *mut i8,
    config: *mut PORT_CONFIGURATION_INFORMATION,
    _reserved: *mut u8,
) -> u32 {
    // SAFETY: StorPort's structure, the miniport's to fill until it returns.
    let config = unsafe { &mut *config };
    if config.DumpMode != 0 {
        wdm::error!("the dump and hibernation stacks are not supported");
        return sp_return::NOT_FOUND;
    }
    configure(config);
    // SAFETY: the extension StorPort keeps.
    if unsafe { adapter(extension) }.is_some() {
        return sp_return::FOUND;
    }
    match make(extension) {
        Ok(()) => sp_return::FOUND,
        Err(()) => sp_return::ERROR,
    }
}

fn configure(config: &mut PORT_CONFIGURATION_INFORMATION) {
    config.MaximumTransferLength = MAXIMUM_TRANSFER;
    config.NumberOfPhysicalBreaks = MAXIMUM_TRANSFER / 4096 + 1;
    config.AlignmentMask = 0;
    config.NumberOfBuses = 1;
    if let Some(id) = config.InitiatorBusId.first_mut() {
        // No target: their ids are smaller.
        *id = TARGETS as u8 as i8;
    }
    config.MaximumNumberOfTargets = TARGETS as u8;
    config.MaximumNumberOfLogicalUnits = 1;
    config.ScatterGather = 1;
    config.Master = 1;
    config.CachesData = 1;
    config.SynchronizationModel = synchronization::FULL_DUPLEX;
    if config.Dma64BitAddresses & dma64::SYSTEM_SUPPORTED != 0 {
        config.Dma64BitAddresses = dma64::MINIPORT_FULL64BIT_SUPPORTED;
    }
    config.MaxNumberOfIO = 4096.max(config.MaxNumberOfIO);
    config.MaxIOsPerLun = crate::queue::DEPTH;
    config.InitialLunQueueDepth = crate::queue::DEPTH;
}

/// Makes the adapter behind an extension.
fn make(extension: *mut c_void) -> core::result::Result<(), ()> {
    let say = |what: &str, status: wdm::status::Status| wdm::error!("no adapter: {what}: {status}");
    // SAFETY: the extension that StorPort keeps.
    let objects = unsafe { call::device_objects(extension) };
    let objects = objects.map_err(|status| wdm::error!("no device objects: {status:#x}"))?;
    let targets = Targets(SpinLock::new([const { None }; TARGETS]));
    let targets = Shared::new(targets).map_err(|status| say("targets", status))?;
    let adapter = try_box(Adapter {
        extension: Extension(extension),
        fdo: objects.adapter,
        lower: objects.lower.cast(),
        targets,
        active: SpinLock::new(None),
    });
    let adapter = Box::into_raw(adapter.map_err(|status| say("memory", status))?);
    let listed = ALL.iter().any(|slot| {
        let empty = null_mut();
        slot.compare_exchange(empty, adapter, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    });
    if !listed {
        wdm::error!("no adapter: there are {ADAPTERS} already");
        // SAFETY: made above and known to nobody.
        drop(unsafe { Box::from_raw(adapter) });
        return Err(());
    }
    // SAFETY: the extension that StorPort keeps.
    let extension = unsafe { &*extension.cast::<DeviceExtension>() };
    extension.adapter.store(adapter, Ordering::Release);
    Ok(())
}

unsafe extern "C" fn hw_initialize(extension: *mut c_void) -> u8 {
    // SAFETY: plain data: all zeros is a value of the structure.
    let mut options: PERF_CONFIGURATION_DATA = unsafe { core::mem::zeroed() };
    options.Version = perf::VERSION_3;
    options.Size = size_of::<PERF_CONFIGURATION_DATA>() as u32;
    // SAFETY: the adapter's extension, in HwInitialize.
    if unsafe { call::initialize_perf_opts(extension, true, &mut options) }.is_ok() {
        options.Flags &= perf::DPC_REDIRECTION;
        // SAFETY: as above. Without it requests complete on the processor of the event.
        let _ = unsafe { call::initialize_perf_opts(extension, false, &mut options) };
    }
    // SAFETY: as above.
    u8::from(unsafe { call::enable_passive_initialization(extension, hw_passive_initialize) })
}

unsafe extern "C" fn hw_passive_initialize(extension: *mut c_void) -> u8 {
    // SAFETY: the extension that StorPort keeps.
    let Some(adapter) = (unsafe { adapter(extension) }) else {
        return 0;
    };
    match adapter.start() {
        Ok(()) => 1,
        Err(status) => {
            wdm::error!("the adapter does not start: {status}");
            0
        }
    }
}

unsafe extern "C" fn hw_build_io(extension: *mut c_void, srb: *mut STORAGE_REQUEST_BLOCK) -> u8 {
    // SAFETY: StorPort's SRB, the miniport's until it is completed.
    if let Some(srb) = unsafe { Srb::new(srb) } {
        request::build(Extension(extension), srb);
    }
    1
}

unsafe extern "C" fn hw_start_io(extension: *mut c_void, srb: *mut STORAGE_REQUEST_BLOCK) -> u8 {
    // SAFETY: the extension that StorPort keeps.
    let adapter = unsafe { adapter(extension) };
    // SAFETY: StorPort's SRB, the miniport's until it is completed.
    let srb = unsafe { Srb::new(srb) };
    if let (Some(adapter), Some(srb)) = (adapter, srb) {
        request::start(adapter, srb);
    }
    1
}

/// The child's interrupt is there for StorPort's sake and is never raised for this driver. DIRQL.
unsafe extern "C" fn hw_interrupt(_extension: *mut c_void) -> u8 {
    0
}

unsafe extern "C" fn hw_reset_bus(extension: *mut c_void, _path: u32) -> u8 {
    // SAFETY: the extension that StorPort keeps.
    u8::from(unsafe { adapter(extension) }.is_none_or(Adapter::reset))
}

unsafe extern "C" fn hw_adapter_control(
    _extension: *mut c_void,
    control: u32,
    parameters: *mut c_void,
) -> u32 {
    match control {
        adapter_control::QUERY_SUPPORTED_CONTROL_TYPES => {
            // SAFETY: for this control type the parameters are the list to fill.
            unsafe { list_controls(parameters.cast()) };
            adapter_control_status::SUCCESS
        }
        // If the adapter goes, its connections were closed before (see crate::hook); else they stay, with nothing under
        // way, and a backend that changes meanwhile is connected anew by the threads.
        adapter_control::STOP_ADAPTER | adapter_control::RESTART_ADAPTER => {
            adapter_control_status::SUCCESS
        }
        _ => adapter_control_status::UNSUCCESSFUL,
    }
}

/// Says which control types are supported.
///
/// # Safety
/// `list` is StorPort's list, with as many entries as it says.
unsafe fn list_controls(list: *mut SCSI_SUPPORTED_CONTROL_TYPE_LIST) {
    // SAFETY: the caller's promise.
    let count = unsafe { (*list).MaxControlType };
    for control in [
        adapter_control::QUERY_SUPPORTED_CONTROL_TYPES,
        adapter_control::STOP_ADAPTER,
        adapter_control::RESTART_ADAPTER,
    ] {
        if control < count {
            // SAFETY: the caller's promise.
            let first = unsafe { &raw mut (*list).SupportedTypeList }.cast::<u8>();
            // SAFETY: within the list.
            let entry = unsafe { first.add(control as usize) };
            // SAFETY: within the list.
            unsafe { entry.write(1) };
        }
    }
}
