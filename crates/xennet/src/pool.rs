//! A pool of net buffer lists with a net buffer each.

use core::ptr::null_mut;

use ndis_sys::NDIS_HANDLE;
use ndis_sys::call::{
    NdisAllocateNetBufferAndNetBufferList, NdisAllocateNetBufferListPool, NdisFreeNetBufferList,
    NdisFreeNetBufferListPool,
};
use ndis_sys::constant::PROTOCOL_ID_DEFAULT;
use ndis_sys::nbl::{NET_BUFFER_LIST_POOL_PARAMETERS, SIZEOF_POOL_PARAMETERS_REVISION_1};
use ndis_sys::object::{NDIS_OBJECT_HEADER, kind};
use wdm::status::{Result, Status};

use crate::nbl::Nbl;

/// Tag of the lists.
const TAG: u32 = u32::from_le_bytes(*b"XnNb");

/// A pool; its lists are all freed before it is dropped.
pub struct ListPool(NDIS_HANDLE);

impl ListPool {
    /// A pool. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    ///
    /// # Safety
    /// `handle` is the adapter's.
    pub unsafe fn new(handle: NDIS_HANDLE) -> Result<Self> {
        let parameters = NET_BUFFER_LIST_POOL_PARAMETERS {
            Header: NDIS_OBJECT_HEADER::new(kind::DEFAULT, 1, SIZEOF_POOL_PARAMETERS_REVISION_1),
            ProtocolId: PROTOCOL_ID_DEFAULT,
            fAllocateNetBuffer: 1,
            ContextSize: 0,
            PoolTag: TAG,
            DataSize: 0,
            Flags: 0,
        };
        // SAFETY: the caller's promise; the parameters outlive the call.
        let pool = unsafe { NdisAllocateNetBufferListPool(handle, &raw const parameters) };
        if pool.is_null() {
            return Err(Status::INSUFFICIENT_RESOURCES);
        }
        Ok(Self(pool))
    }

    /// A list with a net buffer without a frame. IRQL <= DISPATCH_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn allocate(&self) -> Result<Nbl> {
        // SAFETY: the pool is alive.
        let list = unsafe { NdisAllocateNetBufferAndNetBufferList(self.0, 0, 0, null_mut(), 0, 0) };
        // SAFETY: the pool's own list, which is the miniport's.
        unsafe { Nbl::new(list) }.ok_or(Status::INSUFFICIENT_RESOURCES)
    }

    /// Frees a list of the pool's, which is not used again. IRQL <= DISPATCH_LEVEL.
    pub fn free(&self, list: Nbl) {
        // SAFETY: allocated from the pool; the caller is done with it.
        unsafe { NdisFreeNetBufferList(list.as_ptr()) };
    }
}

impl Drop for ListPool {
    fn drop(&mut self) {
        // SAFETY: the pool is alive, its lists are freed.
        unsafe { NdisFreeNetBufferListPool(self.0) };
    }
}
