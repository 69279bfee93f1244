//! dom0's ends of transfers, echoes and floods: nc and sha256sum for an echo, the agent for the others. A pipeline of nc and
//! sha256sum for each connection of a transfer took dom0 longer to start, to end and to switch between than the transfer itself.

use super::jobs::FOLDER;
use super::jobs::Jobs;
use crate::nic::Nic;
use crate::report::Flood;
use crate::report::Report;
use anyhow::Context;
use anyhow::bail;
use dom0_agent::COPY;
use lab_protocol::net;
use lab_protocol::plan::net::Direction;
use lab_protocol::plan::net::ECHO_PORT;
use lab_protocol::plan::net::Echo;
use lab_protocol::plan::net::FLOOD_PORT;
use lab_protocol::plan::net::FLOOD_SOURCE_PORT;
use lab_protocol::plan::net::RECEIVE_PORT;
use lab_protocol::plan::net::SEND_PORT;
use lab_protocol::plan::net::Transfer;
use lab_protocol::plan::net::UdpFlood;
use std::net::IpAddr;
use std::time::Duration;

/// How long a job may take to end when the guest has done its part.
const END_LIMIT: Duration = Duration::from_secs(30);
/// Silence after which a flood is over, in milliseconds.
const FLOOD_QUIET: u32 = 2000;
/// How long a flood may take, in milliseconds.
const FLOOD_LIMIT: u32 = 120_000;

/// What goes on.
#[derive(Debug, Default)]
pub struct Peers(Vec<Peer>);

#[derive(Debug)]
enum Peer {
    /// All connections of a transfer
    Transfer {
        job: String,
        transfer: Transfer,
    },
    Echo {
        job: String,
        limit: Duration,
    },
    Flood {
        job: String,
        flood: UdpFlood,
    },
}

/// nc's option for the family.
fn family(address: IpAddr) -> &'static str {
    if address.is_ipv6() { "-6" } else { "-4" }
}

/// So many bytes of a device, in large pieces: with small ones dom0 does little else than to go from process to process.
fn some(bytes: u64, device: &str) -> String {
    format!("dd if={device} bs=64K count={bytes} iflag=fullblock,count_bytes status=none")
}

/// Random bytes whose hash goes to a file beside the job's others.
fn random(bytes: u64, job: &str) -> String {
    let source = some(bytes, "/dev/urandom");
    format!("{source} | tee >(sha256sum | cut -c -64 >{job}.sha)")
}

/// The ways of a transfer.
fn ways(transfer: &Transfer) -> impl Iterator<Item = Direction> {
    let (sends, receives) = (transfer.direction.sends(), transfer.direction.receives());
    let send = sends.then_some(Direction::Send);
    send.into_iter()
        .chain(receives.then_some(Direction::Receive))
}

/// The port of a way over a connection.
fn port(direction: Direction, connection: u16) -> u16 {
    match direction {
        Direction::Send => SEND_PORT + connection,
        _ => RECEIVE_PORT + connection,
    }
}

/// The agent's ends of a transfer's connections.
fn ends(address: IpAddr, transfer: &Transfer, seed: u64) -> String {
    let mut command = format!("exec {COPY} tcp-ends {address}");
    for direction in ways(transfer) {
        for connection in 0..transfer.connections {
            let port = port(direction, connection);
            let end = match direction {
                Direction::Send => format!(" take:{port}:{}", u8::from(transfer.hash)),
                _ => {
                    // Never 0, which stands for zeroes; another one for each connection.
                    let place = u64::from(transfer.nic) << 16 | u64::from(connection);
                    let seed = (seed ^ place << 32) | 1;
                    let seed = if transfer.hash { seed } else { 0 };
                    format!(" give:{port}:{}:{seed}", transfer.share(connection))
                }
            };
            command += &end;
        }
    }
    command
}

impl Peers {
    /// dom0's ends of a transfer listen when this returns. What they give depends on the seed.
    pub fn transfer(
        &mut self,
        jobs: &Jobs<'_>,
        nic: &Nic,
        transfer: &Transfer,
        seed: u64,
    ) -> anyhow::Result<()> {
        let address: IpAddr = match transfer.ipv6 {
            true => nic.peer6().into(),
            false => nic.peer().into(),
        };
        let job = format!("transfer{}", nic.number);
        jobs.start(&job, &ends(address, transfer, seed))?;
        jobs.wait_until_listening(&job)?;
        self.0.push(Peer::Transfer {
            job,
            transfer: transfer.clone(),
        });
        Ok(())
    }

