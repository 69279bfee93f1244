//! What the frontend writes for its backend.

use core::fmt::Arguments;

/// xenstore below the frontend's directory, in a transaction of the driver's.
pub trait Sink {
    /// Why a key was not written.
    type Error;

    /// Writes a key.
    ///
    /// # Errors
    /// The store's.
    fn write(&mut self, key: Arguments<'_>, value: Arguments<'_>) -> Result<(), Self::Error>;

    /// Removes a key with all below it; that there is none is no error.
    ///
    /// # Errors
    /// The store's.
    fn remove(&mut self, key: Arguments<'_>) -> Result<(), Self::Error>;
}

/// Event channels of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Events {
    /// One for both rings.
    Shared(u32),
    /// One a ring, where the backend offers `feature-split-event-channels`.
    Split {
        /// Port of the transmit ring's.
        tx: u32,
        /// Port of the receive ring's.
        rx: u32,
    },
}

/// A queue's rings and event channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueKeys {
    /// Reference of the transmit ring's page.
    pub tx_ring: u32,
    /// Reference of the receive ring's page.
    pub rx_ring: u32,
    /// Its event channels.
    pub events: Events,
}

/// The control ring and its event channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlKeys {
    /// Reference of the ring's page.
    pub ring: u32,
    /// Port.
    pub event: u32,
}

/// Everything that the frontend publishes before it says that it is connected.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    /// The queues, one at least.
    pub queues: &'a [QueueKeys],
    /// The control ring, where the backend offers one.
    pub control: Option<ControlKeys>,
    /// Packets over IPv4 may come with a blank checksum.
    pub checksum_ipv4: bool,
    /// The same over IPv6.
    pub checksum_ipv6: bool,
    /// Large TCP packets over IPv4 may come.
    pub segment_ipv4: bool,
    /// The same over IPv6.
    pub segment_ipv6: bool,
    /// `request-multicast-control`, where the backend offers it: filter by the list that it is told.
    pub multicast: Option<bool>,
}

impl Publication<'_> {
    /// Writes all keys, and removes those that an earlier connection with another number of queues may have left: a
    /// backend that finds both refuses them.
    ///
    /// # Errors
    /// The first of the store's.
    pub fn write<S: Sink>(&self, sink: &mut S) -> Result<(), S::Error> {
        self.write_features(sink)?;
        for key in TOP_LEVEL {
            sink.remove(format_args!("{key}"))?;
        }
        for index in 0..crate::keys::MAX_QUEUES {
            sink.remove(format_args!("queue-{index}"))?;
        }
        match self.queues {
            [queue] => {
                sink.remove(format_args!("multi-queue-num-queues"))?;
                write_queue(sink, format_args!(""), queue)?;
            }
            queues => {
                let count = queues.len();
                sink.write(
                    format_args!("multi-queue-num-queues"),
                    format_args!("{count}"),
                )?;
                for (index, queue) in queues.iter().enumerate() {
                    write_queue(sink, format_args!("queue-{index}/"), queue)?;
                }
            }
        }
        match self.control {
            Some(ControlKeys { ring, event }) => {
                sink.write(format_args!("ctrl-ring-ref"), format_args!("{ring}"))?;
                sink.write(format_args!("event-channel-ctrl"), format_args!("{event}"))
            }
            None => {
                sink.remove(format_args!("ctrl-ring-ref"))?;
                sink.remove(format_args!("event-channel-ctrl"))
            }
        }
    }

    fn write_features<S: Sink>(&self, sink: &mut S) -> Result<(), S::Error> {
        for (key, value) in [
            ("request-rx-copy", true),
            ("feature-rx-notify", true),
            ("feature-sg", true),
            ("feature-no-csum-offload", !self.checksum_ipv4),
            ("feature-ipv6-csum-offload", self.checksum_ipv6),
            ("feature-gso-tcpv4", self.segment_ipv4),
            ("feature-gso-tcpv6", self.segment_ipv6),
        ] {
            let value = u8::from(value);
            sink.write(format_args!("{key}"), format_args!("{value}"))?;
        }
        sink.remove(format_args!("feature-gso-tcpv4-prefix"))?;
        sink.remove(format_args!("feature-gso-tcpv6-prefix"))?;
        let key = format_args!("request-multicast-control");
        match self.multicast {
            Some(wanted) => sink.write(key, format_args!("{}", u8::from(wanted))),
            None => sink.remove(key),
        }
    }
}

/// Keys of a device with one queue.
const TOP_LEVEL: [&str; 5] = [
    "tx-ring-ref",
    "rx-ring-ref",
    "event-channel",
    "event-channel-tx",
    "event-channel-rx",
];

