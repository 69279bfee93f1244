//! The driver object, a disk's functional device object, and its life.
#![allow(clippy::missing_safety_doc)]

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use lab_protocol::record::Record;

use super::transfer::Limits;
use super::{command, io, setup};
use crate::nt::base::{NTSTATUS, UNICODE_STRING};
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::ke::KEVENT;
use crate::nt::scsi::*;
use crate::nt::status::*;
use crate::storport::os::*;
use crate::storport::srb::SrbBlock;
use crate::sync::Lock;

/// What the disk said about itself when it started.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Path, target, LUN
    pub address: (u8, u8, u8),
    /// Vendor, product and revision
    pub inquiry: String,
    /// Serial number, or empty
    pub serial: String,
    /// Blocks
    pub blocks: u64,
    /// Bytes a block
    pub block: u32,
    /// It has a volatile write cache
    pub write_cache: bool,
    /// It takes no writes
    pub write_protected: bool,
    /// The miniport takes extended SRBs
    pub extended: bool,
    /// Seconds that a command may take
    pub timeout: u32,
    /// MaximumTransferLength of the adapter
    pub max_transfer: u32,
    /// MaximumPhysicalPages of the adapter
    pub max_pages: u32,
    /// AlignmentMask of the adapter
    pub alignment_mask: u32,
}

impl Facts {
    /// Bytes in all.
    pub fn capacity(&self) -> u64 {
        self.blocks * u64::from(self.block)
    }

    /// The limits of a transfer.
    pub fn limits(&self) -> Limits {
        Limits {
            transfer: self.max_transfer,
            pages: self.max_pages,
            block: self.block,
            long: self.blocks > u64::from(u32::MAX),
        }
    }
}

/// A disk.
pub(crate) struct Disk {
    pub fdo: *mut DEVICE_OBJECT,
    pub lower: *mut DEVICE_OBJECT,
    pub facts: Lock<Facts>,
    pub started: AtomicBool,
    gone: AtomicBool,
    active: AtomicU32,
    idle: Lock<Box<KEVENT>>,
}
// SAFETY: device objects live as long as the disk; the rest is atomic or behind locks.
unsafe impl Sync for Disk {}

/// The disks that are started.
static DISKS: Lock<Vec<usize>> = Lock::new(Vec::new());

impl Disk {
    /// The disk of a device object of this driver; `None` once it was removed.
    ///
    /// # Safety
    /// `device` must be one.
    pub unsafe fn of<'a>(device: *mut DEVICE_OBJECT) -> Option<&'a Self> {
        (*device)
            .DeviceExtension
            .cast::<*const Self>()
            .read()
            .as_ref()
    }

    /// A request begins; false if the disk takes none any more.
    pub fn enter(&self) -> bool {
        self.active.fetch_add(1, Ordering::AcqRel);
        if self.gone.load(Ordering::Acquire) {
            self.leave();
            return false;
        }
        true
    }

    /// A request ends.
    pub fn leave(&self) {
        if self.active.fetch_sub(1, Ordering::AcqRel) == 1 && self.gone.load(Ordering::Acquire) {
            let event: *mut KEVENT = &mut **self.idle.lock();
            // SAFETY: the event lives as long as the disk. At most DISPATCH_LEVEL.
            unsafe { KeSetEvent(event, 0, 0) };
        }
    }

    /// No more requests; waits for those under way, which end by themselves: the port's timer sees to that.
    fn drain(&self) {
        self.gone.store(true, Ordering::Release);
        let event: *mut KEVENT = &mut **self.idle.lock();
        while self.active.load(Ordering::Acquire) != 0 {
            // SAFETY: the event lives as long as the disk.
            wait(unsafe { &mut *event }, Some(SECOND / 4));
        }
    }
}

/// The started disks: functional device object and facts.
pub(crate) fn all() -> Vec<(*mut DEVICE_OBJECT, Facts)> {
    DISKS
        .lock()
        .iter()
        .map(|disk| {
            // SAFETY: disks in the list are alive: they leave it before they are freed.
            let disk = unsafe { &*(*disk as *const Disk) };
            (disk.fdo, disk.facts.lock().clone())
        })
        .collect()
}

/// The functional device object of the disk at a SCSI target.
pub fn device_object(target: u32) -> Option<*mut DEVICE_OBJECT> {
    all()
        .into_iter()
        .find(|(_, facts)| u32::from(facts.address.1) == target)
        .map(|(fdo, _)| fdo)
}

