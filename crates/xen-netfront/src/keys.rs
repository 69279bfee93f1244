//! What xenstore says of a network interface, parsed and checked.
//!
//! Keys of the backend's directory make an [`Offer`]; keys of the frontend's own directory (`device/vif/<n>`), which the
//! toolstack writes, have a function each. All values are input.

use xen_front::keys::decimal;

pub use xen_front::keys::state;

/// Most queues that a device uses, whatever the backend offers.
pub const MAX_QUEUES: u16 = 8;
/// MTU where the toolstack gives none (`io/netif.h`, "MTU").
pub const DEFAULT_MTU: u16 = 1500;
/// Least MTU: what every IPv4 host must take (RFC 791, 3.2).
pub const MIN_MTU: u16 = 68;
/// Most: with an Ethernet header it fills the 65,535 bytes of a packet on the ring.
pub const MAX_MTU: u16 = 65_521;

/// A key that does not say what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a decimal number, or one that is too large.
    #[error("the key {0} is not a number of its range")]
    NotANumber(&'static str),
    /// The backend would want pages flipped, which is long gone.
    #[error("the backend does not offer feature-rx-copy")]
    NoRxCopy,
    /// `multi-queue-max-queues`, or a limit of the driver's own, is zero.
    #[error("{0} is 0: a device has one queue at least")]
    NoQueues(&'static str),
    /// Not six pairs of hexadecimal digits between colons or hyphens.
    #[error("the address is not six pairs of hexadecimal digits")]
    MalformedAddress,
    /// A group's address, or none at all.
    #[error("the address is all zeroes, or a group's")]
    NotAStation,
    /// Outside of [`MIN_MTU`] to [`MAX_MTU`].
    #[error("the mtu {0} is not within {MIN_MTU} to {MAX_MTU}")]
    Mtu(u64),
    /// Not a number with an optional unit.
    #[error("the speed is not a number with G, M, k or no unit")]
    Speed,
}

/// What a backend in state InitWait offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offer {
    /// `multi-queue-max-queues`; 1 where it is not there.
    pub queues: u32,
    /// `feature-split-event-channels`.
    pub split_event_channels: bool,
    /// `feature-sg`: packets of more than one slot.
    pub scatter_gather: bool,
    /// Not `feature-no-csum-offload`: checksums over IPv4 may be left blank.
    pub checksum_ipv4: bool,
    /// `feature-ipv6-csum-offload`.
    pub checksum_ipv6: bool,
    /// `feature-gso-tcpv4`, which needs scatter-gather and blank checksums.
    pub segment_ipv4: bool,
    /// `feature-gso-tcpv6`, the same.
    pub segment_ipv6: bool,
    /// `feature-multicast-control` or `feature-dynamic-multicast-control`.
    pub multicast_control: bool,
    /// `feature-dynamic-multicast-control`: `request-multicast-control` may change while connected.
    pub dynamic_multicast_control: bool,
    /// `feature-ctrl-ring`.
    pub control_ring: bool,
}

impl Offer {
    /// Reads the keys of the backend's directory through `read`.
    ///
    /// # Errors
    /// The first key that is malformed, or what makes a connection impossible.
    pub fn parse<V: AsRef<[u8]>>(
        mut read: impl FnMut(&'static str) -> Option<V>,
    ) -> Result<Self, KeyError> {
        let mut number = |key: &'static str| match read(key) {
            None => Ok(None),
            Some(value) => decimal(value.as_ref())
                .and_then(|number| u32::try_from(number).ok())
                .map(Some)
                .ok_or(KeyError::NotANumber(key)),
        };
        let queues = match number("multi-queue-max-queues")? {
            Some(0) => return Err(KeyError::NoQueues("multi-queue-max-queues")),
            queues => queues.unwrap_or(1),
        };
        let mut flag = |key| number(key).map(|number| number.unwrap_or(0) != 0);
        if !flag("feature-rx-copy")? {
            return Err(KeyError::NoRxCopy);
        }
        let scatter_gather = flag("feature-sg")?;
        let checksum_ipv4 = !flag("feature-no-csum-offload")?;
        let checksum_ipv6 = flag("feature-ipv6-csum-offload")?;
        let dynamic = flag("feature-dynamic-multicast-control")?;
        Ok(Self {
            queues,
            split_event_channels: flag("feature-split-event-channels")?,
            scatter_gather,
            checksum_ipv4,
            checksum_ipv6,
            segment_ipv4: flag("feature-gso-tcpv4")? && scatter_gather && checksum_ipv4,
            segment_ipv6: flag("feature-gso-tcpv6")? && scatter_gather && checksum_ipv6,
            multicast_control: flag("feature-multicast-control")? || dynamic,
            dynamic_multicast_control: dynamic,
            control_ring: flag("feature-ctrl-ring")?,
        })
    }

