//! Two stacks, with an adapter between each and the wire that does what adapters do by the rules, and a wire that loses
//! frames and changes their order.

use super::*;
use crate::net::checksum;
use crate::net::device::Ready;
use crate::net::headers::{Headers, Transport, be16};
use crate::net::offload::{Direction, Large};
use crate::net::segment::segments;
use crate::run::pattern::Random;
use alloc::collections::VecDeque;
use proptest::prelude::*;
use smoltcp::wire::Ipv4Cidr;

impl Frame for Vec<u8> {
    fn new(length: usize) -> Option<Self> {
        Some(vec![0xa5; length])
    }
    fn bytes(&self) -> &[u8] {
        self
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        self
    }
    fn append(&mut self, more: &[u8]) -> bool {
        self.extend_from_slice(more);
        true
    }
}

type TestStack = Stack<Vec<u8>, Vec<u8>>;

const MTU: usize = 1500;

fn offloads(bits: u8) -> Offloads {
    let on = |bit: u8| Direction {
        send: bits >> bit & 1 != 0,
        receive: false,
    };
    // Large sends need the checksums of TCP and IP.
    let large = |bit: u8| {
        (bits >> bit & 1 != 0).then_some(Large {
            size: 40_000,
            segments: 3,
        })
    };
    let all = Direction {
        send: true,
        receive: true,
    };
    let (large4, large6) = (large(3), large(4));
    Offloads {
        ip: if large4.is_some() { all } else { on(0) },
        tcp4: if large4.is_some() { all } else { on(1) },
        tcp6: if large6.is_some() { all } else { on(1) },
        udp4: on(2),
        udp6: on(2),
        large4,
        large6,
        ..Offloads::default()
    }
}

/// What an adapter puts on the wire for a frame.
fn transmit(ready: Ready<Vec<u8>>, largest: &mut usize) -> Vec<Vec<u8>> {
    let Ready { mut frame, work } = ready;
    let headers = Headers::parse(&frame);
    if let Some(size) = work.segment {
        let headers = headers.unwrap();
        let length = headers.ip + if headers.v6 { 4 } else { 2 };
        assert_eq!(be16(&frame, length), Some(0));
        assert_eq!(
            be16(&frame, work.transport + 16),
            Some(checksum::pseudo_header(&frame, &headers, 0))
        );
        let payload = frame.len() - work.headers;
        assert!(payload <= 40_000 && payload.div_ceil(size) >= 3);
        *largest = (*largest).max(payload);
        return segments(&frame, size);
    }
    assert!(frame.len() <= MTU + 14);
    if let Some(headers) = headers {
        if work.ip {
            checksum::fill_ip(&mut frame, &headers);
        }
        if work.tcp || work.udp {
            assert_eq!(
                checksum::transport(&frame, &headers),
                Some(checksum::Verdict::Partial)
            );
            checksum::fill_transport(&mut frame, &headers);
        }
    }
    Vec::from([frame])
}

/// A wire in one direction.
struct Wire {
    frames: VecDeque<Vec<u8>>,
    random: Random,
    lost: u64,
    reordered: u64,
}

impl Wire {
    fn new(seed: u64, lost: u64, reordered: u64) -> Self {
        Self {
            frames: VecDeque::new(),
            random: Random::new(seed),
            lost,
            reordered,
        }
    }

    fn put(&mut self, frame: Vec<u8>) {
        let headers = Headers::parse(&frame);
        if let Some(headers) = &headers {
            assert!(checksum::ip_is_right(&frame, headers));
            let verdict = checksum::transport(&frame, headers);
            assert!(matches!(verdict, None | Some(checksum::Verdict::Right)));
        }
        // What is not TCP comes again by itself no sooner than in seconds: it is not lost here.
        let tcp = headers.is_some_and(|h| matches!(h.kind, Transport::Tcp { .. }));
        if tcp && self.random.below(1000) < self.lost {
            return;
        }
        if self.random.below(1000) < self.reordered && !self.frames.is_empty() {
            let at = self.random.below(self.frames.len() as u64 + 1) as usize;
            self.frames.insert(at, frame);
        } else {
            self.frames.push_back(frame);
        }
    }
}

struct Pair {
    a: TestStack,
    b: TestStack,
    there: Wire,
    back: Wire,
    now: i64,
    largest: usize,
}

fn v4(last: u8) -> IpAddress {
    IpAddress::Ipv4(Ipv4Address::new(10, 0, 0, last))
}

