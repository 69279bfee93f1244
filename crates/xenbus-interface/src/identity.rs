//! Names that Windows knows a child device by, as UTF-16 in buffers of the caller's choosing.

use core::fmt::{self, Write};

use crate::revision::{REVISIONS, Revision};

/// Longest class name. Xen's own are at most five characters long.
pub const MAX_CLASS: usize = 16;

/// Units that suffice for every string of this module: Windows takes ids of up to 200 characters, the
/// list of hardware ids has one a revision and the class-independent one.
pub const MAX_UNITS: usize = 512;

/// PCI vendor id of Xen's platform devices.
pub const XEN_VENDOR: u16 = 0x5853;

/// PCI device ids of the platform devices that the drivers bind: Xen's own, its name on some XenServer hosts, and the one
/// that XenServer and XCP-ng add for drivers from Windows Update.
pub const PLATFORM_DEVICES: [u16; 3] = [0x0001, 0x0002, 0xC000];

/// The two characters of the Xen Project's drivers in device ids; `XS` and `XN` are taken by Citrix and XCP-ng.
pub const PREFIX: [u8; 2] = *b"XP";

/// What goes before the class in every id: two characters of the vendor and the PCI device id of the
/// platform device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vendor {
    /// `XP` for the Xen Project; `XS` and `XN` are taken by Citrix and XCP-ng.
    pub prefix: [u8; 2],
    /// PCI device id of the platform device: 0001, 0002, or a vendor's own such as C000.
    pub device: u16,
}

/// A device class as xenstore names it below `device/`, in upper case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Class {
    bytes: [u8; MAX_CLASS],
    length: usize,
}

impl Class {
    /// Takes a name from xenstore or from the registry; `None` if it is empty, too long, or has
    /// anything but ASCII letters, digits, `-` and `_`, which might be illegal in a device id.
    pub fn new(name: &[u8]) -> Option<Self> {
        let valid = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if name.is_empty() || !name.iter().all(valid) {
            return None;
        }
        let mut bytes = [0; MAX_CLASS];
        bytes.get_mut(..name.len())?.copy_from_slice(name);
        bytes.make_ascii_uppercase();
        Some(Self {
            bytes,
            length: name.len(),
        })
    }

    /// Like [`Class::new`] for UTF-16, as the registry has it.
    pub fn from_utf16(name: &[u16]) -> Option<Self> {
        let mut bytes = [0; MAX_CLASS];
        let bytes = bytes.get_mut(..name.len())?;
        for (byte, unit) in bytes.iter_mut().zip(name) {
            *byte = u8::try_from(*unit).ok()?;
        }
        Self::new(bytes)
    }

    /// Whether its devices may have a child each: network interfaces (VIF), as NDIS makes one adapter of a device.
    pub fn has_devices(&self) -> bool {
        self.as_str() == "VIF"
    }

    /// Its directory's name in xenstore, in lower case as all of Xen's are.
    pub const fn directory(&self) -> Directory {
        Directory(*self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl fmt::Debug for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a class' directory below `device/` in xenstore.
#[derive(Clone, Copy)]
pub struct Directory(Class);

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = self.0.as_str().chars();
        letters
            .map(|letter| letter.to_ascii_lowercase())
            .try_for_each(|letter| f.write_char(letter))
    }
}

/// A child of the bus: the one of its class, or the one of a single device.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Child {
    class: Class,
    number: Option<u32>,
}

impl Child {
    /// The one child of a class, for all its devices.
    pub const fn of_class(class: Class) -> Self {
        Self {
            class,
            number: None,
        }
    }

    /// The child of the device with this number; `None` if the class has no such children, or if the number is the one
    /// that stands for no address in `DEVICE_CAPABILITIES`.
    pub fn of_device(class: Class, number: u32) -> Option<Self> {
        (class.has_devices() && number != u32::MAX).then_some(Self {
            class,
            number: Some(number),
        })
    }

    /// Its class.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Its device's number below the class' directory, if it stands for one device.
    pub const fn number(&self) -> Option<u32> {
        self.number
    }

    /// What comes after `DEV_` in its ids. The child of one device has another name than that of its class, so that no
    /// driver for the one binds the other.
    fn device_name(&self) -> &str {
        match self.number {
            None => self.class.as_str(),
            Some(_) => "NET",
        }
    }
}

