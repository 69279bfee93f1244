//! A child's interface queries: the bus's own are answered here, two are somebody else's.

use wdm::device::StackTop;
use wdm::irp::{Irp, MN_QUERY_INTERFACE, send_pnp};
use wdm::query::BUS_INTERFACE;
use wdm::status::Status;
use xenbus_interface::Guid;

use super::Pdo;
use super::pnp::Outcome;

/// XENFILT's EMULATED, which its filter on the platform device's stack answers.
const EMULATED: Guid = Guid::from_u128(0x959027A1_FCCE_4E78_BCF4_637384F499C5);

impl Pdo {
    /// `IRP_MN_QUERY_INTERFACE`. A query that a filter above has answered is left alone.
    pub(super) fn query_interface(&self, irp: &Irp) -> Outcome {
        let parameters = irp.location().parameters;
        let [guid, size_and_version, table, _] = parameters;
        if irp.status().status != Status::NOT_SUPPORTED.0 || guid == 0 || table == 0 {
            return Outcome::Untouched;
        }
        // SAFETY: whoever queries passes a GUID.
        let guid = unsafe { core::ptr::with_exposed_provenance::<Guid>(guid).read() };
        if guid == EMULATED || guid == BUS_INTERFACE {
            return self.delegate(parameters);
        }
        let (size, version) = (size_and_version as u16, (size_and_version >> 16) as u16);
        let table = core::ptr::with_exposed_provenance_mut(table);
        // SAFETY: whoever queries passes a table of the size that it names.
        match unsafe { self.parent.query(&guid, version, size, table) } {
            0 => Outcome::Done(0),
            status if status == Status::NOT_SUPPORTED.0 => Outcome::Untouched,
            status => Outcome::Failed(Status(status)),
        }
    }

    /// The query goes to the platform device's own stack.
    fn delegate(&self, parameters: [usize; 4]) -> Outcome {
        let top = StackTop::of(self.parent.device());
        // SAFETY: the top of a stack, kept alive by the guard; the parameters are those of this very request.
        match unsafe { send_pnp(top.device().as_ptr(), MN_QUERY_INTERFACE, parameters) } {
            Ok(information) => Outcome::Done(information),
            Err(Status::NOT_SUPPORTED) => Outcome::Untouched,
            Err(status) => Outcome::Failed(status),
        }
    }
}
