//! Steps about network adapters.
//!
//! An adapter is called by its number in the order of the host's `--nic` options, which is its number in the toolstack
//! (`device/vif/<n>`). Each lies on a bridge of its own in dom0, unless the options name the same bridge twice.

use super::Bytes;
use alloc::string::String;
use core::net::Ipv4Addr;
use core::str::FromStr;
use serde::Deserialize;
use serde::Serialize;

/// The first of the TCP ports on which dom0 takes what the guest sends: connection `n` of a transfer uses this port plus `n`.
pub const SEND_PORT: u16 = 5000;
/// The first of the TCP ports on which dom0 hands out what the guest receives: connection `n` uses this port plus `n`.
pub const RECEIVE_PORT: u16 = 5100;
/// The most connections of a transfer.
pub const MAX_CONNECTIONS: u16 = 32;
/// The TCP port on which the guest sends back what it gets.
pub const ECHO_PORT: u16 = 7;
/// The UDP port to which a flood goes, in dom0 and in the guest. The first four bytes of each datagram are its number, big-endian,
/// from 0 on; the other bytes are of no interest.
pub const FLOOD_PORT: u16 = 5200;
/// The UDP source port of a flood.
pub const FLOOD_SOURCE_PORT: u16 = 5201;

/// Which way data goes, seen from the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the guest to dom0
    Send,
    /// From dom0 to the guest
    Receive,
    /// Both at once
    Both,
}

impl Direction {
    /// True if the guest sends.
    pub fn sends(self) -> bool {
        self != Self::Receive
    }

    /// True if the guest receives.
    pub fn receives(self) -> bool {
        self != Self::Send
    }
}

/// Configures the stack on an adapter: waits until the adapter is there with link, then gives it its addresses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct NetUp {
    /// The adapter
    pub nic: u32,
    /// `auto`: the addresses that the host chose; `dhcp`: an IPv4 address from the DHCP server in dom0; or an IPv4 address with
    /// its prefix, as `10.0.0.2/24`. The IPv6 address is always the host's.
    pub address: String,
    /// How long adapter, link and address may take, in milliseconds
    pub within_ms: u32,
}

impl Default for NetUp {
    fn default() -> Self {
        Self {
            nic: 0,
            address: "auto".into(),
            within_ms: 60_000,
        }
    }
}

/// What [`NetUp::address`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    /// What the host chose
    Auto,
    /// What dom0's DHCP server says
    Dhcp,
    /// This address, with so many bits for the network
    Fixed(Ipv4Addr, u8),
}

impl FromStr for Address {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "an address is \"auto\", \"dhcp\", or as \"10.0.0.2/24\"";
        match text {
            "auto" => Ok(Self::Auto),
            "dhcp" => Ok(Self::Dhcp),
            _ => {
                let (address, prefix) = text.split_once('/').ok_or(WRONG)?;
                let prefix = prefix.parse().map_err(|_| WRONG)?;
                if !(1..=30).contains(&prefix) {
                    return Err("an address has a prefix of 1 to 30 bits");
                }
                Ok(Self::Fixed(address.parse().map_err(|_| WRONG)?, prefix))
            }
        }
    }
}

/// ICMP echoes, by the guest to dom0 or by dom0's ping(8) to the guest. The first answer may take `within-ms`, and requests that
/// were lost before it do not count; from then on all of `count` requests must be answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Ping {
    /// The adapter
    pub nic: u32,
    /// Requests, one after the other
    pub count: u32,
    /// Bytes of data in each, behind the ICMP header, at most 16,356 (above the MTU: fragments)
    pub size: u32,
    /// Over IPv6
    pub ipv6: bool,
    /// How long the first answer may take, in milliseconds
    pub within_ms: u32,
}

impl Default for Ping {
    fn default() -> Self {
        Self {
            nic: 0,
            count: 5,
            size: 56,
            ipv6: false,
            within_ms: 10_000,
        }
    }
}

/// A TCP transfer between guest and dom0. The guest makes the connections, to the ports from [`SEND_PORT`] and [`RECEIVE_PORT`] on;
/// each end of a connection counts and hashes what goes over it, and the host compares.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Transfer {
    /// The adapter
    #[serde(default)]
    pub nic: u32,
    /// Which way
    pub direction: Direction,
    /// Bytes each way, shared out evenly over the connections
    pub bytes: Bytes,
    /// Connections each way
    #[serde(default = "one")]
    pub connections: u16,
    /// Over IPv6
    #[serde(default)]
    pub ipv6: bool,
    /// True: both ends hash. False: zeroes are sent and counted, for measuring throughput alone.
    #[serde(default = "yes")]
    pub hash: bool,
    /// How long it may take, in milliseconds
    #[serde(default = "long")]
    pub within_ms: u32,
}

impl Transfer {
    /// Bytes of the connection with this number (from 0), each way: the first one carries what does not divide evenly.
    pub fn share(&self, connection: u16) -> u64 {
        let connections = u64::from(self.connections.max(1));
        let rest = self.bytes.0 % connections;
        self.bytes.0 / connections + if connection == 0 { rest } else { 0 }
    }
}

fn one() -> u16 {
    1
}