/// The driver's entry.
pub unsafe extern "win64" fn driver_entry(
    driver: *mut DRIVER_OBJECT,
    _registry_path: *mut UNICODE_STRING,
) -> NTSTATUS {
    for slot in [
        IRP_MJ_CREATE,
        IRP_MJ_CLOSE,
        IRP_MJ_READ,
        IRP_MJ_WRITE,
        IRP_MJ_FLUSH_BUFFERS,
        IRP_MJ_SHUTDOWN,
        IRP_MJ_DEVICE_CONTROL,
        IRP_MJ_SCSI,
        IRP_MJ_PNP,
        IRP_MJ_POWER,
        IRP_MJ_SYSTEM_CONTROL,
    ] {
        (*driver).MajorFunction[usize::from(slot)] = Some(dispatch);
    }
    (*(*driver).DriverExtension).AddDevice = Some(add_device);
    (*driver).DriverUnload = Some(unload);
    STATUS_SUCCESS
}

unsafe extern "win64" fn unload(_: *mut DRIVER_OBJECT) {}

unsafe extern "win64" fn add_device(
    driver: *mut DRIVER_OBJECT,
    pdo: *mut DEVICE_OBJECT,
) -> NTSTATUS {
    let status = claim(pdo, SRB_FUNCTION_CLAIM_DEVICE);
    if status < 0 {
        return status;
    }
    let mut fdo: *mut DEVICE_OBJECT = core::ptr::null_mut();
    let status = IoCreateDevice(
        driver,
        8,
        core::ptr::null_mut(),
        FILE_DEVICE_DISK,
        FILE_DEVICE_SECURE_OPEN,
        0,
        &mut fdo,
    );
    if status < 0 {
        claim(pdo, SRB_FUNCTION_RELEASE_DEVICE);
        return status;
    }
    let lower = IoAttachDeviceToDeviceStack(fdo, pdo);
    if lower.is_null() {
        IoDeleteDevice(fdo);
        claim(pdo, SRB_FUNCTION_RELEASE_DEVICE);
        return STATUS_NO_SUCH_DEVICE;
    }
    let disk = Box::into_raw(Box::new(Disk {
        fdo,
        lower,
        facts: Lock::new(Facts::default()),
        started: AtomicBool::new(false),
        gone: AtomicBool::new(false),
        active: AtomicU32::new(0),
        idle: Lock::new(new_event()),
    }));
    (*fdo).DeviceExtension.cast::<*mut Disk>().write(disk);
    (*fdo).Flags |= DO_DIRECT_IO | ((*lower).Flags & (DO_POWER_PAGABLE | DO_POWER_INRUSH));
    (*fdo).Flags &= !DO_DEVICE_INITIALIZING;
    STATUS_SUCCESS
}

/// Claims the unit, or releases it ([Negotiating Claim and Release]).
unsafe fn claim(device: *mut DEVICE_OBJECT, function: u8) -> NTSTATUS {
    let irp = IoAllocateIrp((*device).StackSize, 0);
    if irp.is_null() {
        return STATUS_INSUFFICIENT_RESOURCES;
    }
    let mut block = Box::new(SrbBlock::zeroed());
    let srb = block.prepare(false, function, 10);
    srb.set_original(irp.cast());
    let location = next(irp);
    (*location).MajorFunction = IRP_MJ_SCSI;
    (*location).MinorFunction = 1; // IRP_MN_SCSI_CLASS
    (*location).Parameters.Srb = srb.0.cast();
    let status = send_and_wait(device, irp);
    IoFreeIrp(irp);
    status
}

unsafe extern "win64" fn dispatch(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let Some(disk) = Disk::of(device) else {
        return complete(irp, STATUS_DELETE_PENDING, 0);
    };
    match (*current(irp)).MajorFunction {
        IRP_MJ_CREATE | IRP_MJ_CLOSE => complete(irp, STATUS_SUCCESS, 0),
        IRP_MJ_READ | IRP_MJ_WRITE => io::read_write(disk, irp),
        function @ (IRP_MJ_FLUSH_BUFFERS | IRP_MJ_SHUTDOWN) => {
            if !disk.enter() {
                return complete(irp, STATUS_NO_SUCH_DEVICE, 0);
            }
            let status = command::flush(disk, function == IRP_MJ_SHUTDOWN);
            disk.leave();
            complete(irp, status, 0)
        }
        IRP_MJ_PNP => pnp(disk, device, irp),
        IRP_MJ_POWER => power(disk, irp),
        _ => {
            skip(irp);
            IofCallDriver(disk.lower, irp)
        }
    }
}

