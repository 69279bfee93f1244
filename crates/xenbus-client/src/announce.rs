//! A driver's lines in xenstore: `drivers/<n>`, which names it and its version, and `feature/hotplug/<class>`, by which a
//! toolstack knows that devices of the class may come and go.

use crate::store::Store;

/// Numbers under `drivers` that are tried.
const SLOTS: u32 = 16;

/// Whom the lines are about.
pub struct Driver {
    /// How the line in `drivers` begins.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Its class in `device` and in `feature/hotplug`.
    pub class: &'static str,
}

impl Driver {
    /// Tells the toolstack that the driver is there. What cannot be written is only logged. PASSIVE_LEVEL.
    pub fn announce(&self, store: Store<'_>) {
        let ours = |line: &[u8]| line.starts_with(self.name.as_bytes());
        let slot = (0..SLOTS).find(|slot| match store.read(format_args!("drivers/{slot}")) {
            Ok(line) => ours(line.as_ref()),
            Err(_) => true,
        });
        if let Some(slot) = slot
            && let Err(status) = store.write(
                format_args!("drivers/{slot}"),
                format_args!("{} {}", self.name, self.version),
            )
        {
            wdm::warn!("drivers/{slot} cannot be written: {status}");
        }
        let class = self.class;
        if let Err(status) = store.write(format_args!("feature/hotplug/{class}"), format_args!("1"))
        {
            wdm::warn!("feature/hotplug/{class} cannot be written: {status}");
        }
    }

    /// Takes the lines back. PASSIVE_LEVEL.
    pub fn retract(&self, store: Store<'_>) {
        let _ = store.remove(format_args!("feature/hotplug/{}", self.class));
        for slot in 0..SLOTS {
            let ours = store
                .read(format_args!("drivers/{slot}"))
                .is_ok_and(|line| line.as_ref().starts_with(self.name.as_bytes()));
            if ours {
                let _ = store.remove(format_args!("drivers/{slot}"));
            }
        }
    }
}
