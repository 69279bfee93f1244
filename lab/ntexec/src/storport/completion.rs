//! Requests that came back from the miniport, and the DPCs that complete them.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::ffi::c_void;
use core::sync::atomic::Ordering;

use super::adapter::Adapter;
use super::os::*;
use super::request::{self, Done, Request};
use super::rules;
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::IO_DISK_INCREMENT;
use crate::nt::ke::{KDPC, PROCESSOR_NUMBER, PVOID};
use crate::nt::scsi::*;
use crate::nt::status::*;
use crate::nt::storport::{STOR_PERF_DPC_REDIRECTION, STOR_PERF_DPC_REDIRECTION_CURRENT_CPU};
use crate::sync::Lock;

/// What a processor's DPC has to complete.
pub(crate) struct CpuQueue {
    list: Lock<VecDeque<*mut Request>>,
    dpc: KDPC,
    adapter: *mut Adapter,
}

// SAFETY: the list is behind a lock; the requests in it are the port's.
unsafe impl Send for CpuQueue {}

impl CpuQueue {
    /// A queue whose DPC runs on processor `cpu`.
    pub fn new(cpu: usize) -> Box<Self> {
        // The list is as long as the table of outstanding requests, so that a miniport's ISR never makes it grow.
        // SAFETY: KDPC is plain data that KeInitializeDpc sets up in place.
        unsafe {
            let mut queue = Box::new(Self {
                list: Lock::new(VecDeque::with_capacity(4096)),
                dpc: core::mem::zeroed(),
                adapter: core::ptr::null_mut(),
            });
            let context = core::ptr::from_mut(&mut *queue).cast();
            KeInitializeDpc(&mut queue.dpc, Some(run), context);
            let mut number = PROCESSOR_NUMBER {
                Group: 0,
                Number: cpu as u8,
                Reserved: 0,
            };
            KeSetTargetProcessorDpcEx(&mut queue.dpc, &mut number);
            queue
        }
    }

    /// Names the adapter, once it has its place.
    pub fn set_adapter(&mut self, adapter: *mut Adapter) {
        self.adapter = adapter;
    }
}

/// StorPortNotification(RequestComplete). At any level up to the device's.
pub(crate) fn request_complete(adapter: &Adapter, srb: *mut c_void) {
    let found = adapter.state.lock().outstanding.remove(srb as usize);
    let Some(request) = found else {
        rules::broken(
            adapter,
            "StorPortNotification",
            "STORPORT 2004",
            format_args!(
                "the SRB at {srb:p} is not the miniport's: completed twice, or never given to it"
            ),
        );
        return;
    };
    // SAFETY: the request was in the table: it is alive, and the port's from here on.
    let status = unsafe { (*request).srb.status() };
    if status & 0x3f == SRB_STATUS_PENDING {
        rules::broken(
            adapter,
            "StorPortNotification",
            "STORPORT",
            format_args!("SRB completed with SRB_STATUS_PENDING"),
        );
        // SAFETY: see above.
        unsafe { (*request).srb.set_status(SRB_STATUS_INTERNAL_ERROR) };
    }
    if status & SRB_STATUS_QUEUE_FROZEN != 0 {
        rules::broken(
            adapter,
            "StorPortNotification",
            "STORPORT",
            format_args!("SRB_STATUS_QUEUE_FROZEN is the port's to set"),
        );
    }
    queue(adapter, request);
}

/// Hands a request that is not in the table to a completion DPC. Any level.
pub(crate) fn queue(adapter: &Adapter, request: *mut Request) {
    let flags = adapter.performance.flags.load(Ordering::Acquire);
    // SAFETY: the request is the port's.
    let issuer = unsafe { (*request).cpu };
    let cpu = if flags & STOR_PERF_DPC_REDIRECTION != 0
        && flags & STOR_PERF_DPC_REDIRECTION_CURRENT_CPU == 0
    {
        issuer
    } else {
        current_cpu()
    };
    let Some(queue) = adapter.completions.get(cpu).or(adapter.completions.first()) else {
        return;
    };
    queue.list.lock().push_back(request);
    // SAFETY: the DPC object lives as long as the adapter; queuing it is what changes it, under the kernel's own lock.
    unsafe {
        KeInsertQueueDpc(
            (&raw const queue.dpc).cast_mut(),
            core::ptr::null_mut(),
            core::ptr::null_mut(),
        )
    };
}

unsafe extern "win64" fn run(_: *mut KDPC, context: PVOID, _: PVOID, _: PVOID) {
    // SAFETY: the context is the queue that the DPC belongs to.
    let queue = unsafe { &*context.cast::<CpuQueue>() };
    // SAFETY: set before the first request.
    let adapter = unsafe { &*queue.adapter };
    loop {
        let Some(request) = queue.list.lock().pop_front() else {
            break;
        };
        finish(adapter, request);
    }
}