unsafe fn pnp(disk: &Disk, device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    match (*current(irp)).MinorFunction {
        IRP_MN_START_DEVICE => {
            let mut status = forward_and_wait(disk.lower, irp);
            if status >= 0 {
                status = start(disk);
            }
            complete(irp, status, 0)
        }
        IRP_MN_SURPRISE_REMOVAL => {
            withdraw(disk);
            (*irp).IoStatus.Status = STATUS_SUCCESS;
            skip(irp);
            IofCallDriver(disk.lower, irp)
        }
        IRP_MN_REMOVE_DEVICE => {
            if disk.started.load(Ordering::Acquire) && !disk.gone.load(Ordering::Acquire) {
                // What is in the disk's cache is made safe before the disk goes.
                let status = command::flush(disk, true);
                if status < 0 {
                    crate::kd::text(&alloc::format!(
                        "disk: the flush before the removal failed: {status:#x}"
                    ));
                }
            }
            withdraw(disk);
            claim(disk.lower, SRB_FUNCTION_RELEASE_DEVICE);
            let lower = disk.lower;
            (*irp).IoStatus.Status = STATUS_SUCCESS;
            skip(irp);
            let status = IofCallDriver(lower, irp);
            IoDetachDevice(lower);
            (*device)
                .DeviceExtension
                .cast::<*const Disk>()
                .write(core::ptr::null());
            drop(Box::from_raw(core::ptr::from_ref(disk).cast_mut()));
            IoDeleteDevice(device);
            status
        }
        IRP_MN_QUERY_REMOVE_DEVICE
        | IRP_MN_CANCEL_REMOVE_DEVICE
        | IRP_MN_QUERY_STOP_DEVICE
        | IRP_MN_CANCEL_STOP_DEVICE
        | IRP_MN_STOP_DEVICE => {
            (*irp).IoStatus.Status = STATUS_SUCCESS;
            skip(irp);
            IofCallDriver(disk.lower, irp)
        }
        _ => {
            skip(irp);
            IofCallDriver(disk.lower, irp)
        }
    }
}

/// A disk is its stack's power policy owner: a system request goes down first and brings a device request with it, and before
/// the device goes to D3 what is in its cache is made safe ("Sending a Device Set-Power IRP"). PASSIVE_LEVEL.
unsafe fn power(disk: &Disk, irp: *mut IRP) -> NTSTATUS {
    let location = current(irp);
    let sets = (*location).MinorFunction == IRP_MN_SET_POWER;
    let (kind, state) = (
        (*location).Parameters.Power.Type,
        (*location).Parameters.Power.State,
    );
    if sets && kind == SystemPowerState {
        return crate::po::system_request(disk.fdo, disk.lower, irp);
    }
    if sets && state.DeviceState == PowerDeviceD3 && disk.started.load(Ordering::Acquire) {
        if disk.enter() {
            let status = command::flush(disk, true);
            disk.leave();
            if status < 0 {
                crate::kd::text(&alloc::format!(
                    "disk: the flush before the power goes failed: {status:#x}"
                ));
            }
        }
        PoSetPowerState(disk.fdo, DevicePowerState, state);
    }
    skip(irp);
    PoCallDriver(disk.lower, irp)
}

unsafe fn start(disk: &Disk) -> NTSTATUS {
    match setup::ask(disk) {
        Ok(facts) if disk.started.load(Ordering::Acquire) => {
            // Started again after a stop: it is in the list.
            *disk.facts.lock() = facts;
            STATUS_SUCCESS
        }
        Ok(facts) => {
            crate::check::emit(&Record::Disk {
                target: u32::from(facts.address.1),
                inquiry: facts.inquiry.clone(),
                serial: facts.serial.clone(),
                capacity: facts.capacity(),
                block: facts.block,
                write_cache: facts.write_cache,
            });
            *disk.facts.lock() = facts;
            disk.started.store(true, Ordering::Release);
            DISKS.lock().push(core::ptr::from_ref(disk) as usize);
            STATUS_SUCCESS
        }
        Err(status) => status,
    }
}

/// The disk leaves the list and takes no more requests; those under way end.
fn withdraw(disk: &Disk) {
    let address = core::ptr::from_ref(disk) as usize;
    let was_there = {
        let mut disks = DISKS.lock();
        let before = disks.len();
        disks.retain(|known| *known != address);
        disks.len() != before
    };
    disk.drain();
    if was_there {
        let target = u32::from(disk.facts.lock().address.1);
        crate::check::emit(&Record::DiskGone { target });
    }
}
