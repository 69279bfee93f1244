//! storport.sys: the port driver for StorPort miniports, by its documented contract.
//!
//! Microsoft's storport has no public source; what is here follows the DDI pages and articles named at each place, and,
//! where they are silent, what its clients (miniports, classpnp and disk) expect. Choices of our own are marked CHOICE.
//!
//! The life of a request: a class driver's IRP reaches a unit's PDO ([`dispatch`]), waits in the unit's queue ([`queue`]),
//! goes out through HwBuildIo and HwStartIo ([`request`]), comes back by StorPortNotification(RequestComplete)
//! ([`notify`]) at any IRQL, and is completed in a DPC ([`completion`]). [`timeout`] watches over it.

pub mod ids;
pub mod outstanding;
pub mod queue;
pub mod sgl;
pub mod srb;
pub mod srb_block;

pub(crate) mod adapter;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod dispatch;
pub(crate) mod ext;
pub(crate) mod hw;
pub(crate) mod init;
pub(crate) mod ioctl;
pub(crate) mod locks;
pub(crate) mod notify;
pub(crate) mod os;
pub(crate) mod pauses;
pub(crate) mod pdo;
pub(crate) mod registry;
pub(crate) mod request;
pub(crate) mod routines;
pub(crate) mod rules;
pub(crate) mod scan;
pub(crate) mod start;
pub(crate) mod stop;
pub(crate) mod timeout;
pub(crate) mod timers;
pub(crate) mod unit;

pub use init::StorPortInitialize;

use ext::StorPortExtendedFunction;
use notify::StorPortNotification;
use pauses::*;
use routines::*;

exports! {
    pub static EXPORTS;
    Storport {
        StorPortInitialize, StorPortNotification, StorPortExtendedFunction, StorPortGetPhysicalAddress,
        StorPortGetVirtualAddress, StorPortGetScatterGatherList, StorPortGetUncachedExtension, StorPortGetDeviceBase,
        StorPortFreeDeviceBase, StorPortGetBusData, StorPortSetBusDataByOffset, StorPortGetLogicalUnit,
        StorPortSetDeviceQueueDepth, StorPortPause, StorPortResume, StorPortPauseDevice, StorPortResumeDevice,
        StorPortBusy, StorPortReady, StorPortDeviceBusy, StorPortDeviceReady, StorPortSynchronizeAccess,
        StorPortQuerySystemTime, StorPortStallExecution, StorPortDebugPrint, StorPortLogError, StorPortCompleteRequest,
        StorPortValidateRange, StorPortRegistryRead, StorPortRegistryWrite, StorPortAllocateRegistryBuffer,
        StorPortFreeRegistryBuffer, StorPortConvertPhysicalAddressToUlong, StorPortConvertUlongToPhysicalAddress,
    }
}
