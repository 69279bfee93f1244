//! Steps about single frames: their tags, the groups that they go to, and what the adapter said of those that came.

use alloc::format;
use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;
use serde::Deserialize;
use serde::Serialize;

/// An Ethernet address: a station's or a group's. In text it is six pairs of hexadecimal digits with colons between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(pub [u8; 6]);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is no Ethernet address, as 01:00:5e:00:00:01");
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2);
            let part = part.filter(|part| part.bytes().all(|digit| digit.is_ascii_hexdigit()));
            *byte = u8::from_str_radix(part.ok_or_else(wrong)?, 16).map_err(|_| wrong())?;
        }
        match parts.next() {
            None => Ok(Self(bytes)),
            Some(_) => Err(wrong()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

/// Puts a stack into a VLAN: each frame that it sends has this tag beside it, and it takes frames with this VLAN beside them only.
/// Zeroes: no tag, and frames of no VLAN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Tag {
    /// The adapter
    pub nic: u32,
    /// The VLAN, 0 to 4094
    pub vlan: u16,
    /// The priority of IEEE 802.1p, 0 to 7
    pub priority: u8,
    /// The VLAN is the adapter's own (OID_GEN_VLAN_ID), and is not beside what is sent
    pub adapter: bool,
}

/// The groups whose frames an adapter is to receive besides those that the stack is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Groups {
    /// The adapter
    pub nic: u32,
    /// Their addresses
    pub join: Vec<Address>,
    /// All groups, by the packet filter
    pub all: bool,
}

/// Sends frames of the Ethernet type for experiments (88B5, IEEE 802), which are filled with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Frames {
    /// The adapter
    #[serde(default)]
    pub nic: u32,
    /// Where they go
    pub to: Address,
    /// How many
    #[serde(default = "frames")]
    pub count: u32,
    /// Bytes of each, with the Ethernet header, 14 to 1514
    #[serde(default = "shortest")]
    pub size: u32,
}

fn frames() -> u32 {
    5
}

fn soon() -> u32 {
    5_000
}

fn shortest() -> u32 {
    60
}

/// What an adapter has to have handed up since the last `received-start` for it: frames of which all holds that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ReceivedExpect {
    /// The adapter
    pub nic: u32,
    /// They came to this address
    pub to: Option<Address>,
    /// With this VLAN beside them; 0 for none
    pub vlan: Option<u16>,
    /// With this priority beside them
    pub priority: Option<u8>,
    /// They are longer than the MTU, or not
    pub large: Option<bool>,
    /// They are said to be units of receive segment coalescing, or not
    pub coalesced: Option<bool>,
    /// They have a hash over TCP's ports beside them, or not
    pub hashed: Option<bool>,
    /// They came on the processor that the stack's indirection table has for their hash, or on another
    pub at_home: Option<bool>,
    /// They came on this processor
    pub processor: Option<u32>,
    /// At least so many
    pub at_least: Option<u32>,
    /// At most so many
    pub at_most: Option<u32>,
    /// How long the last of `at-least` may take, in milliseconds
    #[serde(default = "soon")]
    pub within_ms: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_six_pairs_of_digits() {
        let group: Address = "01:00:5E:7f:00:63".parse().unwrap();
        assert_eq!(group.0, [1, 0, 0x5e, 0x7f, 0, 0x63]);
        assert_eq!(group.to_string(), "01:00:5e:7f:00:63");
        for text in [
            "",
            "01:00:5e:7f:00",
            "01:00:5e:7f:00:63:00",
            "1:0:5e:7f:0:63",
            "01-00-5e-7f-00-63",
            "01:00:5e:7f:00:+3",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }

    #[test]
    fn steps_survive_the_way_to_the_guest() {
        let groups: Groups = toml::from_str("join = [\"01:00:5e:00:00:63\"]").unwrap();
        let bytes = postcard::to_allocvec(&groups).unwrap();
        assert_eq!(postcard::from_bytes::<Groups>(&bytes).unwrap(), groups);
        let text = "to = \"ff:ff:ff:ff:ff:ff\"";
        let frames: Frames = toml::from_str(text).unwrap();
        assert_eq!((frames.count, frames.size), (5, 60));
        let expect: ReceivedExpect = toml::from_str(text).unwrap();
        let bytes = postcard::to_allocvec(&expect).unwrap();
        let back: ReceivedExpect = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(back, expect);
        assert!(toml::from_str::<Groups>("join = [\"all\"]").is_err());
    }
}
