//! Steps for network adapters.

mod echo;
mod flood;
mod frames;
mod offload;
mod ping;
mod setup;
mod socket;
mod transfer;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use lab_protocol::plan::Step;
use smoltcp::wire::IpAddress;

use crate::net::bind;
use crate::net::endpoint::Endpoint;

/// What a step has made ready before the host is told.
pub(super) enum Prepared {
    /// Nothing
    Nothing,
    /// A socket that waits for dom0's connection
    Echo(socket::Tcp),
    /// A socket that waits for dom0's datagrams
    Flood(socket::Udp),
}

/// What a step is done with.
#[derive(Clone, Copy)]
pub(super) struct Context {
    /// The run's seed
    pub seed: u64,
    /// The step's number in the plan
    pub number: u32,
}

/// An adapter with its stack.
struct Adapter {
    nic: u32,
    endpoint: Arc<Endpoint>,
}

impl Adapter {
    fn find(nic: u32) -> Result<Self, String> {
        let endpoint = bind::find(nic).ok_or_else(|| format!("adapter {nic} is not there"))?;
        Ok(Self { nic, endpoint })
    }

    /// dom0's address on the adapter's bridge.
    fn peer(&self, ipv6: bool) -> Result<IpAddress, String> {
        let nic = bind::nic(self.nic).ok_or_else(|| format!("there is no adapter {}", self.nic))?;
        Ok(if ipv6 {
            IpAddress::Ipv6(nic.peer6)
        } else {
            IpAddress::Ipv4(nic.peer)
        })
    }
}

/// True for a step that is done here.
pub(super) fn is_ours(step: &Step) -> bool {
    matches!(
        step,
        Step::NetUp(_)
            | Step::NetDown(_)
            | Step::Ping(_)
            | Step::Transfer(_)
            | Step::Echo(_)
            | Step::UdpFlood(_)
            | Step::Capture(_)
            | Step::ExpectNics { .. }
            | Step::Offload(_)
            | Step::Tag(_)
            | Step::Groups(_)
            | Step::Frames(_)
            | Step::ReceivedStart(_)
            | Step::ReceivedExpect(_)
            | Step::TcpdumpStart(_)
            | Step::ExpectCounters(_)
    )
}

/// Does what has to be there before the host is told that the step begins. PASSIVE_LEVEL.
pub(super) fn prepare(step: &Step) -> Result<Prepared, String> {
    match step {
        Step::Echo(echo) => echo::prepare(echo).map(Prepared::Echo),
        Step::UdpFlood(flood) if flood.direction.receives() => {
            flood::prepare(flood).map(Prepared::Flood)
        }
        Step::TcpdumpStart(of) | Step::ExpectCounters(of) => {
            setup::settle(of.nic).map(|()| Prepared::Nothing)
        }
        _ => Ok(Prepared::Nothing),
    }
}

/// Does the step. PASSIVE_LEVEL.
pub(super) fn run(step: &Step, prepared: Prepared, context: Context) -> Result<(), String> {
    match (step, prepared) {
        (Step::NetUp(step), _) => setup::up(step),
        (Step::NetDown(of), _) => setup::down(of.nic),
        (Step::ExpectNics { nics, within_ms }, _) => setup::expect(nics, *within_ms),
        (Step::Capture(step), _) => setup::capture(step),
        (Step::Offload(step), _) => offload::run(step),
        (Step::Tag(step), _) => frames::tag(step),
        (Step::Groups(step), _) => frames::groups(step),
        (Step::Frames(step), _) => frames::send(step),
        (Step::ReceivedStart(of), _) => frames::start(of.nic),
        (Step::ReceivedExpect(step), _) => frames::expect(step),
        (Step::Ping(step), _) => ping::run(step, context),
        (Step::Transfer(step), _) => transfer::run(step, context),
        (Step::Echo(step), Prepared::Echo(socket)) => echo::run(step, socket),
        (Step::UdpFlood(step), Prepared::Flood(socket)) => flood::receive(step, socket, context),
        (Step::UdpFlood(step), _) => flood::send(step, context),
        (Step::TcpdumpStart(_) | Step::ExpectCounters(_), _) => Ok(()),
        _ => Err("this is no step for an adapter".into()),
    }
}

/// Microseconds since the start.
fn microseconds() -> u64 {
    crate::ke::interrupt_time() / 10
}
