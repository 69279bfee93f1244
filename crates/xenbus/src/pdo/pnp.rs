//! A child's PnP requests. A bus driver completes every one of them; what it does not know it leaves as it came.

use wdk_sys::NTSTATUS;
use wdm::device::StackTop;
use wdm::irp::{Irp, MN_QUERY_INTERFACE, send_pnp};
use wdm::pnp::{Request, State};
use wdm::status::{Result, Status};

use super::Pdo;

const MN_QUERY_DEVICE_RELATIONS: u8 = 0x07;
const MN_QUERY_CAPABILITIES: u8 = 0x09;
const MN_QUERY_RESOURCE_REQUIREMENTS: u8 = 0x0B;
const MN_QUERY_DEVICE_TEXT: u8 = 0x0C;
const MN_EJECT: u8 = 0x11;
const MN_QUERY_ID: u8 = 0x13;
const MN_QUERY_BUS_INFORMATION: u8 = 0x15;
const MN_DEVICE_USAGE_NOTIFICATION: u8 = 0x16;
const MN_DEVICE_ENUMERATED: u8 = 0x19;

/// How a request ends.
pub enum Outcome {
    /// With this information.
    Done(usize),
    /// With this status.
    Failed(Status),
    /// As it came.
    Untouched,
}

impl From<Result<usize>> for Outcome {
    fn from(result: Result<usize>) -> Self {
        result.map_or_else(Self::Failed, Self::Done)
    }
}

impl Pdo {
    /// `IRP_MJ_PNP`. PASSIVE_LEVEL.
    pub fn pnp(&self, irp: Irp) -> NTSTATUS {
        let minor = irp.location().minor;
        if self.is_deleted() {
            return self.pnp_deleted(irp, minor);
        }
        match Request::from_minor(minor) {
            Some(request) => self.move_on(irp, request),
            None => finish(irp, |irp| self.ask(irp, minor)),
        }
    }

    /// A request to a device object that is about to go.
    fn pnp_deleted(&self, irp: Irp, minor: u8) -> NTSTATUS {
        let status = match Request::from_minor(minor) {
            Some(Request::Remove | Request::SurpriseRemoval) => 0,
            _ => Status::NO_SUCH_DEVICE.0,
        };
        irp.complete_with(status, 0)
    }

    fn move_on(&self, irp: Irp, request: Request) -> NTSTATUS {
        match request {
            Request::Start => self.start(),
            Request::Remove => return self.remove(irp),
            _ => {
                self.change(request);
            }
        }
        irp.complete_with(0, 0)
    }

    /// A child that PnP's last list still has lives on as if it had just been found; one that it was without goes, and
    /// makes room for another with the same ids.
    fn remove(&self, irp: Irp) -> NTSTATUS {
        let goes = self.parent.children().removed(self);
        if goes {
            self.change(Request::Remove);
        } else {
            *self.state.lock() = State::default();
        }
        let status = irp.complete_with(0, 0);
        if goes {
            self.delete();
            self.parent.rescan();
        }
        status
    }

    fn ask(&self, irp: &Irp, minor: u8) -> Outcome {
        let parameters = irp.location().parameters;
        match minor {
            MN_QUERY_DEVICE_RELATIONS => self.query_relations(parameters),
            MN_QUERY_INTERFACE => self.query_interface(irp),
            MN_QUERY_CAPABILITIES => self.query_capabilities(parameters),
            MN_QUERY_RESOURCE_REQUIREMENTS => self.query_requirements().into(),
            MN_QUERY_DEVICE_TEXT => self.query_text(parameters),
            MN_QUERY_ID => self.query_id(parameters),
            MN_QUERY_BUS_INFORMATION => self.query_bus_information().into(),
            MN_DEVICE_USAGE_NOTIFICATION => self.usage(parameters).into(),
            MN_EJECT => {
                wdm::info!("{} is ejected", self.child);
                self.parent.children().eject(self);
                self.parent.invalidate();
                Outcome::Done(0)
            }
            MN_DEVICE_ENUMERATED => Outcome::Done(0),
            _ => Outcome::Untouched,
        }
    }

    /// Whoever puts a paging file on a disk of ours needs the platform device as well.
    fn usage(&self, parameters: [usize; 4]) -> Result<usize> {
        let top = StackTop::of(self.parent.device());
        // SAFETY: the top of a stack, kept alive by the guard; the parameters are those of this very request.
        unsafe {
            send_pnp(
                top.device().as_ptr(),
                MN_DEVICE_USAGE_NOTIFICATION,
                parameters,
            )
        }?;
        Ok(0)
    }
}

fn finish(irp: Irp, ask: impl FnOnce(&Irp) -> Outcome) -> NTSTATUS {
    match ask(&irp) {
        Outcome::Done(information) => irp.complete_with(0, information),
        Outcome::Failed(status) => irp.complete_with(status.0, 0),
        Outcome::Untouched => irp.complete(),
    }
}
