//! The network adapters that guests get: `--nic [bridge=…][,mac=…][,type=…][,mtu=…]`.

use anyhow::Context;
use anyhow::bail;
use lab_protocol::bundle;
use std::fmt;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// The most adapters of a guest: the addresses on a bridge are counted out for them.
pub const MAX: usize = 8;

/// The first three bytes of addresses made here: Xen's own.
const XEN_OUI: [u8; 3] = [0x00, 0x16, 0x3e];
/// IFNAMSIZ of Linux, with the terminating zero
const INTERFACE_NAME: usize = 16;
/// What an IP packet has to fit into at least (RFC 791) and what Linux allows on a vif (ETH_MAX_MTU less the Ethernet header).
const MTU: std::ops::RangeInclusive<u16> = 68..=65_521;
/// The MTU of Ethernet
pub const DEFAULT_MTU: u16 = 1500;
/// Added to an adapter's number: the last part of the guest's address on it.
const FIRST_HOST: u8 = 10;
/// Added to an adapter's number: the last part of a Linux guest's address on its bridge.
const FIRST_LINUX_HOST: u8 = 200;

/// An Ethernet address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let byte = |part: &&str| match part.len() {
            2 if part.bytes().all(|digit| digit.is_ascii_hexdigit()) => {
                u8::from_str_radix(part, 16).ok()
            }
            _ => None,
        };
        let bytes: Option<Vec<u8>> = parts.iter().map(byte).collect();
        let bytes: [u8; 6] = bytes
            .and_then(|bytes| bytes.try_into().ok())
            .with_context(|| format!("mac={text}: a MAC address is as 00:16:3e:00:00:01"))?;
        if bytes[0] & 1 != 0 {
            bail!("mac={text}: a group's address, not a station's");
        }
        if bytes == [0; 6] {
            bail!("mac={text}: an adapter's address is not all zeroes");
        }
        Ok(Self(bytes))
    }
}

/// What xl makes of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A PV adapter alone
    Vif,
    /// A PV adapter with an emulated twin on the PCI bus
    Ioemu,
}

/// An adapter as the user gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NicOption {
    /// `bridge=`
    pub bridge: Option<String>,
    /// `mac=`
    pub mac: Option<Mac>,
    /// `type=`
    pub kind: Kind,
    /// `mtu=`
    pub mtu: u16,
}

impl FromStr for NicOption {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut option = Self {
            bridge: None,
            mac: None,
            kind: Kind::Vif,
            mtu: DEFAULT_MTU,
        };
        for part in text.split(',').filter(|part| !part.is_empty()) {
            option.set(part).with_context(|| format!("--nic {text}"))?;
        }
        Ok(option)
    }
}

impl NicOption {
    fn set(&mut self, part: &str) -> anyhow::Result<()> {
        match part.split_once('=') {
            Some(("bridge", value)) => self.bridge = Some(bridge(value)?),
            Some(("mac", value)) => self.mac = Some(value.parse()?),
            Some(("type", "vif")) => self.kind = Kind::Vif,
            Some(("type", "ioemu")) => self.kind = Kind::Ioemu,
            Some(("type", value)) => {
                bail!("type={value}: allowed are vif (PV alone) and ioemu (with an emulated twin)")
            }
            Some(("mtu", value)) => {
                self.mtu = value
                    .parse()
                    .ok()
                    .filter(|mtu| MTU.contains(mtu))
                    .with_context(|| format!("mtu={value}: allowed are {MTU:?}"))?;
            }
            _ => bail!("unknown option {part:?}: allowed are bridge=, mac=, type= and mtu="),
        }
        Ok(())
    }
}

fn bridge(name: &str) -> anyhow::Result<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !starts || name.len() >= INTERFACE_NAME || !name.chars().all(allowed) {
        bail!(
            "bridge={name}: a bridge's name has up to {} letters, digits, - _ or ., a letter first",
            INTERFACE_NAME - 1
        );
    }
    // A name that dom0 uses otherwise would be taken for a bridge.
    if name == "lo" || name.starts_with("vif") {
        bail!("bridge={name}: that is the name of something else in dom0");
    }
    Ok(name.to_owned())
}

