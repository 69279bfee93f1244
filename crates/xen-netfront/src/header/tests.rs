use super::*;
use crate::frames::{self, Frame};
use proptest::prelude::*;
use std::vec::Vec;

fn parse(frame: &[u8]) -> Headers {
    Headers::parse(frame, frame.len() as u32).unwrap()
}

#[test]
fn plain_data_is_tcp_with_ack_or_psh_and_at_most_a_time_stamp() {
    let is = |frame: Frame| {
        let frame = frame.payload(3000).bytes();
        parse(&frame).is_plain_data(&frame)
    };
    let flags = |flags: u8| {
        let mut frame = Frame::tcp6();
        frame.flags = flags;
        is(frame)
    };
    assert!(is(Frame::tcp4()) && flags(0x10) && flags(0x18));
    for other in [0x11, 0x12, 0x14, 0x30, 0x50, 0x90, 0x08, 0] {
        assert!(!flags(other), "{other:#x}");
    }
    assert!(!is(Frame::udp4()));
    assert!(!is(Frame::tcp4().ip_options(&[1, 1, 1, 1])));
    assert!(!is(
        Frame::tcp6().extensions(&[(protocol::HOP_BY_HOP, &[0; 6])])
    ));
    // As many bytes of options as a time stamp has, and none.
    assert!(!is(Frame::tcp4().tcp_options(12)));
    let mut stamped = Frame::tcp4().tcp_options(12).payload(10).bytes();
    stamped[54..58].copy_from_slice(&[1, 1, 8, 10]);
    assert!(parse(&stamped).is_plain_data(&stamped));
}

#[test]
fn a_tcp_frame_over_ipv4_is_taken_apart() {
    let frame = Frame::tcp4().payload(100).bytes();
    let headers = parse(&frame);
    assert_eq!(
        (headers.link, headers.ethertype, headers.tag),
        (14, 0x0800, None)
    );
    let network = headers.network.unwrap();
    assert_eq!(
        (
            network.offset,
            network.length,
            network.protocol,
            network.end
        ),
        (14, 20, protocol::TCP, frame.len() as u32)
    );
    assert_eq!(network.addresses(&frame), [frames::A4, frames::B4].concat());
    let transport = headers.transport.unwrap();
    assert_eq!(
        (
            transport.kind,
            transport.offset,
            transport.length,
            transport.end
        ),
        (Kind::Tcp, 34, 20, frame.len() as u32)
    );
    assert_eq!((transport.payload(), transport.covered()), (54, 120));
    assert_eq!(headers.length(), 54);
}