    /// What a transmit queue may do with this backend. `trusted` is what [`trusted`] says.
    pub fn transmit(&self, trusted: bool) -> crate::tx::Limits {
        crate::tx::Limits {
            scatter_gather: self.scatter_gather,
            checksum_ipv4: self.checksum_ipv4,
            checksum_ipv6: self.checksum_ipv6,
            segment_ipv4: self.segment_ipv4,
            segment_ipv6: self.segment_ipv6,
            trusted,
            copy_limit: crate::grant::PAGE_SIZE,
        }
    }
}

/// How many queues to use: the least of processors, the backend's offer, [`MAX_QUEUES`] and what the administrator set
/// (`*NumRssQueues`, `FrontendMaxQueues`).
///
/// # Errors
/// [`KeyError::NoQueues`]: one of them is zero.
pub fn queue_count(
    processors: u32,
    offered: u32,
    num_rss_queues: Option<u32>,
    frontend_max_queues: Option<u32>,
) -> Result<u16, KeyError> {
    let mut count = u32::from(MAX_QUEUES);
    for (name, limit) in [
        ("the number of processors", Some(processors)),
        ("multi-queue-max-queues", Some(offered)),
        ("*NumRssQueues", num_rss_queues),
        ("FrontendMaxQueues", frontend_max_queues),
    ] {
        match limit {
            Some(0) => return Err(KeyError::NoQueues(name)),
            Some(limit) => count = count.min(limit),
            None => {}
        }
    }
    Ok(u16::try_from(count).unwrap_or(MAX_QUEUES))
}

/// The address in a `mac` key, or in the registry's `NetworkAddress` (which has no separators).
///
/// # Errors
/// [`KeyError::MalformedAddress`], [`KeyError::NotAStation`].
pub fn mac(value: &[u8]) -> Result<[u8; 6], KeyError> {
    let mut address = [0; 6];
    let step = match value.len() {
        17 => 3,
        12 => 2,
        _ => return Err(KeyError::MalformedAddress),
    };
    for (byte, digits) in address.iter_mut().zip(value.chunks(step)) {
        let (high, low, separator) = match digits {
            [high, low] => (high, low, None),
            [high, low, separator] => (high, low, Some(separator)),
            _ => return Err(KeyError::MalformedAddress),
        };
        if separator.is_some_and(|s| !matches!(s, b':' | b'-')) {
            return Err(KeyError::MalformedAddress);
        }
        let digit = |c: &u8| char::from(*c).to_digit(16);
        let (Some(high), Some(low)) = (digit(high), digit(low)) else {
            return Err(KeyError::MalformedAddress);
        };
        *byte = (high << 4 | low) as u8;
    }
    if address[0] & 1 != 0 || address == [0; 6] {
        return Err(KeyError::NotAStation);
    }
    Ok(address)
}

/// The `mtu` key: bytes of a frame's payload; [`DEFAULT_MTU`] where it is not there.
///
/// # Errors
/// [`KeyError::NotANumber`], [`KeyError::Mtu`].
pub fn mtu(value: Option<&[u8]>) -> Result<u16, KeyError> {
    let Some(value) = value else {
        return Ok(DEFAULT_MTU);
    };
    let mtu = decimal(value).ok_or(KeyError::NotANumber("mtu"))?;
    match u16::try_from(mtu) {
        Ok(number) if (MIN_MTU..=MAX_MTU).contains(&number) => Ok(number),
        _ => Err(KeyError::Mtu(mtu)),
    }
}

/// The backend's `carrier` key: false where it says that there is none (`io/netif.h`, "Link state").
pub fn carrier(value: Option<&[u8]>) -> bool {
    value.is_none_or(|value| decimal(value) != Some(0))
}

/// The frontend's `disconnect` key: true where the toolstack pulled the cable.
pub fn disconnected(value: Option<&[u8]>) -> bool {
    value.and_then(decimal).is_some_and(|number| number != 0)
}

/// The backend's `online` key: false once the toolstack wants the device gone.
pub fn online(value: Option<&[u8]>) -> bool {
    value.is_none_or(|value| decimal(value) != Some(0))
}

/// The frontend's `trusted` key: false where the backend is not to see anything but packets.
pub fn trusted(value: Option<&[u8]>) -> bool {
    value.is_none_or(|value| decimal(value) != Some(0))
}

