//! StorPortInitialize, AddDevice, unload.
#![allow(clippy::missing_safety_doc)]

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use super::adapter::{Adapter, Performance, State};
use super::completion::CpuQueue;
use super::dispatch::{self, DeviceExtension, Kind};
use super::os::*;
use super::outstanding::Outstanding;
use super::queue::Gate;
use super::timers::HwTimerCall;
use crate::nt::base::{NTSTATUS, UNICODE_STRING};
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::status::*;
use crate::nt::storport::*;
use crate::sync::Lock;

/// What StorPortInitialize was given, by driver object.
struct DriverData {
    driver: usize,
    init: HwInitializationData,
    registry_path: String,
}
// SAFETY: the structure is a copy; the routines in it are the driver's, which outlives the entry.
unsafe impl Send for DriverData {}

static DRIVERS: Lock<Vec<DriverData>> = Lock::new(Vec::new());
static NEXT_ADAPTER: AtomicU32 = AtomicU32::new(0);

const STATUS_REVISION_MISMATCH: NTSTATUS = 0xc000_0059_u32 as NTSTATUS;

fn init_of(driver: *mut DRIVER_OBJECT) -> Option<HwInitializationData> {
    DRIVERS
        .lock()
        .iter()
        .find(|data| data.driver == driver as usize)
        .map(|data| data.init)
}

/// The service key of a driver that called StorPortInitialize.
pub(crate) fn registry_path(driver: *mut DRIVER_OBJECT) -> String {
    DRIVERS
        .lock()
        .iter()
        .find(|data| data.driver == driver as usize)
        .map(|data| data.registry_path.clone())
        .unwrap_or_default()
}

fn check(init: &HwInitializationData, driver: &str) -> Result<(), NTSTATUS> {
    let wrong = |what: &str| {
        crate::check::violation_by(
            driver,
            "StorPortInitialize",
            "STORPORT",
            format_args!("{what}"),
        );
        Err(STATUS_INVALID_PARAMETER)
    };
    if init.hw_find_adapter.is_none()
        || init.hw_initialize.is_none()
        || init.hw_start_io.is_none()
        || init.hw_reset_bus.is_none()
        || init.hw_adapter_control.is_none()
    {
        return wrong("a required routine is NULL");
    }
    if init.feature_support & STOR_FEATURE_VIRTUAL_MINIPORT != 0 {
        return wrong("virtual miniports are not supported");
    }
    if init.hw_interrupt.is_none() {
        return wrong("a physical miniport has no HwInterrupt");
    }
    if init.need_physical_addresses == 0
        || init.tagged_queuing == 0
        || init.auto_request_sense == 0
        || init.multiple_request_per_lu == 0
    {
        return wrong(
            "NeedPhysicalAddresses, TaggedQueuing, AutoRequestSense and MultipleRequestPerLu must be TRUE",
        );
    }
    if !init.hw_dma_started.is_null() || !init.hw_adapter_state.is_null() {
        return wrong("HwDmaStarted and HwAdapterState must be NULL");
    }
    Ok(())
}

/// StorPortInitialize: takes the miniport's routines and fills its driver object.
pub unsafe extern "win64" fn StorPortInitialize(
    driver: *mut DRIVER_OBJECT,
    registry_path: *mut UNICODE_STRING,
    data: *const HwInitializationData,
    _context: *mut c_void,
) -> NTSTATUS {
    if driver.is_null() || registry_path.is_null() || data.is_null() {
        crate::check::violation(
            "STORPORT",
            format_args!("StorPortInitialize with a NULL argument"),
        );
        return STATUS_INVALID_PARAMETER;
    }
    let size = (*data).size as usize;
    if size > size_of::<HwInitializationData>()
        || size < HW_INITIALIZATION_DATA_SIZE_WITHOUT_FEATURES as usize
    {
        return STATUS_REVISION_MISMATCH;
    }
    // The structure grew over time: what an older one lacks is zero.
    // Every field may be zero; `size` bytes are the miniport's.
    let mut init: HwInitializationData = core::mem::zeroed();
    core::ptr::copy_nonoverlapping(data.cast::<u8>(), (&raw mut init).cast::<u8>(), size);
    let name = crate::ldr::driver_name(driver);
    if let Err(status) = check(&init, &name) {
        return status;
    }
    if init_of(driver).is_some() {
        // CHOICE: Microsoft's pages do not say what a second call does.
        return STATUS_INVALID_PARAMETER;
    }
    let path = String::from_utf16_lossy((*registry_path).units());
    DRIVERS.lock().push(DriverData {
        driver: driver as usize,
        init,
        registry_path: path,
    });
    for slot in [
        IRP_MJ_CREATE,
        IRP_MJ_CLOSE,
        IRP_MJ_DEVICE_CONTROL,
        IRP_MJ_SCSI,
        IRP_MJ_POWER,
        IRP_MJ_PNP,
        IRP_MJ_SYSTEM_CONTROL,
    ] {
        (*driver).MajorFunction[usize::from(slot)] = Some(dispatch::dispatch);
    }
    (*(*driver).DriverExtension).AddDevice = Some(add_device);
    (*driver).DriverUnload = Some(unload);
    STATUS_SUCCESS
}

