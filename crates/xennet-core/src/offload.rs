//! Task offloads: what the adapter can, what the configuration turned on, and what OIDs change.

use ndis_sys::object::{NDIS_OBJECT_HEADER, kind};
use ndis_sys::offload::{
    CHECKSUM_DIRECTION, ENCAPSULATION_IEEE_802_3, NDIS_OFFLOAD, NDIS_TCP_LARGE_SEND_OFFLOAD_V2,
    SIZEOF_OFFLOAD_ENCAPSULATION_REVISION_1, SIZEOF_OFFLOAD_PARAMETERS_REVISION_1, checksum,
    lso_v6, parameter, set,
};
use ndis_sys::version::Version;
use ndis_sys::{NDIS_STATUS, status};

use crate::bytes::{u8_at, u16_at, u32_at};
use crate::settings::{Settings, Ways};

/// Most bytes of TCP payload in a large send: with its headers it must fit the 65,535 bytes of a packet on Xen's ring.
pub const LARGEST_SEND: u32 = 64_512;
/// Fewer segments than this are not worth a large send.
pub const LEAST_SEGMENTS: u32 = 2;

/// Offloads, each on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offloads {
    /// IPv4's header checksum.
    pub ip: Ways,
    /// TCP's over IPv4.
    pub tcp_ipv4: Ways,
    /// TCP's over IPv6.
    pub tcp_ipv6: Ways,
    /// UDP's over IPv4.
    pub udp_ipv4: Ways,
    /// UDP's over IPv6.
    pub udp_ipv6: Ways,
    /// Large sends, version 2, over IPv4.
    pub lso_ipv4: bool,
    /// The same over IPv6.
    pub lso_ipv6: bool,
    /// Received segments joined, over IPv4.
    pub rsc_ipv4: bool,
    /// The same over IPv6.
    pub rsc_ipv6: bool,
}

impl Offloads {
    /// What the adapter can, turned on or not: the frontend does in software what a backend cannot.
    pub const CAPABLE: Self = Self {
        ip: Ways::BOTH,
        tcp_ipv4: Ways::BOTH,
        tcp_ipv6: Ways::BOTH,
        udp_ipv4: Ways::BOTH,
        udp_ipv6: Ways::BOTH,
        lso_ipv4: true,
        lso_ipv6: true,
        rsc_ipv4: true,
        rsc_ipv6: true,
    };

    /// What the configuration turns on, as far as `capable` goes.
    pub fn of_settings(settings: &Settings, capable: &Self) -> Self {
        let ways = |wanted: Ways, can: Ways| Ways {
            transmit: wanted.transmit && can.transmit,
            receive: wanted.receive && can.receive,
        };
        Self {
            ip: ways(settings.ip_checksum, capable.ip),
            tcp_ipv4: ways(settings.tcp_checksum_ipv4, capable.tcp_ipv4),
            tcp_ipv6: ways(settings.tcp_checksum_ipv6, capable.tcp_ipv6),
            udp_ipv4: ways(settings.udp_checksum_ipv4, capable.udp_ipv4),
            udp_ipv6: ways(settings.udp_checksum_ipv6, capable.udp_ipv6),
            lso_ipv4: settings.lso_ipv4 && capable.lso_ipv4,
            lso_ipv6: settings.lso_ipv6 && capable.lso_ipv6,
            rsc_ipv4: settings.rsc_ipv4 && capable.rsc_ipv4,
            rsc_ipv6: settings.rsc_ipv6 && capable.rsc_ipv6,
        }
    }

    /// NDIS' form of it, in the revision of the registered version.
    pub fn describe(&self, version: Version) -> NDIS_OFFLOAD {
        let revision = version.offload();
        let mut offload = NDIS_OFFLOAD {
            Header: NDIS_OBJECT_HEADER::new(kind::OFFLOAD, revision.revision, revision.size),
            ..NDIS_OFFLOAD::default()
        };
        let way = |ip, tcp, udp| {
            direction(&[
                (checksum::IP, ip),
                (checksum::TCP, tcp),
                (checksum::UDP, udp),
            ])
        };
        offload.Checksum.IPv4Transmit = way(
            self.ip.transmit,
            self.tcp_ipv4.transmit,
            self.udp_ipv4.transmit,
        );
        offload.Checksum.IPv4Receive = way(
            self.ip.receive,
            self.tcp_ipv4.receive,
            self.udp_ipv4.receive,
        );
        offload.Checksum.IPv6Transmit = way(false, self.tcp_ipv6.transmit, self.udp_ipv6.transmit);
        offload.Checksum.IPv6Receive = way(false, self.tcp_ipv6.receive, self.udp_ipv6.receive);
        let lso = |on: bool| {
            let (encapsulation, size, segments) = if on {
                (ENCAPSULATION_IEEE_802_3, LARGEST_SEND, LEAST_SEGMENTS)
            } else {
                (0, 0, 0)
            };
            (encapsulation, size, segments)
        };
        let (v4, v6) = (lso(self.lso_ipv4), lso(self.lso_ipv6));
        offload.LsoV2 = NDIS_TCP_LARGE_SEND_OFFLOAD_V2 {
            IPv4Encapsulation: v4.0,
            IPv4MaxOffLoadSize: v4.1,
            IPv4MinSegmentCount: v4.2,
            IPv6Encapsulation: v6.0,
            IPv6MaxOffLoadSize: v6.1,
            IPv6MinSegmentCount: v6.2,
            IPv6Options: if self.lso_ipv6 {
                lso_v6::IP_EXTENSION_HEADERS | lso_v6::TCP_OPTIONS
            } else {
                0
            },
        };
        offload.RscIPv4 = u8::from(self.rsc_ipv4);
        offload.RscIPv6 = u8::from(self.rsc_ipv6);
        offload
    }

