//! What the toolstack sees of this driver: its line below `drivers/` in xenstore. PASSIVE_LEVEL.

use wdm::status::{Result, Status};
use wdm::text::FormatBuffer;
use xenbus_core::distribution::{Distribution, SLOTS};

use crate::fdo::{Fdo, VENDOR_NAME};
use crate::version::VERSION;

/// The slot that holds our line.
pub struct Registration {
    slot: u32,
}

fn path(slot: u32) -> FormatBuffer<32> {
    FormatBuffer::format(format_args!("drivers/{slot}"))
}

/// Writes the line into the first free slot.
///
/// # Errors
/// What xenstore says, or [`Status::INSUFFICIENT_RESOURCES`] if all slots are taken.
pub fn register(fdo: &Fdo) -> Result<Registration> {
    let line = Distribution {
        vendor: VENDOR_NAME,
        driver: "XENBUS",
        version: VERSION,
        debug: cfg!(debug_assertions),
    };
    let line = FormatBuffer::<128>::format(format_args!("{line}"));
    let store = fdo.providers().get_ref().store();
    for slot in 0..SLOTS {
        match store.read(path(slot).as_bytes()) {
            Ok(_) => {}
            Err(Status::OBJECT_NAME_NOT_FOUND) => {
                store.write(path(slot).as_bytes(), line.as_bytes())?;
                wdm::info!("registered as drivers/{slot}: {}", line.as_str());
                return Ok(Registration { slot });
            }
            Err(status) => return Err(status),
        }
    }
    Err(Status::INSUFFICIENT_RESOURCES)
}

impl Registration {
    /// Takes the line away again.
    pub fn withdraw(self, fdo: &Fdo) {
        let store = fdo.providers().get_ref().store();
        if let Err(status) = store.remove(path(self.slot).as_bytes()) {
            wdm::warn!("drivers/{} stays: {status}", self.slot);
        }
    }
}
