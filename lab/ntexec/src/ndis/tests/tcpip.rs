//! TCP/IP on a miniport that is a wire to a second stack.

use super::*;
use crate::net::bind;
use crate::net::checksum;
use crate::net::device::Frame;
use crate::net::endpoint::{Endpoint, now};
use crate::net::facts::terms;
use crate::net::headers::Headers;
use crate::net::segment::segments;
use crate::net::stack::{Left, Stack as Ip};
use crate::run::pattern::Random;
use alloc::collections::BTreeMap;
use smoltcp::wire::{IpAddress, IpCidr, IpEndpoint, Ipv4Address, Ipv4Cidr};

/// What the miniport has sent.
static WIRE: Lock<Vec<Vec<u8>>> = Lock::new(Vec::new());
/// Memory of what it has indicated, by list.
static INDICATED: Lock<BTreeMap<usize, Kept>> = Lock::new(BTreeMap::new());
/// Large sends, and lists with several frames.
static SEEN: [AtomicU32; 2] = [AtomicU32::new(0), AtomicU32::new(0)];

/// Memory that waits for its list.
struct Kept(#[expect(dead_code, reason = "kept to be dropped")] Box<crate::storport::os::Buffer>);
// SAFETY: the memory is one owner's.
unsafe impl Send for Kept {}

const LARGE: NDIS_LARGE_SEND = NDIS_LARGE_SEND {
    Encapsulation: NDIS_ENCAPSULATION_IEEE_802_3,
    MaxOffLoadSize: 60_000,
    MinSegmentCount: 2,
};

fn offloads() -> NDIS_OFFLOAD {
    let all = NDIS_CHECKSUM_OFFLOAD {
        Encapsulation: NDIS_ENCAPSULATION_IEEE_802_3,
        Bits: 0b01_0101_0101,
    };
    let v6 = NDIS_CHECKSUM_OFFLOAD {
        Bits: 0b0101_0101,
        ..all
    };
    let mut offload = NDIS_OFFLOAD {
        Header: NDIS_OBJECT_HEADER::new(
            NDIS_OBJECT_TYPE_OFFLOAD,
            6,
            NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_6,
        ),
        ..NDIS_OFFLOAD::default()
    };
    offload.Checksum = NDIS_TCP_IP_CHECKSUM_OFFLOAD {
        IPv4Transmit: all,
        IPv4Receive: all,
        IPv6Transmit: v6,
        IPv6Receive: v6,
    };
    offload.LsoV2 = NDIS_TCP_LARGE_SEND_OFFLOAD_V2 {
        IPv4: LARGE,
        IPv6: LARGE,
        IPv6Bits: 0b0101,
    };
    offload
}

unsafe extern "win64" fn initialize_with_offloads(
    adapter: PVOID,
    context: PVOID,
    parameters: *mut NDIS_MINIPORT_INIT_PARAMETERS,
) -> NDIS_STATUS {
    assert_eq!(
        initialize(adapter, context, parameters),
        NDIS_STATUS_SUCCESS
    );
    let mut offload = offloads();
    let mut attributes: NDIS_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES = zeroed();
    attributes.Header = NDIS_OBJECT_HEADER::new(
        NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES,
        1,
        NDIS_SIZEOF_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES_REVISION_1,
    );
    attributes.DefaultOffloadConfiguration = &mut offload;
    attributes.HardwareOffloadCapabilities = &mut offload;
    NdisMSetMiniportAttributes(handle(), (&raw const attributes.Header).cast())
}

/// What goes onto the wire for a frame with these slots.
fn cut(frame: &mut Vec<u8>, checksums: usize, large: usize) -> Vec<Vec<u8>> {
    if large != 0 {
        SEEN[0].fetch_add(1, Ordering::Relaxed);
        return segments(frame, large & 0xf_ffff);
    }
    if let Some(headers) = Headers::parse(frame) {
        if checksums & 16 != 0 {
            checksum::fill_ip(frame, &headers);
        }
        if checksums & 12 != 0 {
            checksum::fill_transport(frame, &headers);
        }
    }
    Vec::from([core::mem::take(frame)])
}

unsafe extern "win64" fn send_to_wire(_: PVOID, lists: *mut NET_BUFFER_LIST, _: u32, _: u32) {
    for list in chain::lists(lists) {
        let slots = &mut (*list).NetBufferListInfo;
        let (checksums, large) = (
            slots[TcpIpChecksumNetBufferListInfo] as usize,
            slots[TcpLargeSendNetBufferListInfo] as usize,
        );
        let mut buffer = (*list).FirstNetBuffer;
        while !buffer.is_null() {
            let mut frame = alloc::vec![0; (*buffer).DataLength as usize];
            assert_eq!(buffer::copy_out(buffer, 0, &mut frame), frame.len());
            assert!(large != 0 || frame.len() <= 1514);
            WIRE.lock().extend(cut(&mut frame, checksums, large));
            buffer = (*buffer).Next;
            if !buffer.is_null() {
                SEEN[1].fetch_add(1, Ordering::Relaxed);
            }
        }
        if large != 0 {
            slots[TcpLargeSendNetBufferListInfo] = (1usize << 30) as PVOID;
        }
    }
    NdisMSendNetBufferListsComplete(handle(), lists, 0);
}

unsafe extern "win64" fn give_back_memory(context: PVOID, lists: *mut NET_BUFFER_LIST, flags: u32) {
    for list in chain::lists(lists) {
        INDICATED.lock().remove(&(list as usize));
    }
    give_back(context, lists, flags);
}

fn wire_handlers() -> NDIS_MINIPORT_DRIVER_CHARACTERISTICS {
    NDIS_MINIPORT_DRIVER_CHARACTERISTICS {
        InitializeHandlerEx: Some(initialize_with_offloads),
        SendNetBufferListsHandler: Some(send_to_wire),
        ReturnNetBufferListsHandler: Some(give_back_memory),
        ..handlers()
    }
}

/// Indicates frames as an adapter does: in chains, some with RESOURCES.
fn indicate(bench: &Bench, frames: Vec<Vec<u8>>, random: &mut Random) {
    for part in frames.chunks(5) {
        let resources = random.below(4) == 0;
        let mut built = chain::Builder::new();
        let mut kept = Vec::new();
        for frame in part {
            let to = frame.first_chunk().expect("a header");
            let (list, mut memory) = bench.frame(to, frame.len());
            memory.bytes()[..frame.len()].copy_from_slice(frame);
            // SAFETY: just allocated.
            unsafe { built.push(list) };
            if resources {
                kept.push((list, memory));
            } else {
                INDICATED.lock().insert(list as usize, Kept(memory));
            }
        }
        let (first, count) = built.finish();
        let flags = if resources {
            NDIS_RECEIVE_FLAGS_RESOURCES
        } else {
            0
        };
        bench.indicate(first, count, flags);
        for (list, _memory) in kept {
            // SAFETY: with RESOURCES the list is the miniport's again.
            unsafe { NdisFreeNetBufferList(list) };
        }
    }
}

const PEER: [u8; 6] = [2, 0, 0, 0, 0, 9];

fn v4(last: u8) -> IpCidr {
    IpCidr::Ipv4(Ipv4Cidr::new(Ipv4Address::new(10, 0, 0, last), 24))
}

/// Carries what both have to send, once.
fn turn(bench: &Bench, endpoint: &Endpoint, peer: &mut Ip<Vec<u8>, Vec<u8>>, random: &mut Random) {
    endpoint.give_back_late();
    let _: Left = endpoint.turn();
    for frame in core::mem::take(&mut *WIRE.lock()) {
        peer.port.receiving.push(frame);
    }
    peer.poll(now(), 256);
    peer.port.receiving.take_done();
    let mut ready = Vec::new();
    peer.port.sending.take(&mut ready);
    peer.port.sending.completed(ready.len());
    let frames = ready
        .into_iter()
        .map(|ready| ready.frame.bytes().to_vec())
        .collect();
    indicate(bench, frames, random);
}

#[test]
fn files_go_both_ways_through_a_miniport_and_nothing_is_found() {
    const BYTES: usize = 300_000;
    let bench = Bench::with(Sin::None, wire_handlers()).unwrap_or_else(|found| panic!("{found:?}"));
    assert!(crate::net::transmit::make_pool());
    let binding = Binding::new(bench.adapter);
    let info = binding.info().expect("initialised");
    let endpoint = Arc::new(Endpoint::new(binding, &info, terms(&info), 11));
    *bench.adapter.client.lock() = Some(bind::client(endpoint.clone()));
    life::bring_up(bench.adapter, bench.adapter.generation());
    assert_eq!(binding.set_packet_filter(bind::FILTER), Ok(()));
    endpoint.look(|stack| stack.set_addresses(&[v4(1)]));
    let mut peer = Ip::new(
        PEER,
        1500,
        crate::net::offload::Offloads::default(),
        5,
        now(),
    );
    peer.set_addresses(&[v4(2)]);
    let mut random = Random::new(3);
    let address = IpAddress::Ipv4(Ipv4Address::new(10, 0, 0, 1));
    let here = endpoint.look(|stack| stack.listen(7)).expect("a socket");
    let there = peer
        .connect(IpEndpoint::new(address, 7), 1 << 20, 1 << 20)
        .expect("a socket");
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let (mut put_up, mut put_down) = (0, 0);
    let byte = |at: usize, way: usize| (at.wrapping_mul(40_503) >> 7) as u8 ^ way as u8;
    let fill = |from: usize, way: usize| -> Vec<u8> {
        let count = (BYTES - from).min(20_000);
        (from..from + count).map(|at| byte(at, way)).collect()
    };
    for _ in 0..20_000 {
        turn(&bench, &endpoint, &mut peer, &mut random);
        let socket = peer.tcp(there);
        if socket.may_send() {
            put_up += socket.send_slice(&fill(put_up, 0)).unwrap_or(0);
        }
        while socket.can_recv() {
            let taken = socket.recv(|bytes| (bytes.len(), bytes.to_vec()));
            down.extend(taken.unwrap_or_default());
        }
        endpoint.with(|stack| {
            let socket = stack.tcp(here);
            if socket.may_send() {
                put_down += socket.send_slice(&fill(put_down, 1)).unwrap_or(0);
            }
            while socket.can_recv() {
                let taken = socket.recv(|bytes| (bytes.len(), bytes.to_vec()));
                up.extend(taken.unwrap_or_default());
            }
        });
        if up.len() == BYTES && down.len() == BYTES {
            break;
        }
    }
    assert_eq!((up.len(), down.len()), (BYTES, BYTES));
    assert!(up.iter().enumerate().all(|(at, &got)| got == byte(at, 0)));
    assert!(down.iter().enumerate().all(|(at, &got)| got == byte(at, 1)));
    assert!(SEEN[0].load(Ordering::Relaxed) > 3, "no large sends");
    bind::client(endpoint.clone()).pause(Pause::Internal);
    assert_eq!(INDICATED.lock().len(), 0, "frames were kept");
    let log = bench.turn.log();
    let found: Vec<&String> = log
        .iter()
        .filter(|line| line.contains("violation"))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}
