//! Starting an adapter: the order of the miniport's callbacks.

use alloc::boxed::Box;
use core::ffi::c_void;
use core::sync::atomic::Ordering;

use super::adapter::{Adapter, Phase};
use super::config::{
    Line, STATUS_ADAPTER_HARDWARE_ERROR, STATUS_DEVICE_CONFIGURATION_ERROR, find, preset, resources,
};
use super::os::*;
use super::srb::{Address, SrbBlock};
use super::{hw, request, rules, timeout, unit};
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::ke::PVOID;
use crate::nt::status::*;
use crate::nt::storport::*;

pub(super) const EXTENSION_TAG: u32 = u32::from_le_bytes(*b"StDx");

/// Starts the adapter; the devices below have started. PASSIVE_LEVEL.
///
/// # Safety
/// `translated` must be null or a valid list.
pub(crate) unsafe fn start(adapter: &mut Adapter, translated: *const CM_RESOURCE_LIST) -> NTSTATUS {
    let found = resources(translated);
    let Some(line) = found
        .lines
        .first()
        .copied()
        .filter(|_| !found.ranges.is_empty())
    else {
        // CHOICE: a physical miniport has registers and an interrupt; Microsoft's pages do not say what happens without.
        rules::log(
            adapter,
            format_args!("the device has no memory or no interrupt: StorPort does not start it"),
        );
        return STATUS_DEVICE_CONFIGURATION_ERROR;
    };
    adapter.access_ranges = found.ranges;
    adapter.dirql = line.irql;
    if adapter.hw().is_null() {
        let size = Adapter::extension_block(adapter.init.device_extension_size);
        let block = ExAllocatePoolWithTag(NON_PAGED_POOL_NX, size, EXTENSION_TAG);
        if block.is_null() {
            return STATUS_INSUFFICIENT_RESOURCES;
        }
        block.cast::<u8>().write_bytes(0, size);
        adapter
            .extension
            .store(adapter.adopt_extension(block), Ordering::Release);
    }
    preset(adapter, &line);
    let status = bring_up(adapter, &line);
    if status < 0 {
        disconnect(adapter);
        adapter.set_phase(Phase::Idle);
    }
    status
}

fn bring_up(adapter: &mut Adapter, line: &Line) -> NTSTATUS {
    if let Err(status) = find(adapter) {
        return status;
    }
    // SAFETY: the adapter stays where it is until it is removed, after the interrupt is disconnected.
    let status = unsafe { connect(adapter, line) };
    if status < 0 {
        rules::log(
            adapter,
            format_args!("the interrupt cannot be connected: {status:#x}"),
        );
        return status;
    }
    if !initialize(adapter) {
        return STATUS_ADAPTER_HARDWARE_ERROR;
    }
    query_controls(adapter);
    adapter.set_phase(Phase::Running);
    timeout::begin(adapter);
    adapter.holding.store(false, Ordering::Release);
    request::kick_all(adapter);
    STATUS_SUCCESS
}

unsafe extern "win64" fn isr(_: *mut KINTERRUPT, context: PVOID) -> u8 {
    // SAFETY: the context is the adapter, which lives until the interrupt is disconnected.
    let adapter = unsafe { &*context.cast::<Adapter>() };
    let (true, Some(routine)) = (
        adapter.phase() >= Phase::Initializing,
        adapter.init.hw_interrupt,
    ) else {
        return 0;
    };
    // SAFETY: as HW_INTERRUPT says: DIRQL, the interrupt lock is held.
    rules::call(adapter, "HwInterrupt", || unsafe { routine(adapter.hw()) })
}

unsafe fn connect(adapter: &mut Adapter, line: &Line) -> NTSTATUS {
    const CONNECT_FULLY_SPECIFIED: u32 = 1;
    let mut parameters = IO_CONNECT_INTERRUPT_PARAMETERS {
        Version: CONNECT_FULLY_SPECIFIED,
        u: IO_CONNECT_U {
            FullySpecified: IO_CONNECT_INTERRUPT_FULLY_SPECIFIED_PARAMETERS {
                PhysicalDeviceObject: adapter.pdo,
                InterruptObject: &mut adapter.interrupt,
                ServiceRoutine: Some(isr),
                ServiceContext: core::ptr::from_mut(adapter).cast(),
                SpinLock: hw::lock_of(adapter, INTERRUPT_LOCK),
                SynchronizeIrql: line.irql,
                FloatingSave: 0,
                ShareVector: u8::from(line.shared),
                Vector: line.vector,
                Irql: line.irql,
                InterruptMode: u32::from(line.latched),
                ProcessorEnableMask: line.affinity,
                Group: 0,
            },
        },
    };
    IoConnectInterruptEx(&mut parameters)
}

pub(super) fn disconnect(adapter: &mut Adapter) {
    let interrupt = core::mem::replace(&mut adapter.interrupt, core::ptr::null_mut());
    if !interrupt.is_null() {
        let mut parameters = IO_DISCONNECT_INTERRUPT_PARAMETERS {
            Version: 1,
            ConnectionContext: interrupt.cast(),
        };
        // SAFETY: connected by `connect`.
        unsafe { IoDisconnectInterruptEx(&mut parameters) };
    }
}

