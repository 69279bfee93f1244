//! Offloads: what an adapter could do, what is on, and whether what is used is on.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::nt::ndis::*;

/// What an adapter offloads.
#[derive(Clone, Copy, Default)]
pub(super) struct Offloads {
    /// HardwareOffloadCapabilities
    pub hardware: NDIS_OFFLOAD,
    /// What the defaults and the last NDIS_STATUS_TASK_OFFLOAD_CURRENT_CONFIG said
    pub current: NDIS_OFFLOAD,
    /// OID_OFFLOAD_ENCAPSULATION switched IPv4 or IPv6 on: only then received frames have verdicts
    pub encapsulation: [bool; 2],
}

/// The revision of NDIS_OFFLOAD, and its size, that a driver of an NDIS version uses.
pub(super) fn revision((major, minor): (u8, u8)) -> (u8, u16) {
    match (major, minor) {
        (6, 85..) | (7.., _) => (7, NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_7),
        (6, 83..) => (6, NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_6),
        (6, 70..) => (5, NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_5),
        (6, 50..) => (4, NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_4),
        _ => (3, NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_3),
    }
}

/// Copies a structure that a driver of an NDIS version made; what an older revision lacks is zero.
///
/// # Errors
/// What is wrong with its header.
///
/// # Safety
/// `from` is readable for the size that its header states, or null.
pub(super) unsafe fn copy(
    from: *const NDIS_OFFLOAD,
    version: (u8, u8),
) -> Result<NDIS_OFFLOAD, String> {
    if from.is_null() {
        return Err("NDIS_OFFLOAD is NULL".into());
    }
    let header = from.cast::<NDIS_OBJECT_HEADER>().read_unaligned();
    let (revision, size) = revision(version);
    if header.Type != NDIS_OBJECT_TYPE_OFFLOAD {
        return Err(format!("NDIS_OFFLOAD has type {:#x}", header.Type));
    }
    if header.Revision < revision || header.Size < size {
        return Err(format!(
            "NDIS_OFFLOAD of revision {} with {} bytes; NDIS {}.{} has revision {revision} with {size}",
            header.Revision, header.Size, version.0, version.1
        ));
    }
    let mut copy = NDIS_OFFLOAD::default();
    let n = usize::from(header.Size).min(size_of::<NDIS_OFFLOAD>());
    core::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut copy).cast::<u8>(), n);
    Ok(copy)
}

const ETHERNET: u32 = NDIS_ENCAPSULATION_IEEE_802_3
    | NDIS_ENCAPSULATION_IEEE_802_3_P_AND_Q
    | NDIS_ENCAPSULATION_IEEE_802_3_P_AND_Q_IN_OOB;

fn lso(of: &NDIS_LARGE_SEND) -> bool {
    of.Encapsulation & ETHERNET != 0 && of.MaxOffLoadSize != 0
}

/// What is wrong in itself with offloads that are offered: "Combining Types of Task Offloads".
pub(super) fn contradictions(o: &NDIS_OFFLOAD) -> Vec<String> {
    type C = NDIS_CHECKSUM_OFFLOAD;
    let mut wrong = Vec::new();
    let checksums = [
        ("IPv4 transmit", &o.Checksum.IPv4Transmit),
        ("IPv4 receive", &o.Checksum.IPv4Receive),
        ("IPv6 transmit", &o.Checksum.IPv6Transmit),
        ("IPv6 receive", &o.Checksum.IPv6Receive),
    ];
    for (name, c) in checksums {
        if c.Bits != 0 && c.Encapsulation & ETHERNET == 0 {
            wrong.push(format!(
                "{name} checksums without an Ethernet encapsulation"
            ));
        }
        if c.has(C::TCP_CHECKSUM) && name.starts_with("IPv6") && !c.has(C::IP_OPTIONS) {
            wrong.push(format!("{name} TCP checksum without extension headers"));
        }
    }
    let v4 = &o.Checksum.IPv4Transmit;
    if lso(&o.LsoV2.IPv4) && !(v4.has(C::TCP_CHECKSUM) && v4.has(C::IP_CHECKSUM)) {
        wrong.push("LSOv2 of IPv4 without its TCP and IP transmit checksums".into());
    }
    if lso(&o.LsoV2.IPv6) && !o.Checksum.IPv6Transmit.has(C::TCP_CHECKSUM) {
        wrong.push("LSOv2 of IPv6 without its TCP transmit checksum".into());
    }
    for (name, l) in [("IPv4", &o.LsoV2.IPv4), ("IPv6", &o.LsoV2.IPv6)] {
        if lso(l) && l.MinSegmentCount < 1 {
            wrong.push(format!("LSOv2 of {name} with MinSegmentCount 0"));
        }
    }
    wrong
}