#[test]
fn options_and_extension_headers_are_passed_over() {
    let frame = Frame::tcp4()
        .ip_options(&[1, 1, 1, 0])
        .tcp_options(12)
        .payload(8)
        .bytes();
    let headers = parse(&frame);
    assert_eq!(headers.network.unwrap().length, 24);
    assert_eq!(headers.transport.unwrap().length, 32);
    let extensions = [
        (protocol::HOP_BY_HOP, &[0u8; 6][..]),
        (
            protocol::DESTINATION,
            &[1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        ),
        (protocol::ROUTING, &[0, 0, 0, 0, 0, 0]),
    ];
    for count in 0..=extensions.len() {
        let frame = Frame::tcp6()
            .extensions(&extensions[..count])
            .payload(8)
            .bytes();
        let headers = parse(&frame);
        let network = headers.network.unwrap();
        let bytes = extensions[..count]
            .iter()
            .map(|e| e.1.len() + 2)
            .sum::<usize>();
        assert_eq!(usize::from(network.length), 40 + bytes);
        assert_eq!(network.addresses(&frame), [frames::A6, frames::B6].concat());
        let transport = headers.transport.unwrap();
        assert_eq!((transport.kind, transport.covered()), (Kind::Tcp, 28));
    }
}

#[test]
fn a_tag_and_llc_snap_move_the_network_header() {
    let frame = Frame::udp4().tag(0xA123).payload(10).bytes();
    let headers = parse(&frame);
    assert_eq!((headers.tag, headers.link), (Some(0xA123), 18));
    assert_eq!(headers.transport.unwrap().kind, Kind::Udp);
    let mut snap = frame[..12].to_vec();
    snap.extend([0x00, 0x40, 0xAA, 0xAA, 0x03, 0, 0, 0, 0x08, 0x00]);
    snap.extend(&frame[18..]);
    let headers = parse(&snap);
    assert_eq!(
        (headers.tag, headers.link, headers.ethertype),
        (None, 22, 0x0800)
    );
    assert_eq!(headers.transport.unwrap().offset, 42);
    let mut llc = frame[..12].to_vec();
    llc.extend([0x00, 0x03, 0x42, 0x42, 0x03]);
    let headers = parse(&llc);
    assert_eq!((headers.ethertype, headers.network), (0, None));
}

#[test]
fn padding_is_not_part_of_the_datagram() {
    let mut frame = Frame::udp4().payload(4).bytes();
    let end = frame.len() as u32;
    frame.resize(60, 0);
    let headers = parse(&frame);
    assert_eq!(headers.network.unwrap().end, end);
    assert_eq!(headers.transport.unwrap().end, end);
}

#[test]
fn fragments_have_no_transport_header() {
    for flags in [0x2000u16, 0x0001, 0x1FFF, 0x2001] {
        let mut frame = Frame::udp4().payload(10).bytes();
        frame[20..22].copy_from_slice(&flags.to_be_bytes());
        let headers = parse(&frame);
        assert!(headers.network.unwrap().fragment);
        assert_eq!(headers.transport, None);
    }
    let mut frame = Frame::udp4().payload(10).bytes();
    frame[20] = 0x40;
    assert!(parse(&frame).transport.is_some(), "don't fragment");
    for (word, fragment) in [(0u16, false), (1, true), (8, true), (0xFFF8, true)] {
        let [high, low] = word.to_be_bytes();
        let extension = [(protocol::FRAGMENT, &[high, low, 0, 0, 0, 1][..])];
        let frame = Frame::tcp6().extensions(&extension).payload(10).bytes();
        let headers = parse(&frame);
        assert_eq!(headers.network.unwrap().fragment, fragment);
        assert_eq!(headers.transport.is_none(), fragment);
    }
}

#[test]
fn addresses_that_are_not_the_final_ones_hide_the_transport_header() {
    for options in [
        &[131, 7, 4, 1, 2, 3, 4, 0][..],
        &[1, 137, 3, 4],
        &[7, 1, 0, 0],
        &[7, 9, 0, 0],
    ] {
        let frame = Frame::tcp4().ip_options(options).payload(4).bytes();
        assert_eq!(parse(&frame).transport, None, "{options:?}");
    }
    let home = [(
        protocol::DESTINATION,
        &[
            0xC9, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0,
        ][..],
    )];
    assert_eq!(
        parse(&Frame::tcp6().extensions(&home).bytes()).transport,
        None
    );
    let route = [(protocol::ROUTING, &[4, 1, 0, 0, 0, 0][..])];
    assert_eq!(
        parse(&Frame::tcp6().extensions(&route).bytes()).transport,
        None
    );
}

#[test]
fn a_large_packet_to_send_may_say_no_length() {
    let mut frame = Frame::tcp4().payload(100).bytes();
    frame[16..18].fill(0);
    assert_eq!(parse(&frame).transport.unwrap().covered(), 120);
    let mut frame = Frame::tcp6().payload(100).bytes();
    frame[18..20].fill(0);
    assert_eq!(parse(&frame).transport.unwrap().covered(), 120);
}

#[test]
fn headers_that_contradict_themselves_are_not_there() {
    let good = Frame::tcp4().payload(10).bytes();
    for (at, value) in [(14, 0x55), (14, 0x44), (14, 0x4F), (16, 0xFF), (17, 19)] {
        let mut frame = good.clone();
        frame[at] = value;
        assert_eq!(parse(&frame).network, None, "{at} {value:#x}");
    }
    for value in [0x00, 0x40, 0xF0] {
        let mut frame = good.clone();
        frame[14 + 20 + 12] = value;
        assert!(parse(&frame).network.is_some());
        assert_eq!(parse(&frame).transport, None, "{value:#x}");
    }
    for length in [1u16, 7, 19, 0xFFFF] {
        let mut frame = Frame::udp4().payload(10).bytes();
        frame[38..40].copy_from_slice(&length.to_be_bytes());
        assert_eq!(parse(&frame).transport, None, "{length}");
    }
}

#[test]
fn headers_that_are_cut_off_are_not_there() {
    let frame = Frame::tcp6().payload(10).bytes();
    for length in 0..frame.len() {
        match Headers::parse(&frame[..length], frame.len() as u32) {
            None => assert!(length < 14),
            Some(headers) => {
                assert_eq!(headers.network.is_some(), length >= 54);
                assert_eq!(headers.transport.is_some(), length >= 74);
            }
        }
    }
    // More extension headers than are followed, or than fit.
    let many = [(protocol::HOP_BY_HOP, &[0u8; 6][..]); 12];
    assert_eq!(
        parse(&Frame::tcp6().extensions(&many).bytes()).transport,
        None
    );
    let long = [(protocol::HOP_BY_HOP, &[0u8; 254][..])];
    assert_eq!(
        parse(&Frame::tcp6().extensions(&long).bytes()).transport,
        None
    );
}

#[test]
fn destinations_have_a_kind() {
    assert_eq!(Cast::of(&[0xFF; 6]), Cast::Broadcast);
    assert_eq!(Cast::of(&[0x01, 0, 0x5E, 0, 0, 1]), Cast::Multicast);
    assert_eq!(Cast::of(&[0x33, 0x33, 0, 0, 0, 1]), Cast::Multicast);
    assert_eq!(Cast::of(&[0x00, 0x16, 0x3E, 0, 0, 1]), Cast::Unicast);
}

proptest! {
    #[test]
    fn any_bytes_parse_within_their_bounds(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..400), pick in 0usize..4, total in 0u32..70_000,
    ) {
        let types: [&[u8]; 4] = [&[8, 0, 0x45], &[0x86, 0xDD, 0x60], &[0x81, 0], &[]];
        for (to, from) in bytes.iter_mut().skip(12).zip(types[pick]) {
            *to = *from;
        }
        if let Some(headers) = Headers::parse(&bytes, total) {
            let seen = bytes.len().min(HEADER_MAX).min(total as usize) as u32;
            prop_assert!(headers.length() <= seen);
            if let Some(network) = headers.network {
                prop_assert!(network.end <= total);
                prop_assert!(!network.addresses(&bytes).is_empty());
            }
            if let Some(transport) = headers.transport {
                prop_assert!(transport.payload() <= transport.end && transport.end <= total);
                prop_assert!(transport.checksum() + 2 <= bytes.len());
            }
        }
    }

    #[test]
    fn any_change_to_a_good_frame_parses(changes: Vec<(u8, u8)>, six: bool) {
        let frame = if six { Frame::tcp6() } else { Frame::tcp4() };
        let mut frame = frame.payload(64).bytes();
        for (at, value) in changes {
            let at = at as usize % frame.len();
            frame[at] = value;
        }
        let headers = parse(&frame);
        prop_assert!(headers.length() as usize <= frame.len());
    }
}
