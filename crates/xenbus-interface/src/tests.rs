extern crate std;

use std::string::String;
use std::vec::Vec;

use crate::identity::{self, Child, Class, MAX_UNITS, Vendor, Wide};
use crate::revision::REVISIONS;
use crate::{
    Guid, InterfaceVersion, cache, console, debug, evtchn, gnttab, range_set, shared_info, store,
    suspend, unplug,
};

/// Slot names of the C drivers' headers, in order, against ours: `GetCount` is `get_count`.
fn has_slots<T: InterfaceVersion>(version: u16, slots: &str) {
    let mut names = std::vec!["Acquire", "Release"];
    names.extend(slots.split_whitespace());
    let snake = |name: &&str| {
        let mut text = String::new();
        for letter in name.chars() {
            if letter.is_uppercase() && !text.is_empty() {
                text.push('_');
            }
            text.extend(letter.to_lowercase());
        }
        text
    };
    assert_eq!(T::VERSION, version, "{}", T::NAME);
    assert_eq!(
        T::SLOTS,
        names.iter().map(snake).collect::<Vec<_>>(),
        "{}",
        T::NAME
    );
    assert_eq!(size_of::<T>(), 32 + 8 * names.len(), "{}", T::NAME);
}

#[test]
fn every_version_has_the_slots_of_the_c_drivers_in_their_order() {
    has_slots::<suspend::SuspendV1>(1, "Register Deregister Trigger GetCount");
    let shared_info = "UpcallPending EvtchnPoll EvtchnAck EvtchnMask EvtchnUnmask GetTime";
    has_slots::<shared_info::SharedInfoV2>(2, shared_info);
    has_slots::<shared_info::SharedInfoV3>(3, shared_info);
    has_slots::<shared_info::SharedInfoV4>(4, &std::format!("UpcallSupported {shared_info}"));
    let evtchn = "Open Bind Unmask Send Trigger Wait GetPort Close";
    has_slots::<evtchn::EvtchnV5>(5, evtchn);
    has_slots::<evtchn::EvtchnV6>(6, evtchn);
    let evtchn = "Open Bind Unmask Send Trigger GetCount Wait GetPort Close";
    has_slots::<evtchn::EvtchnV7>(7, evtchn);
    has_slots::<evtchn::EvtchnV8>(8, evtchn);
    has_slots::<evtchn::EvtchnV9>(9, evtchn);
    has_slots::<debug::DebugV1>(1, "Register Printf Trigger Deregister");
    has_slots::<store::StoreV2>(
        2,
        "Free Read Printf PermissionsSet Remove Directory TransactionStart TransactionEnd WatchAdd \
         WatchRemove Poll",
    );
    has_slots::<range_set::RangeSetV1>(1, "Create Put Pop Get Destroy");
    has_slots::<cache::CacheV1>(1, "Create Get Put Destroy");
    has_slots::<cache::CacheV2>(2, "Create Get Put Destroy");
    let gnttab = "CreateCache PermitForeignAccess RevokeForeignAccess GetReference DestroyCache \
                  MapForeignPages UnmapForeignPages";
    has_slots::<gnttab::GnttabV2>(2, gnttab);
    let gnttab = gnttab.replace("GetReference", "GetReference QueryReference");
    has_slots::<gnttab::GnttabV3>(3, &gnttab);
    has_slots::<gnttab::GnttabV4>(4, &gnttab);
    has_slots::<unplug::UnplugV1>(1, "Request");
    has_slots::<unplug::UnplugV2>(2, "Request IsRequested");
    has_slots::<unplug::UnplugV3>(3, "Request IsRequested BootEmulated Reboot");
    has_slots::<console::ConsoleV1>(1, "CanRead Read CanWrite Write WakeupAdd WakeupRemove");
}

#[test]
fn a_guid_has_the_bytes_of_its_text() {
    let guid = Guid::from_u128(0x0554F2AF_B510_4C71_AC03_1C503E394238);
    assert_eq!(
        (guid.data1, guid.data2, guid.data3),
        (0x0554_F2AF, 0xB510, 0x4C71)
    );
    assert_eq!(guid.data4, [0xAC, 0x03, 0x1C, 0x50, 0x3E, 0x39, 0x42, 0x38]);
}

#[test]
fn revisions_ascend_and_no_version_falls_from_one_to_the_next() {
    for pair in REVISIONS.windows(2) {
        assert_eq!(pair[0].number + 1, pair[1].number);
        let (old, new) = (pair[0].interfaces(), pair[1].interfaces());
        assert!(
            old.iter()
                .zip(&new)
                .all(|(old, new)| old.0 == new.0 && old.1 <= new.1)
        );
        assert_ne!(old, new);
    }
}

