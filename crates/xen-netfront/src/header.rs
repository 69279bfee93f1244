//! The headers of a frame: Ethernet (with an 802.1Q tag or LLC/SNAP), IPv4, IPv6 with extension headers, TCP, UDP.
//!
//! Parsed from at most [`HEADER_MAX`] bytes that were copied out; every length is checked against them and against the
//! frame. A header that is cut off, or that contradicts itself, is as if it were not there.

/// Bytes of a frame that are looked at for headers.
pub const HEADER_MAX: usize = 256;
/// Bytes of an Ethernet header without a tag.
pub const ETHERNET: usize = 14;
/// Bytes of an 802.1Q tag.
pub const TAG: usize = 4;
/// Bytes of the shortest frame, without its check sequence (IEEE 802.3, 4A.4.2).
pub const MINIMUM_FRAME: u32 = 60;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86DD;
const ETHERTYPE_TAG: u16 = 0x8100;
/// A type field below this is a length (IEEE 802.3, 3.2.6).
const ETHERTYPE_FIRST: u16 = 0x0600;
/// Bytes of LLC and SNAP before the type (RFC 1042).
const SNAP: usize = 8;
/// Extension headers that are followed; more are not what anyone sends.
const EXTENSIONS: usize = 8;

/// Internet protocol numbers.
pub mod protocol {
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const AUTHENTICATION: u8 = 51;
    pub(crate) const DESTINATION: u8 = 60;
}

/// Whom a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cast {
    /// One station.
    Unicast,
    /// A group.
    Multicast,
    /// All.
    Broadcast,
}

impl Cast {
    /// Of a destination address.
    pub fn of(destination: &[u8; 6]) -> Self {
        match destination {
            [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF] => Self::Broadcast,
            [first, ..] if first & 1 != 0 => Self::Multicast,
            _ => Self::Unicast,
        }
    }
}

/// A version of the Internet protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// An IP header. Offsets are bytes from the frame's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Its version.
    pub version: Version,
    /// Where it starts.
    pub offset: u16,
    /// Bytes, with options or extension headers.
    pub length: u16,
    /// What follows it.
    pub protocol: u8,
    /// It is one part of a datagram that was cut.
    pub fragment: bool,
    /// Where the datagram ends; what follows it is padding.
    pub end: u32,
}

impl Network {
    /// Source and destination address together: 8 bytes, or 32.
    pub fn addresses<'a>(&self, header: &'a [u8]) -> &'a [u8] {
        let at = usize::from(self.offset);
        let range = match self.version {
            Version::V4 => at + 12..at + 20,
            Version::V6 => at + 8..at + 40,
        };
        header.get(range).unwrap_or_default()
    }
}

/// Which transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Kind {
    /// Its number.
    pub fn protocol(self) -> u8 {
        match self {
            Self::Tcp => protocol::TCP,
            Self::Udp => protocol::UDP,
        }
    }
}

/// A transport header that is whole, of a datagram that is not cut. Offsets are bytes from the frame's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Its protocol.
    pub kind: Kind,
    /// Where it starts.
    pub offset: u16,
    /// Bytes, with options.
    pub length: u16,
    /// Where its payload ends.
    pub end: u32,
}

impl Transport {
    /// Where its payload starts.
    pub fn payload(&self) -> u32 {
        u32::from(self.offset) + u32::from(self.length)
    }

    /// Where its checksum is.
    pub fn checksum(&self) -> usize {
        usize::from(self.offset)
            + match self.kind {
                Kind::Tcp => 16,
                Kind::Udp => 6,
            }
    }

    /// Bytes that its checksum covers, besides the pseudo header.
    pub fn covered(&self) -> u32 {
        self.end.saturating_sub(u32::from(self.offset))
    }
}