/// What is on in `current` and cannot be on by `hardware`.
pub(super) fn beyond(current: &NDIS_OFFLOAD, hardware: &NDIS_OFFLOAD) -> Vec<String> {
    let mut wrong = Vec::new();
    let pairs = [
        (
            "IPv4 transmit",
            current.Checksum.IPv4Transmit,
            hardware.Checksum.IPv4Transmit,
        ),
        (
            "IPv4 receive",
            current.Checksum.IPv4Receive,
            hardware.Checksum.IPv4Receive,
        ),
        (
            "IPv6 transmit",
            current.Checksum.IPv6Transmit,
            hardware.Checksum.IPv6Transmit,
        ),
        (
            "IPv6 receive",
            current.Checksum.IPv6Receive,
            hardware.Checksum.IPv6Receive,
        ),
    ];
    for (name, now, could) in pairs {
        for (field, what) in [
            (NDIS_CHECKSUM_OFFLOAD::TCP_CHECKSUM, "TCP"),
            (NDIS_CHECKSUM_OFFLOAD::UDP_CHECKSUM, "UDP"),
            (NDIS_CHECKSUM_OFFLOAD::IP_CHECKSUM, "IP"),
        ] {
            if now.has(field) && !could.has(field) {
                wrong.push(format!("{name} {what} checksum"));
            }
        }
    }
    for (name, now, could) in [
        ("IPv4", &current.LsoV2.IPv4, &hardware.LsoV2.IPv4),
        ("IPv6", &current.LsoV2.IPv6, &hardware.LsoV2.IPv6),
    ] {
        if lso(now) && (!lso(could) || now.MaxOffLoadSize > could.MaxOffLoadSize) {
            wrong.push(format!("LSOv2 of {name}"));
        }
    }
    for (name, now, could) in [
        ("IPv4", current.Rsc.IPv4Enabled, hardware.Rsc.IPv4Enabled),
        ("IPv6", current.Rsc.IPv6Enabled, hardware.Rsc.IPv6Enabled),
    ] {
        if now != 0 && could == 0 {
            wrong.push(format!("RSC of {name}"));
        }
    }
    wrong
}

/// What a received frame is, as far as offloads go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// IPv4 with its protocol, or a fragment
    V4 { protocol: u8 },
    /// IPv6 with the first next-header
    V6 { next: u8 },
    /// Anything else
    Other,
}