/// An adapter of a run, with everything that was not said filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Its number in the toolstack
    pub number: u8,
    /// The bridge in dom0
    pub bridge: String,
    /// The bridge's number, which is part of the addresses on it
    pub network: u8,
    /// Its address
    pub mac: Mac,
    /// What xl makes of it
    pub kind: Kind,
    /// The largest IP packet
    pub mtu: u16,
}

/// Fills in what the user has not said: a bridge of its own, and an address of Xen's.
///
/// # Errors
/// If there are too many, or two have the same address.
pub fn assign(options: &[NicOption]) -> anyhow::Result<Vec<Nic>> {
    if options.len() > MAX {
        bail!(
            "{} --nic options: a guest gets {MAX} at most",
            options.len()
        );
    }
    let mut bridges: Vec<String> = Vec::new();
    let mut nics: Vec<Nic> = Vec::new();
    for (number, option) in (0u8..).zip(options) {
        let bridge = match &option.bridge {
            Some(bridge) => bridge.clone(),
            None => format!("lab{number}"),
        };
        let network = match bridges.iter().position(|known| *known == bridge) {
            Some(network) => network,
            None => {
                bridges.push(bridge.clone());
                bridges.len() - 1
            }
        };
        let [a, b, c] = XEN_OUI;
        let mac = option.mac.unwrap_or(Mac([a, b, c, 0x4c, 0x42, number]));
        if let Some(other) = nics.iter().find(|other| other.mac == mac) {
            bail!("adapters {} and {number} both have mac={mac}", other.number);
        }
        nics.push(Nic {
            number,
            bridge,
            network: network as u8,
            mac,
            kind: option.kind,
            mtu: option.mtu,
        });
    }
    Ok(nics)
}

impl Nic {
    /// The name of its interface in dom0.
    pub fn interface(&self, domain: u32) -> String {
        format!("vif{domain}.{}", self.number)
    }

    /// dom0's address on the bridge.
    pub fn peer(&self) -> Ipv4Addr {
        self.v4(1)
    }

    /// dom0's IPv6 address on the bridge.
    pub fn peer6(&self) -> Ipv6Addr {
        self.v6(1)
    }

    /// The guest's address.
    pub fn address(&self) -> Ipv4Addr {
        self.v4(FIRST_HOST + self.number)
    }

    /// The guest's IPv6 address.
    pub fn address6(&self) -> Ipv6Addr {
        self.v6(FIRST_HOST + self.number)
    }

    /// A Linux guest's address on the same bridge.
    pub fn linux_address(&self) -> Ipv4Addr {
        self.v4(FIRST_LINUX_HOST + self.number)
    }

    /// A Linux guest's MAC address: another one than those that are made here.
    pub fn linux_mac(&self) -> Mac {
        let [a, b, c] = XEN_OUI;
        Mac([a, b, c, 0x4c, 0x58, self.number])
    }

