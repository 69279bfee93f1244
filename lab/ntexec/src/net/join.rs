//! Joins TCP segments that follow each other into one large send.
//!
//! The stack cuts large sends over IPv4 itself to what the adapter takes; over IPv6 it gives one segment after the
//! other, which are joined here while they wait to be sent.

use super::headers::{Headers, Transport, be16, be32, flag, put16};
use super::offload::{Large, may_be_large};

/// A frame that waits, and may grow.
pub trait Growing {
    /// Its bytes
    fn bytes(&self) -> &[u8];
    /// The same, to be changed
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Puts bytes at its end; false if it has no room.
    fn append(&mut self, more: &[u8]) -> bool;
    /// The payload of each segment that is in it, once it is a large send
    fn segment(&self) -> Option<usize>;
    /// Makes it a large send.
    fn set_segment(&mut self, size: usize);
}

/// The part of a TCP header that must be alike: ports, acknowledgment, flags but FIN and PSH, window.
fn alike(a: &[u8], ah: &Headers, b: &[u8], bh: &Headers) -> bool {
    const END: u8 = flag::FIN | flag::PSH;
    let (at, bt) = (ah.transport, bh.transport);
    let flags = |frame: &[u8], at: usize| frame.get(at + 13).map(|flags| flags & !END);
    ah.v6 == bh.v6
        && ah.ip == bh.ip
        && at == bt
        && ah.payload() == bh.payload()
        && a.get(..ah.ip) == b.get(..bh.ip)
        && addresses(a, ah) == addresses(b, bh)
        // Traffic class and flow label, or type of service; hop limit or time to live.
        && a.get(ah.ip..ah.ip + 2) == b.get(bh.ip..bh.ip + 2)
        && a.get(ah.ip + if ah.v6 { 7 } else { 8 }) == b.get(bh.ip + if bh.v6 { 7 } else { 8 })
        && a.get(at..at + 4) == b.get(bt..bt + 4)
        && a.get(at + 8..at + 13) == b.get(bt + 8..bt + 13)
        && flags(a, at) == flags(b, bt)
        && be16(a, at + 14) == be16(b, bt + 14)
        && a.get(at + 18..ah.payload()) == b.get(bt + 18..bh.payload())
}

fn addresses<'a>(frame: &'a [u8], headers: &Headers) -> Option<&'a [u8]> {
    let (at, count) = headers.addresses();
    frame.get(at..at + count)
}

/// Joins `next` to `last`, the frame sent before it: true if `next` is now part of `last`.
///
/// It must be the next segment of the same flow with equal headers, `last` must consist of whole segments of one size that
/// `next` does not exceed, and no frame with FIN or PSH takes anything more.
pub fn join(last: &mut impl Growing, next: &[u8], limits: Large) -> bool {
    let joined = fits(last.bytes(), last.segment(), next, limits);
    let Some((size, payload)) = joined else {
        return false;
    };
    let Some(data) = next.get(payload.start..payload.end) else {
        return false;
    };
    if !last.append(data) {
        return false;
    }
    last.set_segment(size);
    take_over(last.bytes_mut(), next);
    true
}

struct Payload {
    start: usize,
    end: usize,
}

fn fits(
    last: &[u8],
    segment: Option<usize>,
    next: &[u8],
    limits: Large,
) -> Option<(usize, Payload)> {
    let (lh, nh) = (Headers::parse(last)?, Headers::parse(next)?);
    if !may_be_large(last, &lh) || !may_be_large(next, &nh) || !alike(last, &lh, next, &nh) {
        return None;
    }
    let Transport::Tcp { .. } = lh.kind else {
        return None;
    };
    let (had, more) = (lh.end - lh.payload(), nh.end - nh.payload());
    let size = segment.unwrap_or(had);
    let ended = *last.get(lh.transport + 13)? & (flag::FIN | flag::PSH) != 0;
    let sequence = be32(last, lh.transport + 4)?.wrapping_add(had as u32);
    let whole = size > 0 && had % size == 0 && more > 0 && more <= size;
    let in_order = be32(next, nh.transport + 4)? == sequence;
    let room = had + more <= limits.payload(lh.payload() - lh.ip);
    (!ended && whole && in_order && room).then_some((
        size,
        Payload {
            start: nh.payload(),
            end: nh.end,
        },
    ))
}