impl fmt::Display for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            None => write!(f, "{}", self.class),
            Some(number) => write!(f, "{} {number}", self.class),
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A UTF-16 string of at most `N` units on the stack.
#[derive(Clone)]
pub struct Wide<const N: usize = MAX_UNITS> {
    units: [u16; N],
    length: usize,
}

impl<const N: usize> Default for Wide<N> {
    fn default() -> Self {
        Self {
            units: [0; N],
            length: 0,
        }
    }
}

impl<const N: usize> Wide<N> {
    /// The units written so far.
    pub fn as_units(&self) -> &[u16] {
        self.units.get(..self.length).unwrap_or_default()
    }

    /// Ends a string in a list.
    ///
    /// # Errors
    /// The buffer is full.
    pub fn end(&mut self) -> fmt::Result {
        self.write_char('\0')
    }
}

impl<const N: usize> Write for Wide<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for unit in text.encode_utf16() {
            *self.units.get_mut(self.length).ok_or(fmt::Error)? = unit;
            self.length += 1;
        }
        Ok(())
    }
}

fn prefix(vendor: &Vendor) -> Result<&str, fmt::Error> {
    core::str::from_utf8(&vendor.prefix).map_err(|_| fmt::Error)
}

/// `XENBUS\VEN_XP&DEV_VBD`, NUL-terminated. It has no PCI device id, so that the instance path, and with it
/// the way to the boot disk, survives a change of the platform device.
///
/// # Errors
/// The buffer is full, or the prefix is not ASCII.
pub fn device_id<const N: usize>(vendor: &Vendor, child: &Child) -> Result<Wide<N>, fmt::Error> {
    let mut text = Wide::default();
    let (prefix, name) = (prefix(vendor)?, child.device_name());
    write!(text, "XENBUS\\VEN_{prefix}&DEV_{name}")?;
    text.end()?;
    Ok(text)
}

/// `_` for a class' one child, the number for the child of a device; NUL-terminated.
///
/// # Errors
/// The buffer is full.
pub fn instance_id<const N: usize>(child: &Child) -> Result<Wide<N>, fmt::Error> {
    let mut text = Wide::default();
    match child.number {
        None => text.write_str("_")?,
        Some(number) => write!(text, "{number}")?,
    }
    text.end()?;
    Ok(text)
}

/// `XENBUS\VEN_XP0001&DEV_VBD&REV_0900000B` for each revision that `served` holds for, newest first, and for a class'
/// one child `XENCLASS`; each NUL-terminated, the list ended by another NUL. Hardware and compatible ids are the same.
///
/// # Errors
/// The buffer is full, or the prefix is not ASCII.
pub fn hardware_ids<const N: usize>(
    vendor: &Vendor,
    child: &Child,
    served: impl Fn(&Revision) -> bool,
) -> Result<Wide<N>, fmt::Error> {
    let mut text = Wide::default();
    let (prefix, device, name) = (prefix(vendor)?, vendor.device, child.device_name());
    for revision in REVISIONS.iter().rev().filter(|revision| served(revision)) {
        let number = revision.number;
        write!(
            text,
            "XENBUS\\VEN_{prefix}{device:04X}&DEV_{name}&REV_{number:08X}"
        )?;
        text.end()?;
    }
    if child.number.is_none() {
        text.write_str("XENCLASS")?;
        text.end()?;
    }
    text.end()?;
    Ok(text)
}

/// The text shown to users, "Xen Project XENBUS VBD", NUL-terminated.
///
/// # Errors
/// The buffer is full.
pub fn description<const N: usize>(vendor: &str, child: &Child) -> Result<Wide<N>, fmt::Error> {
    let mut text = Wide::default();
    write!(text, "{vendor} XENBUS {}", child.device_name())?;
    text.end()?;
    Ok(text)
}

/// The location shown to users: the class, or the path in xenstore of a device, as `device/vif/0`; NUL-terminated.
///
/// # Errors
/// The buffer is full.
pub fn location<const N: usize>(child: &Child) -> Result<Wide<N>, fmt::Error> {
    let mut text = Wide::default();
    let class = child.class;
    match child.number {
        None => write!(text, "{class}")?,
        Some(number) => write!(text, "device/{}/{number}", class.directory())?,
    }
    text.end()?;
    Ok(text)
}
