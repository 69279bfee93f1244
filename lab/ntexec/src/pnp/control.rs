//! What the plan asks PnP to do to devices: stop them for other resources, call that or a removal off, take them away.
//!
//! Pages: "Stopping a Device to Rebalance Resources", "Handling an IRP_MN_CANCEL_STOP_DEVICE Request", "Understanding When
//! Remove IRPs Are Issued". What is on a device is asked and stopped before it, and started after it, since it has its
//! resources from it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use lab_protocol::plan::devices::{Change, Which};
use lab_protocol::plan::target_of;

use super::node::{self, Node, State};

/// Whether a node is one of those that a step is about.
unsafe fn is_one(n: &Node, which: &Which) -> bool {
    if n.state != State::Started || !n.services.iter().any(|s| super::of_packages(s)) {
        return false;
    }
    match which {
        Which::Class(class) => node::class(n).eq_ignore_ascii_case(class),
        Which::Disk(disk) => target_of(disk).is_some_and(|target| {
            let stack = crate::io::device::stack(n.pdo);
            crate::disk::device::device_object(target).is_some_and(|fdo| stack.contains(&fdo))
        }),
    }
}

/// The states of the devices that have an id, by their names.
pub fn states(id: &str) -> Vec<&'static str> {
    unsafe fn walk(raw: *mut Node, id: &str, out: &mut Vec<&'static str>) {
        let n = &*raw;
        let mut ids = n.hardware.iter().chain(&n.compatible).chain([&n.instance]);
        if ids.any(|known| known.eq_ignore_ascii_case(id)) {
            out.push(n.state.name());
        }
        for child in n.children.clone() {
            walk(child, id, out);
        }
    }
    let id = String::from(id);
    super::call(move || {
        let root = super::ROOT.load(Ordering::Acquire);
        let mut states = Vec::new();
        if !root.is_null() {
            // SAFETY: on PnP's thread.
            unsafe { walk(root, &id, &mut states) };
        }
        states
    })
}

unsafe fn collect(raw: *mut Node, which: &Which, out: &mut Vec<*mut Node>) {
    if is_one(&*raw, which) {
        out.push(raw);
        return;
    }
    for child in (*raw).children.clone() {
        collect(child, which, out);
    }
}

/// Does a step's change to its devices, one after the other.
///
/// # Errors
/// No such device runs, or one of them refused or did not come back.
pub fn change(change: Change, which: &Which) -> Result<(), String> {
    let which = which.clone();
    super::call(move || {
        let root = super::ROOT.load(Ordering::Acquire);
        let mut devices = Vec::new();
        // SAFETY: on PnP's thread.
        unsafe {
            if !root.is_null() {
                collect(root, &which, &mut devices);
            }
            if devices.is_empty() {
                return Err(format!("no device is {which:?}"));
            }
            devices.into_iter().try_for_each(|n| one(change, n))
        }
    })
}

pub(super) unsafe fn one(change: Change, raw: *mut Node) -> Result<(), String> {
    let name = (*raw).instance.clone();
    let refused = |what: &str| Err(format!("{name} {what}"));
    let mut asked = Vec::new();
    match change {
        Change::CancelRemove => {
            let agreed = node::query_remove(raw, &mut asked);
            node::cancel_remove(&asked);
            if !agreed {
                return refused("may not be removed");
            }
        }
        Change::CancelStop | Change::Rebalance => {
            if !node::query_stop(raw, &mut asked) {
                node::cancel_stop(&asked);
                return refused("may not be stopped");
            }
            if change == Change::CancelStop {
                node::cancel_stop(&asked);
                return Ok(());
            }
            node::stop(raw);
            if !restart(raw) {
                return refused("did not start again");
            }
        }
        Change::SurpriseRemove => node::remove(raw, true),
    }
    Ok(())
}

/// Starts a device that was stopped, then what is on it, and asks for its relations, as after every start.
unsafe fn restart(raw: *mut Node) -> bool {
    if (*raw).state == State::Stopped && !node::start(&mut *raw) {
        // "Stopping a Device to Rebalance Resources": what cannot be started again goes as if it had failed.
        node::remove(raw, true);
        return false;
    }
    let mut all = true;
    for child in (*raw).children.clone() {
        all &= restart(child);
    }
    super::enumerate(raw);
    all
}
