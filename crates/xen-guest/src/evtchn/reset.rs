//! Closing all channels without losing xenstore's and the console's.
//!
//! Those two ports are made by the toolstack, and only their numbers' places ([`HvmOps::param`]) are known to the
//! guest. A reset closes them as well, so their peers are noted before and bound again after.

use xen_abi::event_channel::ChannelStatus;
use xen_abi::hvm::{PARAM_CONSOLE_EVTCHN, PARAM_STORE_EVTCHN};

use super::EventAbi;
use crate::XenError;
use crate::hypercall::{ChannelState, EventChannelOps, HvmOps};

/// A port that the toolstack made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    /// There is none, as far as Xen tells.
    Absent,
    /// It is this one.
    Port(u32),
    /// It could not be bound again; its service is lost until the domain restarts.
    Lost(XenError),
}

/// Ports after a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebound {
    /// Xenstore's.
    pub store: Fixed,
    /// The console's.
    pub console: Fixed,
}

/// Closes all ports of this domain, ends the FIFO ABI, and binds xenstore's and the console's ports again.
///
/// An error means that nothing was reset.
pub fn reset_channels(xen: &(impl EventChannelOps + HvmOps)) -> Result<Rebound, XenError> {
    let store = peer(xen, PARAM_STORE_EVTCHN);
    let console = peer(xen, PARAM_CONSOLE_EVTCHN);
    xen.reset()?;
    Ok(Rebound {
        store: rebind(xen, PARAM_STORE_EVTCHN, store),
        console: rebind(xen, PARAM_CONSOLE_EVTCHN, console),
    })
}

/// Who is at the other end of the port in parameter `index`.
fn peer(xen: &(impl EventChannelOps + HvmOps), index: u32) -> Option<ChannelState> {
    let port = u32::try_from(xen.param(index).ok()?)
        .ok()
        .filter(|port| EventAbi::is_valid(*port))?;
    xen.status(port)
        .ok()
        .filter(|state| state.status == ChannelStatus::INTERDOMAIN)
}

fn rebind(xen: &(impl EventChannelOps + HvmOps), index: u32, peer: Option<ChannelState>) -> Fixed {
    let Some(peer) = peer else {
        return Fixed::Absent;
    };
    let bound = xen.bind_interdomain(peer.remote_dom, peer.remote_port);
    match bound.and_then(|port| xen.set_param(index, port.into()).map(|()| port)) {
        Ok(port) => Fixed::Port(port),
        Err(error) => Fixed::Lost(error),
    }
}
