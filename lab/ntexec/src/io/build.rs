//! IRPs built by the I/O manager for a driver: "IoBuildSynchronousFsdRequest" and its kin; and calls that wait.

use core::ffi::c_void;
use core::ptr::null_mut;

use super::irp::{IofCallDriver, Origin, allocate, copy_to_next, next, set_completion};
use crate::ke::{KeInitializeEvent, KeSetEvent, KeWaitForSingleObject};
use crate::mm::{IoAllocateMdl, IoFreeMdl, MmProbeAndLockPages, MmUnlockPages};
use crate::nt::base::NTSTATUS;
use crate::nt::io::consts::*;
use crate::nt::io::*;
use crate::nt::ke::KEVENT;
use crate::nt::status::*;

/// Gives an IRP's data the form that the device's flags ask for.
unsafe fn buffers(
    irp: *mut IRP,
    device: *mut DEVICE_OBJECT,
    buffer: *mut c_void,
    len: u32,
    to_device: bool,
) -> bool {
    if len == 0 {
        return true;
    }
    if (*device).Flags & DO_BUFFERED_IO != 0 {
        let system =
            crate::ex::ExAllocatePoolWithTag(0x200, len as usize, u32::from_le_bytes(*b"Io  "));
        if system.is_null() {
            return false;
        }
        if to_device {
            core::ptr::copy_nonoverlapping(buffer.cast::<u8>(), system.cast(), len as usize);
        }
        (*irp).AssociatedIrp.SystemBuffer = system.cast();
        (*irp).UserBuffer = buffer;
        (*irp).Flags |= IRP_BUFFERED_IO
            | IRP_DEALLOCATE_BUFFER
            | if to_device { 0 } else { IRP_INPUT_OPERATION };
        true
    } else if (*device).Flags & DO_DIRECT_IO != 0 {
        (*irp).MdlAddress = IoAllocateMdl(buffer.cast(), len, 0, 0, null_mut());
        if (*irp).MdlAddress.is_null() {
            return false;
        }
        MmProbeAndLockPages((*irp).MdlAddress, 0, if to_device { 0 } else { 1 });
        true
    } else {
        (*irp).UserBuffer = buffer;
        true
    }
}

unsafe fn build(
    major: u32,
    device: *mut DEVICE_OBJECT,
    buffer: *mut c_void,
    len: u32,
    offset: *const i64,
    iosb: *mut IO_STATUS_BLOCK,
    origin: Origin,
) -> *mut IRP {
    let irp = allocate((*device).StackSize, origin);
    if irp.is_null() {
        return irp;
    }
    let n = next(irp);
    (*n).MajorFunction = major as u8;
    let write = (*n).MajorFunction == IRP_MJ_WRITE;
    if write || (*n).MajorFunction == IRP_MJ_READ {
        if !buffers(irp, device, buffer, len, write) {
            super::irp::IoFreeIrp(irp);
            return null_mut();
        }
        (*n).Parameters.Read.Length = len;
        (*n).Parameters.Read.ByteOffset = if offset.is_null() { 0 } else { *offset };
    }
    (*irp).UserIosb = iosb;
    (*irp).Tail.Overlay.Thread = crate::ke::KeGetCurrentThread().cast();
    irp
}

/// IoBuildSynchronousFsdRequest: PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoBuildSynchronousFsdRequest(
    major: u32,
    device: *mut DEVICE_OBJECT,
    buffer: *mut c_void,
    len: u32,
    offset: *const i64,
    event: *mut KEVENT,
    iosb: *mut IO_STATUS_BLOCK,
) -> *mut IRP {
    let irp = build(major, device, buffer, len, offset, iosb, Origin::Threaded);
    if !irp.is_null() {
        (*irp).UserEvent = event;
        (*irp).Flags |= IRP_SYNCHRONOUS_API;
    }
    irp
}

/// IoBuildAsynchronousFsdRequest: `<= DISPATCH_LEVEL`.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoBuildAsynchronousFsdRequest(
    major: u32,
    device: *mut DEVICE_OBJECT,
    buffer: *mut c_void,
    len: u32,
    offset: *const i64,
    iosb: *mut IO_STATUS_BLOCK,
) -> *mut IRP {
    build(major, device, buffer, len, offset, iosb, Origin::Driver)
}

