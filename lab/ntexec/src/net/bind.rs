//! The protocol: bound to every adapter that starts, as TCP/IP is.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use lab_protocol::bundle::{Bundle, Nic};
use lab_protocol::record::Record;
use smoltcp::wire::{IpCidr, Ipv4Address, Ipv4Cidr, Ipv6Address, Ipv6Cidr};

use super::endpoint::{Endpoint, start_thread};
use super::facts;
use super::rss::{Hashing, TYPES};
use super::stack::link_local;
use super::transmit;
use crate::ndis::protocol::{self, Binding, Client, Info, Pause, Protocol, Status};
use crate::nt::ndis::*;
use crate::run::pattern::Random;
use crate::storport::os::{SECOND, cpu_count};
use crate::sync::Lock;

/// The packet filter that TCP/IP sets.
pub const FILTER: u32 =
    NDIS_PACKET_TYPE_DIRECTED | NDIS_PACKET_TYPE_MULTICAST | NDIS_PACKET_TYPE_BROADCAST;

static ENDPOINTS: Lock<Vec<Arc<Endpoint>>> = Lock::new(Vec::new());
static NICS: Lock<&'static [Nic]> = Lock::new(&[]);
/// What plans gave adapters, by number: it outlives the adapter, as a configuration does.
static CONFIGURED: Lock<BTreeMap<u32, Addresses>> = Lock::new(BTreeMap::new());

/// What an adapter's stack is configured with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// An address by DHCP, and this one
    Dhcp(Ipv6Cidr),
    /// These addresses
    Fixed(Ipv4Cidr, Ipv6Cidr),
}

/// Registers the protocol. PASSIVE_LEVEL, once, before adapters start.
pub fn start(bundle: &'static Bundle) {
    *NICS.lock() = &bundle.nics;
    if transmit::make_pool() {
        protocol::register(Arc::new(Tcpip {
            seed: bundle.plan.guest.seed,
        }));
    } else {
        crate::kd::text("net: no memory for a pool of lists");
    }
}

/// The adapter's number in the toolstack, by its permanent address.
pub fn number_of(permanent: [u8; 6]) -> Option<u32> {
    let index = NICS.lock().iter().position(|nic| nic.mac == permanent)?;
    u32::try_from(index).ok()
}

/// What the host says of an adapter.
pub fn nic(number: u32) -> Option<&'static Nic> {
    NICS.lock().get(number as usize)
}

/// The endpoint of an adapter that is bound.
pub fn find(number: u32) -> Option<Arc<Endpoint>> {
    let mac = nic(number)?.mac;
    let all = ENDPOINTS.lock();
    all.iter().find(|e| e.permanent == mac).cloned()
}

/// All endpoints.
pub fn all() -> Vec<Arc<Endpoint>> {
    ENDPOINTS.lock().clone()
}

struct Tcpip {
    seed: u64,
}

impl Protocol for Tcpip {
    fn bind(&self, binding: Binding) -> Option<Arc<dyn Client>> {
        let info = binding.info()?;
        let mac = info.current_address;
        if mac[0] & 1 != 0 || mac == [0; 6] {
            crate::kd::text(&alloc::format!(
                "net: {}: {mac:02x?} is no station's address",
                info.instance
            ));
            return None;
        }
        if let Err(status) = binding.set_encapsulation() {
            crate::kd::text(&alloc::format!(
                "net: {}: no offloads: OID_OFFLOAD_ENCAPSULATION: {status:#x}",
                info.instance
            ));
        }
        // The encapsulation may have switched offloads on.
        let info = binding.info()?;
        let number = u64::from(number_of(info.permanent_address).unwrap_or(99));
        let seed = self.seed ^ number.rotate_left(32);
        let endpoint = Arc::new(Endpoint::new(binding, &info, facts::terms(&info), seed));
        set_up(&endpoint, &info, seed);
        if !start_thread(endpoint.clone(), Endpoint::look_after) {
            crate::kd::text("net: no memory for a thread");
            return None;
        }
        ENDPOINTS.lock().push(endpoint.clone());
        if let Some(nic) = number_of(info.permanent_address) {
            let configured = CONFIGURED.lock().get(&nic).copied();
            if let Some(addresses) = configured {
                give(&endpoint, &addresses);
            }
        }
        Some(client(endpoint))
    }
}

/// Says what went wrong, if the adapter's answer is not one that the documentation allows it.
fn tell(info: &Info, what: &str, result: Result<(), NDIS_STATUS>) {
    if let Err(status) = result {
        crate::kd::text(&alloc::format!(
            "net: {}: {what}: {status:#x}",
            info.instance
        ));
    }
}

