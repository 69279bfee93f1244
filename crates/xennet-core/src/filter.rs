//! Packet filter and multicast list: which received frames go up.

use ndis_sys::constant::packet_type;
use ndis_sys::{NDIS_STATUS, status};

/// Most groups of the multicast list.
pub const MULTICAST_LIST: usize = 64;

/// The packet types that can be asked for. A protocol that is refused one does not bind.
pub const SUPPORTED: u32 = packet_type::DIRECTED
    | packet_type::MULTICAST
    | packet_type::ALL_MULTICAST
    | packet_type::BROADCAST
    | packet_type::PROMISCUOUS;

/// What the stack asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    address: [u8; 6],
    types: u32,
    groups: [[u8; 6]; MULTICAST_LIST],
    count: usize,
}

impl Filter {
    /// Nothing is asked for, as after initialization. `address` is the adapter's current one.
    pub const fn new(address: [u8; 6]) -> Self {
        Self {
            address,
            types: 0,
            groups: [[0; 6]; MULTICAST_LIST],
            count: 0,
        }
    }

    /// OID_GEN_CURRENT_PACKET_FILTER.
    ///
    /// # Errors
    /// NOT_SUPPORTED: a type that is none of [`SUPPORTED`]; the old filter stays.
    pub const fn set_types(&mut self, types: u32) -> Result<(), NDIS_STATUS> {
        if types & !SUPPORTED != 0 {
            return Err(status::NOT_SUPPORTED);
        }
        self.types = types;
        Ok(())
    }

    /// The packet types.
    pub const fn types(&self) -> u32 {
        self.types
    }

    /// OID_802_3_MULTICAST_LIST: addresses of six bytes each, instead of those before.
    ///
    /// # Errors
    /// INVALID_LENGTH, MULTICAST_FULL; the old list stays.
    pub fn set_groups(&mut self, list: &[u8]) -> Result<(), NDIS_STATUS> {
        let (groups, rest) = list.as_chunks::<6>();
        if !rest.is_empty() {
            return Err(status::INVALID_LENGTH);
        }
        let Some(slots) = self.groups.get_mut(..groups.len()) else {
            return Err(status::MULTICAST_FULL);
        };
        slots.copy_from_slice(groups);
        self.count = groups.len();
        Ok(())
    }

    /// The multicast list.
    pub fn groups(&self) -> &[[u8; 6]] {
        self.groups.get(..self.count).unwrap_or_default()
    }

    /// Whether a frame with this destination goes up.
    pub fn accepts(&self, destination: &[u8; 6]) -> bool {
        let asked = |types: u32| self.types & types != 0;
        if asked(packet_type::PROMISCUOUS) {
            return true;
        }
        if *destination == [0xFF; 6] {
            return asked(packet_type::BROADCAST);
        }
        let [first, ..] = destination;
        if first & 1 == 0 {
            return asked(packet_type::DIRECTED) && *destination == self.address;
        }
        asked(packet_type::ALL_MULTICAST)
            || asked(packet_type::MULTICAST) && self.groups().contains(destination)
    }
}

/// Whether a frame with this tag (priority, DEI, VLAN) goes up on an adapter that is in a VLAN; in none if `own` is 0, and
/// then all frames do. ("802.1Q", "Receive Packets": a frame without a tag is of no VLAN, as is one with a priority alone.)
pub const fn is_of_vlan(own: u16, tag: Option<u16>) -> bool {
    let of = match tag {
        Some(control) => control & 0xFFF,
        None => 0,
    };
    own == 0 || of == own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_in_a_vlan_takes_frames_of_that_one_alone() {
        for tag in [None, Some(0), Some(0x6000), Some(7), Some(0xE007)] {
            assert!(is_of_vlan(0, tag), "{tag:?}");
        }
        assert!(is_of_vlan(7, Some(7)) && is_of_vlan(7, Some(0xE007)));
        for tag in [None, Some(0), Some(0x6000), Some(8), Some(0x0107)] {
            assert!(!is_of_vlan(7, tag), "{tag:?}");
        }
    }

    const OWN: [u8; 6] = [0, 0x16, 0x3E, 1, 2, 3];
    const OTHER: [u8; 6] = [0, 0x16, 0x3E, 9, 9, 9];
    const GROUP: [u8; 6] = [1, 0, 0x5E, 0, 0, 1];
    const STRANGE_GROUP: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
    const ALL: [u8; 6] = [0xFF; 6];

    fn filter(types: u32) -> Filter {
        let mut filter = Filter::new(OWN);
        assert_eq!(filter.set_types(types), Ok(()));
        assert_eq!(filter.set_groups(&GROUP), Ok(()));
        filter
    }

    #[test]
    fn each_packet_type_lets_its_own_frames_up_and_no_others() {
        let accepted = |types| {
            let filter = filter(types);
            [OWN, OTHER, GROUP, STRANGE_GROUP, ALL].map(|destination| filter.accepts(&destination))
        };
        assert_eq!(accepted(0), [false; 5]);
        assert_eq!(
            accepted(packet_type::DIRECTED),
            [true, false, false, false, false]
        );
        assert_eq!(
            accepted(packet_type::MULTICAST),
            [false, false, true, false, false]
        );
        assert_eq!(
            accepted(packet_type::ALL_MULTICAST),
            [false, false, true, true, false]
        );
        assert_eq!(
            accepted(packet_type::BROADCAST),
            [false, false, false, false, true]
        );
        assert_eq!(accepted(packet_type::PROMISCUOUS), [true; 5]);
    }

    #[test]
    fn an_unknown_packet_type_is_refused_and_changes_nothing() {
        let mut filter = filter(packet_type::DIRECTED);
        assert_eq!(
            filter.set_types(packet_type::DIRECTED | 0x10),
            Err(status::NOT_SUPPORTED)
        );
        assert_eq!(filter.types(), packet_type::DIRECTED);
    }

    #[test]
    fn a_multicast_list_replaces_the_one_before_if_it_is_one() {
        let mut filter = filter(packet_type::MULTICAST);
        assert_eq!(filter.set_groups(&[1, 2, 3]), Err(status::INVALID_LENGTH));
        assert_eq!(
            filter.set_groups(&[1; (MULTICAST_LIST + 1) * 6]),
            Err(status::MULTICAST_FULL)
        );
        assert!(filter.accepts(&GROUP));
        assert_eq!(filter.set_groups(&STRANGE_GROUP), Ok(()));
        assert!(filter.accepts(&STRANGE_GROUP) && !filter.accepts(&GROUP));
        assert_eq!(filter.set_groups(&[]), Ok(()));
        assert!(!filter.accepts(&STRANGE_GROUP) && filter.groups().is_empty());
        assert_eq!(filter.set_groups(&[1; MULTICAST_LIST * 6]), Ok(()));
    }
}