impl Pair {
    fn new(bits: u8, seed: u64, lost: u64, reordered: u64) -> Self {
        let make = |last: u8| {
            let mut stack = TestStack::new(
                [2, 0, 0, 0, 0, last],
                MTU,
                offloads(bits),
                seed + u64::from(last),
                Instant::ZERO,
            );
            let IpAddress::Ipv4(address) = v4(last) else {
                unreachable!()
            };
            stack.set_addresses(&[IpCidr::Ipv4(Ipv4Cidr::new(address, 24))]);
            stack
        };
        Self {
            a: make(1),
            b: make(2),
            there: Wire::new(seed ^ 1, lost, reordered),
            back: Wire::new(seed ^ 2, lost, reordered),
            now: 0,
            largest: 0,
        }
    }

    fn turn(&mut self) {
        let now = Instant::from_micros(self.now);
        let mut next = now + Duration::from_millis(200);
        for stack in [&mut self.a, &mut self.b] {
            match stack.poll(now, 64) {
                Left::More => next = now,
                Left::Until(Some(at)) => next = next.min(at),
                Left::Until(None) => {}
            }
            stack.port.receiving.take_done();
        }
        let mut carry = |from: &mut TestStack, to: &mut TestStack, wire: &mut Wire| {
            let mut ready = Vec::new();
            from.port.sending.take(&mut ready);
            from.port.sending.completed(ready.len());
            for frame in ready {
                for frame in transmit(frame, &mut self.largest) {
                    wire.put(frame);
                }
            }
            for frame in wire.frames.drain(..) {
                to.port.receiving.push(frame);
                next = now;
            }
        };
        carry(&mut self.a, &mut self.b, &mut self.there);
        carry(&mut self.b, &mut self.a, &mut self.back);
        self.now = next.total_micros().max(self.now + 10);
    }

    /// Sends `bytes` from `a` to `b` and says how many came as they were sent.
    fn transfer(&mut self, peer: IpAddress, bytes: usize) -> usize {
        let listener = self.b.listen(5001).unwrap();
        let sender = self
            .a
            .connect(IpEndpoint::new(peer, 5001), 1 << 16, 1 << 20)
            .unwrap();
        let (mut sent, mut received) = (0usize, 0usize);
        let byte = |at: usize| (at.wrapping_mul(2_654_435_761) >> 13) as u8;
        while self.now < 600_000_000 {
            self.turn();
            let socket = self.a.tcp(sender);
            if socket.may_send() && sent < bytes {
                sent += socket
                    .send(|room| {
                        let count = room.len().min(bytes - sent);
                        for (index, place) in room[..count].iter_mut().enumerate() {
                            *place = byte(sent + index);
                        }
                        (count, count)
                    })
                    .unwrap();
                if sent == bytes {
                    self.a.tcp(sender).close();
                }
            }
            let socket = self.b.tcp(listener);
            let mut right = true;
            while socket.can_recv() {
                received += socket
                    .recv(|data| {
                        right &= data
                            .iter()
                            .enumerate()
                            .all(|(index, &got)| got == byte(received + index));
                        (data.len(), data.len())
                    })
                    .unwrap();
            }
            assert!(right, "wrong bytes before {received}");
            if received == bytes {
                break;
            }
        }
        received
    }
}

#[test]
fn a_file_crosses_with_large_sends_over_both_versions() {
    for (peer, v6) in [
        (v4(2), false),
        (IpAddress::Ipv6(link_local([2, 0, 0, 0, 0, 2])), true),
    ] {
        let mut pair = Pair::new(0xff, 7, 0, 0);
        assert_eq!(pair.transfer(peer, 3 << 20), 3 << 20);
        assert!(
            pair.largest > 30_000,
            "IPv{}: no send was larger than {}",
            if v6 { 6 } else { 4 },
            pair.largest
        );
    }
}

#[test]
fn without_large_sends_no_frame_exceeds_the_mtu() {
    let mut pair = Pair::new(0, 3, 0, 0);
    assert_eq!(pair.transfer(v4(2), 1 << 20), 1 << 20);
    assert_eq!(pair.largest, 0);
}

#[test]
fn a_connection_outlives_a_change_of_offloads() {
    let mut pair = Pair::new(0xff, 5, 0, 0);
    let listener = pair.b.listen(7).unwrap();
    let sender = pair
        .a
        .connect(IpEndpoint::new(v4(2), 7), 1 << 16, 1 << 16)
        .unwrap();
    for _ in 0..20 {
        pair.turn();
    }
    assert!(pair.a.tcp(sender).may_send());
    pair.a.set_device(MTU, Offloads::default());
    pair.a.tcp(sender).send_slice(&[1; 9000]).unwrap();
    pair.largest = 0;
    for _ in 0..50 {
        pair.turn();
    }
    assert_eq!(pair.b.tcp(listener).recv_queue(), 9000);
    assert_eq!(pair.largest, 0);
}

