//! What travels out of band with a net buffer list: values of a pointer's size in its slots.

/// Numbers of the slots (`NDIS_NET_BUFFER_LIST_INFO`).
pub mod slot {
    /// `TcpIpChecksumNetBufferListInfo`.
    pub const TCP_IP_CHECKSUM: usize = 0;
    /// `TcpLargeSendNetBufferListInfo`.
    pub const TCP_LARGE_SEND: usize = 2;
    /// `Ieee8021QNetBufferListInfo`.
    pub const IEEE_8021Q: usize = 4;
    /// `NetBufferListCancelId`.
    pub const CANCEL_ID: usize = 5;
    /// `NetBufferListHashValue`.
    pub const HASH_VALUE: usize = 8;
    /// `NetBufferListHashInfo`.
    pub const HASH_INFO: usize = 9;
    /// `TcpRecvSegCoalesceInfo`.
    pub const TCP_RECV_SEG_COALESCE: usize = 22;
}

/// A bit of a word.
const fn bit(word: u32, at: u32) -> bool {
    word >> at & 1 != 0
}

/// `NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO` of a frame to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransmitChecksum(pub u32);

impl TransmitChecksum {
    /// `IsIPv4`.
    pub const IS_IPV4: u32 = 1;
    /// `IsIPv6`.
    pub const IS_IPV6: u32 = 1 << 1;
    /// `TcpChecksum`.
    pub const TCP: u32 = 1 << 2;
    /// `UdpChecksum`.
    pub const UDP: u32 = 1 << 3;
    /// `IpHeaderChecksum`.
    pub const IP_HEADER: u32 = 1 << 4;

    /// Whether there is anything to do: neither version of IP means no.
    pub const fn is_asked(self) -> bool {
        self.0 & (Self::IS_IPV4 | Self::IS_IPV6) != 0
    }

    /// `TcpChecksum`, of a frame that is of IP.
    pub const fn tcp(self) -> bool {
        self.is_asked() && self.0 & Self::TCP != 0
    }

    /// `UdpChecksum`, of a frame that is of IP.
    pub const fn udp(self) -> bool {
        self.is_asked() && self.0 & Self::UDP != 0
    }

    /// `IpHeaderChecksum`, of a frame that is of IPv4.
    pub const fn ip_header(self) -> bool {
        self.0 & Self::IS_IPV4 != 0 && self.0 & Self::IP_HEADER != 0
    }
}

/// `NDIS_TCP_IP_CHECKSUM_NET_BUFFER_LIST_INFO` of a received frame.
pub mod receive_checksum {
    /// `TcpChecksumFailed`.
    pub const TCP_FAILED: u32 = 1;
    /// `UdpChecksumFailed`.
    pub const UDP_FAILED: u32 = 1 << 1;
    /// `IpChecksumFailed`.
    pub const IP_FAILED: u32 = 1 << 2;
    /// `TcpChecksumSucceeded`.
    pub const TCP_SUCCEEDED: u32 = 1 << 3;
    /// `UdpChecksumSucceeded`.
    pub const UDP_SUCCEEDED: u32 = 1 << 4;
    /// `IpChecksumSucceeded`.
    pub const IP_SUCCEEDED: u32 = 1 << 5;
}

/// `NDIS_TCP_LARGE_SEND_OFFLOAD_NET_BUFFER_LIST_INFO` of a frame to send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LargeSend(pub u32);

impl LargeSend {
    /// `Type`: version 2.
    pub const TYPE_V2: u32 = 1 << 30;
    /// `IPVersion` of version 2: IPv6.
    pub const IPV6: u32 = 1 << 31;

    /// `MSS`; 0: the frame is not to be segmented.
    pub const fn mss(self) -> u32 {
        self.0 & 0xF_FFFF
    }

    /// `TcpHeaderOffset`, in bytes from the frame's start.
    pub const fn tcp_header_offset(self) -> u32 {
        self.0 >> 20 & 0x3FF
    }

    /// `Type`: whether it is of version 2.
    pub const fn is_v2(self) -> bool {
        bit(self.0, 30)
    }

    /// `IPVersion` of version 2: whether it is IPv6.
    pub const fn is_ipv6(self) -> bool {
        bit(self.0, 31)
    }

    /// What the slot says when a frame of version 2 is complete: its type alone.
    pub const fn v2_complete() -> Self {
        Self(Self::TYPE_V2)
    }

    /// What the slot says when a frame of version 1 is complete: how many bytes of TCP's were sent.
    pub const fn v1_complete(payload: u32) -> Self {
        Self(payload & 0x3FFF_FFFF)
    }
}

/// `NDIS_NET_BUFFER_LIST_8021Q_INFO` of an Ethernet frame (`TagHeader`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag(pub u32);

impl Tag {
    /// A tag from the tag control information of IEEE 802.1Q: priority, DEI or CFI, VLAN.
    pub const fn from_control(control: u16) -> Self {
        let control = control as u32;
        Self(control >> 13 | (control >> 12 & 1) << 3 | (control & 0xFFF) << 4)
    }

    /// The tag control information of IEEE 802.1Q.
    pub const fn control(self) -> u16 {
        ((self.user_priority() << 13) | (self.0 >> 3 & 1) << 12 | self.vlan()) as u16
    }

    /// `UserPriority`.
    pub const fn user_priority(self) -> u32 {
        self.0 & 7
    }

    /// `VlanId`.
    pub const fn vlan(self) -> u32 {
        self.0 >> 4 & 0xFFF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_the_same_in_the_slot_and_in_the_frame() {
        for control in [0, 0x2000, 0xE000, 0x1000, 0x0FFF, 0xBABE, 0xFFFF] {
            assert_eq!(Tag::from_control(control).control(), control);
        }
        let tag = Tag::from_control(0xA064);
        assert_eq!((tag.user_priority(), tag.vlan()), (5, 100));
    }

    #[test]
    fn a_large_send_names_its_segment_size_and_where_tcp_begins() {
        let info = LargeSend(1460 | 54 << 20 | LargeSend::TYPE_V2 | LargeSend::IPV6);
        assert_eq!((info.mss(), info.tcp_header_offset()), (1460, 54));
        assert!(info.is_v2() && info.is_ipv6());
        assert!(LargeSend::v2_complete().is_v2() && LargeSend::v2_complete().mss() == 0);
        assert_eq!(LargeSend::v1_complete(70_000).0, 70_000);
    }

    #[test]
    fn a_checksum_is_asked_for_only_in_a_frame_of_ip() {
        let asked = TransmitChecksum(
            TransmitChecksum::TCP | TransmitChecksum::UDP | TransmitChecksum::IP_HEADER,
        );
        assert!(!asked.is_asked() && !asked.tcp() && !asked.udp() && !asked.ip_header());
        let v4 = TransmitChecksum(asked.0 | TransmitChecksum::IS_IPV4);
        assert!(v4.tcp() && v4.udp() && v4.ip_header());
        let v6 = TransmitChecksum(asked.0 | TransmitChecksum::IS_IPV6);
        assert!(v6.tcp() && !v6.ip_header());
    }
}