fn write_queue<S: Sink>(
    sink: &mut S,
    prefix: Arguments<'_>,
    queue: &QueueKeys,
) -> Result<(), S::Error> {
    let mut write =
        |key: &str, value: u32| sink.write(format_args!("{prefix}{key}"), format_args!("{value}"));
    write("tx-ring-ref", queue.tx_ring)?;
    write("rx-ring-ref", queue.rx_ring)?;
    match queue.events {
        Events::Shared(port) => write("event-channel", port),
        Events::Split { tx, rx } => {
            write("event-channel-tx", tx)?;
            write("event-channel-rx", rx)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::string::{String, ToString};

    #[derive(Debug, Default)]
    struct Store {
        keys: BTreeMap<String, String>,
        /// Fails the n-th call.
        fail: Option<usize>,
        calls: usize,
    }

    impl Store {
        fn call(&mut self) -> Result<(), &'static str> {
            self.calls += 1;
            match self.fail {
                Some(n) if n == self.calls => Err("full"),
                _ => Ok(()),
            }
        }
    }

    impl Sink for Store {
        type Error = &'static str;

        fn write(&mut self, key: Arguments<'_>, value: Arguments<'_>) -> Result<(), Self::Error> {
            self.call()?;
            self.keys.insert(key.to_string(), value.to_string());
            Ok(())
        }

        fn remove(&mut self, key: Arguments<'_>) -> Result<(), Self::Error> {
            self.call()?;
            let (key, below) = (key.to_string(), std::format!("{key}/"));
            self.keys.retain(|k, _| *k != key && !k.starts_with(&below));
            Ok(())
        }
    }

    fn queue(n: u32, split: bool) -> QueueKeys {
        QueueKeys {
            tx_ring: n * 10,
            rx_ring: n * 10 + 1,
            events: if split {
                Events::Split {
                    tx: n * 10 + 2,
                    rx: n * 10 + 3,
                }
            } else {
                Events::Shared(n * 10 + 4)
            },
        }
    }

    fn publication(queues: &[QueueKeys]) -> Publication<'_> {
        Publication {
            queues,
            control: None,
            checksum_ipv4: true,
            checksum_ipv6: true,
            segment_ipv4: true,
            segment_ipv6: false,
            multicast: None,
        }
    }

    const FEATURES: &[(&str, &str)] = &[
        ("request-rx-copy", "1"),
        ("feature-rx-notify", "1"),
        ("feature-sg", "1"),
        ("feature-no-csum-offload", "0"),
        ("feature-ipv6-csum-offload", "1"),
        ("feature-gso-tcpv4", "1"),
        ("feature-gso-tcpv6", "0"),
    ];

    #[track_caller]
    fn assert_keys(store: &Store, keys: &[(&str, &str)]) {
        let expected = FEATURES
            .iter()
            .chain(keys)
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect::<BTreeMap<_, _>>();
        assert_eq!(store.keys, expected);
    }

    #[test]
    fn one_queue_is_written_at_the_top_level() {
        let mut store = Store::default();
        publication(&[queue(1, false)]).write(&mut store).unwrap();
        let keys = [
            ("tx-ring-ref", "10"),
            ("rx-ring-ref", "11"),
            ("event-channel", "14"),
        ];
        assert_keys(&store, &keys);
    }

    #[test]
    fn more_queues_have_directories_and_nothing_is_left_at_the_top_level() {
        let mut store = Store::default();
        publication(&[queue(1, false)]).write(&mut store).unwrap();
        publication(&[queue(1, true), queue(2, true)])
            .write(&mut store)
            .unwrap();
        assert_keys(
            &store,
            &[
                ("multi-queue-num-queues", "2"),
                ("queue-0/tx-ring-ref", "10"),
                ("queue-0/rx-ring-ref", "11"),
                ("queue-0/event-channel-tx", "12"),
                ("queue-0/event-channel-rx", "13"),
                ("queue-1/tx-ring-ref", "20"),
                ("queue-1/rx-ring-ref", "21"),
                ("queue-1/event-channel-tx", "22"),
                ("queue-1/event-channel-rx", "23"),
            ],
        );
        // And back: a backend without several queues took over.
        publication(&[queue(3, true)]).write(&mut store).unwrap();
        assert_keys(
            &store,
            &[
                ("tx-ring-ref", "30"),
                ("rx-ring-ref", "31"),
                ("event-channel-tx", "32"),
                ("event-channel-rx", "33"),
            ],
        );
    }

    #[test]
    fn the_control_ring_and_multicast_control_come_and_go_with_the_offer() {
        let mut store = Store::default();
        let queues = [queue(1, false)];
        let plain = publication(&queues);
        let full = Publication {
            control: Some(ControlKeys { ring: 7, event: 8 }),
            multicast: Some(true),
            ..plain
        };
        full.write(&mut store).unwrap();
        for (key, value) in [
            ("ctrl-ring-ref", "7"),
            ("event-channel-ctrl", "8"),
            ("request-multicast-control", "1"),
        ] {
            assert_eq!(store.keys.get(key).map(String::as_str), Some(value));
        }
        plain.write(&mut store).unwrap();
        assert!(
            !store
                .keys
                .keys()
                .any(|k| k.contains("ctrl") || k.contains("multicast"))
        );
    }

    #[test]
    fn a_store_that_is_full_stops_the_publication() {
        let queues = [queue(1, true), queue(2, true)];
        let mut whole = Store::default();
        publication(&queues).write(&mut whole).unwrap();
        for fail in 1..=whole.calls {
            let mut store = Store {
                fail: Some(fail),
                ..Store::default()
            };
            assert_eq!(publication(&queues).write(&mut store), Err("full"));
            assert_eq!(store.calls, fail);
        }
    }
}
