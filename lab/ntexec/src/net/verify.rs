//! What an adapter says of a received frame, compared with the frame. Whether it may say anything at all is NDIS' to check.

use super::checksum::{self, Verdict};
use super::headers::{ETHERNET, Headers, TAG, Transport};
use super::oob::Claims;

/// A received frame with what was said of it.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The frame
    pub frame: &'a [u8],
    /// Its checksums
    pub claims: Claims,
    /// Bytes of the largest IP packet
    pub mtu: usize,
    /// The transport's checksum is looked at even if the adapter vouches for it
    pub thorough: bool,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The stack gets it
    pub good: bool,
    /// It is longer than the MTU
    pub large: bool,
    /// The adapter vouched for its transport checksum
    pub vouched: bool,
    /// The rule that the adapter broke
    pub finding: Option<&'static str>,
}

/// Looks at a frame.
pub fn check(arrival: &Arrival<'_>) -> Outcome {
    let frame = arrival.frame;
    let mut outcome = Outcome {
        good: true,
        ..Outcome::default()
    };
    if frame.len() < ETHERNET {
        return Outcome {
            good: false,
            finding: Some("a frame that is indicated has an Ethernet header"),
            ..outcome
        };
    }
    let headers = Headers::parse(frame);
    let length = headers.as_ref().map_or(frame.len(), |h| h.end);
    let tag = headers.as_ref().map_or(0, |h| h.ip - ETHERNET);
    outcome.large = length > arrival.mtu + ETHERNET + tag.min(TAG);
    let Some(headers) = headers else {
        return outcome;
    };
    outcome.good &= ip(arrival, &headers, &mut outcome);
    outcome.good &= transport(arrival, &headers, &mut outcome);
    outcome
}

fn ip(arrival: &Arrival<'_>, headers: &Headers, outcome: &mut Outcome) -> bool {
    if headers.v6 || arrival.claims.ip_invalid {
        return true;
    }
    let right = checksum::ip_is_right(arrival.frame, headers);
    if arrival.claims.ip.is_some_and(|claim| claim != right) {
        outcome.finding = Some("what is said of an IPv4 header's checksum is true");
    }
    right
}

fn transport(arrival: &Arrival<'_>, headers: &Headers, outcome: &mut Outcome) -> bool {
    let claims = &arrival.claims;
    if claims.transport.is_some() {
        let tcp = matches!(headers.kind, Transport::Tcp { .. });
        let of_its_kind = headers.kind != Transport::Other && tcp == claims.tcp;
        if !of_its_kind {
            outcome.finding = Some("what is said of TCP or UDP checksums is said of TCP or UDP");
        }
    }
    outcome.vouched = claims.transport == Some(true);
    if outcome.vouched && (claims.transport_invalid || !arrival.thorough) {
        return true;
    }
    let Some(verdict) = checksum::transport(arrival.frame, headers) else {
        return true;
    };
    match (claims.transport, verdict) {
        (Some(true), Verdict::Wrong) => {
            outcome.finding = Some("what is said of a TCP or UDP checksum is true");
            false
        }
        (Some(true), Verdict::Partial) => {
            outcome.finding = Some("a blank checksum is completed before a frame goes up");
            true
        }
        (Some(false), Verdict::Right) => {
            outcome.finding = Some("what is said of a TCP or UDP checksum is true");
            true
        }
        (_, verdict) => verdict == Verdict::Right,
    }
}

#[cfg(test)]
mod tests {
    use super::super::headers::test_frame;
    use super::*;
    use std::vec::Vec;

    fn right(payload: usize) -> Vec<u8> {
        let mut frame = test_frame(false, &std::vec![3; payload]);
        let headers = Headers::parse(&frame).unwrap();
        checksum::fill_ip(&mut frame, &headers);
        checksum::fill_transport(&mut frame, &headers);
        frame
    }

    fn arrival(frame: &[u8], slot: usize) -> Arrival<'_> {
        Arrival {
            frame,
            claims: Claims::read(slot),
            mtu: 1500,
            thorough: true,
        }
    }

    const SUCCEEDED: usize = 0b101000;

    #[test]
    fn true_claims_and_none_are_no_finding() {
        let frame = right(100);
        for slot in [0, SUCCEEDED] {
            let outcome = check(&arrival(&frame, slot));
            assert!(outcome.good && outcome.finding.is_none());
            assert_eq!(outcome.vouched, slot != 0);
        }
    }

    #[test]
    fn a_wrong_checksum_that_is_vouched_for_is_a_finding_and_the_frame_is_dropped() {
        let mut frame = right(100);
        *frame.last_mut().unwrap() ^= 1;
        let outcome = check(&arrival(&frame, SUCCEEDED));
        assert!(!outcome.good && outcome.finding.is_some());
        // Without a claim it is what happens on wires.
        let outcome = check(&arrival(&frame, 0));
        assert!(!outcome.good && outcome.finding.is_none());
    }

    #[test]
    fn a_blank_checksum_is_a_finding_and_the_frame_is_kept() {
        let mut frame = right(100);
        let headers = Headers::parse(&frame).unwrap();
        let seed = checksum::pseudo_header(&frame, &headers, headers.end - headers.transport);
        super::super::headers::put16(&mut frame, headers.transport + 16, seed);
        let outcome = check(&arrival(&frame, SUCCEEDED));
        assert!(outcome.good && outcome.finding.is_some());
    }

    #[test]
    fn a_frame_above_the_mtu_is_large() {
        let frame = right(3000);
        assert!(check(&arrival(&frame, SUCCEEDED)).large);
        let frame = right(1460);
        assert!(!check(&arrival(&frame, SUCCEEDED)).large);
    }

    #[test]
    fn a_claim_of_another_kind_of_frame_is_a_finding() {
        let frame = right(100);
        assert!(check(&arrival(&frame, 0b10000)).finding.is_some());
        // What is no IP is not looked at.
        assert!(check(&arrival(&[0; 60], 0b1000)).finding.is_none());
    }

    #[test]
    fn a_runt_without_a_header_is_dropped() {
        let outcome = check(&arrival(&[0; 13], 0));
        assert!(!outcome.good && outcome.finding.is_some());
    }
}