unsafe extern "win64" fn unload(driver: *mut DRIVER_OBJECT) {
    DRIVERS.lock().retain(|data| data.driver != driver as usize);
}

unsafe extern "win64" fn add_device(
    driver: *mut DRIVER_OBJECT,
    pdo: *mut DEVICE_OBJECT,
) -> NTSTATUS {
    let Some(init) = init_of(driver) else {
        return STATUS_INVALID_PARAMETER;
    };
    let mut fdo: *mut DEVICE_OBJECT = core::ptr::null_mut();
    let status = IoCreateDevice(
        driver,
        size_of::<DeviceExtension>() as u32,
        core::ptr::null_mut(),
        FILE_DEVICE_CONTROLLER,
        FILE_DEVICE_SECURE_OPEN,
        0,
        &mut fdo,
    );
    if status < 0 {
        return status;
    }
    let lower = IoAttachDeviceToDeviceStack(fdo, pdo);
    if lower.is_null() {
        IoDeleteDevice(fdo);
        return STATUS_NO_SUCH_DEVICE;
    }
    let adapter = Box::into_raw(new_adapter(driver, init, fdo, pdo, lower));
    for queue in &mut (*adapter).completions {
        queue.set_adapter(adapter);
    }
    super::timeout::set_up(&mut *adapter);
    (*fdo)
        .DeviceExtension
        .cast::<DeviceExtension>()
        .write(DeviceExtension {
            kind: Kind::Adapter,
            object: adapter.cast(),
        });
    (*fdo).Flags |= DO_DIRECT_IO;
    (*fdo).Flags &= !DO_DEVICE_INITIALIZING;
    STATUS_SUCCESS
}

unsafe fn new_adapter(
    driver: *mut DRIVER_OBJECT,
    init: HwInitializationData,
    fdo: *mut DEVICE_OBJECT,
    pdo: *mut DEVICE_OBJECT,
    lower: *mut DEVICE_OBJECT,
) -> Box<Adapter> {
    Box::new(Adapter {
        fdo,
        pdo,
        lower,
        driver,
        name: crate::ldr::driver_name(driver),
        number: NEXT_ADAPTER.fetch_add(1, Ordering::Relaxed),
        init,
        phase: Adapter::idle(),
        extension: AtomicPtr::new(core::ptr::null_mut()),
        config: Box::new(core::mem::zeroed()),
        access_ranges: Vec::new(),
        mappings: Lock::new(Vec::new()),
        uncached: AtomicPtr::new(core::ptr::null_mut()),
        uncached_size: AtomicU32::new(0),
        passive: Lock::new(None),
        controls: AtomicU32::new(0),
        unit_controls: AtomicU32::new(0),
        bus_type: AtomicU32::new(crate::nt::scsi::BUS_TYPE_FIBRE),
        performance: Performance::default(),
        state: Lock::new(State {
            outstanding: Outstanding::new(12),
            gate: Gate::new(),
            link_down: None,
            units: Vec::new(),
            reset: None,
            tag: 0,
            probe: None,
        }),
        start_io_lock: 0,
        interrupt_lock: 0,
        dpc_lock: 0,
        interrupt: core::ptr::null_mut(),
        dirql: 2,
        completions: (0..cpu_count()).map(CpuQueue::new).collect(),
        tick: Box::new(core::mem::zeroed()),
        timer_call: HwTimerCall::new(),
        timers: Lock::new(Vec::new()),
        initialized_dpcs: Lock::new(Vec::new()),
        pool: Lock::new(Vec::new()),
        rescan: AtomicBool::new(false),
        holding: AtomicBool::new(false),
        removed: AtomicBool::new(false),
    })
}
