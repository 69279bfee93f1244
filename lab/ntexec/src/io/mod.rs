//! The I/O manager: device objects, IRPs, work items, remove locks, interrupts.

pub mod build;
pub mod device;
pub mod interrupt;
pub mod irp;
pub mod names;
pub mod remove_lock;
pub mod work;

pub use crate::mm::{IoAllocateMdl, IoFreeMdl};
pub use crate::pnp::IoInvalidateDeviceRelations;
pub use build::{
    IoBuildAsynchronousFsdRequest, IoBuildDeviceIoControlRequest, IoBuildSynchronousFsdRequest,
    IoForwardIrpSynchronously, IoSynchronousCallDriver,
};
pub use device::{
    IoAttachDeviceToDeviceStack, IoCreateDevice, IoDeleteDevice, IoDetachDevice,
    IoGetAttachedDevice, IoGetAttachedDeviceReference, IoGetLowerDeviceObject,
};
pub use interrupt::{IoConnectInterruptEx, IoDisconnectInterruptEx};
pub use irp::{
    IoAllocateIrp, IoCancelIrp, IoFreeIrp, IoReuseIrp, IofCallDriver, IofCompleteRequest,
};
pub use work::{IO_WORKITEM, IoAllocateWorkItem, IoFreeWorkItem, IoQueueWorkItem};