/// The OIDs that TCP/IP sends when it is bound.
fn set_up(endpoint: &Endpoint, info: &Info, seed: u64) {
    let binding = &endpoint.binding;
    if let Some(rss) = &info.rss {
        let mut key = [0u8; 40];
        let mut random = Random::new(seed ^ 0x4e5);
        for part in key.chunks_mut(8) {
            let bytes = random.draw().to_le_bytes();
            part.copy_from_slice(&bytes[..part.len()]);
        }
        let processors: Vec<u32> = (0..cpu_count() as u32).collect();
        let entries = usize::from(rss.NumberOfIndirectionTableEntries).clamp(1, 128);
        // A table has a power of two entries.
        let entries = 1 << entries.ilog2();
        match binding.set_rss(TYPES, &processors, entries, &key) {
            Ok(()) => {
                let table = processors.iter().copied().cycle().take(entries);
                endpoint.set_hashing(Some(Hashing::new(key, TYPES, table.collect())));
            }
            Err(status) => tell(info, "RSS parameters", Err(status)),
        }
    }
    set_groups(endpoint, &[]);
    tell(info, "packet filter", binding.set_packet_filter(FILTER));
}

/// The multicast addresses that the stack listens to: all systems, all nodes, and each address' solicited-node group; and those
/// that a plan has joined.
fn set_groups(endpoint: &Endpoint, addresses: &[IpCidr]) {
    let mut groups = Vec::from([[0x33, 0x33, 0, 0, 0, 1]]);
    let own = IpCidr::Ipv6(Ipv6Cidr::new(link_local(endpoint.mac), 64));
    for address in addresses.iter().chain([&own]) {
        let group = match address {
            IpCidr::Ipv4(_) => [1, 0, 0x5e, 0, 0, 1],
            IpCidr::Ipv6(address) => {
                let [.., a, b, c] = address.address().octets();
                [0x33, 0x33, 0xff, a, b, c]
            }
        };
        if !groups.contains(&group) {
            groups.push(group);
        }
        // One at a time is how TCP/IP joins groups.
        if let Err(status) = endpoint.binding.set_multicast_list(&groups) {
            crate::kd::text(&alloc::format!("net: multicast list: {status:#x}"));
        }
    }
    let joined = endpoint.groups.lock().clone();
    groups.extend(joined);
    if let Err(status) = endpoint.binding.set_multicast_list(&groups) {
        crate::kd::text(&alloc::format!("net: multicast list: {status:#x}"));
    }
}

/// Asks an adapter for frames to these groups besides those that the stack is in, or to all. PASSIVE_LEVEL.
///
/// # Errors
/// What the adapter answers to the packet filter.
pub fn join(endpoint: &Endpoint, groups: Vec<[u8; 6]>, all: bool) -> Result<(), NDIS_STATUS> {
    *endpoint.groups.lock() = groups;
    let addresses: Vec<IpCidr> = endpoint.look(|stack| Vec::from(stack.addresses()));
    set_groups(endpoint, &addresses);
    let every = if all {
        NDIS_PACKET_TYPE_ALL_MULTICAST
    } else {
        0
    };
    endpoint.binding.set_packet_filter(FILTER | every)
}

/// OID_GEN_NETWORK_LAYER_ADDRESSES for one protocol: a NETWORK_ADDRESS_LIST.
fn network_addresses(kind: u16, addresses: &[Vec<u8>]) -> Vec<u8> {
    let mut list = Vec::new();
    list.extend((addresses.len() as u32).to_le_bytes());
    list.extend(kind.to_le_bytes());
    for address in addresses {
        list.extend((address.len() as u16).to_le_bytes());
        list.extend(kind.to_le_bytes());
        list.extend(address);
    }
    list
}

fn v4_bytes(address: Ipv4Address) -> Vec<u8> {
    // NETWORK_ADDRESS_IP: port, padding, address, zeroes.
    let mut bytes = Vec::from([0u8; 4]);
    bytes.extend(address.octets());
    bytes.extend([0u8; 8]);
    bytes
}

fn v6_bytes(address: Ipv6Address) -> Vec<u8> {
    // NETWORK_ADDRESS_IP6: port, padding, flow information, address, scope.
    let mut bytes = Vec::from([0u8; 8]);
    bytes.extend(address.octets());
    bytes.extend([0u8; 4]);
    bytes
}

