//! The port's exports that hold requests back and let them go.
#![allow(clippy::missing_safety_doc)]

use core::ffi::c_void;

use super::adapter::Adapter;
use super::os::*;
use super::request;
use super::srb::Address;
use super::unit::Unit;

fn until(seconds: u32) -> u64 {
    now() + u64::from(seconds) * SECOND
}

/// StorPortPause: every queue is held for so many seconds.
pub unsafe extern "win64" fn StorPortPause(extension: *mut c_void, seconds: u32) -> u8 {
    let Some(adapter) = Adapter::of(extension) else {
        return 0;
    };
    adapter.state.lock().gate.pause(until(seconds));
    1
}

/// StorPortResume.
pub unsafe extern "win64" fn StorPortResume(extension: *mut c_void) -> u8 {
    let Some(adapter) = Adapter::of(extension) else {
        return 0;
    };
    let resumed = adapter.state.lock().gate.resume();
    request::kick_later(adapter);
    u8::from(resumed)
}

/// StorPortBusy: every queue is held until so many requests are back.
pub unsafe extern "win64" fn StorPortBusy(extension: *mut c_void, requests: u32) -> u8 {
    let Some(adapter) = Adapter::of(extension) else {
        return 0;
    };
    adapter.state.lock().gate.set_busy(requests);
    1
}

/// StorPortReady.
pub unsafe extern "win64" fn StorPortReady(extension: *mut c_void) -> u8 {
    let Some(adapter) = Adapter::of(extension) else {
        return 0;
    };
    let ready = adapter.state.lock().gate.ready();
    request::kick_later(adapter);
    u8::from(ready)
}

/// The adapter of a device extension, and its unit at an address.
///
/// # Safety
/// `extension` must be a miniport's device extension.
unsafe fn unit_at<'a>(extension: *mut c_void, address: Address) -> Option<(&'a Adapter, &'a Unit)> {
    let adapter = Adapter::of(extension)?;
    // SAFETY: units in the adapter's list are alive.
    let unit = unsafe { adapter.unit(address)?.as_ref() }?;
    Some((adapter, unit))
}

/// StorPortPauseDevice.
pub unsafe extern "win64" fn StorPortPauseDevice(
    extension: *mut c_void,
    path: u8,
    target: u8,
    lun: u8,
    seconds: u32,
) -> u8 {
    let Some((_, unit)) = unit_at(extension, Address { path, target, lun }) else {
        return 0;
    };
    unit.queue.lock().gate.pause(until(seconds));
    1
}

/// StorPortResumeDevice.
pub unsafe extern "win64" fn StorPortResumeDevice(
    extension: *mut c_void,
    path: u8,
    target: u8,
    lun: u8,
) -> u8 {
    let Some((adapter, unit)) = unit_at(extension, Address { path, target, lun }) else {
        return 0;
    };
    let resumed = unit.queue.lock().gate.resume();
    request::kick_later(adapter);
    u8::from(resumed)
}

/// StorPortDeviceBusy.
pub unsafe extern "win64" fn StorPortDeviceBusy(
    extension: *mut c_void,
    path: u8,
    target: u8,
    lun: u8,
    requests: u32,
) -> u8 {
    let Some((_, unit)) = unit_at(extension, Address { path, target, lun }) else {
        return 0;
    };
    unit.queue.lock().gate.set_busy(requests);
    1
}

/// StorPortDeviceReady.
pub unsafe extern "win64" fn StorPortDeviceReady(
    extension: *mut c_void,
    path: u8,
    target: u8,
    lun: u8,
) -> u8 {
    let Some((adapter, unit)) = unit_at(extension, Address { path, target, lun }) else {
        return 0;
    };
    let ready = unit.queue.lock().gate.ready();
    request::kick_later(adapter);
    u8::from(ready)
}
