//! The upper edge: what a protocol of the executive sees of adapters.
//!
//! A protocol is registered once ([`register`]); NDIS offers it every adapter that starts ([`Protocol::bind`]) and tells
//! it when one goes. Calls into a protocol say at which IRQL they come; none comes with a lock of NDIS' held, so all of
//! [`Binding`] may be called from within them, as far as the IRQL allows.
//!
//! The order of a binding's life: `bind` (the adapter is paused; OIDs may be sent), `restart`, traffic, `pause`, `restart`,
//! ..., `pause`, `unbind`.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::adapter::Adapter;
use super::state::State;
use super::{bind, oid, receive, send};
use crate::nt::ndis::*;

/// A link, as the miniport reported it last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// MediaConnectStateConnected
    pub connected: bool,
    /// Bits per second; `u64::MAX` is unknown
    pub xmit_speed: u64,
    /// Bits per second; `u64::MAX` is unknown
    pub rcv_speed: u64,
}

/// What an adapter is like now.
#[derive(Clone, Debug)]
pub struct Info {
    /// The driver's file name
    pub driver: String,
    /// The device instance
    pub instance: String,
    /// The device's description
    pub description: String,
    /// NET_LUID
    pub luid: u64,
    /// Interface index
    pub index: u32,
    /// Its state
    pub state: State,
    /// The address that it was made with
    pub permanent_address: [u8; 6],
    /// The address that it uses
    pub current_address: [u8; 6],
    /// Payload of a frame in bytes, without the Ethernet header
    pub mtu: u32,
    /// The link
    pub link: Link,
    /// Packet filters that it supports (NDIS_PACKET_TYPE_*)
    pub packet_filters: u32,
    /// Multicast addresses that it filters by
    pub max_multicast: u32,
    /// NDIS_MAC_OPTION_*
    pub mac_options: u32,
    /// Bytes that it wants before a frame that is sent
    pub data_backfill: u32,
    /// Offloads that are on
    pub offload: NDIS_OFFLOAD,
    /// Offloads that it could do
    pub hardware: NDIS_OFFLOAD,
    /// RSS, if it does it
    pub rss: Option<NDIS_RECEIVE_SCALE_CAPABILITIES>,
}

/// A status indication that NDIS has checked and understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// NDIS_STATUS_LINK_STATE
    Link(Link),
    /// NDIS_STATUS_TASK_OFFLOAD_CURRENT_CONFIG
    Offload(NDIS_OFFLOAD),
    /// Another one, by its code
    Other(NDIS_STATUS),
}

/// Why data stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It will go on
    Internal,
    /// The adapter goes to low power
    LowPower,
    /// The device is being stopped or removed
    Removal,
    /// The device is already gone
    SurpriseRemoval,
}

/// A protocol driver.
pub trait Protocol: Send + Sync {
    /// An adapter has started: a client takes it, or `None` leaves it. PASSIVE_LEVEL, on PnP's thread; OIDs may be sent.
    fn bind(&self, binding: Binding) -> Option<Arc<dyn Client>>;
}

/// A protocol's binding to one adapter.
pub trait Client: Send + Sync {
    /// Frames have come. At most DISPATCH_LEVEL, on any processor, also on several at once.
    ///
    /// `lists` are `count` NET_BUFFER_LISTs, one frame each. With NDIS_RECEIVE_FLAGS_RESOURCES in `flags` they are the
    /// miniport's again when this returns, so they are copied and not returned. Else each is given back by
    /// [`Binding::return_lists`], in any order and grouping, now or later, at the latest in [`Client::pause`].
    fn receive(&self, lists: *mut NET_BUFFER_LIST, count: u32, flags: u32);
    /// What [`Binding::send`] took is the protocol's again, each with its `Status`. At most DISPATCH_LEVEL; may come
    /// inside the call of `send`.
    fn send_complete(&self, lists: *mut NET_BUFFER_LIST, flags: u32);
    /// A status indication. At most DISPATCH_LEVEL, often from within an OID request: no OID may be sent from here.
    fn status(&self, status: Status);
    /// Stop sending, and give back every received list that is held. NDIS then waits for the sends under way itself.
    /// PASSIVE_LEVEL.
    fn pause(&self, why: Pause);
    /// Data may flow. PASSIVE_LEVEL.
    fn restart(&self);
    /// The adapter goes: after this returns the binding does nothing any more. PASSIVE_LEVEL.
    fn unbind(&self);
}

/// Registers a protocol and offers it the adapters that run already. PASSIVE_LEVEL.
pub fn register(protocol: Arc<dyn Protocol>) {
    bind::register(protocol);
}

/// Every adapter that is initialised, in the order of their starts. Any IRQL up to DISPATCH_LEVEL.
pub fn adapters() -> Vec<Info> {
    super::adapter::all()
        .into_iter()
        .filter(|a| a.state() != State::Halted)
        .filter_map(Adapter::info)
        .collect()
}

/// A protocol's end of its binding to an adapter. Copies are the same binding.
#[derive(Clone, Copy)]
pub struct Binding {
    adapter: &'static Adapter,
    /// The adapter's initialisation that it belongs to
    generation: u32,
}