    /// OID_TCP_OFFLOAD_PARAMETERS. On success says how many bytes were looked at.
    ///
    /// # Errors
    /// INVALID_LENGTH: shorter than its first revision; INVALID_DATA: a value that there is not; NOT_SUPPORTED: something is
    /// turned on that `capable` has not. Nothing changes then.
    pub fn apply(&mut self, bytes: &[u8], capable: &Self) -> Result<u32, NDIS_STATUS> {
        let parameters = Parameters::new(bytes)?;
        let mut new = *self;
        parameters.checksum(4, &mut new.ip, capable.ip)?;
        parameters.checksum(5, &mut new.tcp_ipv4, capable.tcp_ipv4)?;
        parameters.checksum(6, &mut new.udp_ipv4, capable.udp_ipv4)?;
        parameters.checksum(7, &mut new.tcp_ipv6, capable.tcp_ipv6)?;
        parameters.checksum(8, &mut new.udp_ipv6, capable.udp_ipv6)?;
        // LsoV1, IPsecV1, TcpConnectionIPv4 and -IPv6.
        for at in [9, 10, 13, 14] {
            parameters.switch(at, 1, &mut false, false)?;
        }
        parameters.switch(11, 1, &mut new.lso_ipv4, capable.lso_ipv4)?;
        parameters.switch(12, 1, &mut new.lso_ipv6, capable.lso_ipv6)?;
        // IPsecV2 and IPsecV2IPv4.
        for at in [20, 21] {
            if parameters.field(at, 2) != parameter::NO_CHANGE {
                return Err(status::NOT_SUPPORTED);
            }
        }
        parameters.switch(22, 3, &mut new.rsc_ipv4, capable.rsc_ipv4)?;
        parameters.switch(23, 3, &mut new.rsc_ipv6, capable.rsc_ipv6)?;
        // EncapsulatedPacketTaskOffload, and segmentation of UDP, which Xen's ring has no form for.
        parameters.switch(24, 3, &mut false, false)?;
        parameters.switch(32, 5, &mut false, false)?;
        parameters.switch(33, 5, &mut false, false)?;
        *self = new;
        Ok(parameters.length)
    }
}

fn direction(kinds: &[(u32, bool)]) -> CHECKSUM_DIRECTION {
    let on = kinds
        .iter()
        .filter(|kind| kind.1)
        .fold(0, |bits, kind| bits | kind.0);
    if on == 0 {
        return CHECKSUM_DIRECTION::default();
    }
    CHECKSUM_DIRECTION {
        Encapsulation: ENCAPSULATION_IEEE_802_3,
        // Options and extension headers are part of the offload wherever there is one.
        Supported: on | checksum::IP_OPTIONS | checksum::TCP_OPTIONS,
    }
}

/// An NDIS_OFFLOAD_PARAMETERS.
struct Parameters<'a> {
    bytes: &'a [u8],
    revision: u8,
    length: u32,
}