#[test]
fn what_comes_for_a_connection_changes_its_mark_alone() {
    let mut pair = Pair::new(0xff, 9, 0, 0);
    let connect = |pair: &mut Pair, port| {
        let listener = pair.b.listen(port).unwrap();
        let to = IpEndpoint::new(v4(2), port);
        (pair.a.connect(to, 1 << 16, 1 << 16).unwrap(), listener)
    };
    let (first, first_listener) = connect(&mut pair, 7);
    let (second, second_listener) = connect(&mut pair, 8);
    for _ in 0..50 {
        pair.turn();
    }
    let marks = |pair: &Pair| {
        let a = [first, second].map(|handle| pair.a.mark(handle));
        (a, [first_listener, second_listener].map(|h| pair.b.mark(h)))
    };
    let before = marks(&pair);
    pair.a.tcp(first).send_slice(&[1; 9000]).unwrap();
    let queued = marks(&pair);
    assert_eq!(queued.0[0].queued, 9000);
    for _ in 0..50 {
        pair.turn();
    }
    // Sent and acknowledged here, received there; nothing happened to the other connection.
    let after = marks(&pair);
    assert_eq!(after.0[0], before.0[0]);
    assert_eq!(after.1[0].received, 9000);
    assert_eq!((after.0[1], after.1[1]), (before.0[1], before.1[1]));
    pair.a.tcp(first).close();
    for _ in 0..50 {
        pair.turn();
    }
    assert_ne!(pair.b.mark(first_listener).state, after.1[0].state);
}

#[test]
fn a_window_that_closes_on_lost_data_and_opens_unsaid_is_found_open() {
    let mut pair = Pair::new(0xff, 11, 0, 0);
    let listener = pair.b.listen(7).unwrap();
    let to = IpEndpoint::new(v4(2), 7);
    let sender = pair.a.connect(to, 1 << 16, 1 << 16).unwrap();
    for _ in 0..20 {
        pair.turn();
    }
    pair.a.tcp(sender).send_slice(&[1; 100]).unwrap();
    // The answer to this is what says that the window is closed.
    let mut answer = None;
    for _ in 0..20 {
        let now = Instant::from_micros(pair.now);
        pair.b.poll(now, 64);
        let mut ready = Vec::new();
        pair.b.port.sending.take(&mut ready);
        pair.b.port.sending.completed(ready.len());
        for frame in ready {
            let frames = transmit(frame, &mut pair.largest);
            answer = frames.last().cloned();
            frames
                .into_iter()
                .for_each(|frame| pair.a.port.receiving.push(frame));
        }
        pair.turn();
    }
    assert_eq!(pair.b.tcp(listener).recv_queue(), 100);
    let mut closed = answer.unwrap();
    let headers = Headers::parse(&closed).unwrap();
    closed[headers.transport + 14..][..2].fill(0);
    checksum::fill_transport(&mut closed, &headers);
    // Lost, as by a peer that has no memory for it.
    pair.a.tcp(sender).send_slice(&[2; 5000]).unwrap();
    pair.a.poll(Instant::from_micros(pair.now), 64);
    let mut lost = Vec::new();
    pair.a.port.sending.take(&mut lost);
    assert!(!lost.is_empty());
    pair.a.port.sending.completed(lost.len());
    pair.a.port.receiving.push(closed);
    let end = pair.now + 30_000_000;
    while pair.now < end {
        pair.turn();
    }
    assert_eq!(pair.b.tcp(listener).recv_queue(), 5100);
}

#[test]
fn a_large_echo_is_fragmented_and_answered() {
    let mut pair = Pair::new(0xff, 5, 0, 0);
    let handle = pair.a.echo_socket(77).unwrap();
    let peer = v4(2);
    let payload = [0x5a; 5000];
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr};
    let repr = Icmpv4Repr::EchoRequest {
        ident: 77,
        seq_no: 1,
        data: &payload,
    };
    let place = pair.a.echo(handle).send(repr.buffer_len(), peer).unwrap();
    repr.emit(
        &mut Icmpv4Packet::new_unchecked(place),
        &ChecksumCapabilities::default(),
    );
    for _ in 0..50 {
        pair.turn();
    }
    let (answer, from) = pair.a.echo(handle).recv().unwrap();
    assert_eq!(from, peer);
    assert_eq!(answer.len(), 5008);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_file_crosses_a_wire_that_loses_and_reorders(bits: u8, seed: u64, lost in 0u64..30, reordered in 0u64..50, v6: bool, bytes in 1usize..600_000) {
        let seed = seed >> 1;
        let mut pair = Pair::new(bits, seed, lost, reordered);
        let peer = if v6 { IpAddress::Ipv6(link_local([2, 0, 0, 0, 0, 2])) } else { v4(2) };
        prop_assert_eq!(pair.transfer(peer, bytes), bytes);
    }
}