impl Binding {
    pub(super) fn new(adapter: &'static Adapter) -> Self {
        Self {
            adapter,
            generation: adapter.generation(),
        }
    }

    /// The adapter, while the binding stands.
    fn live(&self) -> Option<&'static Adapter> {
        (self.adapter.generation() == self.generation).then_some(self.adapter)
    }

    /// What the adapter is like now; `None` once it is gone.
    pub fn info(&self) -> Option<Info> {
        self.live()?.info()
    }

    /// Queries an OID: NDIS answers what it knows, else the miniport is asked. PASSIVE_LEVEL, waits.
    ///
    /// # Errors
    /// The miniport's status; NDIS_STATUS_ADAPTER_REMOVED once the adapter is gone.
    pub fn query(&self, oid: u32, buffer: &mut [u8]) -> Result<usize, NDIS_STATUS> {
        oid::query(self.live().ok_or(NDIS_STATUS_ADAPTER_REMOVED)?, oid, buffer)
    }

    /// Queries an OID as WMI does (NdisRequestQueryStatistics); else as [`Binding::query`].
    ///
    /// # Errors
    /// As [`Binding::query`].
    pub fn query_statistics(&self, oid: u32, buffer: &mut [u8]) -> Result<usize, NDIS_STATUS> {
        oid::query_statistics(self.live().ok_or(NDIS_STATUS_ADAPTER_REMOVED)?, oid, buffer)
    }

    /// Sets an OID. PASSIVE_LEVEL, waits.
    ///
    /// # Errors
    /// As [`Binding::query`].
    pub fn set(&self, oid: u32, buffer: &[u8]) -> Result<(), NDIS_STATUS> {
        oid::set(self.live().ok_or(NDIS_STATUS_ADAPTER_REMOVED)?, oid, buffer)
    }

    /// Sets the packet filter (NDIS_PACKET_TYPE_*). PASSIVE_LEVEL.
    ///
    /// # Errors
    /// As [`Binding::query`].
    pub fn set_packet_filter(&self, filter: u32) -> Result<(), NDIS_STATUS> {
        self.set(OID_GEN_CURRENT_PACKET_FILTER, &filter.to_le_bytes())
    }

    /// Sets the multicast addresses that are received. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// As [`Binding::query`].
    pub fn set_multicast_list(&self, list: &[[u8; 6]]) -> Result<(), NDIS_STATUS> {
        self.set(OID_802_3_MULTICAST_LIST, &list.concat())
    }

    /// Changes offloads; a field of 0 leaves its offload as it is. NDIS also writes the standardized keywords, so that the
    /// change outlives a restart of the adapter. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// As [`Binding::query`].
    pub fn set_offload(&self, parameters: &NDIS_OFFLOAD_PARAMETERS) -> Result<(), NDIS_STATUS> {
        oid::set_offload(self.live().ok_or(NDIS_STATUS_ADAPTER_REMOVED)?, parameters)
    }

    /// Switches the offloads that are configured on, for both IP versions: what TCP/IP does when it binds. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// As [`Binding::query`].
    pub fn set_encapsulation(&self) -> Result<(), NDIS_STATUS> {
        oid::set_encapsulation(self.live().ok_or(NDIS_STATUS_ADAPTER_REMOVED)?)
    }

    /// Configures RSS over `processors` (indices) with a table of `entries` and a 40 byte key; none switches it off.
    /// `hash_types` are NDIS_HASH_*. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// As [`Binding::query`].
    pub fn set_rss(
        &self,
        hash_types: u32,
        processors: &[u32],
        entries: usize,
        key: &[u8; 40],
    ) -> Result<(), NDIS_STATUS> {
        oid::set_rss(
            self.live().ok_or(NDIS_STATUS_ADAPTER_REMOVED)?,
            hash_types,
            processors,
            entries,
            key,
        )
    }

    /// OID_GEN_STATISTICS. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// As [`Binding::query`].
    pub fn statistics(&self) -> Result<NDIS_STATISTICS_INFO, NDIS_STATUS> {
        oid::statistics(self.live().ok_or(NDIS_STATUS_ADAPTER_REMOVED)?)
    }

    /// Sends a chain of NET_BUFFER_LISTs, each of NET_BUFFERs that are a whole frame from the Ethernet header on. All of
    /// them come back by [`Client::send_complete`], also when the adapter takes none. At most DISPATCH_LEVEL.
    ///
    /// # Safety
    /// Lists, buffers, MDLs and memory stay as they are until they come back. The MDLs describe nonpaged memory.
    pub unsafe fn send(&self, lists: *mut NET_BUFFER_LIST, flags: u32) {
        // SAFETY: by the caller's word.
        unsafe { send::send(self.adapter, self.generation, lists, flags) }
    }

    /// Gives back lists that [`Client::receive`] brought without NDIS_RECEIVE_FLAGS_RESOURCES. At most DISPATCH_LEVEL.
    ///
    /// # Safety
    /// Each was brought, and is given back once.
    pub unsafe fn return_lists(&self, lists: *mut NET_BUFFER_LIST, flags: u32) {
        // SAFETY: by the caller's word.
        unsafe { receive::give_back(self.adapter, lists, flags) }
    }
}
