//! Tests of what little this crate computes.

extern crate std;

use std::string::ToString;

use crate::xenbus::XenbusState;
use crate::{DomId, Errno, blkif, ring};

#[test]
fn a_ring_has_the_largest_power_of_two_of_entries_that_fits() {
    assert_eq!(ring::entries(4096, blkif::RING_ENTRY_SIZE), 32);
    assert_eq!(ring::entries(2 * 4096, blkif::RING_ENTRY_SIZE), 64);
    assert_eq!(ring::entries(16 * 4096, blkif::RING_ENTRY_SIZE), 512);
    assert_eq!(ring::entries(64, blkif::RING_ENTRY_SIZE), 0);
    assert_eq!(ring::entries(4096, 0), 0);
}

#[test]
fn a_state_key_is_a_decimal_number_or_unknown() {
    assert_eq!(XenbusState::from_key("4"), XenbusState::CONNECTED);
    assert_eq!(XenbusState::from_key("77"), XenbusState(77));
    for garbage in ["", " 4", "4\n", "+4", "-1", "0x4", "99999999999", "four"] {
        assert_eq!(
            XenbusState::from_key(garbage),
            XenbusState::UNKNOWN,
            "{garbage:?}"
        );
    }
}

#[test]
fn unknown_numbers_print_as_numbers() {
    assert_eq!(Errno::EAGAIN.to_string(), "XEN_EAGAIN");
    assert_eq!(Errno(4711).to_string(), "Errno(4711)");
}

#[test]
fn reserved_domain_ids_are_not_ordinary() {
    assert!(DomId(0).is_ordinary());
    assert!(!DomId::SELF.is_ordinary());
    assert!(!DomId(u16::MAX).is_ordinary());
}
