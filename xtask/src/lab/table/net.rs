//! The part of the table that is about network adapters.

use lab_host::report::{Rate, Report};
use lab_protocol::net::{Counters, Nic};
use lab_protocol::plan::Bytes;
use lab_protocol::plan::net::Direction;
use std::collections::BTreeSet;

/// The lines about adapters, transfers, floods, and what dom0 saw.
pub fn lines(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, nic) in &report.nics {
        lines.extend(adapter(nic, report.counters.get(number)));
    }
    let mut steps: Vec<(u32, String)> = Vec::new();
    steps.extend(transfers(report));
    for ping in &report.pings {
        let text = format!(
            "adapter {}: {} of {} pings answered, after {:.1} ms on average, {:.1} at most",
            ping.nic,
            ping.received,
            ping.sent,
            ping.mean as f64 / 1e3,
            ping.max as f64 / 1e3
        );
        steps.push((ping.step, text));
    }
    for flood in &report.floods {
        let rate = Rate {
            bytes: flood.received * u64::from(flood.size),
            microseconds: flood.microseconds,
        };
        let text = format!(
            "adapter {}, {}: {} of {} datagrams of {} bytes arrived, {:.1} MB/s",
            flood.nic,
            way(flood.direction),
            flood.received,
            flood.sent,
            flood.size,
            rate.megabytes()
        );
        steps.push((flood.step, text));
    }
    steps.extend(report.notes.iter().cloned());
    steps.sort_by_key(|(step, _)| *step);
    lines.extend(
        steps
            .iter()
            .map(|(step, text)| format!("step {:<4} {text}", step + 1)),
    );
    lines.extend(comparison(report));
    lines
}

fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Send => "sent",
        Direction::Receive => "received",
        Direction::Both => "both ways",
    }
}

fn adapter(nic: &Nic, counters: Option<&Counters>) -> Vec<String> {
    let queues = match nic.queues {
        0 | 1 => String::new(),
        queues => format!(", {queues} queues"),
    };
    let link = if nic.link {
        format!("{} Mbit/s", nic.speed / 1_000_000)
    } else {
        "no link".to_owned()
    };
    let mut lines = vec![format!(
        "adapter   {}: {}, {}, MTU {}, {link}{queues}",
        nic.nic, nic.driver, nic.mac, nic.mtu
    )];
    if !nic.offloads.is_empty() {
        lines.push(format!("          offers {}", nic.offloads.join(", ")));
    }
    let Some(counters) = counters else {
        return lines;
    };
    lines.push(format!(
        "          sent {} packets, {} bytes; received {} packets, {} bytes",
        counters.packets_sent,
        counters.bytes_sent,
        counters.packets_received,
        counters.bytes_received
    ));
    lines.push(format!(
        "          dropped {} to send, {} received; errors {} to send, {} received",
        counters.dropped_sent,
        counters.dropped_received,
        counters.errors_sent,
        counters.errors_received
    ));
    lines.push(format!(
        "          offloads used: {} large sends, {} checksums sent, {} checksums received, {} large receives",
        counters.large_sends,
        counters.checksums_sent,
        counters.checksums_received,
        counters.large_receives
    ));
    if counters.by_processor.len() > 1 {
        let counts: Vec<String> = counters.by_processor.iter().map(u64::to_string).collect();
        lines.push(format!(
            "          received by processor: {}",
            counts.join(", ")
        ));
    }
    lines
}

/// Each transfer's two ways, a line an adapter and step.
fn transfers(report: &Report) -> Vec<(u32, String)> {
    let told = report.transfers.iter();
    let places: BTreeSet<(u32, u32)> = told.map(|told| (told.step, told.nic)).collect();
    places
        .into_iter()
        .map(|(step, nic)| {
            let ways: Vec<String> = [Direction::Send, Direction::Receive]
                .into_iter()
                .filter_map(|direction| {
                    let rate = report.rate(step, nic, direction)?;
                    Some(format!(
                        "{} {}, {:.1} MB/s",
                        way(direction),
                        Bytes(rate.bytes),
                        rate.megabytes()
                    ))
                })
                .collect();
            let hashed = report
                .transfers
                .iter()
                .filter(|told| (told.step, told.nic) == (step, nic))
                .all(|told| !told.sha256.is_empty());
            let hashes = if hashed { ", hashes agree" } else { "" };
            (step, format!("adapter {nic}: {}{hashes}", ways.join("; ")))
        })
        .collect()
}

/// What a Linux guest did on the same bridge, and how the transfers without hashes compare with it.
fn comparison(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    for linux in &report.linux {
        lines.push(format!(
            "linux     on the bridge of adapter {}: sent {}, {:.1} MB/s; received {}, {:.1} MB/s",
            linux.nic,
            Bytes(linux.send.bytes),
            linux.send.megabytes(),
            Bytes(linux.receive.bytes),
            linux.receive.megabytes()
        ));
        let told = report.transfers.iter();
        let steps: BTreeSet<u32> = told
            .filter(|told| told.nic == linux.nic && told.sha256.is_empty())
            .map(|told| told.step)
            .collect();
        for step in steps {
            let ways = [
                (Direction::Send, linux.send),
                (Direction::Receive, linux.receive),
            ];
            for (direction, theirs) in ways {
                if let Some(ours) = report.rate(step, linux.nic, direction) {
                    lines.push(format!(
                        "ratio     step {}, {}: {:.2} times Linux' own xen-netfront",
                        step + 1,
                        way(direction),
                        ours.megabytes() / theirs.megabytes()
                    ));
                }
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_host::report::LinuxMeasured;
    use lab_protocol::net::Transfer;

    fn transfer(direction: Direction, connection: u16, microseconds: u64) -> Transfer {
        Transfer {
            step: 2,
            nic: 0,
            direction,
            connection,
            bytes: 1_000_000,
            microseconds,
            sha256: String::new(),
        }
    }

    #[test]
    fn connections_at_once_are_one_rate_and_are_compared_with_linux() {
        let rate = Rate {
            bytes: 1_000_000,
            microseconds: 50_000,
        };
        let report = Report {
            transfers: vec![
                transfer(Direction::Send, 0, 100_000),
                transfer(Direction::Send, 1, 200_000),
                transfer(Direction::Receive, 0, 100_000),
            ],
            linux: vec![LinuxMeasured {
                nic: 0,
                send: rate,
                receive: rate,
            }],
            ..Report::default()
        };
        let text = lines(&report).join("\n");
        assert!(text.contains("sent 2000000 B, 10.0 MB/s; received 1000000 B, 10.0 MB/s"));
        assert!(
            text.contains("step 3, sent: 0.50 times Linux' own"),
            "{text}"
        );
        assert!(!text.contains("hashes agree"));
    }

    #[test]
    fn an_adapter_is_shown_with_what_it_counted() {
        let mut report = Report::default();
        let nic = Nic {
            driver: "net".into(),
            mac: "00:16:3e:00:00:01".into(),
            mtu: 1500,
            speed: 10_000_000_000,
            link: true,
            queues: 4,
            ..Nic::default()
        };
        report.nics.insert(0, nic);
        let counters = Counters {
            packets_sent: 17,
            large_sends: 5,
            ..Counters::default()
        };
        report.counters.insert(0, counters);
        let text = lines(&report).join("\n");
        assert!(text.contains("net, 00:16:3e:00:00:01, MTU 1500, 10000 Mbit/s, 4 queues"));
        assert!(
            text.contains("sent 17 packets") && text.contains("5 large sends"),
            "{text}"
        );
    }
}