impl Kind {
    /// Looks at the first bytes of an Ethernet frame.
    pub(super) fn of(frame: &[u8]) -> Self {
        let at = match frame.get(12..14) {
            Some([0x81, 0x00]) => 16,
            Some(_) => 12,
            None => return Self::Other,
        };
        match frame.get(at..at + 2) {
            Some([0x08, 0x00]) => match frame.get(at + 11) {
                Some(&protocol) => Self::V4 { protocol },
                None => Self::Other,
            },
            Some([0x86, 0xdd]) => match frame.get(at + 8) {
                Some(&next) => Self::V6 { next },
                None => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// What is wrong with a unit of receive segment coalescing ("Indicating Coalesced Segments"): it is one TCP segment, both of its
/// checksums are said to be right, and no acknowledgements were dropped for it.
fn coalesced_faults(
    bits: &ReceiveChecksum,
    rsc: u64,
    kind: Kind,
    offloads: &Offloads,
) -> Vec<String> {
    const TCP: u8 = 6;
    let (segments, acknowledgements) = (rsc & 0xffff, rsc >> 16 & 0xffff);
    let mut wrong = Vec::new();
    let (enabled, tcp, version) = match kind {
        Kind::V4 { protocol } => (offloads.current.Rsc.IPv4Enabled, protocol == TCP, "IPv4"),
        Kind::V6 { next } => (offloads.current.Rsc.IPv6Enabled, next == TCP, "IPv6"),
        Kind::Other => (0, false, "no IP"),
    };
    if enabled == 0 {
        wrong.push(format!(
            "{segments} coalesced segments while RSC is off for {version}"
        ));
    }
    if !tcp {
        wrong.push(format!("{segments} coalesced segments of no TCP"));
    }
    if bits.tcp() != (false, true) || bits.ip() != (false, true) {
        wrong
            .push("coalesced segments without IpChecksumSucceeded and TcpChecksumSucceeded".into());
    }
    if acknowledgements != 0 {
        wrong.push(format!(
            "DupAckCount is {acknowledgements}: NDIS switches RSC off then"
        ));
    }
    wrong
}

/// What is wrong with the out-of-band data of a received frame: verdicts that contradict each other, that nothing was
/// switched on for, or that do not fit the frame.
pub(super) fn receive_faults(slot: u64, rsc: u64, kind: Kind, offloads: &Offloads) -> Vec<String> {
    type C = NDIS_CHECKSUM_OFFLOAD;
    let mut wrong = Vec::new();
    let bits = ReceiveChecksum(slot);
    if rsc & 0xffff != 0 {
        return coalesced_faults(&bits, rsc, kind, offloads);
    }
    let verdicts = [
        ("TCP", C::TCP_CHECKSUM, bits.tcp()),
        ("UDP", C::UDP_CHECKSUM, bits.udp()),
        ("IP header", C::IP_CHECKSUM, bits.ip()),
    ];
    let (on, switched, version) = match kind {
        Kind::V4 { .. } => (
            offloads.current.Checksum.IPv4Receive,
            offloads.encapsulation[0],
            "IPv4",
        ),
        Kind::V6 { .. } => (
            offloads.current.Checksum.IPv6Receive,
            offloads.encapsulation[1],
            "IPv6",
        ),
        Kind::Other => (C::default(), false, "no IP"),
    };
    for (name, field, (failed, succeeded)) in verdicts {
        if failed && succeeded {
            wrong.push(format!("the {name} checksum both failed and succeeded"));
        }
        if (failed || succeeded) && !on.has(field) {
            wrong.push(format!(
                "a verdict on the {name} checksum of a frame of {version}, which is not offloaded"
            ));
        } else if (failed || succeeded) && !switched {
            wrong.push(format!(
                "a verdict on the {name} checksum before OID_OFFLOAD_ENCAPSULATION"
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL_V4: u32 = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 8;
    const ALL_V6: u32 = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 6;

    fn checksum(bits: u32) -> NDIS_CHECKSUM_OFFLOAD {
        NDIS_CHECKSUM_OFFLOAD {
            Encapsulation: NDIS_ENCAPSULATION_IEEE_802_3,
            Bits: bits,
        }
    }

    fn everything() -> NDIS_OFFLOAD {
        let lso = NDIS_LARGE_SEND {
            Encapsulation: NDIS_ENCAPSULATION_IEEE_802_3,
            MaxOffLoadSize: 60000,
            MinSegmentCount: 2,
        };
        NDIS_OFFLOAD {
            Header: NDIS_OBJECT_HEADER::new(
                NDIS_OBJECT_TYPE_OFFLOAD,
                4,
                NDIS_SIZEOF_NDIS_OFFLOAD_REVISION_4,
            ),
            Checksum: NDIS_TCP_IP_CHECKSUM_OFFLOAD {
                IPv4Transmit: checksum(ALL_V4),
                IPv4Receive: checksum(ALL_V4),
                IPv6Transmit: checksum(ALL_V6),
                IPv6Receive: checksum(ALL_V6),
            },
            LsoV2: NDIS_TCP_LARGE_SEND_OFFLOAD_V2 {
                IPv4: lso,
                IPv6: lso,
                IPv6Bits: 0,
            },
            ..NDIS_OFFLOAD::default()
        }
    }

    #[test]
    fn everything_together_contradicts_nothing() {
        assert_eq!(contradictions(&everything()), Vec::<String>::new());
        assert_eq!(beyond(&everything(), &everything()), Vec::<String>::new());
    }

    #[test]
    fn large_sends_need_their_checksums() {
        let mut o = everything();
        o.Checksum.IPv4Transmit.Bits &= !(3 << NDIS_CHECKSUM_OFFLOAD::IP_CHECKSUM);
        assert_eq!(contradictions(&o).len(), 1);
        o.Checksum.IPv6Transmit = NDIS_CHECKSUM_OFFLOAD::default();
        assert_eq!(contradictions(&o).len(), 2);
    }

    #[test]
    fn a_checksum_needs_an_encapsulation() {
        let mut o = everything();
        o.Checksum.IPv4Receive.Encapsulation = 0;
        assert_eq!(contradictions(&o).len(), 1);
    }

    #[test]
    fn what_the_hardware_cannot_do_cannot_be_on() {
        let mut could = everything();
        could.Checksum.IPv4Receive.Bits = 0;
        could.LsoV2.IPv4.MaxOffLoadSize = 100;
        assert_eq!(
            beyond(&everything(), &could),
            [
                "IPv4 receive TCP checksum",
                "IPv4 receive UDP checksum",
                "IPv4 receive IP checksum",
                "LSOv2 of IPv4"
            ]
        );
    }

    #[test]
    fn the_kind_of_a_frame_is_seen_behind_a_tag_too() {
        let mut v4 = [0u8; 34];
        v4[12..14].copy_from_slice(&[8, 0]);
        v4[23] = 6;
        assert_eq!(Kind::of(&v4), Kind::V4 { protocol: 6 });
        let mut v6 = [0u8; 58];
        v6[12..14].copy_from_slice(&[0x81, 0]);
        v6[16..18].copy_from_slice(&[0x86, 0xdd]);
        v6[24] = 17;
        assert_eq!(Kind::of(&v6), Kind::V6 { next: 17 });
        assert_eq!(Kind::of(&v4[..13]), Kind::Other);
        assert_eq!(Kind::of(&v4[..20]), Kind::Other);
    }

    #[test]
    fn verdicts_are_given_only_when_they_were_asked_for() {
        let tcp = Kind::V4 { protocol: 6 };
        let mut o = Offloads {
            current: everything(),
            hardware: everything(),
            encapsulation: [true, false],
        };
        let (failed, succeeded) = (1, 1 << 3);
        assert!(receive_faults(succeeded, 0, tcp, &o).is_empty());
        assert!(receive_faults(0, 0, tcp, &o).is_empty());
        assert_eq!(receive_faults(failed | succeeded, 0, tcp, &o).len(), 1);
        assert_eq!(
            receive_faults(succeeded, 0, Kind::V6 { next: 6 }, &o).len(),
            1
        );
        assert_eq!(receive_faults(succeeded, 0, Kind::Other, &o).len(), 1);
        o.current.Checksum.IPv4Receive.Bits = 0;
        assert_eq!(receive_faults(succeeded, 0, tcp, &o).len(), 1);
    }

    #[test]
    fn a_coalesced_unit_is_tcp_with_both_checksums_said_to_be_right() {
        let tcp = Kind::V4 { protocol: 6 };
        let mut o = Offloads::default();
        let right = 1 << 3 | 1 << 5;
        assert_eq!(receive_faults(right, 3, tcp, &o).len(), 1, "RSC is off");
        o.current.Rsc.IPv4Enabled = 1;
        assert!(receive_faults(right, 3, tcp, &o).is_empty());
        for (slot, rsc, kind) in [
            (1 << 3, 3, tcp),
            (1 << 5, 3, tcp),
            (right | 1, 3, tcp),
            (right, 3, Kind::V4 { protocol: 17 }),
            (right, 3, Kind::V6 { next: 6 }),
            (right, 1 << 16 | 3, tcp),
        ] {
            assert_eq!(receive_faults(slot, rsc, kind, &o).len(), 1, "{slot:#x}");
        }
        o.current.Rsc.IPv6Enabled = 1;
        let six = Kind::V6 { next: 6 };
        assert!(receive_faults(right, 3, six, &o).is_empty());
    }

    #[test]
    fn each_version_has_its_revision() {
        for (minor, wanted) in [
            (30, 3),
            (40, 3),
            (50, 4),
            (60, 4),
            (70, 5),
            (82, 5),
            (83, 6),
            (84, 6),
            (85, 7),
            (87, 7),
        ] {
            assert_eq!(revision((6, minor)).0, wanted, "6.{minor}");
        }
    }

    #[test]
    fn a_structure_of_an_older_revision_is_refused_and_one_of_a_newer_is_read() {
        let o = everything();
        // SAFETY: a whole structure.
        unsafe {
            assert_eq!(copy(&o, (6, 60)).map(|c| c.LsoV2), Ok(o.LsoV2));
            assert!(copy(&o, (6, 85)).is_err());
            assert!(copy(core::ptr::null(), (6, 60)).is_err());
        }
    }
}
