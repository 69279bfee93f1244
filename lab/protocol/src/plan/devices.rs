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