fn initialize(adapter: &Adapter) -> bool {
    let Some(routine) = adapter.init.hw_initialize else {
        return false;
    };
    *adapter.passive.lock() = None;
    adapter.set_phase(Phase::Initializing);
    let done = hw::at_interrupt(adapter, || {
        // SAFETY: as HW_INITIALIZE says: DIRQL, the interrupt lock is held.
        rules::call(adapter, "HwInitialize", || unsafe { routine(adapter.hw()) })
    });
    if done == 0 {
        rules::log(adapter, format_args!("HwInitialize failed"));
        return false;
    }
    let passive = *adapter.passive.lock();
    if let Some(routine) = passive {
        adapter.set_phase(Phase::PassiveInitializing);
        // SAFETY: as HW_PASSIVE_INITIALIZE_ROUTINE says: PASSIVE_LEVEL, no lock.
        if rules::call(adapter, "HwPassiveInitialize", || unsafe {
            routine(adapter.hw())
        }) == 0
        {
            rules::log(adapter, format_args!("the passive initialisation failed"));
            return false;
        }
    }
    true
}

/// ScsiQuerySupportedControlTypes, of the adapter and of units.
fn query_controls(adapter: &Adapter) {
    #[repr(C)]
    struct List {
        max: u32,
        supported: [u8; 32],
    }
    for (unit, max) in [
        (false, SCSI_ADAPTER_CONTROL_MAX),
        (true, SCSI_UNIT_CONTROL_MAX),
    ] {
        let mut list = List {
            max,
            supported: [0; 32],
        };
        let parameters = core::ptr::from_mut(&mut list).cast::<c_void>();
        let asked = if unit {
            hw::unit_control(adapter, SCSI_QUERY_SUPPORTED_CONTROL_TYPES, parameters)
        } else {
            hw::control(adapter, SCSI_QUERY_SUPPORTED_CONTROL_TYPES, parameters)
        };
        let claimed = (0..max)
            .filter(|control| list.supported[*control as usize] != 0)
            .fold(0, |all, control| all | 1 << control);
        let beyond = list
            .supported
            .iter()
            .skip(max as usize)
            .any(|claimed| *claimed != 0);
        if beyond {
            rules::broken(
                adapter,
                "HwAdapterControl",
                "STORPORT",
                format_args!("claimed a control type beyond MaxControlType"),
            );
        }
        let claimed = if asked == Some(SCSI_ADAPTER_CONTROL_SUCCESS) {
            claimed
        } else {
            0
        };
        if unit {
            &adapter.unit_controls
        } else {
            &adapter.controls
        }
        .store(claimed, Ordering::Release);
    }
    if !adapter.controls(SCSI_STOP_ADAPTER) || !adapter.controls(SCSI_RESTART_ADAPTER) {
        rules::log(
            adapter,
            format_args!("the miniport does not claim both Stop and Restart"),
        );
    }
}

/// Sends an SRB of the port's own and waits until it is back; its status, without flags. PASSIVE_LEVEL.
pub(crate) fn send_and_wait(
    adapter: &Adapter,
    unit: *mut unit::Unit,
    address: Address,
    block: &mut SrbBlock,
    mdl: *mut crate::nt::mm::MDL,
    control: bool,
) -> u8 {
    fn done(request: *mut request::Request, event: *mut c_void) {
        // SAFETY: the request is the port's again; the event outlives it.
        unsafe {
            drop(Box::from_raw(request));
            KeSetEvent(event.cast(), 0, 0);
        }
    }
    let mut event = new_event();
    let srb = block.srb();
    let context = core::ptr::from_mut(&mut *event).cast();
    let mut request = request::Request::new(
        adapter,
        unit,
        address,
        srb,
        mdl,
        request::Done::Call(done, context),
    );
    request.control = control;
    let pointer = Box::into_raw(request);
    // SAFETY: a unit lives as long as it has requests.
    match unsafe { unit.as_ref() } {
        Some(unit) if !control => {
            // SAFETY: the request is nobody else's yet.
            let bypass = unsafe { (*pointer).bypass() };
            unit.queue.lock().push(pointer, bypass, false);
            request::kick(adapter, unit);
        }
        _ => at_dispatch(|| request::send(adapter, pointer)),
    }
    wait(&mut event, None);
    srb.status() & 0x3f
}

/// Reads the device's configuration space through IRP_MN_READ_CONFIG; the number of bytes read, 0 if there is none.
pub(crate) fn read_config(adapter: &Adapter, buffer: *mut c_void, offset: u32, length: u32) -> u32 {
    // SAFETY: an IRP of our own to the device below; it is waited for and freed.
    unsafe {
        let irp = IoAllocateIrp((*adapter.lower).StackSize + 1, 0);
        if irp.is_null() {
            return 0;
        }
        (*irp).IoStatus.Status = STATUS_NOT_SUPPORTED;
        let location = next(irp);
        (*location).MajorFunction = IRP_MJ_PNP;
        (*location).MinorFunction = IRP_MN_READ_CONFIG;
        (*location).Parameters.Others = ISL_OTHERS {
            Argument1: core::ptr::null_mut(),
            Argument2: buffer,
            Argument3: offset as usize as *mut c_void,
            Argument4: length as usize as *mut c_void,
        };
        let status = super::os::send_and_wait(adapter.lower, irp);
        let read = if status >= 0 {
            (*irp).IoStatus.Information as u32
        } else {
            0
        };
        IoFreeIrp(irp);
        read
    }
}
