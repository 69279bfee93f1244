//! The function device's PnP requests, and those that are neither PnP nor power. PASSIVE_LEVEL.

use core::sync::atomic::Ordering;

use wdk_sys::NTSTATUS;
use wdm::alloc::{Shared, free_pool};
use wdm::device::Device;
use wdm::irp::{self, Irp};
use wdm::pnp::{DevicePower, Request};
use wdm::power;
use wdm::status::{Result, Status};

use crate::extension;
use crate::fdo::Fdo;
use crate::interrupts::{self, Vectors};

/// `IRP_MN_QUERY_DEVICE_RELATIONS` and its `BusRelations`.
const QUERY_DEVICE_RELATIONS: u8 = 0x07;
const BUS_RELATIONS: u32 = 0;
/// `IRP_MN_FILTER_RESOURCE_REQUIREMENTS`.
const FILTER_RESOURCE_REQUIREMENTS: u8 = 0x0D;
/// `IRP_MN_QUERY_PNP_DEVICE_STATE` and its `PNP_DEVICE_NOT_DISABLEABLE`.
const QUERY_PNP_DEVICE_STATE: u8 = 0x14;
const NOT_DISABLEABLE: usize = 0x20;
/// `IRP_MN_DEVICE_USAGE_NOTIFICATION`.
const DEVICE_USAGE_NOTIFICATION: u8 = 0x16;

/// `STATUS_SUCCESS`.
const SUCCESS: NTSTATUS = 0;

/// What a request has to do with the drivers below after its own part.
enum Next {
    /// Pass it on with this status.
    PassOn,
    /// Complete it with this outcome.
    Complete(Result),
}

/// Dispatch for the function device.
pub trait Dispatch {
    /// `IRP_MJ_PNP`.
    fn pnp(&self, irp: Irp) -> NTSTATUS;
    /// Everything but PnP and power.
    fn other(&self, irp: Irp, major: u8) -> NTSTATUS;
}

impl Dispatch for Shared<Fdo> {
    fn pnp(&self, mut irp: Irp) -> NTSTATUS {
        let user = irp.as_ptr().addr();
        if let Err(status) = self.remove_lock.acquire(user) {
            return irp.complete_with(status.0, 0);
        }
        let minor = irp.location().minor;
        if Request::from_minor(minor) == Some(Request::Remove) {
            return remove(self, irp);
        }
        let status = match prepare(self, &mut irp, minor) {
            // SAFETY: the next device in our stack.
            Next::PassOn => unsafe { irp.skip(self.lower().as_ptr()) },
            Next::Complete(result) => {
                let information = irp.status().information;
                irp.complete_with(Status::of(result), information)
            }
        };
        self.remove_lock.release(user);
        status
    }

    fn other(&self, irp: Irp, major: u8) -> NTSTATUS {
        let user = irp.as_ptr().addr();
        if let Err(status) = self.remove_lock.acquire(user) {
            return irp.complete_with(status.0, 0);
        }
        let status = match major {
            irp::MJ_CREATE if self.state().admits_creates() => irp.complete_with(SUCCESS, 0),
            irp::MJ_CREATE => irp.complete_with(Status::DEVICE_NOT_READY.0, 0),
            irp::MJ_CLEANUP | irp::MJ_CLOSE => irp.complete_with(SUCCESS, 0),
            irp::MJ_SYSTEM_CONTROL => {
                // SAFETY: the next device in our stack.
                unsafe { irp.skip(self.lower().as_ptr()) }
            }
            _ => irp.complete_with(Status::INVALID_DEVICE_REQUEST.0, 0),
        };
        self.remove_lock.release(user);
        status
    }
}

/// Our part of every request but remove.
fn prepare(fdo: &Shared<Fdo>, irp: &mut Irp, minor: u8) -> Next {
    if let Some(request) = Request::from_minor(minor) {
        return move_on(fdo, irp, request);
    }
    match minor {
        QUERY_DEVICE_RELATIONS if irp.location().parameters[0] as u32 == BUS_RELATIONS => {
            bus_relations(fdo, irp)
        }
        FILTER_RESOURCE_REQUIREMENTS if fdo.is_in_charge() => {
            Next::Complete(filter_requirements(fdo, irp))
        }
        QUERY_PNP_DEVICE_STATE => {
            if fdo.special_files.load(Ordering::Relaxed) > 0 {
                let information = irp.status().information | NOT_DISABLEABLE;
                irp.set_status(SUCCESS, information);
            }
            Next::PassOn
        }
        DEVICE_USAGE_NOTIFICATION => Next::Complete(usage(fdo, irp)),
        _ => Next::PassOn,
    }
}

/// The requests that move the device through its life, but for its end.
fn move_on(fdo: &Shared<Fdo>, irp: &mut Irp, request: Request) -> Next {
    match request {
        Request::Start => return Next::Complete(start(fdo, irp)),
        Request::QueryStop | Request::QueryRemove => {
            if fdo.special_files.load(Ordering::Relaxed) > 0 {
                wdm::info!("{request:?} refused: files that the system needs are on disks below");
                return Next::Complete(Err(Status::UNSUCCESSFUL));
            }
        }
        Request::Stop | Request::SurpriseRemoval => fdo.stop(),
        Request::CancelStop | Request::CancelRemove => {
            // SAFETY: the next device in our stack.
            let below = unsafe { irp.forward_and_wait(fdo.lower().as_ptr()) };
            fdo.advance(request);
            return Next::Complete(below);
        }
        Request::Remove => {}
    }
    fdo.advance(request);
    irp.set_status(SUCCESS, irp.status().information);
    Next::PassOn
}

