//! What the host gives the guest at boot: drivers, what their INFs say, the registry of earlier boots, the plan.

use crate::plan::Plan;
use crate::registry::Change;
use crate::registry::Data;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::net::Ipv6Addr;
use serde::Deserialize;
use serde::Serialize;

/// Everything that a boot of the guest needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bundle {
    /// The driver packages, in the order in which they were given.
    pub packages: Vec<Package>,
    /// The registry as the boots before left it, replayed over what the packages write; empty on the first boot.
    pub registry: Vec<Change>,
    /// The network adapters that the toolstack gives the guest, in the order of their numbers there.
    pub nics: Vec<Nic>,
    /// What to do.
    pub plan: Plan,
    /// The step of the plan to begin with: 0 on the first boot, the one behind the `reboot` step after a reboot.
    pub first_step: u32,
    /// How often the guest was booted before in this run.
    pub boots_before: u32,
    /// Wall clock time at the start, in 100 ns since 1601-01-01 UTC.
    pub system_time: u64,
}

/// A network adapter, and the addresses that the host chose for both ends. The guest knows the adapter by its permanent MAC address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Its MAC address in xenstore
    pub mac: [u8; 6],
    /// The largest IP packet
    pub mtu: u16,
    /// The guest's IPv4 address
    pub address: Ipv4Addr,
    /// Bits of it that name the network
    pub prefix: u8,
    /// dom0's IPv4 address on the same bridge
    pub peer: Ipv4Addr,
    /// The guest's IPv6 address
    pub address6: Ipv6Addr,
    /// Bits of it that name the network
    pub prefix6: u8,
    /// dom0's IPv6 address on the same bridge
    pub peer6: Ipv6Addr,
}

/// A driver package: an INF and the images that it names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Package {
    /// The INF's file name
    pub inf: String,
    /// Class name, as `System`
    pub class: String,
    /// Class GUID, in braces
    pub class_guid: String,
    /// Provider as the INF says
    pub provider: String,
    /// DriverVer: date and version
    pub driver_version: String,
    /// The models that fit this Windows, in the INF's order
    pub models: Vec<Model>,
    /// The images named by the INF, with their contents
    pub images: Vec<Image>,
}

/// A device that the package's INF knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// DriverDesc
    pub description: String,
    /// The hardware id, then the compatible ids of the line
    pub ids: Vec<String>,
    /// What its DDInstall section asks for
    pub install: Install,
}

/// What setup does when a device is bound to a model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Install {
    /// Files that the CopyFiles directives name, by their final names
    pub files: Vec<String>,
    /// The services to make
    pub services: Vec<Service>,
    /// DDInstall's AddReg/DelReg: HKR is the device's software key
    pub software: Vec<InfChange>,
    /// DDInstall.HW's AddReg/DelReg: HKR is the device's hardware key (where UpperFilters and Interrupt Management live)
    pub hardware: Vec<InfChange>,
    /// FeatureScore of the section, 0xFF if not given
    pub feature_score: u8,
}

/// A service that an AddService directive makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Its name
    pub name: String,
    /// True if the directive carries SPSVCINST_ASSOCSERVICE: the device's function driver
    pub function_driver: bool,
    /// ServiceType (1 = kernel driver)
    pub service_type: u32,
    /// StartType: 0 boot, 1 system, 2 auto, 3 demand
    pub start_type: u32,
    /// ErrorControl
    pub error_control: u32,
    /// The image's file name (the last part of ServiceBinary)
    pub binary: String,
    /// LoadOrderGroup, if any
    pub load_order_group: Option<String>,
    /// BootFlags, if any
    pub boot_flags: Option<u32>,
    /// The service-install section's AddReg/DelReg: HKR is the service's key
    pub registry: Vec<InfChange>,
}

/// An AddReg or DelReg line whose root is relative to what is being installed, or absolute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InfChange {
    /// Where the key is rooted
    pub root: Root,
    /// The subkey below the root; may be empty
    pub subkey: String,
    /// The value's name; empty for the default value
    pub name: String,
    /// What happens
    pub action: Action,
}

/// The root of an AddReg line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Root {
    /// HKR: the key of what is being installed
    Relative,
    /// HKLM: `\Registry\Machine`
    LocalMachine,
}

/// What an AddReg or DelReg line does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Sets the value (AddReg).
    Set(Data),
    /// Sets the value unless it is there (FLG_ADDREG_NOCLOBBER).
    SetIfAbsent(Data),
    /// Adds strings to a REG_MULTI_SZ value (FLG_ADDREG_APPEND).
    Append(Vec<String>),
    /// Makes the key only (FLG_ADDREG_KEYONLY).
    CreateKey,
    /// Deletes the value, or the key if no value is named.
    Delete,
}

/// A .sys file.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// File name, as `example.sys`
    pub name: String,
    /// Its bytes, as shipped
    pub bytes: Vec<u8>,
}

impl core::fmt::Debug for Image {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} ({} bytes)", self.name, self.bytes.len())
    }
}

/// A bundle that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bundle is not one, or is of another version of the lab: {0}")]
pub struct BundleError(postcard::Error);

impl Bundle {
    /// The bundle as bytes.
    ///
    /// # Errors
    /// Only when memory runs out.
    pub fn to_bytes(&self) -> Result<Vec<u8>, BundleError> {
        postcard::to_allocvec(self).map_err(BundleError)
    }

    /// Reads what [`Bundle::to_bytes`] made; bytes behind its end are passed over, since a boot loader may pad.
    ///
    /// # Errors
    /// If the bytes are no bundle.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BundleError> {
        postcard::take_from_bytes(bytes)
            .map(|(bundle, _)| bundle)
            .map_err(BundleError)
    }
}
