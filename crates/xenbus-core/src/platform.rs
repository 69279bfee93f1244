//! Xen's devices on the PCI bus (xen-pci-device-reservations(7)).

/// Whether a device with Xen's vendor id and this device id is the one to bring up Xen: the platform device that every HVM
/// guest has, by either of its ids. A vendor's own device (C000 and above) is there so that updates find the guest; it
/// always comes with a platform device, has none of its ports, and starts without a part in anything.
pub const fn brings_up_xen(device: u16) -> bool {
    matches!(device, 0x0001 | 0x0002)
}

#[cfg(test)]
mod tests {
    use super::brings_up_xen;

    #[test]
    fn a_vendor_s_device_leaves_xen_to_the_platform_device() {
        assert!(brings_up_xen(0x0001) && brings_up_xen(0x0002));
        for device in [0x0000, 0x0003, 0xC000, 0xC0FF, 0xC200, 0xFFFF] {
            assert!(!brings_up_xen(device), "{device:04x}");
        }
    }
}