#[test]
fn a_revision_is_served_only_if_all_its_interfaces_are() {
    let newest = REVISIONS[3];
    assert!(newest.is_served(|_, _| true));
    for (missing, _) in newest.interfaces() {
        assert!(!newest.is_served(|guid, _| *guid != missing));
    }
    assert!(!newest.is_served(|guid, version| *guid != unplug::GUID || version < 3));
    assert!(REVISIONS[2].is_served(|guid, version| *guid != unplug::GUID || version < 3));
}

const VENDOR: Vendor = Vendor {
    prefix: *b"XP",
    device: 1,
};

fn text<const N: usize>(wide: &Wide<N>) -> String {
    String::from_utf16(wide.as_units()).unwrap()
}

fn class(name: &str) -> Class {
    Class::new(name.as_bytes()).unwrap()
}

#[test]
fn ids_are_those_that_the_inf_files_of_the_c_drivers_bind_to() {
    for name in ["VBD", "VIF"] {
        let child = Child::of_class(class(name));
        let device: Wide = identity::device_id(&VENDOR, &child).unwrap();
        assert_eq!(text(&device), std::format!("XENBUS\\VEN_XP&DEV_{name}\0"));
        let instance: Wide = identity::instance_id(&child).unwrap();
        assert_eq!(text(&instance), "_\0");
        let hardware: Wide = identity::hardware_ids(&VENDOR, &child, |_| true).unwrap();
        let id = std::format!("XENBUS\\VEN_XP0001&DEV_{name}&REV_0900000");
        assert_eq!(
            text(&hardware),
            std::format!("{id}B\0{id}A\0{id}9\0{id}8\0XENCLASS\0\0")
        );
        let description: Wide = identity::description("Xen Project", &child).unwrap();
        assert_eq!(
            text(&description),
            std::format!("Xen Project XENBUS {name}\0")
        );
        let location: Wide = identity::location(&child).unwrap();
        assert_eq!(text(&location), std::format!("{name}\0"));
        assert_eq!(std::format!("{child}"), name);
    }
}

#[test]
fn a_network_interface_has_ids_and_a_location_of_its_own() {
    let child = Child::of_device(class("vif"), 12).unwrap();
    let device: Wide = identity::device_id(&VENDOR, &child).unwrap();
    assert_eq!(text(&device), "XENBUS\\VEN_XP&DEV_NET\0");
    let instance: Wide = identity::instance_id(&child).unwrap();
    assert_eq!(text(&instance), "12\0");
    let hardware: Wide = identity::hardware_ids(&VENDOR, &child, |_| true).unwrap();
    let id = "XENBUS\\VEN_XP0001&DEV_NET&REV_0900000";
    assert_eq!(
        text(&hardware),
        std::format!("{id}B\0{id}A\0{id}9\0{id}8\0\0")
    );
    let location: Wide = identity::location(&child).unwrap();
    assert_eq!(text(&location), "device/vif/12\0");
    let description: Wide = identity::description("Xen Project", &child).unwrap();
    assert_eq!(text(&description), "Xen Project XENBUS NET\0");
    assert_eq!(std::format!("{child}"), "VIF 12");
}

#[test]
fn only_network_interfaces_have_a_child_each_and_none_has_the_number_for_no_address() {
    assert!(Child::of_device(class("vif"), u32::MAX).is_none());
    assert!(Child::of_device(class("vif"), u32::MAX - 1).is_some());
    for name in ["vbd", "vif2", "vi", "net"] {
        assert!(Child::of_device(class(name), 0).is_none(), "{name}");
    }
}

#[test]
fn ids_name_only_the_revisions_that_are_served() {
    let vendor = Vendor {
        device: 0xC000,
        ..VENDOR
    };
    let child = Child::of_class(class("IFACE"));
    let ids: Wide =
        identity::hardware_ids(&vendor, &child, |row| row.number == 0x0900_0009).unwrap();
    assert_eq!(
        text(&ids),
        "XENBUS\\VEN_XPC000&DEV_IFACE&REV_09000009\0XENCLASS\0\0"
    );
}

#[test]
fn the_longest_ids_fit_and_a_small_buffer_is_an_error() {
    let longest = Child::of_class(class("0123456789abcdef"));
    assert!(identity::hardware_ids::<MAX_UNITS>(&VENDOR, &longest, |_| true).is_ok());
    assert!(identity::hardware_ids::<64>(&VENDOR, &longest, |_| true).is_err());
    assert!(identity::device_id::<8>(&VENDOR, &longest).is_err());
}

#[test]
fn class_names_that_no_device_id_may_hold_are_refused() {
    for name in [
        &b""[..],
        b"a,b",
        b"a b",
        b"a\\b",
        b"\xc3\xa4",
        b"0123456789abcdefg",
        b"a\0",
    ] {
        assert!(Class::new(name).is_none(), "{name:?}");
    }
    let units: Vec<u16> = "vkbd".encode_utf16().collect();
    assert_eq!(Class::from_utf16(&units), Class::new(b"VKBD"));
    assert!(Class::from_utf16(&[0x4e00]).is_none());
    assert!(Class::from_utf16(&[b'a' as u16; 17]).is_none());
}
