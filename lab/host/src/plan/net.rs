//! What is wrong with steps about network adapters.

use crate::nic::Nic;
use anyhow::Context;
use anyhow::bail;
use lab_protocol::plan::Plan;
use lab_protocol::plan::Step;
use lab_protocol::plan::net::Address;
use lab_protocol::plan::net::Direction;
use lab_protocol::plan::net::MAX_CONNECTIONS;
use std::ops::RangeInclusive;

/// Data of an ICMP echo or a datagram: the stack in the guest puts fragments together up to 16 KiB.
const MAX_DATA: u32 = 16_356;
/// VLANs (IEEE 802.1Q): 0 for none.
const MAX_VLAN: u32 = 4094;
/// Priorities (IEEE 802.1p).
const MAX_PRIORITY: u32 = 7;
/// Bytes of a frame that a plan sends, with its Ethernet header.
const FRAME_SIZES: RangeInclusive<u32> = 14..=1514;

/// True for a step that may be in `parallel`.
pub(super) fn runs_beside_others(step: &Step) -> bool {
    matches!(
        step,
        Step::Transfer(_) | Step::Ping(_) | Step::Echo(_) | Step::UdpFlood(_)
    )
}

/// Checks a step by itself.
pub(super) fn check(step: &Step) -> anyhow::Result<()> {
    match step {
        Step::NetUp(up) => {
            up.address
                .parse::<Address>()
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("address = {:?}", up.address))?;
        }
        Step::Ping(ping) | Step::Pinged(ping) => {
            if ping.count == 0 {
                bail!("count = 0: a ping has one request at least");
            }
            at_most("size", ping.size, MAX_DATA)?;
        }
        Step::PingedStart(start) => {
            if start.interval_ms < 2 {
                bail!("interval-ms = {}: 2 is the least", start.interval_ms);
            }
            at_most("size", start.size, MAX_DATA)?;
        }
        Step::Transfer(transfer) => {
            connections(transfer.connections)?;
            if transfer.bytes.0 < u64::from(transfer.connections) {
                bail!("bytes = {}: less than a byte a connection", transfer.bytes);
            }
        }
        Step::LinuxGuest(guest) => {
            connections(guest.connections)?;
            if guest.bytes.0 < u64::from(guest.connections) {
                bail!("bytes = {}: less than a byte a connection", guest.bytes);
            }
            if !super::VCPUS.contains(&guest.vcpus) {
                bail!("vcpus = {}: allowed are {:?}", guest.vcpus, super::VCPUS);
            }
        }
        Step::Echo(echo) if echo.bytes.0 == 0 => bail!("bytes = 0: there is nothing to send"),
        Step::UdpFlood(flood) => {
            if flood.direction == Direction::Both {
                bail!("direction = \"both\": a flood goes one way");
            }
            if flood.packets == 0 || flood.size < 4 {
                bail!("a flood has a datagram of 4 bytes at least");
            }
            at_most("size", flood.size, MAX_DATA)?;
            at_most("lost", flood.lost.into(), 100)?;
        }
        Step::Tag(tag) => {
            at_most("vlan", tag.vlan.into(), MAX_VLAN)?;
            at_most("priority", tag.priority.into(), MAX_PRIORITY)?;
        }
        Step::Groups(groups) => {
            if let Some(station) = groups.join.iter().find(|group| group.0[0] & 1 == 0) {
                bail!("join: {station} is a station's address, and no group's");
            }
        }
        Step::Frames(frames) => {
            if frames.count == 0 {
                bail!("count = 0: there is nothing to send");
            }
            if !FRAME_SIZES.contains(&frames.size) {
                bail!("size = {}: allowed are {FRAME_SIZES:?}", frames.size);
            }
        }
        Step::ReceivedExpect(expect) => {
            if expect.at_least.is_none() && expect.at_most.is_none() {
                bail!("at-least or at-most: without one of them nothing is expected");
            }
            at_most("vlan", expect.vlan.unwrap_or(0).into(), MAX_VLAN)?;
            at_most(
                "priority",
                expect.priority.unwrap_or(0).into(),
                MAX_PRIORITY,
            )?;
        }
        Step::ExpectNics { nics, .. } => {
            let mut sorted = nics.clone();
            sorted.sort_unstable();
            if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                bail!("an adapter is named twice");
            }
        }
        _ => {}
    }
    Ok(())
}

fn at_most(name: &str, value: u32, most: u32) -> anyhow::Result<()> {
    if value > most {
        bail!("{name} = {value}: {most} is the most");
    }
    Ok(())
}