impl<'a> Parameters<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, NDIS_STATUS> {
        let least = usize::from(SIZEOF_OFFLOAD_PARAMETERS_REVISION_1);
        let (Some(revision), Some(size)) = (u8_at(bytes, 1), u16_at(bytes, 2)) else {
            return Err(status::INVALID_LENGTH);
        };
        let size = usize::from(size).min(bytes.len());
        let bytes = bytes.get(..size).unwrap_or_default();
        if size < least {
            return Err(status::INVALID_LENGTH);
        }
        if revision == 0 {
            return Err(status::INVALID_DATA);
        }
        Ok(Self {
            bytes,
            revision,
            length: size as u32,
        })
    }

    /// A field, which the structure has from a revision on.
    fn field(&self, at: usize, since: u8) -> u8 {
        if self.revision < since {
            return parameter::NO_CHANGE;
        }
        u8_at(self.bytes, at).unwrap_or(parameter::NO_CHANGE)
    }

    fn checksum(&self, at: usize, now: &mut Ways, capable: Ways) -> Result<(), NDIS_STATUS> {
        let wanted = match self.field(at, 1) {
            parameter::NO_CHANGE => return Ok(()),
            parameter::TX_RX_DISABLED => Ways::from_value(0),
            parameter::TX_ENABLED_RX_DISABLED => Ways::from_value(1),
            parameter::RX_ENABLED_TX_DISABLED => Ways::from_value(2),
            parameter::TX_RX_ENABLED => Ways::from_value(3),
            _ => return Err(status::INVALID_DATA),
        };
        if wanted.transmit && !capable.transmit || wanted.receive && !capable.receive {
            return Err(status::NOT_SUPPORTED);
        }
        *now = wanted;
        Ok(())
    }

    fn switch(
        &self,
        at: usize,
        since: u8,
        now: &mut bool,
        capable: bool,
    ) -> Result<(), NDIS_STATUS> {
        match self.field(at, since) {
            parameter::NO_CHANGE => Ok(()),
            parameter::DISABLED => {
                *now = false;
                Ok(())
            }
            parameter::ENABLED if capable => {
                *now = true;
                Ok(())
            }
            _ if !capable => Err(status::NOT_SUPPORTED),
            _ => Err(status::INVALID_DATA),
        }
    }
}

/// Whether the stack has said how its frames are encapsulated, for each version of IP: verdicts on received checksums are
/// given only then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encapsulation {
    /// IPv4.
    pub ipv4: bool,
    /// IPv6.
    pub ipv6: bool,
}

