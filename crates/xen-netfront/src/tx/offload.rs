//! Headers as the backend wants them.

use xen_abi::netif::{ExtraGso, ExtraType, GsoType, TxFlags};

use super::{BadPacket, Limits, Offload};
use crate::checksum::{Sum, pseudo_header};
use crate::header::{ETHERNET, Headers, Kind, Network, Transport, Version};

/// A checksum that has to be made here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blank {
    /// Where the checksum starts to count.
    pub(super) from: u32,
    /// Where it ends.
    pub(super) to: u32,
    /// Where it goes.
    pub(super) at: usize,
    /// Of UDP.
    pub(super) udp: bool,
}

/// What became of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prepared {
    /// Flags of the first slot.
    pub(super) flags: TxFlags,
    /// Extra info of a large packet.
    pub(super) gso: Option<ExtraGso>,
    /// What the backend does not do.
    pub(super) blank: Option<Blank>,
}

/// Writes bytes into the header. Offsets come from the parser, which saw these bytes.
fn put(header: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = header.get_mut(at..at + bytes.len()) {
        to.copy_from_slice(bytes);
    }
}

/// Recomputes the checksum of an IPv4 header.
pub(crate) fn ipv4_checksum(header: &mut [u8], network: &Network) {
    let at = usize::from(network.offset);
    put(header, at + 10, &[0, 0]);
    let bytes = header.get(at..at + usize::from(network.length));
    let checksum = Sum::of(bytes.unwrap_or_default()).checksum();
    put(header, at + 10, &checksum);
}

/// Writes the lengths of a packet that ends at `end` into its IP header.
pub(crate) fn ip_length(header: &mut [u8], network: &Network, end: u32) {
    let at = usize::from(network.offset);
    let length = end.saturating_sub(u32::from(network.offset));
    match network.version {
        Version::V4 => put(header, at + 2, &(length as u16).to_be_bytes()),
        Version::V6 => put(
            header,
            at + 4,
            &(length.saturating_sub(40) as u16).to_be_bytes(),
        ),
    }
}

/// Rewrites the headers of a packet of `total` bytes, of which `header` holds the first.
pub(super) fn prepare(
    header: &mut [u8],
    total: u32,
    offload: &Offload,
    limits: &Limits,
) -> Result<Prepared, BadPacket> {
    let transport_wanted =
        offload.tcp_checksum || offload.udp_checksum || offload.segment.is_some();
    if !transport_wanted && !offload.ip_checksum {
        return Ok(Prepared::default());
    }
    let headers = Headers::parse(header, total).ok_or(BadPacket::Headers)?;
    let network = headers.network.ok_or(BadPacket::Headers)?;
    let mut prepared = Prepared::default();
    if transport_wanted {
        let transport = headers.transport.ok_or(BadPacket::Headers)?;
        prepared = transport_of(header, &network, &transport, offload, limits)?;
    }
    if network.version == Version::V4 && (offload.ip_checksum || offload.segment.is_some()) {
        ipv4_checksum(header, &network);
    }
    Ok(prepared)
}

fn transport_of(
    header: &mut [u8],
    network: &Network,
    transport: &Transport,
    offload: &Offload,
    limits: &Limits,
) -> Result<Prepared, BadPacket> {
    let mut prepared = Prepared::default();
    // Linux finds no headers behind a tag (see `cut`): such a frame is whole before it goes there.
    let tagged = usize::from(network.offset) != ETHERNET;
    let mut wanted = match transport.kind {
        Kind::Tcp => offload.tcp_checksum,
        Kind::Udp => offload.udp_checksum,
    };
    if let Some(size) = offload.segment {
        if transport.kind != Kind::Tcp {
            return Err(BadPacket::Headers);
        }
        let (offered, gso_type) = match network.version {
            Version::V4 => (limits.segment_ipv4, GsoType::TCPV4),
            Version::V6 => (limits.segment_ipv6, GsoType::TCPV6),
        };
        if !offered || tagged {
            return Err(BadPacket::Segment);
        }
        wanted = true;
        ip_length(header, network, network.end);
        // What fits one segment is no large packet: Linux refuses to cut it.
        if transport.end.saturating_sub(transport.payload()) > u32::from(size.get()) {
            prepared.gso = Some(ExtraGso {
                kind: ExtraType::GSO,
                flags: 0,
                size: size.get(),
                gso_type,
                pad: 0,
                features: 0,
            });
        }
    }
    if !wanted {
        return Ok(prepared);
    }
    let covered = transport.covered();
    let pseudo = pseudo_header(
        network.addresses(header),
        transport.kind.protocol(),
        covered,
    );
    put(header, transport.checksum(), &pseudo.folded());
    let offered = match network.version {
        Version::V4 => limits.checksum_ipv4,
        Version::V6 => limits.checksum_ipv6,
    };
    let left_to_backend = offered && !tagged;
    if left_to_backend {
        prepared.flags = TxFlags::CSUM_BLANK | TxFlags::DATA_VALIDATED;
    } else {
        prepared.blank = Some(Blank {
            from: u32::from(transport.offset),
            to: transport.end,
            at: transport.checksum(),
            udp: transport.kind == Kind::Udp,
        });
    }
    Ok(prepared)
}
