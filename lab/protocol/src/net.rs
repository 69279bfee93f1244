//! What the guest reports about network adapters.

use crate::plan::net::Direction;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Deserialize;
use serde::Serialize;

/// An adapter as the stack sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nic {
    /// Its number in the toolstack
    pub nic: u32,
    /// The driver's service
    pub driver: String,
    /// The device's description
    pub description: String,
    /// Its current MAC address, as `00:16:3e:00:00:01`
    pub mac: String,
    /// Bytes of the largest IP packet
    pub mtu: u32,
    /// Bits a second that it says, each way
    pub speed: u64,
    /// True if it has link
    pub link: bool,
    /// Receive queues that it offers for RSS; 0 or 1 without
    #[serde(default)]
    pub queues: u32,
    /// What it offers, as `LSOv2 IPv4`, `TCP checksum IPv6 tx`
    #[serde(default)]
    pub offloads: Vec<String>,
}

/// One way over one connection of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// The step's number in the plan
    pub step: u32,
    /// The adapter
    pub nic: u32,
    /// `Send` or `Receive`
    pub direction: Direction,
    /// The connection's number in the transfer
    pub connection: u16,
    /// Bytes that went over it
    pub bytes: u64,
    /// From before the connection was made to the last byte's acknowledgement or arrival, in microseconds
    pub microseconds: u64,
    /// SHA-256 of the bytes in hexadecimal digits; empty if the plan asks for none
    pub sha256: String,
}

/// How far a transfer is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferProgress {
    /// The adapter
    pub nic: u32,
    /// Bytes that all its connections have sent, if the transfer sends
    pub sent: Option<u64>,
    /// Bytes that have come over all its connections, if it receives
    pub received: Option<u64>,
    /// Bytes that shall go each of these ways
    pub bytes: u64,
}

/// Pings of one step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// The step's number in the plan
    pub step: u32,
    /// The adapter
    pub nic: u32,
    /// Requests sent, from the first one that was answered
    pub sent: u32,
    /// Answers
    pub received: u32,
    /// The mean time to an answer, in microseconds
    pub mean: u64,
    /// The longest time to an answer, in microseconds
    pub max: u64,
}

/// The guest's end of a UDP flood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flood {
    /// The step's number in the plan
    pub step: u32,
    /// The adapter
    pub nic: u32,
    /// `Send` or `Receive`
    pub direction: Direction,
    /// Datagrams that the guest handed to the adapter, or got
    pub packets: u64,
    /// From the first to the last one, in microseconds
    pub microseconds: u64,
}

/// What an adapter says that it has counted (OID_GEN_STATISTICS), and what the stack saw of its offloads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Its number in the toolstack
    pub nic: u32,
    /// ifHCInUcastPkts + ifHCInMulticastPkts + ifHCInBroadcastPkts
    pub packets_received: u64,
    /// ifHCInOctets: bytes with the Ethernet header, without the frame check sequence
    pub bytes_received: u64,
    /// ifHCOutUcastPkts + ifHCOutMulticastPkts + ifHCOutBroadcastPkts
    pub packets_sent: u64,
    /// ifHCOutOctets
    pub bytes_sent: u64,
    /// ifInDiscards
    pub dropped_received: u64,
    /// ifOutDiscards
    pub dropped_sent: u64,
    /// ifInErrors
    pub errors_received: u64,
    /// ifOutErrors
    pub errors_sent: u64,
    /// Packets that the stack had the adapter cut (LSO)
    pub large_sends: u64,
    /// Packets whose checksums the stack had the adapter make
    pub checksums_sent: u64,
    /// Packets whose checksums the adapter vouched for
    pub checksums_received: u64,
    /// Packets longer than the MTU that the adapter handed up (RSC)
    pub large_receives: u64,
    /// Packets received by processor
    pub by_processor: Vec<u64>,
}

impl Counters {
    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let less = |now: u64, then: u64| now.saturating_sub(then);
        let then = |index: usize| before.by_processor.get(index).copied().unwrap_or(0);
        let processors = self.by_processor.iter().enumerate();
        Self {
            nic: self.nic,
            packets_received: less(self.packets_received, before.packets_received),
            bytes_received: less(self.bytes_received, before.bytes_received),
            packets_sent: less(self.packets_sent, before.packets_sent),
            bytes_sent: less(self.bytes_sent, before.bytes_sent),
            dropped_received: less(self.dropped_received, before.dropped_received),
            dropped_sent: less(self.dropped_sent, before.dropped_sent),
            errors_received: less(self.errors_received, before.errors_received),
            errors_sent: less(self.errors_sent, before.errors_sent),
            large_sends: less(self.large_sends, before.large_sends),
            checksums_sent: less(self.checksums_sent, before.checksums_sent),
            checksums_received: less(self.checksums_received, before.checksums_received),
            large_receives: less(self.large_receives, before.large_receives),
            by_processor: processors
                .map(|(index, count)| less(*count, then(index)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    #[test]
    fn reports_of_adapters_are_read_back_from_their_text() {
        let records = [
            Record::Nic(Nic {
                driver: "net".into(),
                offloads: Vec::from(["LSOv2 IPv4".into()]),
                ..Nic::default()
            }),
            Record::Counters(Counters {
                packets_sent: 7,
                by_processor: Vec::from([1, 2]),
                ..Counters::default()
            }),
        ];
        for record in records {
            let read = Record::from_text(&record.to_text()).unwrap().unwrap();
            assert_eq!(read, record);
        }
    }

    #[test]
    fn counters_since_a_moment_are_differences() {
        let before = Counters {
            packets_sent: 5,
            by_processor: Vec::from([1]),
            ..Counters::default()
        };
        let after = Counters {
            packets_sent: 12,
            by_processor: Vec::from([4, 6]),
            ..Counters::default()
        };
        let since = after.since(&before);
        assert_eq!(since.packets_sent, 7);
        assert_eq!(since.by_processor, [3, 6]);
    }
}
