//! Adapters that come and are configured.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use lab_protocol::plan::net::{Address, Capture, NetUp};
use smoltcp::wire::{Ipv4Cidr, Ipv6Cidr};

use super::super::main::pause;
use super::{Adapter, microseconds};
use crate::net::bind::{self, Addresses};
use crate::nt::ndis::NDIS_PACKET_TYPE_PROMISCUOUS;

/// Waits until `is` holds.
pub(super) fn wait_for(within_ms: u32, mut is: impl FnMut() -> bool) -> bool {
    let until = microseconds() + u64::from(within_ms) * 1000;
    loop {
        if is() {
            return true;
        }
        // A driver that asked for a restart brings nothing up before it.
        if microseconds() >= until || crate::pnp::reboot_requested().is_some() {
            return false;
        }
        pause(50);
    }
}

fn is_up(nic: u32) -> bool {
    bind::find(nic).is_some_and(|endpoint| endpoint.is_up())
}

/// How long an adapter's statistics have to stay as they are, in steps of 50 ms: what its driver counts late is in them then.
const QUIET: u32 = 20;

/// Waits until no frame comes or goes, so that counters can be compared; they are told in any case.
pub(super) fn settle(nic: u32) -> Result<(), String> {
    let endpoint = Adapter::find(nic)?.endpoint;
    let mut last = endpoint.counters();
    let mut same = 0;
    let quiet = wait_for(10_000, || {
        let now = endpoint.counters();
        same = if now == last { same + 1 } else { 0 };
        last = now;
        same == QUIET
    });
    if !quiet {
        crate::kd::text(&format!("net: nic {nic}: frames go on coming or going"));
    }
    endpoint.report_counters();
    Ok(())
}

/// `net-up`.
pub(super) fn up(step: &NetUp) -> Result<(), String> {
    let nic = bind::nic(step.nic).ok_or_else(|| format!("there is no adapter {}", step.nic))?;
    let wanted: Address = step.address.parse().map_err(String::from)?;
    if !wait_for(step.within_ms, || is_up(step.nic)) {
        return Err(format!("adapter {} does not run with link", step.nic));
    }
    let adapter = Adapter::find(step.nic)?;
    let v6 = Ipv6Cidr::new(nic.address6, nic.prefix6.min(128));
    let addresses = match wanted {
        Address::Auto => Addresses::Fixed(Ipv4Cidr::new(nic.address, nic.prefix.min(32)), v6),
        Address::Fixed(address, prefix) => {
            Addresses::Fixed(Ipv4Cidr::new(address, prefix.min(32)), v6)
        }
        Address::Dhcp => Addresses::Dhcp(v6),
    };
    bind::configure(step.nic, &adapter.endpoint, addresses);
    let address = || adapter.endpoint.look(|stack| stack.ipv4());
    if !wait_for(step.within_ms, || address().is_some()) {
        return Err("no address came by DHCP".into());
    }
    if let (Address::Dhcp, Some(address)) = (wanted, address()) {
        crate::kd::text(&format!("net: nic {}: {address} by DHCP", step.nic));
    }
    Ok(())
}

/// `net-down`.
pub(super) fn down(nic: u32) -> Result<(), String> {
    let adapter = Adapter::find(nic)?;
    bind::unconfigure(nic, &adapter.endpoint);
    adapter.endpoint.report_counters();
    Ok(())
}

/// `expect-nics`.
pub(super) fn expect(nics: &[u32], within_ms: u32) -> Result<(), String> {
    let mut wanted = Vec::from(nics);
    wanted.sort_unstable();
    let there = || {
        let mut up: Vec<u32> = bind::all()
            .iter()
            .filter(|endpoint| endpoint.is_up())
            .filter_map(|endpoint| bind::number_of(endpoint.permanent))
            .collect();
        up.sort_unstable();
        up
    };
    if wait_for(within_ms, || there() == wanted) {
        return Ok(());
    }
    Err(format!(
        "the adapters {wanted:?} were expected to run with link; {:?} do",
        there()
    ))
}

/// `capture`.
pub(super) fn capture(step: &Capture) -> Result<(), String> {
    let adapter = Adapter::find(step.nic)?;
    let endpoint = &adapter.endpoint;
    let filter = if step.on {
        bind::FILTER | NDIS_PACKET_TYPE_PROMISCUOUS
    } else {
        bind::FILTER
    };
    if step.on {
        endpoint.counts.foreign.store(0, Ordering::SeqCst);
        endpoint.promiscuous.store(true, Ordering::SeqCst);
    }
    endpoint
        .binding
        .set_packet_filter(filter)
        .map_err(|status| format!("the packet filter {filter:#x}: status {status:#x}"))?;
    if step.on {
        return Ok(());
    }
    endpoint.promiscuous.store(false, Ordering::SeqCst);
    let seen = endpoint.counts.foreign.load(Ordering::SeqCst);
    if seen < u64::from(step.foreign) {
        return Err(format!(
            "{seen} frames for other stations were seen; {} were expected",
            step.foreign
        ));
    }
    Ok(())
}
