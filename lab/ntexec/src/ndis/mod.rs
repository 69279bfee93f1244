//! ndis.sys: NDIS 6 for miniport drivers, by its documented contract, and the upper edge that the executive's protocol uses.
//!
//! Microsoft's ndis has no public source; what is here follows the DDI pages and articles named at each place, and, where
//! they are silent, what its clients expect. Choices of our own are marked CHOICE.
//!
//! The life of an adapter ([`life`]): START initialises it ([`attributes`] are set), NDIS asks its OIDs ([`oid`]), offers it
//! to the protocol ([`bind`], [`protocol`]) and restarts it; then frames go down ([`send`]) and up ([`receive`]). Every call
//! is checked against the adapter's [`state`]; what a miniport breaks is a finding by [`rules`].

pub mod protocol;
pub mod state;

pub(crate) mod buffer;
pub(crate) mod pool;

mod adapter;
mod attributes;
mod bind;
mod chain;
mod config;
mod device;
mod driver;
mod leaks;
mod life;
mod locks;
mod memory;
mod offload;
mod oid;
mod pnp;
mod power;
mod receive;
mod rules;
mod send;
mod status;
mod system;
mod timer;

use attributes::NdisMSetMiniportAttributes;
use buffer::*;
use config::*;
use device::*;
use driver::*;
use life::{NdisMPauseComplete, NdisMRestartComplete};
use locks::*;
use memory::*;
use oid::NdisMOidRequestComplete;
use pool::*;
use receive::NdisMIndicateReceiveNetBufferLists;
use send::NdisMSendNetBufferListsComplete;
use status::NdisMIndicateStatusEx;
use system::*;
use timer::*;

exports! {
    pub static EXPORTS;
    Ndis {
        NdisMRegisterMiniportDriver, NdisMDeregisterMiniportDriver, NdisSetOptionalHandlers, NdisMSetMiniportAttributes,
        NdisMPauseComplete, NdisMRestartComplete, NdisMOidRequestComplete, NdisMIndicateStatusEx,
        NdisMIndicateReceiveNetBufferLists, NdisMSendNetBufferListsComplete, NdisMGetDeviceProperty, NdisMRemoveMiniport,
        NdisMRegisterScatterGatherDma, NdisMDeregisterScatterGatherDma, NdisOpenConfigurationEx, NdisCloseConfiguration,
        NdisReadConfiguration, NdisWriteConfiguration, NdisReadNetworkAddress, NdisAllocateNetBufferListPool,
        NdisFreeNetBufferListPool, NdisAllocateNetBufferPool, NdisFreeNetBufferPool, NdisAllocateNetBufferAndNetBufferList,
        NdisAllocateNetBufferList, NdisFreeNetBufferList, NdisAllocateNetBuffer, NdisAllocateNetBufferMdlAndData,
        NdisFreeNetBuffer, NdisAllocateMdl, NdisFreeMdl, NdisAdvanceNetBufferDataStart, NdisRetreatNetBufferDataStart,
        NdisAdvanceNetBufferListDataStart, NdisRetreatNetBufferListDataStart, NdisGetDataBuffer,
        NdisCopyFromNetBufferToNetBuffer, NdisAllocateMemoryWithTagPriority, NdisAllocateMemoryWithTag, NdisFreeMemory,
        NdisFreeMemoryWithTagPriority, NdisFreeMemoryWithTag, NdisAllocateSpinLock, NdisFreeSpinLock, NdisAcquireSpinLock,
        NdisReleaseSpinLock, NdisDprAcquireSpinLock, NdisDprReleaseSpinLock, NdisAllocateRWLock, NdisFreeRWLock,
        NdisAcquireRWLockRead, NdisAcquireRWLockWrite, NdisReleaseRWLock, NdisInitializeEvent, NdisSetEvent, NdisResetEvent,
        NdisWaitEvent, NdisAllocateTimerObject, NdisFreeTimerObject, NdisSetTimerObject, NdisSetCoalescableTimerObject,
        NdisCancelTimerObject, NdisAllocateIoWorkItem, NdisFreeIoWorkItem, NdisQueueIoWorkItem, NdisGetVersion, NdisMSleep,
        NdisSystemProcessorCount, NdisGroupMaxProcessorCount, NdisGroupActiveProcessorCount, NdisMaxGroupCount,
        NdisActiveGroupCount, NdisCurrentGroupAndProcessor, NdisProcessorNumberToIndex, NdisProcessorIndexToNumber,
        NdisGetRssProcessorInformation, NdisGetSystemUpTimeEx, NdisWriteErrorLogEntry,
    }
}

#[cfg(test)]
mod tests;
