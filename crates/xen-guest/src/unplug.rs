//! Telling the device model that its emulated disks and NICs are to go (docs/misc/hvm-emulated-unplug in Xen's tree).
//!
//! The protocol lives on two I/O ports of the platform device. A driver reads a magic number, says who it is, reads the
//! magic again, which by then may say that this driver is not wanted, and only then writes which devices go. They are
//! gone for the rest of the boot.

use xen_abi::pvdrivers::Product;

/// Access to I/O ports. Any IRQL.
pub trait PortIo {
    /// Reads a byte.
    fn read_u8(&mut self, port: u16) -> u8;
    /// Reads a word.
    fn read_u16(&mut self, port: u16) -> u16;
    /// Writes a byte.
    fn write_u8(&mut self, port: u16, value: u8);
    /// Writes a word.
    fn write_u16(&mut self, port: u16, value: u16);
    /// Writes a double word.
    fn write_u32(&mut self, port: u16, value: u32);
}

/// Magic (read), build number (32-bit write) and unplug mask (16-bit write).
const PORT_CONTROL: u16 = 0x10;
/// Protocol version (read), product number (16-bit write) and log bytes (8-bit write).
const PORT_PRODUCT: u16 = 0x12;
/// The device model speaks the protocol.
const MAGIC: u16 = 0x49d2;
/// It does, and does not want this product or build.
const MAGIC_BLACKLISTED: u16 = 0xd249;

bitflags::bitflags! {
    /// Which emulated devices go.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Devices: u16 {
        /// All IDE and SCSI disks; no CD drives.
        const DISKS = 1 << 0;
        /// All network adapters.
        const NICS = 1 << 1;
        /// All IDE disks but the primary master.
        const AUXILIARY_DISKS = 1 << 2;
        /// All NVMe controllers.
        const NVME = 1 << 3;
    }
}

/// Who unplugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The product, from Xen's list.
    pub product: Product,
    /// The build.
    pub build: u32,
}

/// Why nothing can be unplugged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnplugError {
    /// Nobody answers at the ports.
    #[error("the device model does not speak the unplug protocol (magic {magic:#06x})")]
    Absent {
        /// What was read instead of the magic.
        magic: u16,
    },
    /// The device model refuses this product or build.
    #[error("the device model has blacklisted this driver")]
    Blacklisted,
}

/// A device model that has agreed to take our word.
#[derive(Debug)]
pub struct Unplug<P> {
    ports: P,
    version: u8,
}

impl<P: PortIo> Unplug<P> {
    /// Greets the device model.
    ///
    /// # Errors
    /// If it does not answer, or refuses us.
    pub fn connect(mut ports: P, identity: Identity) -> Result<Self, UnplugError> {
        check_magic(&mut ports)?;
        let version = ports.read_u8(PORT_PRODUCT);
        // Version 0 has neither product numbers nor a blacklist.
        if version != 0 {
            ports.write_u16(PORT_PRODUCT, identity.product.0);
            ports.write_u32(PORT_CONTROL, identity.build);
            check_magic(&mut ports)?;
        }
        Ok(Self { ports, version })
    }

    /// The protocol's version.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Takes the devices away. Writing an empty set would do nothing, so nothing is written.
    pub fn unplug(&mut self, devices: Devices) {
        if !devices.is_empty() {
            self.ports.write_u16(PORT_CONTROL, devices.bits());
        }
    }
}

fn check_magic(ports: &mut impl PortIo) -> Result<(), UnplugError> {
    match ports.read_u16(PORT_CONTROL) {
        MAGIC => Ok(()),
        MAGIC_BLACKLISTED => Err(UnplugError::Blacklisted),
        magic => Err(UnplugError::Absent { magic }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// A device model: what it answers, and what was written to it.
    #[derive(Debug, Default)]
    struct Model {
        absent: bool,
        version: u8,
        blacklist: Option<u16>,
        product: u16,
        build: u32,
        unplugged: Vec<u16>,
    }

    impl PortIo for &mut Model {
        fn read_u8(&mut self, port: u16) -> u8 {
            assert_eq!(port, PORT_PRODUCT);
            self.version
        }

        fn read_u16(&mut self, port: u16) -> u16 {
            assert_eq!(port, PORT_CONTROL);
            match (self.absent, self.blacklist == Some(self.product)) {
                (true, _) => 0xffff,
                (_, true) => MAGIC_BLACKLISTED,
                _ => MAGIC,
            }
        }

        fn write_u8(&mut self, _port: u16, _value: u8) {}

        fn write_u16(&mut self, port: u16, value: u16) {
            match port {
                PORT_PRODUCT => self.product = value,
                _ => self.unplugged.push(value),
            }
        }

        fn write_u32(&mut self, port: u16, value: u32) {
            assert_eq!(port, PORT_CONTROL);
            self.build = value;
        }
    }

    const US: Identity = Identity {
        product: Product::EXPERIMENTAL,
        build: 0x0001_0203,
    };

    #[test]
    fn the_device_model_learns_who_asks_before_anything_goes() {
        let mut model = Model {
            version: 1,
            ..Model::default()
        };
        let mut unplug = Unplug::connect(&mut model, US).unwrap();
        unplug.unplug(Devices::DISKS | Devices::NVME);
        unplug.unplug(Devices::empty());
        assert_eq!((model.product, model.build), (0xffff, 0x0001_0203));
        assert_eq!(model.unplugged, [9]);
    }

    #[test]
    fn a_blacklisted_driver_unplugs_nothing() {
        let mut model = Model {
            version: 1,
            blacklist: Some(0xffff),
            ..Model::default()
        };
        assert_eq!(
            Unplug::connect(&mut model, US).unwrap_err(),
            UnplugError::Blacklisted
        );
        assert!(model.unplugged.is_empty());
    }

    #[test]
    fn silence_at_the_port_is_told_apart() {
        let mut model = Model {
            absent: true,
            ..Model::default()
        };
        assert_eq!(
            Unplug::connect(&mut model, US).unwrap_err(),
            UnplugError::Absent { magic: 0xffff }
        );
    }

    #[test]
    fn version_0_is_not_told_a_product() {
        let mut model = Model::default();
        assert_eq!(Unplug::connect(&mut model, US).unwrap().version(), 0);
        assert_eq!(model.product, 0);
    }
}