/// IoBuildDeviceIoControlRequest: PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoBuildDeviceIoControlRequest(
    code: u32,
    device: *mut DEVICE_OBJECT,
    input: *mut c_void,
    input_len: u32,
    output: *mut c_void,
    output_len: u32,
    internal: u8,
    event: *mut KEVENT,
    iosb: *mut IO_STATUS_BLOCK,
) -> *mut IRP {
    let irp = allocate((*device).StackSize, Origin::Threaded);
    if irp.is_null() {
        return irp;
    }
    let n = next(irp);
    (*n).MajorFunction = if internal != 0 {
        IRP_MJ_INTERNAL_DEVICE_CONTROL
    } else {
        IRP_MJ_DEVICE_CONTROL
    };
    (*n).Parameters.DeviceIoControl.OutputBufferLength = output_len;
    (*n).Parameters.DeviceIoControl.InputBufferLength = input_len;
    (*n).Parameters.DeviceIoControl.IoControlCode = code;
    (*irp).UserEvent = event;
    (*irp).UserIosb = iosb;
    (*irp).Tail.Overlay.Thread = crate::ke::KeGetCurrentThread().cast();
    let method = code & 3;
    let system_len = match method {
        METHOD_BUFFERED => input_len.max(output_len),
        METHOD_NEITHER => 0,
        _ => input_len,
    };
    if method == METHOD_NEITHER {
        (*irp).UserBuffer = output;
        (*n).Parameters.DeviceIoControl.Type3InputBuffer = input;
        return irp;
    }
    if system_len != 0 {
        let system = crate::ex::ExAllocatePoolWithTag(
            0x200,
            system_len as usize,
            u32::from_le_bytes(*b"Io  "),
        );
        if system.is_null() {
            super::irp::IoFreeIrp(irp);
            return null_mut();
        }
        if !input.is_null() {
            core::ptr::copy_nonoverlapping(input.cast::<u8>(), system.cast(), input_len as usize);
        }
        (*irp).AssociatedIrp.SystemBuffer = system.cast();
        (*irp).Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
    }
    if method == METHOD_BUFFERED {
        (*irp).UserBuffer = output;
        if !output.is_null() {
            (*irp).Flags |= IRP_INPUT_OPERATION;
        }
    } else if !output.is_null() && output_len != 0 {
        (*irp).MdlAddress = IoAllocateMdl(output.cast(), output_len, 0, 0, null_mut());
        if (*irp).MdlAddress.is_null() {
            finish(irp);
            return null_mut();
        }
        MmProbeAndLockPages(
            (*irp).MdlAddress,
            0,
            if method == METHOD_IN_DIRECT { 0 } else { 1 },
        );
    }
    irp
}

/// Ends a threaded IRP: data, MDLs, status block, event, memory.
///
/// # Safety
/// The IRP is complete and of [`Origin::Threaded`], or was never sent.
pub unsafe fn finish(irp: *mut IRP) {
    let flags = (*irp).Flags;
    let status = (*irp).IoStatus;
    if flags & IRP_BUFFERED_IO != 0 {
        let system = (*irp).AssociatedIrp.SystemBuffer;
        // Warnings carry data too; errors do not.
        let moved = (status.Status as u32) < 0xc000_0000;
        if flags & IRP_INPUT_OPERATION != 0 && moved && status.Information != 0 {
            core::ptr::copy_nonoverlapping(
                system.cast::<u8>(),
                (*irp).UserBuffer.cast(),
                status.Information,
            );
        }
        if flags & IRP_DEALLOCATE_BUFFER != 0 {
            crate::ex::ExFreePoolWithTag(system.cast(), 0);
        }
    }
    let mut mdl = (*irp).MdlAddress;
    while !mdl.is_null() {
        let following = (*mdl).Next;
        MmUnlockPages(mdl);
        IoFreeMdl(mdl);
        mdl = following;
    }
    if !(*irp).UserIosb.is_null() {
        *(*irp).UserIosb = status;
    }
    let event = (*irp).UserEvent;
    super::irp::IoFreeIrp(irp);
    if !event.is_null() {
        KeSetEvent(event, 0, 0);
    }
}