    /// 10.77.`network`.0/24
    fn v4(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.network, host)
    }

    /// fd77:0:0:`network`::/64
    fn v6(&self, host: u8) -> Ipv6Addr {
        let network = u16::from(self.network);
        Ipv6Addr::new(0xfd77, 0, 0, network, 0, 0, 0, u16::from(host))
    }

    /// Bits of the IPv4 addresses that name the network.
    pub const PREFIX: u8 = 24;
    /// Bits of the IPv6 addresses that name the network.
    pub const PREFIX6: u8 = 64;

    /// What the guest is told of it.
    pub fn for_guest(&self) -> bundle::Nic {
        bundle::Nic {
            mac: self.mac.0,
            mtu: self.mtu,
            address: self.address(),
            prefix: Self::PREFIX,
            peer: self.peer(),
            address6: self.address6(),
            prefix6: Self::PREFIX6,
            peer6: self.peer6(),
        }
    }

    /// What xl's configuration says of it.
    pub fn configuration(&self) -> String {
        let kind = match self.kind {
            Kind::Vif => "type=vif",
            Kind::Ioemu => "type=ioemu,model=e1000",
        };
        format!(
            "mac={},bridge={},mtu={},{kind}",
            self.mac, self.bridge, self.mtu
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> NicOption {
        text.parse().unwrap()
    }

    fn error(text: &str) -> String {
        format!("{:#}", text.parse::<NicOption>().unwrap_err())
    }

    #[test]
    fn every_option_is_understood() {
        assert_eq!(
            parsed("bridge=xenbr0,mac=00:16:3E:01:02:fF,type=ioemu,mtu=9000"),
            NicOption {
                bridge: Some("xenbr0".into()),
                mac: Some(Mac([0, 0x16, 0x3e, 1, 2, 0xff])),
                kind: Kind::Ioemu,
                mtu: 9000,
            }
        );
    }

    #[test]
    fn an_adapter_gets_a_bridge_and_an_address_of_its_own() {
        let nics = assign(&[parsed(""), parsed("type=vif"), parsed("bridge=lab0")]).unwrap();
        let bridges: Vec<&str> = nics.iter().map(|nic| nic.bridge.as_str()).collect();
        assert_eq!(bridges, ["lab0", "lab1", "lab0"]);
        assert_eq!(nics[0].mac.to_string(), "00:16:3e:4c:42:00");
        assert_eq!(nics[1].address().to_string(), "10.77.1.11");
        assert_eq!(nics[1].peer6().to_string(), "fd77:0:0:1::1");
        assert_eq!(nics[2].peer(), nics[0].peer());
        assert_ne!(nics[2].address(), nics[0].address());
        assert_eq!(nics[1].interface(7), "vif7.1");
        assert_eq!(
            nics[1].configuration(),
            "mac=00:16:3e:4c:42:01,bridge=lab1,mtu=1500,type=vif"
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_allowed() {
        for mac in [
            "00:16:3e:00:00",
            "00-16-3e-00-00-01",
            "0:16:3e:0:0:1",
            "x",
            "",
        ] {
            assert!(error(&format!("mac={mac}")).contains("00:16:3e:00:00:01"));
        }
        assert!(error("mac=01:16:3e:00:00:01").contains("group"));
        assert!(error("mac=00:00:00:00:00:00").contains("zeroes"));
        assert!(error("colour=red").contains("colour=red"));
        assert!(error("vif").contains("bridge=, mac=, type= and mtu="));
        assert!(error("type=e1000").contains("ioemu"));
        assert!(error("mtu=67").contains("68..=65521"));
        assert!(error("mtu=65522").contains("65522"));
        assert!(error("bridge=sixteen-letters-").contains("15 letters"));
        assert!(error("bridge=a b").contains("bridge"));
        assert!(error("bridge=vif1.0").contains("something else"));
        assert!(assign(&vec![parsed(""); MAX + 1]).is_err());
        let twice = assign(&[
            parsed("mac=00:16:3e:00:00:01"),
            parsed("mac=00:16:3E:00:00:01"),
        ]);
        assert!(format!("{:#}", twice.unwrap_err()).contains("0 and 1"));
    }

    proptest! {
        #[test]
        fn an_address_is_read_back_as_it_is_printed(mut bytes: [u8; 6]) {
            bytes[0] &= !1;
            bytes[5] |= 1;
            let mac = Mac(bytes);
            prop_assert_eq!(mac.to_string().parse::<Mac>().unwrap(), mac);
        }

        #[test]
        fn no_text_makes_the_options_panic(text in "\\PC{0,40}") {
            // Whether it is an option is of no interest.
            drop(text.parse::<NicOption>());
        }
    }
}