impl Encapsulation {
    /// OID_OFFLOAD_ENCAPSULATION. On success says how many bytes were looked at.
    ///
    /// # Errors
    /// INVALID_LENGTH, INVALID_DATA, or INVALID_PARAMETER: an encapsulation for which there is no offload. Nothing changes then.
    pub fn apply(&mut self, bytes: &[u8]) -> Result<u32, NDIS_STATUS> {
        let size = SIZEOF_OFFLOAD_ENCAPSULATION_REVISION_1;
        if bytes.len() < usize::from(size) {
            return Err(status::INVALID_LENGTH);
        }
        let mut new = *self;
        for (now, at) in [(&mut new.ipv4, 4), (&mut new.ipv6, 16)] {
            let (enabled, kind) = (u32_at(bytes, at), u32_at(bytes, at + 4));
            match enabled {
                Some(set::NO_CHANGE) => {}
                Some(set::OFF) => *now = false,
                Some(set::ON) if kind.is_some_and(|kind| kind & ENCAPSULATION_IEEE_802_3 != 0) => {
                    *now = true
                }
                Some(set::ON) => return Err(status::INVALID_PARAMETER),
                _ => return Err(status::INVALID_DATA),
            }
        }
        *self = new;
        Ok(u32::from(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn version(minor: u32) -> Version {
        Version::negotiate(0x6_0000 + minor).expect("a version")
    }

    fn parameters(revision: u8, size: u16, fields: &[(usize, u8)]) -> Vec<u8> {
        let mut bytes = vec![0; usize::from(size)];
        bytes[..4].copy_from_slice(&[0x80, revision, size as u8, (size >> 8) as u8]);
        for (at, value) in fields {
            bytes[*at] = *value;
        }
        bytes
    }

    #[test]
    fn what_is_described_is_what_is_on_in_the_revision_of_the_version() {
        let described = Offloads::CAPABLE.describe(version(60));
        assert_eq!((described.Header.Revision, described.Header.Size), (4, 177));
        assert_eq!(
            described.Checksum.IPv4Transmit.Encapsulation,
            ENCAPSULATION_IEEE_802_3
        );
        assert_eq!(described.Checksum.IPv4Receive.Supported, 0x155);
        assert_eq!(described.Checksum.IPv6Transmit.Supported, 0x55);
        assert_eq!(described.LsoV2.IPv4MaxOffLoadSize, LARGEST_SEND);
        assert_eq!(Offloads::CAPABLE.describe(version(87)).Header.Revision, 7);
        let mut off = Offloads::CAPABLE;
        off.lso_ipv4 = false;
        off.ip = Ways::NEITHER;
        off.tcp_ipv4 = Ways::NEITHER;
        off.udp_ipv4 = Ways::NEITHER;
        let described = off.describe(version(60));
        assert_eq!(described.LsoV2.IPv4Encapsulation, 0);
        assert_eq!(
            described.Checksum.IPv4Transmit,
            CHECKSUM_DIRECTION::default()
        );
        assert_ne!(
            described.Checksum.IPv6Transmit,
            CHECKSUM_DIRECTION::default()
        );
    }

    #[test]
    fn parameters_change_what_they_name_and_nothing_else() {
        let mut offloads = Offloads::CAPABLE;
        let bytes = parameters(3, 0x1A, &[(5, 1), (6, 2), (7, 3), (11, 1), (22, 1)]);
        assert_eq!(offloads.apply(&bytes, &Offloads::CAPABLE), Ok(0x1A));
        let expected = Offloads {
            tcp_ipv4: Ways::NEITHER,
            udp_ipv4: Ways::from_value(1),
            tcp_ipv6: Ways::from_value(2),
            lso_ipv4: false,
            rsc_ipv4: false,
            ..Offloads::CAPABLE
        };
        assert_eq!(offloads, expected);
        let bytes = parameters(1, 0x14, &[(5, 4), (11, 2)]);
        assert_eq!(offloads.apply(&bytes, &Offloads::CAPABLE), Ok(0x14));
        assert!(offloads.lso_ipv4 && offloads.tcp_ipv4 == Ways::BOTH && !offloads.rsc_ipv4);
    }

    #[test]
    fn what_the_adapter_lacks_cannot_be_turned_on_but_can_be_turned_off() {
        let capable = Offloads {
            rsc_ipv4: false,
            lso_ipv6: false,
            ..Offloads::CAPABLE
        };
        let mut offloads = capable;
        for field in [(9, 2), (10, 2), (12, 2), (13, 2), (20, 1), (22, 2), (24, 2)] {
            let bytes = parameters(3, 0x1A, &[field, (5, 1)]);
            assert_eq!(
                offloads.apply(&bytes, &capable),
                Err(status::NOT_SUPPORTED),
                "{field:?}"
            );
            assert_eq!(offloads, capable);
        }
        let bytes = parameters(
            5,
            0x22,
            &[
                (9, 1),
                (10, 1),
                (12, 1),
                (13, 1),
                (22, 1),
                (24, 1),
                (32, 1),
                (33, 1),
            ],
        );
        assert_eq!(offloads.apply(&bytes, &capable), Ok(0x22));
        assert_eq!(
            offloads.apply(&parameters(5, 0x22, &[(33, 2)]), &capable),
            Err(status::NOT_SUPPORTED)
        );
    }

    #[test]
    fn parameters_that_are_none_are_refused() {
        let mut offloads = Offloads::CAPABLE;
        let mut apply = |bytes: &[u8]| offloads.apply(bytes, &Offloads::CAPABLE);
        assert_eq!(apply(&[]), Err(status::INVALID_LENGTH));
        assert_eq!(
            apply(&parameters(1, 0x14, &[])[..19]),
            Err(status::INVALID_LENGTH)
        );
        assert_eq!(
            apply(&parameters(1, 0x13, &[])),
            Err(status::INVALID_LENGTH)
        );
        assert_eq!(apply(&parameters(0, 0x14, &[])), Err(status::INVALID_DATA));
        assert_eq!(
            apply(&parameters(1, 0x14, &[(4, 5)])),
            Err(status::INVALID_DATA)
        );
        assert_eq!(
            apply(&parameters(1, 0x14, &[(11, 3)])),
            Err(status::INVALID_DATA)
        );
    }

    #[test]
    fn an_older_revision_has_no_later_fields() {
        let mut offloads = Offloads::CAPABLE;
        assert_eq!(
            offloads.apply(
                &parameters(2, 0x22, &[(22, 1), (33, 2)]),
                &Offloads::CAPABLE
            ),
            Ok(0x22)
        );
        assert!(offloads.rsc_ipv4);
    }

    #[test]
    fn encapsulation_goes_on_for_ethernet_alone_and_by_version_of_ip() {
        let mut encapsulation = Encapsulation::default();
        let bytes = |v4: [u32; 2], v6: [u32; 2]| {
            let words = [0x001C_01A8, v4[0], v4[1], 14, v6[0], v6[1], 14];
            words
                .iter()
                .flat_map(|w: &u32| w.to_le_bytes())
                .collect::<Vec<_>>()
        };
        assert_eq!(encapsulation.apply(&bytes([1, 2], [0, 0])), Ok(28));
        assert_eq!((encapsulation.ipv4, encapsulation.ipv6), (true, false));
        assert_eq!(encapsulation.apply(&bytes([2, 0], [1, 2])), Ok(28));
        assert_eq!((encapsulation.ipv4, encapsulation.ipv6), (false, true));
        assert_eq!(
            encapsulation.apply(&bytes([1, 0x10], [2, 0])),
            Err(status::INVALID_PARAMETER)
        );
        assert_eq!(
            encapsulation.apply(&bytes([3, 2], [2, 0])),
            Err(status::INVALID_DATA)
        );
        assert_eq!(encapsulation.apply(&[0; 27]), Err(status::INVALID_LENGTH));
        assert!(encapsulation.ipv6);
    }
}
