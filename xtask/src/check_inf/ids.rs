//! Hardware ids, compared with what the bus driver's own crate makes.

use xenbus_interface::identity::{
    Child, Class, MAX_UNITS, PLATFORM_DEVICES, PREFIX, Vendor, XEN_VENDOR, hardware_ids,
};

/// Whether an INF of a device class may bind `id`.
pub fn check(is_network: bool, class: &str, id: &str) -> Result<(), String> {
    let known = if class.eq_ignore_ascii_case("System") {
        platform_ids()
    } else if is_network {
        // NDIS makes one adapter of a device, so that network drivers bind the child of a single interface.
        child_ids(Class::new(b"VIF").and_then(|class| Child::of_device(class, 0)))
    } else {
        child_ids(Class::new(b"VBD").map(Child::of_class))
    };
    if known.iter().any(|known| known.eq_ignore_ascii_case(id)) {
        return Ok(());
    }
    let mut near: Vec<&String> = known.iter().collect();
    near.sort_by_key(|known| std::cmp::Reverse(common(known, id)));
    Err(format!(
        "no device of Xen has this id, which the bus driver's crate (xenbus-interface) knows nothing of; the nearest is {}",
        near.first().map_or("none", |known| known.as_str())
    ))
}

/// How far two ids are the same.
fn common(one: &str, other: &str) -> usize {
    one.bytes()
        .zip(other.bytes())
        .take_while(|(one, other)| one.eq_ignore_ascii_case(other))
        .count()
}

/// The platform devices, as PCI names them: by device alone, and with subsystem and revision.
fn platform_ids() -> Vec<String> {
    PLATFORM_DEVICES
        .iter()
        .flat_map(|device| {
            let id = format!("PCI\\VEN_{XEN_VENDOR:04X}&DEV_{device:04X}");
            let full = format!("{id}&SUBSYS_{device:04X}{XEN_VENDOR:04X}&REV_01");
            [id, full]
        })
        .collect()
}

/// The hardware ids of a child below each platform device, in each revision that there is.
fn child_ids(child: Option<Child>) -> Vec<String> {
    let mut ids = Vec::new();
    for device in PLATFORM_DEVICES {
        let vendor = Vendor {
            prefix: PREFIX,
            device,
        };
        let list =
            child.and_then(|child| hardware_ids::<MAX_UNITS>(&vendor, &child, |_| true).ok());
        let text = list.map(|list| String::from_utf16_lossy(list.as_units()));
        let text = text.unwrap_or_default();
        let specific = text.split('\0').filter(|id| id.contains("&REV_"));
        ids.extend(specific.map(str::to_owned));
    }
    ids
}
