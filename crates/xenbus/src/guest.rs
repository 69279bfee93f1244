//! What the toolstack sees of this driver: its line below `drivers/` in xenstore. PASSIVE_LEVEL.

use wdm::status::{Result, Status};
use wdm::text::FormatBuffer;
use xenbus_core::distribution::{Distribution, SLOTS};

use crate::fdo::{Fdo, VENDOR_NAME};
use crate::version::VERSION;

/// The slot that holds our line.
pub struct Registration {
    path: SlotPath,
}

/// Where a slot is.
#[derive(Clone)]
struct SlotPath(FormatBuffer<32>);

impl SlotPath {
    fn of(slot: u32) -> Self {
        Self(FormatBuffer::format(format_args!("drivers/{slot}")))
    }
}

impl AsRef<[u8]> for SlotPath {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
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
    let slots = (0..SLOTS).map(SlotPath::of);
    let store = fdo.providers().get_ref().store();
    let free = store.write_first_free(slots.clone(), line.as_bytes())?;
    let taken = free.and_then(|index| slots.clone().nth(index));
    let path = taken.ok_or(Status::INSUFFICIENT_RESOURCES)?;
    wdm::info!("registered as {}: {}", path.0.as_str(), line.as_str());
    Ok(Registration { path })
}

impl Registration {
    /// Takes the line away again.
    pub fn withdraw(self, fdo: &Fdo) {
        let store = fdo.providers().get_ref().store();
        if let Err(status) = store.remove(self.path.as_ref()) {
            wdm::warn!("{} stays: {status}", self.path.0.as_str());
        }
    }
}