/// Completes one request, or sends it again. DISPATCH_LEVEL.
fn finish(adapter: &Adapter, pointer: *mut Request) {
    adapter.state.lock().gate.came_back();
    // SAFETY: the request is the port's.
    let unit = unsafe { (*pointer).unit };
    // SAFETY: a unit lives as long as it has requests.
    let unit = unsafe { unit.as_ref() };
    // SAFETY: see above.
    let control = unsafe { (*pointer).control };
    if let Some(unit) = unit
        && !control
    {
        unit.queue.lock().gate.came_back();
    }
    if request::again(adapter, pointer) {
        return;
    }
    // SAFETY: the request was made by Box::into_raw and is nobody else's.
    let mut request = unsafe { Box::from_raw(pointer) };
    if let Some(unit) = unit {
        freeze(&request, unit);
    }
    request.clean_up();
    match request.done {
        Done::Irp(irp) => {
            let (status, information) = (
                status_of(request.srb.status()),
                request.srb.length() as usize,
            );
            drop(request);
            if let Some(unit) = unit {
                request::kick(adapter, unit);
                unit.leave();
            }
            // SAFETY: the IRP was pended by the port and is completed once. Information says what was moved, also for errors.
            unsafe {
                (*irp).IoStatus.Status = status;
                (*irp).IoStatus.Information = information;
                IofCompleteRequest(irp, IO_DISK_INCREMENT);
            }
        }
        Done::Call(routine, context) => {
            // The routine may let another thread free the unit: it comes last.
            if let Some(unit) = unit {
                request::kick(adapter, unit);
            }
            routine(Box::into_raw(request), context);
        }
    }
    if adapter.state.lock().gate.outstanding() == 0 {
        request::kick_all(adapter);
    }
}

/// Freezes the unit's queue after an error, unless the request says not to.
fn freeze(request: &Request, unit: &super::unit::Unit) {
    let status = request.srb.status() & 0x3f;
    let flags = request.srb.flags();
    if status == SRB_STATUS_SUCCESS
        || request.control
        || flags & (SRB_FLAGS_NO_QUEUE_FREEZE | SRB_FLAGS_BYPASS_FROZEN_QUEUE) != 0
    {
        return;
    }
    if matches!(request.done, Done::Irp(_))
        && matches!(
            status,
            SRB_STATUS_ERROR
                | SRB_STATUS_TIMEOUT
                | SRB_STATUS_BUS_RESET
                | SRB_STATUS_ABORTED
                | SRB_STATUS_COMMAND_TIMEOUT
        )
    {
        unit.queue.lock().freeze();
        request
            .srb
            .set_status(request.srb.status() | SRB_STATUS_QUEUE_FROZEN);
    }
}

/// The status of an IRP whose SRB ended so.
pub(crate) fn status_of(srb_status: u8) -> NTSTATUS {
    const IO_TIMEOUT: NTSTATUS = 0xc000_00b5_u32 as NTSTATUS;
    const IO_DEVICE_ERROR: NTSTATUS = 0xc000_0185_u32 as NTSTATUS;
    const NOT_CONNECTED: NTSTATUS = 0xc000_009d_u32 as NTSTATUS;
    match srb_status & 0x3f {
        SRB_STATUS_PENDING => STATUS_PENDING,
        SRB_STATUS_SUCCESS => STATUS_SUCCESS,
        SRB_STATUS_TIMEOUT | SRB_STATUS_COMMAND_TIMEOUT => IO_TIMEOUT,
        SRB_STATUS_BUSY => STATUS_DEVICE_BUSY,
        SRB_STATUS_INVALID_REQUEST | SRB_STATUS_BAD_FUNCTION => STATUS_INVALID_DEVICE_REQUEST,
        SRB_STATUS_NO_DEVICE
        | SRB_STATUS_INVALID_LUN
        | SRB_STATUS_INVALID_TARGET_ID
        | SRB_STATUS_INVALID_PATH_ID
        | SRB_STATUS_NO_HBA => STATUS_NO_SUCH_DEVICE,
        SRB_STATUS_SELECTION_TIMEOUT => NOT_CONNECTED,
        SRB_STATUS_DATA_OVERRUN => STATUS_BUFFER_OVERFLOW,
        SRB_STATUS_INSUFFICIENT_RESOURCES => STATUS_INSUFFICIENT_RESOURCES,
        _ => IO_DEVICE_ERROR,
    }
}
