//! ping(8) in dom0.

use super::jobs::Jobs;
use crate::session::Session;
use anyhow::Context;
use anyhow::bail;
use lab_protocol::plan::net::Ping;
use lab_protocol::plan::net::PingedStart;
use lab_protocol::plan::net::PingedStop;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;
use std::time::Instant;

/// Seconds that an answer may take.
const ANSWER: u32 = 5;
/// Requests a second.
const RATE: u32 = 10;
/// How long a ping that is ended may take to print what it knows.
const END_LIMIT: Duration = Duration::from_secs(10);

/// What ping printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pings {
    sent: u32,
    /// Numbers of the answers
    answers: BTreeSet<u32>,
    /// Minimum, mean, maximum in ms
    times: String,
}

impl Pings {
    fn parse(text: &str) -> Option<Self> {
        let mut pings = Self::default();
        let mut summary = false;
        for line in text.lines() {
            if let Some((_, rest)) = line.split_once("icmp_seq=")
                && line.contains(" bytes from ")
            {
                let digits = rest.split(|c: char| !c.is_ascii_digit()).next();
                pings.answers.insert(digits?.parse().ok()?);
            } else if line.contains(" packets transmitted, ") {
                let mut words = line.split_whitespace();
                pings.sent = words.next()?.parse().ok()?;
                summary = true;
            } else if let Some((_, times)) = line.split_once("min/avg/max/mdev = ") {
                let times: Vec<&str> = times.split('/').collect();
                pings.times = format!(
                    "{} ms at least, {} on average, {} at most",
                    times.first()?,
                    times.get(1)?,
                    times.get(2)?
                );
            }
        }
        summary.then_some(pings)
    }

    /// How many of the first `count` requests have an answer.
    fn answered(&self, count: u32) -> u32 {
        self.answers.range(1..=count).count() as u32
    }

    /// Requests without an answer. The last one may have been on its way when ping was ended.
    fn lost(&self) -> u32 {
        let on_its_way = self.sent != 0 && !self.answers.contains(&self.sent);
        let lost = (1..=self.sent).filter(|number| !self.answers.contains(number));
        (lost.count() as u32).saturating_sub(u32::from(on_its_way))
    }
}

/// Pings the guest: until it answers, and from then on every request must be answered.
pub fn pinged(session: &Session, address: IpAddr, ping: &Ping) -> anyhow::Result<String> {
    let within = Duration::from_millis(u64::from(ping.within_ms));
    let start = Instant::now();
    loop {
        let output = session.try_shell(&format!("ping -n -c 1 -W 1 {address}"))?;
        if output.status == 0 {
            break;
        }
        if start.elapsed() > within {
            bail!("{address} has not answered for {within:?}");
        }
    }
    let waited = start.elapsed();
    let output = session.agent().try_shell(
        &format!(
            // With -w ping waits for so many answers; without, it takes the last ones for lost after two round trips.
            "ping -n -i {} -w {} -c {} -s {} {address}",
            1.0 / f64::from(RATE),
            ping.count.div_ceil(RATE) + ANSWER,
            ping.count,
            ping.size
        ),
        Duration::from_millis(u64::from(ping.count) * 200) + Duration::from_secs(60),
    )?;
    let pings = Pings::parse(&output.stdout)
        .with_context(|| format!("ping printed {}{}", output.stdout, output.stderr))?;
    let answered = pings.answered(ping.count);
    if answered != ping.count {
        bail!("{answered} of {} requests were answered", ping.count);
    }
    Ok(format!(
        "{} answers of {} bytes after {:.1} s: {}",
        ping.count,
        ping.size,
        waited.as_secs_f64(),
        pings.times
    ))
}

fn job(nic: u32) -> String {
    format!("pinged{nic}")
}

/// Begins to ping the guest.
pub fn start(jobs: &Jobs<'_>, address: IpAddr, step: &PingedStart) -> anyhow::Result<()> {
    let seconds = f64::from(step.interval_ms) / 1000.0;
    jobs.start(
        &job(step.nic),
        &format!("exec ping -n -i {seconds} -s {} {address}", step.size),
    )
}

/// Ends that, and counts what remained without an answer.
pub fn stop(jobs: &Jobs<'_>, step: &PingedStop) -> anyhow::Result<String> {
    let name = job(step.nic);
    jobs.signal(&name, "INT")?;
    let ended = jobs.wait(&name, END_LIMIT)?;
    let pings = Pings::parse(&ended.stdout)
        .with_context(|| format!("ping printed {}{}", ended.stdout, ended.stderr))?;
    let lost = pings.lost();
    if pings.answers.is_empty() || lost > step.lost {
        bail!(
            "{lost} of {} requests to adapter {} were not answered",
            pings.sent,
            step.nic
        );
    }
    Ok(format!(
        "{} requests, {lost} without an answer: {}",
        pings.sent, pings.times
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
PING 10.77.0.10 (10.77.0.10) 56(84) bytes of data.
64 bytes from 10.77.0.10: icmp_seq=1 ttl=64 time=3.21 ms
64 bytes from 10.77.0.10: icmp_seq=2 ttl=64 time=1.02 ms
From 10.77.0.1 icmp_seq=3 Destination Host Unreachable
64 bytes from 10.77.0.10: icmp_seq=4 ttl=64 time=1.5 ms

--- 10.77.0.10 ping statistics ---
5 packets transmitted, 3 received, +1 errors, 40% packet loss, time 402ms
rtt min/avg/max/mdev = 1.020/1.910/3.210/0.900 ms
";

    #[test]
    fn answers_are_counted_and_the_last_request_may_be_on_its_way() {
        let pings = Pings::parse(TEXT).unwrap();
        assert_eq!(pings.sent, 5);
        assert_eq!(pings.lost(), 1);
        assert!(pings.times.starts_with("1.020 ms"), "{}", pings.times);
    }

    #[test]
    fn a_request_without_an_answer_is_missing_though_a_later_one_has_one() {
        let pings = Pings::parse(TEXT).unwrap();
        assert_eq!((pings.answered(2), pings.answered(3)), (2, 2));
        assert_eq!(pings.answered(4), 3);
    }

    #[test]
    fn a_ping_that_printed_no_summary_is_none() {
        assert_eq!(Pings::parse("ping: unknown host"), None);
    }

    #[test]
    fn no_answer_at_all_is_all_lost_but_one() {
        let text = "4 packets transmitted, 0 received, 100% packet loss, time 9ms\n";
        assert_eq!(Pings::parse(text).unwrap().lost(), 3);
    }
}