/// The frontend's `speed` key in bits a second: a number with `k`, `M`, `G` or no unit. `None` where it is not there.
///
/// # Errors
/// [`KeyError::Speed`].
pub fn speed(value: Option<&[u8]>) -> Result<Option<u64>, KeyError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let (digits, unit) = match value {
        [digits @ .., b'G'] => (digits, 1_000_000_000),
        [digits @ .., b'M'] => (digits, 1_000_000),
        [digits @ .., b'k'] => (digits, 1_000),
        digits => (digits, 1),
    };
    decimal(digits)
        .filter(|number| *number != 0)
        .and_then(|number| number.checked_mul(unit))
        .map(Some)
        .ok_or(KeyError::Speed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn offer(keys: &[(&str, &str)]) -> Result<Offer, KeyError> {
        Offer::parse(|key| {
            keys.iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.as_bytes())
        })
    }

    #[test]
    fn the_least_a_backend_may_say_makes_a_plain_device() {
        let offer = offer(&[("feature-rx-copy", "1")]).unwrap();
        assert_eq!((offer.queues, offer.checksum_ipv4), (1, true));
        assert!(!offer.scatter_gather && !offer.checksum_ipv6 && !offer.segment_ipv4);
        assert!(!offer.split_event_channels && !offer.control_ring && !offer.multicast_control);
    }

    #[test]
    fn every_key_of_linux_netback_is_understood() {
        let offer = offer(&[
            ("feature-rx-copy", "1"),
            ("feature-rx-flip", "0"),
            ("feature-sg", "1"),
            ("feature-gso-tcpv4", "1"),
            ("feature-gso-tcpv6", "1"),
            ("feature-ipv6-csum-offload", "1"),
            ("feature-split-event-channels", "1"),
            ("feature-multicast-control", "1"),
            ("feature-dynamic-multicast-control", "1"),
            ("multi-queue-max-queues", "4"),
            ("feature-ctrl-ring", "1"),
        ])
        .unwrap();
        let all = Offer {
            queues: 4,
            split_event_channels: true,
            scatter_gather: true,
            checksum_ipv4: true,
            checksum_ipv6: true,
            segment_ipv4: true,
            segment_ipv6: true,
            multicast_control: true,
            dynamic_multicast_control: true,
            control_ring: true,
        };
        assert_eq!(offer, all);
    }

    #[test]
    fn large_packets_need_scatter_gather_and_blank_checksums() {
        let keys = |extra: &[(&'static str, &'static str)]| {
            let mut keys = std::vec![
                ("feature-rx-copy", "1"),
                ("feature-gso-tcpv4", "1"),
                ("feature-gso-tcpv6", "1")
            ];
            keys.extend_from_slice(extra);
            let offer = offer(&keys).unwrap();
            (offer.segment_ipv4, offer.segment_ipv6)
        };
        assert_eq!(keys(&[]), (false, false));
        assert_eq!(keys(&[("feature-sg", "1")]), (true, false));
        let no_csum = [("feature-sg", "1"), ("feature-no-csum-offload", "1")];
        assert_eq!(keys(&no_csum), (false, false));
        let v6 = [("feature-sg", "1"), ("feature-ipv6-csum-offload", "1")];
        assert_eq!(keys(&v6), (true, true));
    }

    #[test]
    fn garbage_in_any_key_is_an_error_that_names_it() {
        for key in [
            "multi-queue-max-queues",
            "feature-rx-copy",
            "feature-sg",
            "feature-no-csum-offload",
            "feature-ipv6-csum-offload",
            "feature-split-event-channels",
            "feature-gso-tcpv4",
            "feature-gso-tcpv6",
            "feature-multicast-control",
            "feature-dynamic-multicast-control",
            "feature-ctrl-ring",
        ] {
            for value in ["", "x", "-1", "0x1", " 1", "1 ", "4294967296"] {
                let keys = [(key, value), ("feature-rx-copy", "1")];
                assert_eq!(offer(&keys), Err(KeyError::NotANumber(key)), "{value:?}");
            }
        }
    }

    #[test]
    fn what_makes_no_connection_is_an_error() {
        assert_eq!(offer(&[]), Err(KeyError::NoRxCopy));
        let keys = [("feature-rx-copy", "1"), ("multi-queue-max-queues", "0")];
        assert_eq!(
            offer(&keys),
            Err(KeyError::NoQueues("multi-queue-max-queues"))
        );
    }

    #[test]
    fn the_number_of_queues_is_the_least_of_all_limits() {
        for (processors, offered, rss, front, count) in [
            (1, 8, None, None, 1),
            (4, 2, None, None, 2),
            (64, 64, None, None, 8),
            (8, 8, Some(3), None, 3),
            (8, 8, Some(16), Some(5), 5),
            (2, 4, Some(4), None, 2),
        ] {
            assert_eq!(queue_count(processors, offered, rss, front), Ok(count));
        }
        for (processors, offered, rss, front, name) in [
            (0, 1, None, None, "the number of processors"),
            (1, 0, None, None, "multi-queue-max-queues"),
            (1, 1, Some(0), None, "*NumRssQueues"),
            (1, 1, None, Some(0), "FrontendMaxQueues"),
        ] {
            let count = queue_count(processors, offered, rss, front);
            assert_eq!(count, Err(KeyError::NoQueues(name)));
        }
    }

    #[test]
    fn an_address_is_six_pairs_of_digits() {
        let address = [0x00, 0x16, 0x3E, 0xAB, 0xCD, 0xEF];
        for text in ["00:16:3e:ab:cd:ef", "00-16-3E-AB-CD-EF", "00163eABcdEF"] {
            assert_eq!(mac(text.as_bytes()), Ok(address), "{text}");
        }
        for text in [
            "",
            "00:16:3e:ab:cd",
            "00:16:3e:ab:cd:ef:01",
            "00:16:3e:ab:cd:eg",
            "00:16:3e:ab:cd:e ",
            "00.16.3e.ab.cd.ef",
            "0016:3e:ab:cd:ef:",
            "0:16:3e:ab:cd:ef0",
            "00163eABcdE",
            "+0:16:3e:ab:cd:ef",
        ] {
            assert_eq!(
                mac(text.as_bytes()),
                Err(KeyError::MalformedAddress),
                "{text}"
            );
        }
        for text in [
            "00:00:00:00:00:00",
            "01:16:3e:00:00:00",
            "ff:ff:ff:ff:ff:ff",
        ] {
            assert_eq!(mac(text.as_bytes()), Err(KeyError::NotAStation), "{text}");
        }
    }

    #[test]
    fn an_mtu_fits_a_packet_on_the_ring() {
        assert_eq!(mtu(None), Ok(1500));
        for number in ["68", "1500", "9000", "65521"] {
            assert_eq!(mtu(Some(number.as_bytes())), Ok(number.parse().unwrap()));
        }
        for number in [0, 67, 65522, 65535, 65536, u64::MAX] {
            let text = std::format!("{number}");
            assert_eq!(mtu(Some(text.as_bytes())), Err(KeyError::Mtu(number)));
        }
        for text in ["", "-1", "1500 ", "big"] {
            assert_eq!(mtu(Some(text.as_bytes())), Err(KeyError::NotANumber("mtu")));
        }
    }

    #[test]
    fn speeds_have_units() {
        for (text, speed) in [
            ("1G", 1_000_000_000),
            ("100M", 100_000_000),
            ("64k", 64_000),
            ("9600", 9600),
        ] {
            assert_eq!(super::speed(Some(text.as_bytes())), Ok(Some(speed)));
        }
        assert_eq!(speed(None), Ok(None));
        for text in [
            "",
            "0",
            "G",
            "1T",
            "1 G",
            "-1M",
            "0G",
            "18446744073709551615G",
        ] {
            assert_eq!(speed(Some(text.as_bytes())), Err(KeyError::Speed), "{text}");
        }
    }

    #[test]
    fn the_link_is_up_unless_a_key_says_otherwise() {
        assert!(carrier(None) && carrier(Some(b"1")) && carrier(Some(b"?")));
        assert!(!carrier(Some(b"0")));
        assert!(!disconnected(None) && !disconnected(Some(b"0")) && !disconnected(Some(b"x")));
        assert!(disconnected(Some(b"1")) && disconnected(Some(b"2")));
        assert!(online(None) && online(Some(b"1")) && !online(Some(b"0")));
        assert!(trusted(None) && trusted(Some(b"1")) && !trusted(Some(b"0")));
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(values: std::vec::Vec<std::vec::Vec<u8>>) {
            for value in &values {
                if let Ok(address) = mac(value) {
                    prop_assert_eq!(address[0] & 1, 0);
                }
                if let Ok(mtu) = mtu(Some(value)) {
                    prop_assert!((MIN_MTU..=MAX_MTU).contains(&mtu));
                }
                prop_assert!(speed(Some(value)) != Ok(Some(0)));
            }
            let mut values = values.into_iter();
            if let Ok(offer) = Offer::parse(|_| values.next()) {
                prop_assert!(offer.queues > 0);
            }
        }
    }
}
