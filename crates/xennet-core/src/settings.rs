//! The keywords of an adapter's configuration ("Standardized INF Keywords for Network Devices"): names, ranges, defaults.
//! What is missing or out of range has its default, as that page asks.

/// A checksum offload's value: 0 neither way, 1 transmit, 2 receive, 3 both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ways {
    /// Frames that are sent.
    pub transmit: bool,
    /// Frames that are received.
    pub receive: bool,
}

impl Ways {
    /// From the keyword's value.
    pub const fn from_value(value: u32) -> Self {
        Self {
            transmit: value & 1 != 0,
            receive: value & 2 != 0,
        }
    }

    /// Both ways.
    pub const BOTH: Self = Self::from_value(3);
    /// Neither way.
    pub const NEITHER: Self = Self::from_value(0);
}

/// An adapter's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `*IPChecksumOffloadIPv4`.
    pub ip_checksum: Ways,
    /// `*TCPChecksumOffloadIPv4`.
    pub tcp_checksum_ipv4: Ways,
    /// `*TCPChecksumOffloadIPv6`.
    pub tcp_checksum_ipv6: Ways,
    /// `*UDPChecksumOffloadIPv4`.
    pub udp_checksum_ipv4: Ways,
    /// `*UDPChecksumOffloadIPv6`.
    pub udp_checksum_ipv6: Ways,
    /// `*LsoV2IPv4`.
    pub lso_ipv4: bool,
    /// `*LsoV2IPv6`.
    pub lso_ipv6: bool,
    /// `*RscIPv4`.
    pub rsc_ipv4: bool,
    /// `*RscIPv6`.
    pub rsc_ipv6: bool,
    /// `*RSS`.
    pub rss: bool,
    /// `*NumRssQueues`, where it is set.
    pub rss_queues: Option<u32>,
    /// `*JumboPacket`: most bytes of a frame, with its header, without a tag.
    pub jumbo_packet: u32,
    /// `*PriorityVLANTag`: tags with a priority.
    pub priority_tag: bool,
    /// `*PriorityVLANTag`: tags with a VLAN.
    pub vlan_tag: bool,
    /// `VlanId`: the VLAN whose frames alone go up; 0 for all.
    pub vlan: u16,
    /// `NeedChecksumValue`: a checksum that the backend left blank is filled in even where the stack would not look at it.
    pub need_checksum_value: bool,
}

/// Frames of this many bytes, the least and usual value of `*JumboPacket`.
pub const ETHERNET_FRAME: u32 = 1514;
/// Bytes of an Ethernet header.
pub const HEADER: u32 = 14;
/// Most of `*JumboPacket`: as much as a packet on Xen's ring can have.
pub const LARGEST_FRAME: u32 = 65_535;

