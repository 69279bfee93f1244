//! dom0's ends of transfers, echoes and floods: nc, sha256sum, and the agent for datagrams.

use super::jobs::FOLDER;
use super::jobs::Jobs;
use crate::nic::Nic;
use crate::report::Flood;
use crate::report::Report;
use anyhow::Context;
use anyhow::bail;
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
/// The agent, which is an end of datagrams too.
const AGENT: &str = "/share/dom0-agent";
/// Silence after which a flood is over, in milliseconds.
const FLOOD_QUIET: u32 = 2000;
/// How long a flood may take, in milliseconds.
const FLOOD_LIMIT: u32 = 120_000;

/// What goes on.
#[derive(Debug, Default)]
pub struct Peers(Vec<Peer>);

#[derive(Debug)]
enum Peer {
    /// One way over one connection of a transfer
    Connection {
        job: String,
        nic: u32,
        direction: Direction,
        connection: u16,
        bytes: u64,
        hash: bool,
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

/// Takes what the guest sends on one connection.
fn sink(address: IpAddr, port: u16, hash: bool) -> String {
    let what = if hash {
        "| sha256sum | cut -c -64"
    } else {
        ">/dev/null"
    };
    format!("nc {} -d -l {address} {port} {what}", family(address))
}

/// Hands out what the guest receives on one connection.
fn source(address: IpAddr, port: u16, bytes: u64, hash: bool, job: &str) -> String {
    let what = match hash {
        true => random(bytes, job),
        false => some(bytes, "/dev/zero"),
    };
    format!("{what} | nc {} -N -l {address} {port}", family(address))
}

impl Peers {
    /// dom0's ends of a transfer begin to listen.
    pub fn transfer(
        &mut self,
        jobs: &Jobs<'_>,
        nic: &Nic,
        transfer: &Transfer,
    ) -> anyhow::Result<()> {
        let address: IpAddr = match transfer.ipv6 {
            true => nic.peer6().into(),
            false => nic.peer().into(),
        };
        let ways = [Direction::Send, Direction::Receive];
        for direction in ways.into_iter().filter(|way| match way {
            Direction::Send => transfer.direction.sends(),
            _ => transfer.direction.receives(),
        }) {
            for connection in 0..transfer.connections {
                let bytes = transfer.share(connection);
                let hash = transfer.hash;
                let (job, command) = match direction {
                    Direction::Send => {
                        let job = format!("take{}-{connection}", nic.number);
                        (job, sink(address, SEND_PORT + connection, hash))
                    }
                    _ => {
                        let job = format!("give{}-{connection}", nic.number);
                        let port = RECEIVE_PORT + connection;
                        let command = source(address, port, bytes, hash, &job);
                        (job, command)
                    }
                };
                jobs.start(&job, &command)?;
                self.0.push(Peer::Connection {
                    job,
                    nic: transfer.nic,
                    direction,
                    connection,
                    bytes,
                    hash,
                });
            }
        }
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
                format!("{AGENT} udp-count {peer} {FLOOD_PORT} {FLOOD_QUIET} {FLOOD_LIMIT}")
            }
            _ => format!(
                "{AGENT} udp-send {guest} {FLOOD_PORT} {FLOOD_SOURCE_PORT} {} {}",
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
                Peer::Connection {
                    job,
                    nic,
                    direction,
                    connection,
                    bytes,
                    hash,
                } => {
                    let printed = jobs.output(&job, END_LIMIT)?;
                    let told = report.transfers.iter().find(|told| {
                        (told.step, told.nic, told.direction, told.connection)
                            == (step, nic, direction, connection)
                    });
                    let name = || {
                        format!(
                            "adapter {nic}, {direction:?}, connection {}",
                            connection + 1
                        )
                    };
                    let told = told
                        .with_context(|| format!("{}: the guest has not reported on it", name()))?;
                    let hash = match (hash, direction) {
                        (false, _) => None,
                        (true, Direction::Send) => Some(printed.trim().to_owned()),
                        (true, _) => Some(jobs.file(&format!("{job}.sha"))?),
                    };
                    compare(told, bytes, hash.as_deref()).with_context(name)?;
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

    #[test]
    fn an_ipv6_address_is_listened_on_with_its_family() {
        let address: IpAddr = "fd77::1".parse().unwrap();
        assert!(sink(address, 5000, true).starts_with("nc -6 -d -l fd77::1 5000"));
        let four: IpAddr = "10.77.0.1".parse().unwrap();
        let text = source(four, 5100, 7, false, "x");
        assert_eq!(
            text,
            "dd if=/dev/zero bs=64K count=7 iflag=fullblock,count_bytes status=none | nc -4 -N -l 10.77.0.1 5100"
        );
    }
}