/// Stops a completion and wakes the one who waits.
unsafe extern "win64" fn wake(
    _device: *mut DEVICE_OBJECT,
    _irp: *mut IRP,
    event: *mut c_void,
) -> NTSTATUS {
    KeSetEvent(event.cast(), 0, 0);
    STATUS_MORE_PROCESSING_REQUIRED
}

/// Minutes after which an IRP counts as lost. Drivers' own waits for what is outside the machine are shorter.
const LOST: u32 = 3;

/// Sends an IRP, whose next location is ready, and waits; the IRP stays the caller's. PASSIVE_LEVEL.
///
/// A driver that keeps an IRP for long is named in the log again and again, so that a hang says where it is, and in a finding.
///
/// # Safety
/// The caller owns the IRP and its next location is filled.
pub unsafe fn send_and_wait(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> NTSTATUS {
    let mut event = core::mem::zeroed::<KEVENT>();
    KeInitializeEvent(&raw mut event, 0, 0);
    set_completion(irp, wake, (&raw mut event).cast());
    let (major, minor) = ((*next(irp)).MajorFunction, (*next(irp)).MinorFunction);
    let status = IofCallDriver(device, irp);
    if status != STATUS_PENDING {
        return status;
    }
    let mut minutes = 0u32;
    loop {
        let timeout: i64 = -600_000_000;
        let waited = KeWaitForSingleObject(
            (&raw mut event).cast(),
            0,
            0,
            0,
            (&raw const timeout).cast_mut(),
        );
        if waited != STATUS_TIMEOUT {
            return (*irp).IoStatus.Status;
        }
        minutes += 1;
        let holder =
            crate::ldr::driver_name((*(*super::irp::current(irp)).DeviceObject).DriverObject);
        let text = alloc::format!(
            "IRP {irp:p} (major {major:#x} minor {minor:#x}) is with {holder} for {minutes} minutes"
        );
        if minutes == LOST {
            crate::check::violation_by(
                &holder,
                "dispatch",
                "an IRP is completed some time",
                format_args!("{text}"),
            );
        } else {
            crate::kd::text(&text);
        }
    }
}

/// IoSynchronousCallDriver: PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoSynchronousCallDriver(
    device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
) -> NTSTATUS {
    send_and_wait(device, irp)
}

/// IoForwardIrpSynchronously: PASSIVE_LEVEL; 0 if there is no location left.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoForwardIrpSynchronously(
    device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
) -> u8 {
    if (*irp).CurrentLocation <= 1 {
        return 0;
    }
    copy_to_next(irp);
    send_and_wait(device, irp);
    1
}

/// A request of `major` without data, sent to `device` and waited for; how it ended.
///
/// # Safety
/// PASSIVE_LEVEL; `fill` writes parameters into the location.
pub unsafe fn call(
    device: *mut DEVICE_OBJECT,
    major: u8,
    minor: u8,
    first: NTSTATUS,
    information: usize,
    fill: impl FnOnce(&mut IO_STACK_LOCATION),
) -> IO_STATUS_BLOCK {
    let irp = allocate((*device).StackSize, Origin::Driver);
    if irp.is_null() {
        return IO_STATUS_BLOCK {
            Status: STATUS_INSUFFICIENT_RESOURCES,
            Information: 0,
        };
    }
    (*irp).IoStatus = IO_STATUS_BLOCK {
        Status: first,
        Information: information,
    };
    let n = &mut *next(irp);
    n.MajorFunction = major;
    n.MinorFunction = minor;
    fill(n);
    send_and_wait(device, irp);
    let result = (*irp).IoStatus;
    super::irp::IoFreeIrp(irp);
    result
}

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl {
        IoBuildSynchronousFsdRequest, IoBuildAsynchronousFsdRequest, IoBuildDeviceIoControlRequest,
        IoSynchronousCallDriver, IoForwardIrpSynchronously,
    }
}