impl Settings {
    /// Reads all keywords through `read`, which gives an integer's value, or nothing.
    pub fn read(mut read: impl FnMut(&'static str) -> Option<u32>) -> Self {
        let mut number = |keyword, least: u32, most: u32| {
            read(keyword).filter(|value| (least..=most).contains(value))
        };
        let mut ways = |keyword| Ways::from_value(number(keyword, 0, 3).unwrap_or(3));
        let ip_checksum = ways("*IPChecksumOffloadIPv4");
        let tcp_checksum_ipv4 = ways("*TCPChecksumOffloadIPv4");
        let tcp_checksum_ipv6 = ways("*TCPChecksumOffloadIPv6");
        let udp_checksum_ipv4 = ways("*UDPChecksumOffloadIPv4");
        let udp_checksum_ipv6 = ways("*UDPChecksumOffloadIPv6");
        let mut flag = |keyword, default| number(keyword, 0, 1).map_or(default, |value| value != 0);
        let lso_ipv4 = flag("*LsoV2IPv4", true);
        let lso_ipv6 = flag("*LsoV2IPv6", true);
        let rsc_ipv4 = flag("*RscIPv4", false);
        let rsc_ipv6 = flag("*RscIPv6", false);
        let rss = flag("*RSS", true);
        let need_checksum_value = flag("NeedChecksumValue", true);
        let rss_queues = number("*NumRssQueues", 1, 64);
        let jumbo_packet = number("*JumboPacket", ETHERNET_FRAME, LARGEST_FRAME);
        let tag = number("*PriorityVLANTag", 0, 3).unwrap_or(3);
        let vlan = number("VlanId", 0, 4094).unwrap_or(0);
        Self {
            ip_checksum,
            tcp_checksum_ipv4,
            tcp_checksum_ipv6,
            udp_checksum_ipv4,
            udp_checksum_ipv6,
            lso_ipv4,
            lso_ipv6,
            rsc_ipv4,
            rsc_ipv6,
            rss,
            rss_queues,
            jumbo_packet: jumbo_packet.unwrap_or(ETHERNET_FRAME),
            priority_tag: tag & 1 != 0,
            vlan_tag: tag & 2 != 0,
            vlan: vlan as u16,
            need_checksum_value,
        }
    }

    /// The largest payload of a frame: what the toolstack says (`given`), or the usual 1500; `*JumboPacket` raises it where
    /// the toolstack says nothing, and lowers it where that is less.
    pub fn mtu(&self, given: Option<u16>) -> u32 {
        let jumbo = self.jumbo_packet - HEADER;
        let usual = ETHERNET_FRAME - HEADER;
        match given.map(u32::from) {
            None => jumbo,
            // The default of the keyword is no wish of anybody's.
            Some(given) if jumbo == usual => given,
            Some(given) => given.min(jumbo),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[(&str, u32)]) -> Settings {
        Settings::read(|keyword| {
            values
                .iter()
                .find(|(name, _)| *name == keyword)
                .map(|v| v.1)
        })
    }

    #[test]
    fn without_any_keyword_all_has_its_default() {
        let settings = read(&[]);
        assert_eq!(settings.tcp_checksum_ipv4, Ways::BOTH);
        assert!(
            settings.lso_ipv4 && settings.lso_ipv6 && settings.rss && settings.need_checksum_value
        );
        assert!(!settings.rsc_ipv4 && !settings.rsc_ipv6);
        assert!(settings.priority_tag && settings.vlan_tag);
        assert_eq!(
            (settings.jumbo_packet, settings.vlan, settings.rss_queues),
            (1514, 0, None)
        );
    }

    #[test]
    fn what_is_out_of_range_has_its_default_too() {
        let settings = read(&[
            ("*JumboPacket", 70_000),
            ("*NumRssQueues", 0),
            ("*TCPChecksumOffloadIPv4", 4),
            ("*LsoV2IPv4", 2),
            ("*RscIPv4", 7),
            ("VlanId", 4095),
        ]);
        assert_eq!(settings, read(&[]));
    }

    #[test]
    fn every_keyword_is_documented() {
        let text = include_str!("../../../docs/registry.md");
        let mut keywords = 0;
        Settings::read(|keyword| {
            let shown = std::format!("`{keyword}`");
            assert!(text.contains(&shown), "{keyword}");
            keywords += 1;
            None
        });
        assert_eq!(keywords, 15);
    }

    #[test]
    fn a_checksum_keyword_names_its_ways() {
        let ways = |value| read(&[("*UDPChecksumOffloadIPv6", value)]).udp_checksum_ipv6;
        assert_eq!(ways(0), Ways::NEITHER);
        assert_eq!((ways(1).transmit, ways(1).receive), (true, false));
        assert_eq!((ways(2).transmit, ways(2).receive), (false, true));
        assert_eq!(ways(3), Ways::BOTH);
    }

    #[test]
    fn the_mtu_is_the_toolstack_s_unless_the_administrator_wants_another() {
        let mtu = |jumbo, given| read(&[("*JumboPacket", jumbo)]).mtu(given);
        assert_eq!(mtu(1514, None), 1500);
        assert_eq!(mtu(9014, None), 9000);
        assert_eq!(mtu(1514, Some(9000)), 9000);
        assert_eq!(mtu(1514, Some(1400)), 1400);
        assert_eq!(mtu(9014, Some(1400)), 1400);
        assert_eq!(mtu(4088, Some(9000)), 4074);
    }
}