/// What is known of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// To whom.
    pub destination: [u8; 6],
    /// From whom.
    pub source: [u8; 6],
    /// Tag control information of an 802.1Q tag.
    pub tag: Option<u16>,
    /// Type of what follows; zero for LLC that is not SNAP.
    pub ethertype: u16,
    /// Bytes of the link's headers: Ethernet, tag, LLC and SNAP.
    pub link: u16,
    /// The IP header.
    pub network: Option<Network>,
    /// The TCP or UDP header.
    pub transport: Option<Transport>,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// Flags of a segment that carries data and nothing else (RFC 9293, 3.1): ACK, and PSH.
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
/// Bytes of TCP's header without options, and where its flags are.
const TCP: usize = 20;
const TCP_FLAGS: usize = 13;
/// The one option that such segments have: a time stamp behind two bytes of padding (RFC 7323, appendix A).
const TIME_STAMP: [u8; 4] = [1, 1, 8, 10];
const TIME_STAMP_LENGTH: usize = 12;

impl Headers {
    /// Whether this is a TCP segment of data and nothing else: one that receive segment coalescing may join with its
    /// neighbours ("Rules for Coalescing TCP/IP Packets"). `header` holds the bytes that were parsed.
    pub fn is_plain_data(&self, header: &[u8]) -> bool {
        let (Some(network), Some(transport)) = (self.network, self.transport) else {
            return false;
        };
        let bare = match network.version {
            Version::V4 => 20,
            Version::V6 => 40,
        };
        if transport.kind != Kind::Tcp || network.length != bare {
            return false;
        }
        let start = usize::from(transport.offset);
        let end = start + usize::from(transport.length);
        let Some(tcp) = header.get(start..end) else {
            return false;
        };
        let flags = tcp.get(TCP_FLAGS).copied().unwrap_or_default();
        let options = tcp.get(TCP..).unwrap_or_default();
        let known = options.is_empty()
            || options.len() == TIME_STAMP_LENGTH && options.starts_with(&TIME_STAMP);
        flags & !PSH == ACK && known
    }

    /// Parses the first bytes of a frame of `total` bytes. `None`: it has not even an Ethernet header.
    pub fn parse(bytes: &[u8], total: u32) -> Option<Self> {
        let bytes = bytes.get(..HEADER_MAX).unwrap_or(bytes);
        let bytes = bytes.get(..total as usize).unwrap_or(bytes);
        let mut ethertype = be16(bytes, 12)?;
        let mut link = ETHERNET;
        let mut tag = None;
        if ethertype == ETHERTYPE_TAG
            && let (Some(tci), Some(inner)) = (be16(bytes, link), be16(bytes, link + 2))
        {
            tag = Some(tci);
            ethertype = inner;
            link += TAG;
        }
        if ethertype < ETHERTYPE_FIRST {
            ethertype = match array::<6>(bytes, link) {
                Some([0xAA, 0xAA, 0x03, 0, 0, 0]) => {
                    link += SNAP;
                    be16(bytes, link - 2).unwrap_or(0)
                }
                _ => 0,
            };
        }
        let network = match ethertype {
            ETHERTYPE_IPV4 => ipv4(bytes, link, total),
            ETHERTYPE_IPV6 => ipv6(bytes, link, total),
            _ => None,
        };
        let (network, transport) = match network {
            Some((network, true)) => (Some(network), transport(bytes, &network)),
            Some((network, false)) => (Some(network), None),
            None => (None, None),
        };
        Some(Self {
            destination: array(bytes, 0)?,
            source: array(bytes, 6)?,
            tag,
            ethertype,
            link: link as u16,
            network,
            transport,
        })
    }

    /// Whom it is for.
    pub fn cast(&self) -> Cast {
        Cast::of(&self.destination)
    }

    /// Bytes of all headers that are known.
    pub fn length(&self) -> u32 {
        match (self.transport, self.network) {
            (Some(transport), _) => transport.payload(),
            (None, Some(network)) => u32::from(network.offset) + u32::from(network.length),
            (None, None) => u32::from(self.link),
        }
    }
}

/// Where a datagram of `length` bytes ends; zero bytes is what a large packet to send says, and means all there is.
fn end(offset: usize, header: usize, length: u32, total: u32) -> Option<u32> {
    let room = total.checked_sub(offset as u32)?;
    let length = if length == 0 { room } else { length };
    (header as u32 <= length && length <= room).then_some(offset as u32 + length)
}