fn yes() -> bool {
    true
}

fn long() -> u32 {
    300_000
}

/// The guest listens on [`ECHO_PORT`] and sends back what it gets; dom0 connects, sends so much, closes its direction, and compares what comes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Echo {
    /// The adapter
    #[serde(default)]
    pub nic: u32,
    /// How much
    pub bytes: Bytes,
    /// Over IPv6
    #[serde(default)]
    pub ipv6: bool,
    /// How long it may take, in milliseconds
    #[serde(default = "long")]
    pub within_ms: u32,
}

/// UDP datagrams as fast as they can be made. Loss is counted, and is a failure only beyond `lost`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UdpFlood {
    /// The adapter
    #[serde(default)]
    pub nic: u32,
    /// Which way; not both
    pub direction: Direction,
    /// How many
    #[serde(default = "flood_packets")]
    pub packets: u32,
    /// Bytes of data in each, 4 to 16,356
    #[serde(default = "flood_size")]
    pub size: u32,
    /// Over IPv6
    #[serde(default)]
    pub ipv6: bool,
    /// How many may be lost, of a hundred; 100 if absent
    #[serde(default = "all")]
    pub lost: u8,
}

fn flood_packets() -> u32 {
    1000
}

fn flood_size() -> u32 {
    1000
}

fn all() -> u8 {
    100
}

/// Promiscuous mode of an adapter, and counting what it hands up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Capture {
    /// The adapter
    #[serde(default)]
    pub nic: u32,
    /// On or off
    pub on: bool,
    /// For `on = false`: at least so many frames for other stations (unicast to another MAC) must have been seen since it was on
    #[serde(default)]
    pub foreign: u32,
}

/// Switches an adapter's offloads with OID_TCP_OFFLOAD_PARAMETERS; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Offload {
    /// The adapter
    pub nic: u32,
    /// Large send offload version 2, over IPv4 and IPv6
    pub lso: Option<bool>,
    /// Checksums of what is sent (IPv4, TCP, UDP over both)
    pub tx_checksum: Option<bool>,
    /// Checksums of what is received
    pub rx_checksum: Option<bool>,
    /// Receive segment coalescing, over IPv4 and IPv6
    pub rsc: Option<bool>,
}

/// What tcpdump in dom0 has to have seen on an adapter's interface since the last `tcpdump-start` for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct TcpdumpExpect {
    /// The adapter
    pub nic: u32,
    /// Which frames, in the language of pcap-filter(7); all if empty. Variables of dom0's steps are put in.
    pub filter: String,
    /// At least so many
    pub at_least: Option<u32>,
    /// At most so many
    pub at_most: Option<u32>,
    /// `send` or `receive`: only what the guest sent or received
    pub direction: Option<Direction>,
    /// True: of the frames that fit, at least one has to be TCP and longer than the MTU, and the kernel must have seen frames of this
    /// direction with a gso_size, every one between 1 and what fits into the MTU. False: none may be longer than the MTU or have a gso_size.
    pub gso: Option<bool>,
}

/// Throughput of a Linux guest with its own xen-netfront on the same bridge, by the same peers in dom0, for comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct LinuxGuest {
    /// The adapter on whose bridge it goes
    pub nic: u32,
    /// Bytes each way
    pub bytes: Bytes,
    /// Connections each way
    pub connections: u16,
    /// Its virtual CPUs
    pub vcpus: u32,
}

impl Default for LinuxGuest {
    fn default() -> Self {
        Self {
            nic: 0,
            bytes: Bytes(64 << 20),
            connections: 1,
            vcpus: 2,
        }
    }
}

/// An adapter and nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct OfNic {
    /// The adapter
    pub nic: u32,
}

/// ping(8) in dom0 that goes on while other steps are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct PingedStart {
    /// The adapter
    pub nic: u32,
    /// Milliseconds from one request to the next
    pub interval_ms: u32,
    /// Bytes of data in each
    pub size: u32,
}

impl Default for PingedStart {
    fn default() -> Self {
        Self {
            nic: 0,
            interval_ms: 100,
            size: 56,
        }
    }
}

/// The end of that ping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct PingedStop {
    /// The adapter
    pub nic: u32,
    /// How many may have remained without an answer
    pub lost: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_auto_dhcp_or_have_a_prefix() {
        assert_eq!("auto".parse(), Ok(Address::Auto));
        assert_eq!("dhcp".parse(), Ok(Address::Dhcp));
        let fixed = Address::Fixed(Ipv4Addr::new(10, 0, 0, 2), 24);
        assert_eq!("10.0.0.2/24".parse(), Ok(fixed));
        for text in [
            "",
            "10.0.0.2",
            "10.0.0.2/0",
            "10.0.0.2/31",
            "10.0.0/24",
            "::1/64",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_transfers_connections_carry_all_of_it() {
        let transfer: Transfer =
            toml::from_str("direction = \"both\"\nbytes = 1000001\nconnections = 4").unwrap();
        let shares = [0, 1, 2, 3].map(|connection| transfer.share(connection));
        assert_eq!(shares, [250_001, 250_000, 250_000, 250_000]);
        assert!(transfer.direction.sends() && transfer.direction.receives());
    }
}
