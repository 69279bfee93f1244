//! The function device's power requests: it is the power policy owner of the platform device. IRQL <= DISPATCH_LEVEL.
//!
//! The device knows on and off, and neither changes anything at Xen: what was set up lives through a sleep in which
//! memory is kept (S3). Hibernation (S4) ends the domain and starts another, in which everything would have to be
//! set up anew underneath running children; as long as this is not done, the bus refuses the query for it.

use core::ffi::c_void;

use wdk_sys::{DEVICE_OBJECT, IRP, NTSTATUS};
use wdm::alloc::{Shared, try_box};
use wdm::irp::Irp;
use wdm::pnp::{DevicePower, Transition};
use wdm::power::{self, MN_QUERY_POWER, MN_SET_POWER, Target};
use wdm::status::{Result, Status};

use crate::fdo::Fdo;

/// `PowerSystemHibernate`.
const HIBERNATE: u32 = 5;

/// Power dispatch for the function device.
pub trait Power {
    /// `IRP_MJ_POWER`.
    fn power(&self, irp: Irp) -> NTSTATUS;
}

impl Power for Shared<Fdo> {
    fn power(&self, irp: Irp) -> NTSTATUS {
        let user = irp.as_ptr().addr();
        if let Err(status) = self.remove_lock.acquire(user) {
            return irp.complete_with(status.0, 0);
        }
        let location = irp.location();
        match (location.minor, power::target(&location)) {
            (MN_QUERY_POWER, Target::System(HIBERNATE)) => {
                wdm::info!("hibernation is refused: it is not supported yet");
                let status = irp.complete_with(Status::NOT_SUPPORTED.0, 0);
                self.remove_lock.release(user);
                status
            }
            (MN_QUERY_POWER | MN_SET_POWER, Target::System(_)) => send(self, irp, system_done),
            (MN_SET_POWER, Target::Device(to)) => set_device(self, irp, to),
            _ => pass_on(self, irp),
        }
    }
}

/// Passes the request on as it is.
fn pass_on(fdo: &Shared<Fdo>, irp: Irp) -> NTSTATUS {
    let user = irp.as_ptr().addr();
    // SAFETY: the next device in our stack.
    let status = unsafe { irp.skip(fdo.lower().as_ptr()) };
    fdo.remove_lock.release(user);
    status
}

type Done = unsafe extern "C" fn(*mut DEVICE_OBJECT, *mut IRP, *mut c_void) -> NTSTATUS;

/// Passes the request on and has `done` called when the drivers below are through with it; the remove lock is
/// held until then.
fn send(fdo: &Shared<Fdo>, mut irp: Irp, done: Done) -> NTSTATUS {
    irp.mark_pending();
    let context = fdo.clone().into_raw().cast_mut();
    // SAFETY: the next device in our stack; the routine takes over the reference.
    let _ = unsafe { irp.forward(fdo.lower().as_ptr(), done, context) };
    wdk_sys::STATUS_PENDING
}

fn set_device(fdo: &Shared<Fdo>, irp: Irp, to: DevicePower) -> NTSTATUS {
    match fdo.switch(to) {
        Transition::Up => send(fdo, irp, device_up),
        Transition::Down => {
            power::report(fdo.device(), to);
            pass_on(fdo, irp)
        }
        Transition::None => pass_on(fdo, irp),
    }
}

/// The drivers below have switched on.
unsafe extern "C" fn device_up(
    _device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: the reference that send gave away.
    let fdo = unsafe { Shared::<Fdo>::from_raw(context) };
    power::report(fdo.device(), DevicePower::D0);
    fdo.remove_lock.release(irp.addr());
    // The request was marked pending by send.
    wdk_sys::STATUS_SUCCESS
}

/// What the completion of the device request needs.
struct System {
    fdo: Shared<Fdo>,
    irp: Irp,
}

/// The drivers below are through with a system request: now the device request that goes with it.
unsafe extern "C" fn system_done(
    _device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
    context: *mut c_void,
) -> NTSTATUS {
    // SAFETY: the reference that send gave away.
    let fdo = unsafe { Shared::<Fdo>::from_raw(context) };
    // SAFETY: the request is ours again.
    let mut irp = unsafe { Irp::from_raw(irp) };
    let user = irp.as_ptr().addr();
    if irp.status().status >= 0 {
        match request_device(&fdo, &irp) {
            Ok(()) => return wdk_sys::STATUS_MORE_PROCESSING_REQUIRED,
            Err(status) => irp.set_status(status.0, 0),
        }
    }
    fdo.remove_lock.release(user);
    wdk_sys::STATUS_SUCCESS
}

/// Sends the device request; its end completes the system request.
fn request_device(fdo: &Shared<Fdo>, irp: &Irp) -> Result {
    let location = irp.location();
    let Target::System(system) = power::target(&location) else {
        return Err(Status::INVALID_PARAMETER);
    };
    // SAFETY: the system request is left to the completion of the device request.
    let irp = unsafe { Irp::from_raw(irp.as_ptr()) };
    let context = rust_alloc::boxed::Box::into_raw(try_box(System {
        fdo: fdo.clone(),
        irp,
    })?);
    let to = DevicePower::for_system(system);
    let sent = power::request(
        fdo.physical(),
        location.minor,
        to,
        context.cast(),
        device_done,
    );
    sent.inspect_err(|_| {
        // SAFETY: the completion is not called.
        drop(unsafe { rust_alloc::boxed::Box::from_raw(context) });
    })
}

fn device_done(context: *mut c_void, status: i32) {
    // SAFETY: the box that request_device gave away.
    let system = unsafe { rust_alloc::boxed::Box::from_raw(context.cast::<System>()) };
    let System { fdo, irp } = *system;
    let user = irp.as_ptr().addr();
    irp.complete_with(status, 0);
    fdo.remove_lock.release(user);
}
