use super::*;
use alloc::vec;

const ETHERNET: Medium = Medium {
    if_type: 6,
    media_type: 0,
    physical_media_type: 14,
};

struct Sample {
    general: NDIS_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES,
    power: Box<NDIS_PM_CAPABILITIES>,
    rss: Box<NDIS_RECEIVE_SCALE_CAPABILITIES>,
    oids: Vec<u32>,
}

fn zeroed<T>() -> T {
    // SAFETY: used for plain structures of numbers and pointers only.
    unsafe { core::mem::zeroed() }
}

fn sample() -> Sample {
    let mut s = Sample {
        general: zeroed(),
        power: Box::new(zeroed()),
        rss: Box::new(zeroed()),
        oids: vec![OID_GEN_STATISTICS, OID_GEN_CURRENT_PACKET_FILTER],
    };
    s.power.Header = NDIS_OBJECT_HEADER::new(
        NDIS_OBJECT_TYPE_DEFAULT,
        2,
        NDIS_SIZEOF_NDIS_PM_CAPABILITIES_REVISION_2,
    );
    s.rss.Header = NDIS_OBJECT_HEADER::new(
        NDIS_OBJECT_TYPE_RSS_CAPABILITIES,
        2,
        NDIS_SIZEOF_RECEIVE_SCALE_CAPABILITIES_REVISION_2,
    );
    s.rss.CapabilitiesFlags = NdisHashFunctionToeplitz | NDIS_RSS_CAPS_HASH_TYPE_TCP_IPV4;
    s.rss.NumberOfReceiveQueues = 4;
    s.rss.NumberOfInterruptMessages = 4;
    s.rss.NumberOfIndirectionTableEntries = 128;
    s.general.MediaType = NdisMedium802_3;
    s.general.PhysicalMediumType = 14;
    s.general.IfType = 6;
    s.general.MtuSize = 1500;
    s.general.MacAddressLength = 6;
    s.general.PermanentMacAddress[..6].copy_from_slice(&[0, 0x16, 0x3e, 1, 2, 3]);
    s.general.CurrentMacAddress[..6].copy_from_slice(&[0, 0x16, 0x3e, 4, 5, 6]);
    s.general.MediaConnectState = MediaConnectStateConnected;
    s.general.XmitLinkSpeed = 10_000_000_000;
    s
}

/// What the call would return and say.
fn result(s: &mut Sample, version: (u8, u8)) -> Result<General, Refused> {
    s.general.PowerManagementCapabilitiesEx = &mut *s.power;
    s.general.RecvScaleCapabilities = &mut *s.rss;
    s.general.SupportedOidList = s.oids.as_mut_ptr();
    s.general.SupportedOidListLength = s.oids.len() as u32 * 4;
    // SAFETY: all of it is in the sample.
    unsafe { general(&s.general, version, ETHERNET) }
}

#[test]
fn whole_attributes_are_copied() {
    let mut s = sample();
    let g = result(&mut s, (6, 84)).expect("they are whole");
    assert_eq!((g.mtu, g.permanent[5], g.current[5]), (1500, 3, 6));
    assert_eq!(g.oids, s.oids);
    assert!(g.link.connected && g.link.xmit_speed == 10_000_000_000);
    assert_eq!(g.rss.map(|r| r.NumberOfReceiveQueues), Some(4));
}

#[test]
fn attributes_with_something_wrong_are_refused() {
    type Spoil = fn(&mut Sample);
    let cases: [(Spoil, NDIS_STATUS); 10] = [
        (|s| s.general.MediaType = 1, NDIS_STATUS_NOT_SUPPORTED),
        (|s| s.general.IfType = 71, NDIS_STATUS_INVALID_PARAMETER),
        (
            |s| s.general.PhysicalMediumType = 0,
            NDIS_STATUS_INVALID_PARAMETER,
        ),
        (|s| s.general.MtuSize = 0, NDIS_STATUS_INVALID_PARAMETER),
        (
            |s| s.general.MacAddressLength = 8,
            NDIS_STATUS_INVALID_PARAMETER,
        ),
        (
            |s| s.general.CurrentMacAddress[0] = 1,
            NDIS_STATUS_INVALID_PARAMETER,
        ),
        (|s| s.oids.clear(), NDIS_STATUS_INVALID_PARAMETER),
        (
            |s| s.power.Header.Revision = 1,
            NDIS_STATUS_INVALID_PARAMETER,
        ),
        (
            |s| s.rss.CapabilitiesFlags = NDIS_RSS_CAPS_HASH_TYPE_TCP_IPV4,
            NDIS_STATUS_INVALID_PARAMETER,
        ),
        (
            |s| s.rss.NumberOfIndirectionTableEntries = 100,
            NDIS_STATUS_INVALID_PARAMETER,
        ),
    ];
    for (n, (spoil, wanted)) in cases.into_iter().enumerate() {
        let mut s = sample();
        spoil(&mut s);
        let got = result(&mut s, (6, 84))
            .map(|_| ())
            .map_err(|(status, _)| status);
        assert_eq!(got, Err(wanted), "case {n}");
    }
}

#[test]
fn the_physical_medium_is_compared_from_6_60_on() {
    let mut s = sample();
    s.general.PhysicalMediumType = 0;
    assert!(result(&mut s, (6, 30)).is_ok());
    assert!(result(&mut s, (6, 60)).is_err());
}

#[test]
fn registration_comes_first_then_general_then_the_others_each_once() {
    const REGISTRATION: u8 = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_REGISTRATION_ATTRIBUTES;
    const GENERAL: u8 = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_GENERAL_ATTRIBUTES;
    const OFFLOAD: u8 = NDIS_OBJECT_TYPE_MINIPORT_ADAPTER_OFFLOAD_ATTRIBUTES;
    let none = None;
    let registered = Attributes::default();
    let general = Attributes {
        general: result(&mut sample(), (6, 84)).ok(),
        ..Attributes::default()
    };
    let offload = Attributes {
        general: result(&mut sample(), (6, 84)).ok(),
        offload: true,
        ..Attributes::default()
    };
    for (kind, set, wanted) in [
        (REGISTRATION, none, true),
        (GENERAL, none, false),
        (OFFLOAD, none, false),
        (REGISTRATION, Some(&registered), false),
        (GENERAL, Some(&registered), true),
        (OFFLOAD, Some(&registered), false),
        (GENERAL, Some(&general), false),
        (OFFLOAD, Some(&general), true),
        (OFFLOAD, Some(&offload), false),
    ] {
        assert_eq!(
            order(kind, set, State::Initializing).is_ok(),
            wanted,
            "{kind:#x}"
        );
        assert!(order(kind, set, State::Running).is_err());
    }
}