/// Brings the headers of `frame`, which has grown, up to date: its length, and FIN and PSH of `next`.
fn take_over(frame: &mut [u8], next: &[u8]) {
    let Some(headers) = Headers::parse(next) else {
        return;
    };
    let length = frame.len() - headers.ip;
    if headers.v6 {
        put16(frame, headers.ip + 4, (length - 40) as u16);
    } else {
        put16(frame, headers.ip + 2, length as u16);
    }
    let ends = next
        .get(headers.transport + 13)
        .map_or(0, |flags| flags & (flag::FIN | flag::PSH));
    if let Some(flags) = frame.get_mut(headers.transport + 13) {
        *flags |= ends;
    }
}

#[cfg(test)]
mod tests {
    use super::super::headers::{put32, test_frame};
    use super::super::segment::segments;
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[derive(Debug)]
    struct Frame(Vec<u8>, Option<usize>);

    impl Growing for Frame {
        fn bytes(&self) -> &[u8] {
            &self.0
        }
        fn bytes_mut(&mut self) -> &mut [u8] {
            &mut self.0
        }
        fn append(&mut self, more: &[u8]) -> bool {
            self.0.extend_from_slice(more);
            true
        }
        fn segment(&self) -> Option<usize> {
            self.1
        }
        fn set_segment(&mut self, size: usize) {
            self.1 = Some(size);
        }
    }

    const LIMITS: Large = Large {
        size: 60000,
        segments: 2,
    };

    fn at(v6: bool, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut frame = test_frame(v6, payload);
        let headers = Headers::parse(&frame).unwrap();
        put32(&mut frame, headers.transport + 4, sequence);
        frame
    }

    #[test]
    fn what_does_not_follow_is_not_joined() {
        let first = || Frame(at(true, 100, &[1; 1000]), None);
        let change = |f: &dyn Fn(&mut Vec<u8>, &Headers)| {
            let mut next = at(true, 1100, &[2; 1000]);
            let headers = Headers::parse(&next).unwrap();
            f(&mut next, &headers);
            join(&mut first(), &next, LIMITS)
        };
        assert!(change(&|_, _| ()));
        assert!(!change(&|f, h| put32(f, h.transport + 4, 1101)));
        assert!(!change(&|f, h| put32(f, h.transport + 8, 9)));
        assert!(!change(&|f, h| put16(f, h.transport, 9)));
        assert!(!change(&|f, h| put16(f, h.transport + 14, 9)));
        assert!(!change(&|f, h| f[h.transport + 13] |= flag::SYN));
        assert!(!change(&|f, h| f[h.transport + 13] |= flag::RST));
        assert!(!change(&|f, _| f[0] ^= 2));
        assert!(!change(&|f, h| f[h.ip + 8] ^= 2));
        assert!(!join(&mut first(), &at(true, 1100, &[2; 1001]), LIMITS));
        assert!(!join(&mut first(), &at(false, 1100, &[2; 1000]), LIMITS));
        let small = Large {
            size: 1999,
            ..LIMITS
        };
        assert!(!join(&mut first(), &at(true, 1100, &[2; 1000]), small));
    }

    #[test]
    fn nothing_is_joined_behind_a_push_or_a_short_segment() {
        let mut last = Frame(at(true, 0, &[1; 1000]), None);
        let headers = Headers::parse(&last.0).unwrap();
        last.0[headers.transport + 13] |= flag::PSH;
        assert!(!join(&mut last, &at(true, 1000, &[2; 1000]), LIMITS));
        let mut last = Frame(at(true, 0, &[1; 1000]), None);
        assert!(join(&mut last, &at(true, 1000, &[2; 10]), LIMITS));
        assert!(!join(&mut last, &at(true, 1010, &[2; 10]), LIMITS));
    }

    proptest! {
        #[test]
        fn cutting_what_was_joined_gives_the_segments_again(v6: bool, payload in proptest::collection::vec(any::<u8>(), 2..9000), size in 100usize..2000, sequence: u32) {
            let whole = at(v6, sequence, &payload);
            let parts = segments(&whole, size);
            let mut queue: Vec<Frame> = Vec::new();
            for part in &parts {
                let joined = queue.last_mut().is_some_and(|last| join(last, part, LIMITS));
                if !joined {
                    queue.push(Frame(part.clone(), None));
                }
            }
            let again: Vec<Vec<u8>> = queue
                .iter()
                .flat_map(|frame| segments(&frame.0, frame.1.unwrap_or(usize::MAX)))
                .collect();
            prop_assert_eq!(queue.len(), 1);
            prop_assert_eq!(again, parts);
        }
    }
}