/// Tells the adapter the stack's addresses. PASSIVE_LEVEL.
pub fn tell_addresses(endpoint: &Endpoint) {
    const PROTOCOL_IPV4: u16 = 2;
    const PROTOCOL_IPV6: u16 = 3;
    let addresses: Vec<IpCidr> = endpoint.look(|stack| Vec::from(stack.addresses()));
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in &addresses {
        match address {
            IpCidr::Ipv4(cidr) => v4.push(v4_bytes(cidr.address())),
            IpCidr::Ipv6(cidr) => v6.push(v6_bytes(cidr.address())),
        }
    }
    for (kind, list) in [(PROTOCOL_IPV4, v4), (PROTOCOL_IPV6, v6)] {
        let bytes = network_addresses(kind, &list);
        // An adapter that has no use for them says NOT_SUPPORTED.
        if let Err(status) = endpoint
            .binding
            .set(OID_GEN_NETWORK_LAYER_ADDRESSES, &bytes)
            && status != NDIS_STATUS_NOT_SUPPORTED
        {
            crate::kd::text(&alloc::format!("net: network layer addresses: {status:#x}"));
        }
    }
    set_groups(endpoint, &addresses);
    *endpoint.facts.told.lock() = addresses;
}

fn give(endpoint: &Endpoint, addresses: &Addresses) {
    endpoint.with(|stack| match *addresses {
        Addresses::Dhcp(v6) => {
            stack.set_addresses(&[IpCidr::Ipv6(v6)]);
            stack.start_dhcp();
        }
        Addresses::Fixed(v4, v6) => {
            stack.stop_dhcp();
            stack.set_addresses(&[IpCidr::Ipv4(v4), IpCidr::Ipv6(v6)]);
        }
    });
    tell_addresses(endpoint);
}

/// Configures an adapter's stack, now and whenever the adapter comes again. PASSIVE_LEVEL.
pub fn configure(number: u32, endpoint: &Endpoint, addresses: Addresses) {
    CONFIGURED.lock().insert(number, addresses);
    tell_result(endpoint.binding.set_packet_filter(FILTER));
    give(endpoint, &addresses);
}

/// Takes the configuration off an adapter: it receives nothing any more. PASSIVE_LEVEL.
pub fn unconfigure(number: u32, endpoint: &Endpoint) {
    CONFIGURED.lock().remove(&number);
    endpoint.with(|stack| {
        stack.stop_dhcp();
        stack.set_addresses(&[]);
    });
    tell_result(endpoint.binding.set_packet_filter(0));
}

fn tell_result(result: Result<(), NDIS_STATUS>) {
    if let Err(status) = result {
        crate::kd::text(&alloc::format!("net: packet filter: {status:#x}"));
    }
}

/// What NDIS calls for an endpoint.
pub(crate) fn client(endpoint: Arc<Endpoint>) -> Arc<dyn Client> {
    Arc::new(Bound(endpoint))
}

/// NDIS' end of an endpoint.
struct Bound(Arc<Endpoint>);

impl Client for Bound {
    fn receive(&self, lists: *mut NET_BUFFER_LIST, _count: u32, flags: u32) {
        self.0.received(lists, flags);
    }

    fn send_complete(&self, lists: *mut NET_BUFFER_LIST, _flags: u32) {
        self.0.sent(lists);
    }

    fn status(&self, status: Status) {
        match status {
            Status::Link(link) => self.0.link.store(link.connected, Ordering::SeqCst),
            Status::Offload(_) => {}
            Status::Other(_) => return,
        }
        self.0.changed.store(true, Ordering::SeqCst);
        self.0.wake.set();
    }

    fn pause(&self, why: Pause) {
        if matches!(why, Pause::Removal | Pause::SurpriseRemoval) {
            // For the last time, while it answers.
            self.0.report_counters();
        }
        self.0.close();
    }

    fn restart(&self) {
        self.0.open();
    }

    fn unbind(&self) {
        let endpoint = &self.0;
        ENDPOINTS
            .lock()
            .retain(|other| !Arc::ptr_eq(other, endpoint));
        endpoint.alive.store(false, Ordering::SeqCst);
        endpoint.wake.set();
        if !endpoint.ended.wait(10 * SECOND) {
            crate::kd::text("net: the thread of an adapter that is gone has not ended for 10 s");
        }
        if let Some(nic) = number_of(endpoint.permanent) {
            crate::check::emit(&Record::NicGone { nic });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_lists_are_laid_out_as_the_header_says() {
        let v4 = network_addresses(2, &[v4_bytes(Ipv4Address::new(10, 0, 0, 2))]);
        assert_eq!(v4.len(), 6 + 4 + 16);
        assert_eq!(v4[..10], [1, 0, 0, 0, 2, 0, 16, 0, 2, 0]);
        assert_eq!(v4[14..18], [10, 0, 0, 2]);
        let v6 = network_addresses(3, &[v6_bytes(Ipv6Address::LOCALHOST)]);
        assert_eq!(v6.len(), 6 + 4 + 28);
        assert_eq!(v6[6..10], [28, 0, 3, 0]);
        assert_eq!(v6[33], 1);
        assert_eq!(network_addresses(2, &[]), [0, 0, 0, 0, 2, 0]);
    }
}
