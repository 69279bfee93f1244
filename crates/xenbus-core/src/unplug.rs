//! Which emulated devices go at boot: the accounting that makes sure that a guest always boots.
//!
//! An emulated disk may go only if its paravirtual twin is known to work. So a driver that has started asks
//! for the unplug **of the next boot**, by a count in the registry that survives. The bus driver reads the
//! counts once a boot and deletes them as it does: a boot whose driver fails to start leaves no mark, and
//! the boot after it has its emulated devices again.

/// A kind of device with emulated twins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Network adapters.
    Nics,
    /// Disks.
    Disks,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 2] = [Self::Nics, Self::Disks];

    /// The kind of a number in the UNPLUG interface.
    pub const fn from_raw(raw: u32) -> Option<Self> {
        match raw {
            xenbus_interface::unplug::NICS => Some(Self::Nics),
            xenbus_interface::unplug::DISKS => Some(Self::Disks),
            _ => None,
        }
    }

    /// Name of the kind's values in the registry.
    pub const fn value_name(self) -> &'static str {
        match self {
            Self::Nics => "NICS",
            Self::Disks => "DISKS",
        }
    }

    /// What the device ids of the paravirtual twins have after `DEV_`. A network interface has a child of its own
    /// (NET), or all have one together (VIF).
    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Nics => &["VIF", "DEV_NET"],
            Self::Disks => &["VBD"],
        }
    }
}

/// What the registry says about a kind when the bus starts for the first time in a boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// How many drivers asked in the boot before (`Unplug\<KIND>`).
    pub requests: u32,
    /// The administrator wants it anyway (`ForceUnplug\<KIND>`).
    pub forced: bool,
    /// A paravirtual device of the kind was ever installed below our bus.
    pub installed: bool,
}

impl Found {
    /// Whether the kind's emulated devices go in this boot.
    pub const fn decide(self) -> bool {
        (self.requests > 0 || self.forced) && self.installed
    }
}

/// The count after a request (`make`) or its withdrawal.
pub const fn after_request(count: u32, make: bool) -> u32 {
    if make {
        count.saturating_add(1)
    } else {
        count.saturating_sub(1)
    }
}

/// Whether a key's name below `Enum\XENBUS` is that of a device of the kind: `VEN_XP&DEV_VBD`.
pub fn is_device_of(kind: Kind, name: &[u16]) -> bool {
    kind.names().iter().any(|part| contains(name, part))
}

/// Whether Windows was started with `XEN:BOOT_EMULATED=TRUE`: the boot disk then stays emulated.
pub fn boot_emulated(start_options: &[u16]) -> bool {
    contains(start_options, "XEN:BOOT_EMULATED=TRUE")
}

/// Whether ASCII `part` is in UTF-16 `text`, in either case.
fn contains(text: &[u16], part: &str) -> bool {
    let fold = |unit: u16| {
        u8::try_from(unit)
            .map(|byte| byte.to_ascii_uppercase())
            .unwrap_or(0)
    };
    text.windows(part.len().max(1)).any(|window| {
        window
            .iter()
            .map(|unit| fold(*unit))
            .eq(part.bytes().map(|byte| byte.to_ascii_uppercase()))
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().collect()
    }

    /// A registry and the boots that it goes through.
    #[derive(Default)]
    struct Guest {
        count: u32,
        installed: bool,
    }

    impl Guest {
        /// One boot: whether the emulated disk was unplugged. The paravirtual driver starts, or does not.
        fn boot(&mut self, driver_starts: bool) -> bool {
            let found = Found {
                requests: self.count,
                forced: false,
                installed: self.installed,
            };
            self.count = 0;
            if driver_starts {
                self.installed = true;
                self.count = after_request(self.count, true);
            }
            found.decide()
        }
    }

    #[test]
    fn the_first_boot_with_the_driver_arms_and_the_second_unplugs() {
        let mut guest = Guest::default();
        assert!(!guest.boot(false));
        assert!(!guest.boot(true));
        assert!(guest.boot(true));
        assert!(guest.boot(true));
    }

    #[test]
    fn a_boot_whose_driver_failed_is_followed_by_one_with_the_emulated_disk() {
        let mut guest = Guest::default();
        guest.boot(true);
        assert!(guest.boot(false));
        assert!(!guest.boot(true));
        assert!(guest.boot(true));
    }

    #[test]
    fn nothing_is_unplugged_for_a_class_that_was_never_installed() {
        assert!(
            !Found {
                requests: 3,
                forced: true,
                installed: false
            }
            .decide()
        );
        assert!(
            Found {
                requests: 0,
                forced: true,
                installed: true
            }
            .decide()
        );
        assert!(
            !Found {
                requests: 0,
                forced: false,
                installed: true
            }
            .decide()
        );
    }

    #[test]
    fn a_withdrawn_request_counts_no_more_and_none_can_be_withdrawn_twice() {
        assert_eq!(after_request(after_request(0, true), false), 0);
        assert_eq!(after_request(0, false), 0);
        assert_eq!(after_request(u32::MAX, true), u32::MAX);
    }

    #[test]
    fn names_and_start_options_are_found_in_either_case() {
        assert!(is_device_of(Kind::Disks, &wide("VEN_XP&DEV_VBD")));
        assert!(is_device_of(Kind::Nics, &wide("ven_xp&dev_vif")));
        assert!(is_device_of(Kind::Nics, &wide("VEN_XP&DEV_NET")));
        assert!(!is_device_of(Kind::Nics, &wide("VEN_XP&DEV_VBD")));
        assert!(!is_device_of(Kind::Disks, &wide("VEN_XP&DEV_NET")));
        assert!(!is_device_of(Kind::Nics, &[]));
        assert!(boot_emulated(&wide(
            " NOEXECUTE=OPTIN  xen:boot_emulated=true"
        )));
        assert!(!boot_emulated(&wide("XEN:BOOT_EMULATED=FALSE")));
    }

    proptest! {
        #[test]
        fn an_unplug_always_follows_a_boot_in_which_the_driver_started(
            boots in proptest::collection::vec(any::<bool>(), 1..20)
        ) {
            let mut guest = Guest::default();
            let mut started_before = false;
            for starts in boots {
                prop_assert_eq!(guest.boot(starts), started_before);
                started_before = starts;
            }
        }
    }
}