fn connections(connections: u16) -> anyhow::Result<()> {
    if !(1..=MAX_CONNECTIONS).contains(&connections) {
        bail!("connections = {connections}: allowed are 1..={MAX_CONNECTIONS}");
    }
    Ok(())
}

/// Checks that the adapters which a plan speaks of are there.
///
/// # Errors
/// If one is not.
pub fn check_nics(plan: &Plan, nics: &[Nic]) -> anyhow::Result<()> {
    for (number, step) in (1..).zip(&plan.step) {
        let parts = match step {
            Step::Parallel(steps) => steps.as_slice(),
            step => std::slice::from_ref(step),
        };
        let named = parts.iter().flat_map(|part| match part {
            Step::ExpectNics { nics, .. } => nics.clone(),
            part => part.nic().into_iter().collect(),
        });
        for nic in named {
            if nic as usize >= nics.len() {
                bail!(
                    "step {number} of the plan, {}: there is no adapter {nic}: give {} with --nic",
                    step.name(),
                    nic + 1
                );
            }
        }
    }
    if nics.is_empty() && !plan.dom0.netback.is_empty() {
        bail!("dom0.netback: there is no adapter: give one with --nic");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn error(step: &str) -> String {
        format!("{:#}", parse(&format!("[[step]]\n{step}")).unwrap_err())
    }

    #[test]
    fn values_out_of_their_range_are_refused() {
        assert!(error("net-up = { address = \"10.0.0.1\" }").contains("10.0.0.2/24"));
        assert!(error("ping = { count = 0 }").contains("one request"));
        assert!(error("pinged = { size = 16357 }").contains("16356"));
        assert!(error("pinged-start = { interval-ms = 1 }").contains("least"));
        let transfer = |rest| error(&format!("transfer = {{ direction = \"send\", {rest} }}"));
        assert!(transfer("bytes = 1, connections = 2").contains("less than a byte"));
        assert!(transfer("bytes = 99, connections = 33").contains("1..=32"));
        assert!(error("udp-flood = { direction = \"both\" }").contains("one way"));
        assert!(error("udp-flood = { direction = \"send\", size = 3 }").contains("4 bytes"));
        assert!(error("expect-nics = { nics = [1, 1] }").contains("twice"));
        assert!(error("linux-guest = { vcpus = 9 }").contains("1..=8"));
    }

    #[test]
    fn single_frames_have_their_limits() {
        assert!(error("tag = { vlan = 4095 }").contains("4094"));
        assert!(error("tag = { priority = 8 }").contains("7 is the most"));
        let group = error("groups = { join = [\"00:16:3e:00:00:01\"] }");
        assert!(group.contains("a station's address"), "{group}");
        let frames = |rest| {
            error(&format!(
                "frames = {{ to = \"ff:ff:ff:ff:ff:ff\", {rest} }}"
            ))
        };
        assert!(frames("size = 1515").contains("14..=1514"));
        assert!(frames("count = 0").contains("nothing to send"));
        assert!(error("received-expect = { vlan = 7 }").contains("at-least"));
        let plan = "[[step]]\nreceived-expect = { priority = 7, at-most = 0 }";
        assert!(parse(plan).is_ok());
    }

    #[test]
    fn adapters_have_to_be_given() {
        let plan = parse("[[step]]\nexpect-nics = { nics = [0, 1] }").unwrap();
        let nics = |count| crate::nic::assign(&vec!["".parse().unwrap(); count]).unwrap();
        assert!(check_nics(&plan, &nics(2)).is_ok());
        let text = check_nics(&plan, &nics(1)).unwrap_err().to_string();
        assert!(
            text.contains("no adapter 1") && text.contains("--nic"),
            "{text}"
        );
        let plan =
            parse("[dom0.netback]\nmax_queues = \"4\"\n[[step]]\nwait = { ms = 1 }").unwrap();
        assert!(check_nics(&plan, &nics(0)).is_err());
    }

    #[test]
    fn transfers_of_different_adapters_run_at_once_and_of_the_same_do_not() {
        let plan = |other| {
            parse(&format!(
                "[[step]]\nparallel = [{{ transfer = {{ direction = \"both\", bytes = 9 }} }}, \
                 {{ ping = {{ nic = {other} }} }}]"
            ))
        };
        assert!(plan(1).is_ok());
        let text = format!("{:#}", plan(0).unwrap_err());
        assert!(text.contains("adapter 0"), "{text}");
    }
}
