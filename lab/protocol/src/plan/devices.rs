//! Steps that do to devices what plug and play does.

use alloc::string::String;
use serde::Deserialize;
use serde::Serialize;

/// The devices that a step is about: those of a class, or one disk's. Only devices count that run and have a driver of a
/// package, or the disk class driver, in their stack; what is on them goes along.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// All devices of a setup class, by the name that INFs use: `System`, `SCSIAdapter`, `Net`, `DiskDrive`
    Class(String),
    /// A disk, by its name in the toolstack
    Disk(String),
}

/// What is done to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// QUERY_STOP, STOP, other interrupts, START
    Rebalance,
    /// QUERY_STOP, CANCEL_STOP
    CancelStop,
    /// QUERY_REMOVE, CANCEL_REMOVE
    CancelRemove,
    /// SURPRISE_REMOVAL, REMOVE, as for a device that failed; `start` brings it back
    SurpriseRemove,
}

/// A device that a plan waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ExpectDevice {
    /// A hardware or compatible id, or an instance path; upper and lower case are the same
    pub id: String,
    /// The state of every such device: `found`, `added`, `started`, `stopped`, `failed`, `removed`; or `gone`, if there is to be none
    pub state: String,
    /// How long it may take, in milliseconds
    #[serde(default = "super::default_within")]
    pub within_ms: u32,
}