fn start(fdo: &Shared<Fdo>, irp: &mut Irp) -> Result {
    let [raw, translated, ..] = irp.location().parameters;
    let raw = core::ptr::with_exposed_provenance_mut(raw);
    let translated = core::ptr::with_exposed_provenance_mut(translated);
    // SAFETY: a start request's lists are null or valid, ours until the request is passed on.
    let vectors = unsafe { Vectors::take(raw, translated) }?;
    // SAFETY: the next device in our stack.
    unsafe { irp.forward_and_wait(fdo.lower().as_ptr()) }?;
    power::report(fdo.device(), DevicePower::D0);
    if !fdo.is_in_charge() {
        fdo.advance(Request::Start);
        return Ok(());
    }
    Fdo::start(fdo, &vectors).inspect_err(|status| {
        wdm::error!("the platform device did not start: {status}");
    })?;
    fdo.advance(Request::Start);
    Ok(())
}

fn bus_relations(fdo: &Shared<Fdo>, irp: &mut Irp) -> Next {
    let old = if irp.status().status < 0 {
        0
    } else {
        irp.status().information
    };
    let old = core::ptr::with_exposed_provenance_mut(old);
    // SAFETY: a successful answer so far is a DEVICE_RELATIONS from paged pool, ours to replace.
    match unsafe { fdo.children().relations(old) } {
        Ok(list) => {
            irp.set_status(SUCCESS, list.expose_provenance());
            Next::PassOn
        }
        Err(status) => Next::Complete(Err(status)),
    }
}

/// Adds a message interrupt a processor to what the drivers below ask for.
fn filter_requirements(fdo: &Shared<Fdo>, irp: &mut Irp) -> Result {
    // SAFETY: the next device in our stack.
    let below = unsafe { irp.forward_and_wait(fdo.lower().as_ptr()) };
    if below.is_err() && below != Err(Status::NOT_SUPPORTED) {
        return below;
    }
    let given = irp.location().parameters[0];
    let current = if below.is_ok() {
        irp.status().information
    } else {
        given
    };
    if current == 0 {
        return below;
    }
    let list = core::ptr::with_exposed_provenance_mut::<u8>(current);
    // SAFETY: the list that the request carries.
    let extended = unsafe { interrupts::extend(list) }?;
    // Whoever replaces the list frees the old one: PnP takes what it finds in the request at the end.
    // SAFETY: a list from the pool that nobody uses any more.
    unsafe { free_pool(list.cast()) };
    irp.set_status(SUCCESS, extended.into_raw().expose_provenance());
    Ok(())
}

/// A paging, hibernation or dump file comes to, or leaves, a disk below: `InPath` in the first word. While there is
/// one, power requests must not need the pager.
fn usage(fdo: &Shared<Fdo>, irp: &mut Irp) -> Result {
    let in_path = irp.location().parameters[0] as u8 != 0;
    if in_path && !fdo.state().is_running() {
        return Err(Status::DEVICE_NOT_READY);
    }
    let device = fdo.device();
    let last_leaves = !in_path && fdo.special_files.load(Ordering::Relaxed) <= 1;
    if last_leaves && fdo.was_power_pagable() {
        device.set_power_pagable(true);
    }
    // SAFETY: the next device in our stack.
    let below = unsafe { irp.forward_and_wait(fdo.lower().as_ptr()) };
    if below.is_err() {
        if last_leaves {
            device.set_power_pagable(false);
        }
        return below;
    }
    if in_path {
        device.set_power_pagable(false);
        fdo.special_files.fetch_add(1, Ordering::Relaxed);
    } else {
        // The closure always has a value, so the update cannot fail.
        let less = |count: u32| Some(count.saturating_sub(1));
        let _ = fdo
            .special_files
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
    Ok(())
}

/// The device's end.
fn remove(fdo: &Shared<Fdo>, mut irp: Irp) -> NTSTATUS {
    let user = irp.as_ptr().addr();
    fdo.stop();
    fdo.advance(Request::Remove);
    fdo.children().parent_removed();
    irp.set_status(SUCCESS, 0);
    let lower = fdo.lower();
    // SAFETY: the next device in our stack.
    let status = unsafe { irp.skip(lower.as_ptr()) };
    fdo.remove_lock.release_and_wait(user);
    let device = fdo.device();
    // SAFETY: no request is inside and none comes any more; the device is deleted next.
    unsafe { Device::detach_from(lower) };
    // SAFETY: a device of ours; its dispatch routines are not called any more. The caller has its own reference.
    drop(unsafe { extension::uninstall(device) });
    // SAFETY: nothing is attached to it.
    unsafe { device.delete() };
    wdm::info!("the platform device is removed");
    status
}