    /// dom0 connects to the guest, sends, and takes what comes back.
    pub fn echo(
        &mut self,
        jobs: &Jobs<'_>,
        nic: &Nic,
        address: IpAddr,
        echo: &Echo,
    ) -> anyhow::Result<()> {
        let job = format!("echo{}", nic.number);
        let command = format!(
            "{} | nc {} -N {address} {ECHO_PORT} | sha256sum | cut -c -64",
            random(echo.bytes.0, &job),
            family(address)
        );
        jobs.start(&job, &command)?;
        self.0.push(Peer::Echo {
            job,
            limit: Duration::from_millis(u64::from(echo.within_ms)),
        });
        Ok(())
    }

    /// dom0 sends datagrams, or begins to count them.
    pub fn flood(
        &mut self,
        jobs: &Jobs<'_>,
        nic: &Nic,
        guest: IpAddr,
        flood: &UdpFlood,
    ) -> anyhow::Result<()> {
        let peer: IpAddr = match flood.ipv6 {
            true => nic.peer6().into(),
            false => nic.peer().into(),
        };
        let job = format!("flood{}", nic.number);
        let command = match flood.direction {
            Direction::Send => {
                format!("{COPY} udp-count {peer} {FLOOD_PORT} {FLOOD_QUIET} {FLOOD_LIMIT}")
            }
            _ => format!(
                "{COPY} udp-send {guest} {FLOOD_PORT} {FLOOD_SOURCE_PORT} {} {}",
                flood.packets, flood.size
            ),
        };
        jobs.start(&job, &command)?;
        if flood.direction == Direction::Send {
            jobs.wait_for(&format!(
                "grep -qi ':{FLOOD_PORT:04x} ' /proc/net/udp /proc/net/udp6"
            ))?;
        }
        self.0.push(Peer::Flood {
            job,
            flood: flood.clone(),
        });
        Ok(())
    }

    /// The guest has done its part: what each end saw is compared.
    pub fn end(self, jobs: &Jobs<'_>, step: u32, report: &mut Report) -> anyhow::Result<()> {
        for peer in self.0 {
            match peer {
                Peer::Transfer { job, transfer } => {
                    let printed = jobs.output(&job, END_LIMIT)?;
                    compare_all(&report.transfers, step, &transfer, &printed)?;
                }
                Peer::Echo { job, limit } => {
                    let came = jobs.output(&job, limit)?;
                    let sent = jobs.file(&format!("{job}.sha"))?;
                    if came.trim() != sent {
                        bail!("dom0 sent {sent} and got back {}", came.trim());
                    }
                }
                Peer::Flood { job, flood } => {
                    let printed = jobs.output(&job, END_LIMIT)?;
                    let here = flood_count(&printed)?;
                    let told = report.guest_floods.iter().rev();
                    let told = told
                        .clone()
                        .find(|told| (told.step, told.nic) == (step, flood.nic));
                    let told = told.context("the guest has not reported on the flood")?;
                    let done = judge(step, &flood, here, told)?;
                    report.floods.push(done);
                }
            }
        }
        Ok(())
    }
}

/// `COUNT MICROSECONDS`
fn flood_count(printed: &str) -> anyhow::Result<u64> {
    let count = printed.split_whitespace().next().unwrap_or_default();
    count
        .parse()
        .with_context(|| format!("dom0's end of the flood printed {printed:?}"))
}

/// Compares what both ends of each connection saw; `printed` is what dom0's ends did.
fn compare_all(
    told: &[net::Transfer],
    step: u32,
    transfer: &Transfer,
    printed: &str,
) -> anyhow::Result<()> {
    for direction in ways(transfer) {
        for connection in 0..transfer.connections {
            let name = || {
                format!(
                    "adapter {}, {direction:?}, connection {}",
                    transfer.nic,
                    connection + 1
                )
            };
            let of_guest = told.iter().find(|told| {
                (told.step, told.nic, told.direction, told.connection)
                    == (step, transfer.nic, direction, connection)
            });
            let of_guest = of_guest
                .with_context(|| format!("{}: the guest has not reported on it", name()))?;
            let port = port(direction, connection).to_string();
            let line = printed.lines().find_map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                match words.as_slice() {
                    [of, bytes, hash] if *of == port => Some((bytes.parse().ok()?, *hash)),
                    _ => None,
                }
            });
            let (bytes, hash): (u64, _) =
                line.with_context(|| format!("{}: dom0 printed {printed:?}", name()))?;
            let share = transfer.share(connection);
            if bytes != share {
                bail!("{}: {bytes} of {share} bytes in dom0", name());
            }
            let hash = transfer.hash.then_some(hash);
            compare(of_guest, share, hash).with_context(name)?;
        }
    }
    Ok(())
}

fn compare(told: &net::Transfer, bytes: u64, hash: Option<&str>) -> anyhow::Result<()> {
    if told.bytes != bytes {
        bail!("{} of {bytes} bytes went over it", told.bytes);
    }
    match hash {
        Some(hash) if hash != told.sha256 => bail!(
            "the bytes' SHA-256 is {hash} in dom0 and {} in the guest",
            told.sha256
        ),
        _ => Ok(()),
    }
}