/// The header, and whether what follows can be looked at: addresses that are not the final ones spoil the checksum.
fn ipv4(bytes: &[u8], at: usize, total: u32) -> Option<(Network, bool)> {
    let header = array::<20>(bytes, at)?;
    let length = usize::from(header[0] & 0xF) * 4;
    if header[0] >> 4 != 4 || length < 20 {
        return None;
    }
    let options = bytes.get(at + 20..at + length)?;
    let fragment = be16(&header, 6)? & 0x3FFF != 0;
    let network = Network {
        version: Version::V4,
        offset: at as u16,
        length: length as u16,
        protocol: header[9],
        fragment,
        end: end(at, length, u32::from(be16(&header, 2)?), total)?,
    };
    // Loose and strict source routes (RFC 791, 3.1).
    let plain = !has_option(options, &[131, 137], |kind| kind == 1, |kind| kind == 0, 0);
    Some((network, plain && !fragment))
}

/// Whether a list of options has one of these kinds, or is malformed. `pad` is one byte long, `last` ends the list; a
/// length does not count the `uncounted` bytes of kind and length.
fn has_option(
    mut options: &[u8],
    kinds: &[u8],
    pad: impl Fn(u8) -> bool,
    last: impl Fn(u8) -> bool,
    uncounted: usize,
) -> bool {
    while let [kind, rest @ ..] = options {
        if last(*kind) {
            return false;
        }
        if pad(*kind) {
            options = rest;
            continue;
        }
        let length = rest.first().map_or(0, |l| usize::from(*l) + uncounted);
        if kinds.contains(kind) || length < 2 {
            return true;
        }
        match options.get(length..) {
            Some(next) => options = next,
            None => return true,
        }
    }
    false
}

fn ipv6(bytes: &[u8], at: usize, total: u32) -> Option<(Network, bool)> {
    let header = array::<40>(bytes, at)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let payload = u32::from(be16(&header, 4)?);
    let whole = if payload == 0 { 0 } else { 40 + payload };
    let end = end(at, 40, whole, total)?;
    let (mut next, mut offset) = (header[6], at + 40);
    let (mut fragment, mut plain) = (false, true);
    for _ in 0..EXTENSIONS {
        let Some([after, length, third, fourth]) = array::<4>(bytes, offset) else {
            break;
        };
        let units = usize::from(length);
        let size = match next {
            protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION => (units + 1) * 8,
            protocol::FRAGMENT => 8,
            protocol::AUTHENTICATION => (units + 2) * 4,
            _ => break,
        };
        let Some(body) = bytes.get(offset + 2..offset + size) else {
            plain = false;
            break;
        };
        match next {
            // Segments left: the destination is not the final one (RFC 8200, 4.4).
            protocol::ROUTING => plain &= fourth == 0,
            // A home address is the source that the checksum means (RFC 6275, 6.3).
            protocol::DESTINATION => plain &= !has_option(body, &[0xC9], |k| k == 0, |_| false, 2),
            // Neither an offset nor more to come: whole, and only marked so (RFC 6946).
            protocol::FRAGMENT => fragment |= u16::from_be_bytes([third, fourth]) & 0xFFF9 != 0,
            _ => {}
        }
        next = after;
        offset += size;
        if fragment {
            break;
        }
    }
    if offset as u32 > end {
        return None;
    }
    let network = Network {
        version: Version::V6,
        offset: at as u16,
        length: (offset - at) as u16,
        protocol: next,
        fragment,
        end,
    };
    Some((network, plain && !fragment))
}

fn transport(bytes: &[u8], network: &Network) -> Option<Transport> {
    let at = usize::from(network.offset) + usize::from(network.length);
    let room = network.end.checked_sub(at as u32)?;
    let (kind, length, end) = match network.protocol {
        protocol::TCP => {
            let length = usize::from(array::<20>(bytes, at)?[12] >> 4) * 4;
            (length >= 20).then_some((Kind::Tcp, length, network.end))?
        }
        protocol::UDP => {
            let length = u32::from(be16(bytes, at + 4)?);
            // As in IP's own length: nothing is what a large packet says.
            let length = if length == 0 { room } else { length };
            (8..=room)
                .contains(&length)
                .then_some((Kind::Udp, 8, at as u32 + length))?
        }
        _ => return None,
    };
    if length as u32 > room || bytes.get(at..at + length).is_none() {
        return None;
    }
    Some(Transport {
        kind,
        offset: at as u16,
        length: length as u16,
        end,
    })
}

#[cfg(test)]
pub(crate) mod tests;
