//! `tag`, `groups`, `frames`, `received-start` and `received-expect`.

use alloc::format;
use alloc::string::String;

use lab_protocol::plan::frames::{Frames, Groups, ReceivedExpect, Tag};

use super::Adapter;
use super::setup::wait_for;
use crate::net::bind;
use crate::net::seen::control;
use crate::nt::ndis::OID_GEN_VLAN_ID;

/// How long frames that are sent may wait for the adapter, in milliseconds.
const HANDED: u32 = 5_000;

/// `tag`.
pub(super) fn tag(step: &Tag) -> Result<(), String> {
    let endpoint = Adapter::find(step.nic)?.endpoint;
    let (own, beside) = if step.adapter {
        (step.vlan, 0)
    } else {
        (0, step.vlan)
    };
    let set = |vlan: u16| {
        endpoint
            .binding
            .set(OID_GEN_VLAN_ID, &u32::from(vlan).to_le_bytes())
            .map_err(|status| format!("OID_GEN_VLAN_ID, {vlan}: status {status:#x}"))
    };
    set(own)?;
    endpoint.set_tag(step.vlan, control(beside, step.priority));
    Ok(())
}

/// `groups`.
pub(super) fn groups(step: &Groups) -> Result<(), String> {
    let adapter = Adapter::find(step.nic)?;
    let groups = step.join.iter().map(|group| group.0).collect();
    bind::join(&adapter.endpoint, groups, step.all)
        .map_err(|status| format!("the packet filter: status {status:#x}"))
}

/// `frames`.
pub(super) fn send(step: &Frames) -> Result<(), String> {
    let endpoint = Adapter::find(step.nic)?.endpoint;
    for _ in 0..step.count {
        if !endpoint.send_frame(step.to.0, step.size as usize) {
            return Err("there is no memory for a frame".into());
        }
    }
    if !wait_for(HANDED, || !endpoint.has_unsent()) {
        return Err("the adapter does not take the frames".into());
    }
    Ok(())
}

/// `received-start`.
pub(super) fn start(nic: u32) -> Result<(), String> {
    Adapter::find(nic)?.endpoint.seen.lock().start();
    Ok(())
}

/// `received-expect`.
pub(super) fn expect(step: &ReceivedExpect) -> Result<(), String> {
    let endpoint = Adapter::find(step.nic)?.endpoint;
    // What is at most to come has no time to wait for.
    let least = ReceivedExpect {
        at_most: None,
        ..step.clone()
    };
    wait_for(step.within_ms, || {
        endpoint.seen.lock().expect(&least).is_ok()
    });
    let found = endpoint.seen.lock().expect(step)?;
    crate::kd::text(&format!("net: nic {}: {found} frames fit", step.nic));
    Ok(())
}