fn judge(step: u32, flood: &UdpFlood, here: u64, told: &net::Flood) -> anyhow::Result<Flood> {
    let (sent, received) = match flood.direction {
        Direction::Send => (told.packets, here),
        _ => (here, told.packets),
    };
    let lost = sent.saturating_sub(received);
    if received > sent {
        bail!("{received} datagrams arrived, and only {sent} were sent");
    }
    if sent == 0 || lost * 100 > sent * u64::from(flood.lost) {
        bail!("{lost} of {sent} datagrams were lost");
    }
    Ok(Flood {
        step,
        nic: flood.nic,
        direction: flood.direction,
        sent,
        received,
        size: flood.size,
        microseconds: told.microseconds,
    })
}

impl Jobs<'_> {
    /// A line that a job's background part writes to a file of its own.
    fn file(&self, name: &str) -> anyhow::Result<String> {
        self.wait_for(&format!("[ -s {FOLDER}/{name} ]"))?;
        let text = self.shell(&format!("cat {FOLDER}/{name}"))?;
        Ok(text.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(bytes: u64, sha256: &str) -> net::Transfer {
        net::Transfer {
            step: 0,
            nic: 0,
            direction: Direction::Send,
            connection: 0,
            bytes,
            microseconds: 1,
            sha256: sha256.into(),
        }
    }

    #[test]
    fn both_ends_must_have_seen_the_same() {
        assert!(compare(&told(5, "aa"), 5, Some("aa")).is_ok());
        assert!(compare(&told(5, ""), 5, None).is_ok());
        assert!(compare(&told(4, "aa"), 5, Some("aa")).is_err());
        assert!(compare(&told(5, "ab"), 5, Some("aa")).is_err());
        assert!(compare(&told(5, ""), 5, Some("aa")).is_err());
    }

    #[test]
    fn loss_is_judged_in_the_direction_of_the_flood() {
        let flood = |direction, lost| UdpFlood {
            nic: 0,
            direction,
            packets: 100,
            size: 1000,
            ipv6: false,
            lost,
        };
        let guest = |packets| net::Flood {
            step: 0,
            nic: 0,
            direction: Direction::Send,
            packets,
            microseconds: 1,
        };
        let send = flood(Direction::Send, 10);
        let done = judge(0, &send, 95, &guest(100)).unwrap();
        assert_eq!((done.sent, done.received), (100, 95));
        assert!(judge(0, &send, 89, &guest(100)).is_err());
        assert!(judge(0, &send, 0, &guest(0)).is_err());
        // More than was sent is no luck but a fault.
        assert!(judge(0, &send, 101, &guest(100)).is_err());
        let receive = flood(Direction::Receive, 10);
        assert!(judge(0, &receive, 100, &guest(89)).is_err());
    }

    fn transfer(direction: Direction, hash: bool) -> Transfer {
        Transfer {
            nic: 0,
            direction,
            bytes: lab_protocol::plan::Bytes(11),
            connections: 2,
            ipv6: false,
            hash,
            within_ms: 1,
        }
    }

    #[test]
    fn each_connection_has_an_end_with_its_share_and_its_bytes() {
        let four: IpAddr = "10.77.0.1".parse().unwrap();
        assert_eq!(
            ends(four, &transfer(Direction::Both, false), 8),
            "exec /run/lab/dom0-agent tcp-ends 10.77.0.1 take:5000:0 take:5001:0 give:5100:6:0 give:5101:5:0"
        );
        let address: IpAddr = "fd77::1".parse().unwrap();
        let text = ends(address, &transfer(Direction::Receive, true), 8);
        assert!(
            text.ends_with("tcp-ends fd77::1 give:5100:6:9 give:5101:5:4294967305"),
            "{text}"
        );
    }

    #[test]
    fn a_connection_that_an_end_does_not_tell_of_fails() {
        let step = transfer(Direction::Send, true);
        let of_guest = |connection, bytes, sha256: &str| net::Transfer {
            connection,
            ..told(bytes, sha256)
        };
        let both = [of_guest(0, 6, "aa"), of_guest(1, 5, "bb")];
        let printed = "5000 6 aa\n5001 5 bb\n";
        assert!(compare_all(&both, 0, &step, printed).is_ok());
        assert!(compare_all(&both, 1, &step, printed).is_err());
        assert!(compare_all(&both[..1], 0, &step, printed).is_err());
        assert!(compare_all(&both, 0, &step, "5000 6 aa\n").is_err());
        assert!(compare_all(&both, 0, &step, "5000 6 aa\n5001 5 bc\n").is_err());
        assert!(compare_all(&both, 0, &step, "5000 6 aa\n5001 4 bb\n").is_err());
    }
}
