//! tcpdump on an adapter's interface in dom0, and the kernel's own word on the segments that large frames are to be cut into.

use super::frames;
use super::frames::ETHERNET;
use super::frames::Frame;
use super::frames::Totals;
use super::jobs::FOLDER;
use super::jobs::Jobs;
use crate::nic::Nic;
use crate::session::Session;
use anyhow::Context;
use anyhow::bail;
use lab_protocol::net::Counters;
use lab_protocol::plan::net::Direction;
use lab_protocol::plan::net::TcpdumpExpect;
use std::time::Duration;

/// Bytes of each frame that are kept: all headers.
const SNAP: u32 = 128;
/// tcpdump reads what has passed a second later at the latest.
const SETTLE: &str = "sleep 1.3";
/// How long tcpdump may take to end.
const END_LIMIT: Duration = Duration::from_secs(20);
/// Linux' tracepoints for frames that come out of a vif, and for those that go into it, with the field gso_size.
const FROM_GUEST: &str = "netif_receive_skb_entry";
const TO_GUEST: &str = "net_dev_start_xmit";
/// TCP's and IP's headers without options: the least that a segment has besides its gso_size.
const HEADERS: u32 = 40;

/// tcpdump on one adapter.
#[derive(Debug)]
pub struct Capture {
    job: String,
    running: bool,
    /// Adapter's counters when it began
    before: Option<Counters>,
}

fn instance(nic: &Nic) -> String {
    format!("/sys/kernel/tracing/instances/lab{}", nic.number)
}

impl Capture {
    /// Starts tcpdump; what was written before is forgotten.
    pub fn start(
        jobs: &Jobs<'_>,
        session: &Session,
        nic: &Nic,
        domain: u32,
        before: Option<Counters>,
    ) -> anyhow::Result<Self> {
        let job = format!("tcpdump{}", nic.number);
        session.try_shell(&format!(
            "kill -KILL -- -$(cat {FOLDER}/{job}.pid) 2>/dev/null"
        ))?;
        let interface = nic.interface(domain);
        // dom0 asks for an address that it knows already some seconds after it was used: not while frames are counted.
        session.shell(&format!(
            "ip neighbour show dev {bridge} | while read -r address word mac state; do\n\
             if [ \"$word\" = lladdr ]; then ip neighbour replace \"$address\" lladdr \"$mac\" dev {bridge} nud permanent; fi\n\
             done",
            bridge = nic.bridge
        ))?;
        session.shell(&format!(
            "set -e; cd /sys/kernel/tracing; [ -d instances ] || mount -t tracefs tracefs .\n\
             cd /sys/kernel/tracing; if [ -d {instance} ]; then rmdir {instance}; fi; mkdir {instance}; cd {instance}/events/net\n\
             for event in {FROM_GUEST} {TO_GUEST}; do echo 'hist:keys=gso_size if name == \"{interface}\"' >$event/trigger; done",
            instance = instance(nic)
        ))?;
        jobs.start(
            &job,
            &format!("exec tcpdump -Z root -i {interface} -n -s {SNAP} -B 8192 -w {job}.pcap"),
        )?;
        jobs.wait_until_listening(&job)?;
        Ok(Self {
            job,
            running: true,
            before,
        })
    }

    /// Ends tcpdump; returns how many frames the kernel had no room for.
    pub fn stop(&mut self, jobs: &Jobs<'_>) -> anyhow::Result<u64> {
        if !self.running {
            bail!("tcpdump was ended before");
        }
        self.running = false;
        jobs.shell(SETTLE)?;
        jobs.signal(&self.job, "INT")?;
        let ended = jobs.wait(&self.job, END_LIMIT)?;
        dropped(&ended.stderr).with_context(|| format!("tcpdump said: {}", ended.stderr))
    }

    /// The frames so far that fit the filter.
    fn frames(
        &self,
        jobs: &Jobs<'_>,
        session: &Session,
        filter: &str,
    ) -> anyhow::Result<Vec<Frame>> {
        if self.running {
            jobs.shell(&format!(
                "{SETTLE}; kill -USR2 $(cat {FOLDER}/{job}.pid); sleep 0.3",
                job = self.job
            ))?;
        }
        let name = format!("{}-read.pcap", self.job);
        session.shell(&format!(
            "cd {FOLDER} && tcpdump -Z root -r {job}.pcap -w /share/{name} {filter} 2>{name}.err || {{ cat {name}.err >&2; exit 1; }}",
            job = self.job,
            filter = super::jobs::quote(filter)
        ))?;
        let file = session.share().join(name);
        let frames = frames::read(&file)?;
        std::fs::remove_file(file)?;
        Ok(frames)
    }

    /// Looks at what has passed; says what it was.
    pub fn expect(
        &self,
        jobs: &Jobs<'_>,
        session: &Session,
        nic: &Nic,
        filter: &str,
        expect: &TcpdumpExpect,
    ) -> anyhow::Result<String> {
        let direction = expect.direction.unwrap_or(Direction::Both);
        let mut frames = self.frames(jobs, session, filter)?;
        frames.retain(|frame| frame.goes(direction, nic.mac));
        let mut text = count(&frames, expect)?;
        if let Some(wanted) = expect.gso {
            let mut sizes = Vec::new();
            let events = [
                (Direction::Send, FROM_GUEST),
                (Direction::Receive, TO_GUEST),
            ];
            for (way, event) in events {
                if direction == Direction::Both || direction == way {
                    let histogram =
                        session.shell(&format!("cat {}/events/net/{event}/hist", instance(nic)))?;
                    sizes.extend(gso_sizes(&histogram));
                }
            }
            text += &judge_gso(wanted, &frames, &sizes, u32::from(nic.mtu))?;
        }
        Ok(text)
    }

    /// Compares what tcpdump wrote with what the adapter has counted since it began.
    pub fn expect_counters(
        &self,
        jobs: &Jobs<'_>,
        session: &Session,
        nic: &Nic,
        after: Option<Counters>,
    ) -> anyhow::Result<String> {
        let before = self
            .before
            .as_ref()
            .context("the guest told no counters when tcpdump began")?;
        let after = after.context("the guest told no counters")?;
        let frames = self.frames(jobs, session, "")?;
        let totals = Totals::of(&frames, nic.mac);
        compare(totals, &after.since(before))
    }
}

/// The sentence of tcpdump's that tells of lost frames.
fn dropped(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_suffix(" packets dropped by kernel"))
        .and_then(|count| count.trim().parse().ok())
}

fn count(frames: &[Frame], expect: &TcpdumpExpect) -> anyhow::Result<String> {
    let found = frames.len();
    let longest = frames.iter().map(|frame| frame.length).max().unwrap_or(0);
    if let Some(least) = expect.at_least.filter(|least| found < *least as usize) {
        bail!("{found} frames, and at least {least} were expected");
    }
    if let Some(most) = expect.at_most.filter(|most| found > *most as usize) {
        bail!("{found} frames, and at most {most} were expected");
    }
    Ok(format!("{found} frames, the longest of {longest} bytes"))
}

/// The sizes in a histogram by gso_size (Linux, Documentation/trace/histogram.rst), with how often each was seen.
fn gso_sizes(histogram: &str) -> Vec<(u32, u64)> {
    histogram
        .lines()
        .filter_map(|line| {
            let (key, count) = line
                .trim()
                .strip_prefix("{ gso_size:")?
                .split_once("} hitcount:")?;
            Some((key.trim().parse().ok()?, count.trim().parse().ok()?))
        })
        .collect()
}

fn judge_gso(
    wanted: bool,
    frames: &[Frame],
    sizes: &[(u32, u64)],
    mtu: u32,
) -> anyhow::Result<String> {
    let large = frames
        .iter()
        .filter(|frame| frame.tcp && frame.length > mtu + ETHERNET)
        .count();
    let cut: Vec<_> = sizes.iter().filter(|(size, _)| *size != 0).collect();
    let text: Vec<String> = cut
        .iter()
        .map(|(size, count)| format!("{size} ({count} times)"))
        .collect();
    let text = format!(
        ", {large} above the MTU; gso_size {}",
        if text.is_empty() {
            "0".to_owned()
        } else {
            text.join(", ")
        }
    );
    if wanted && (large == 0 || cut.is_empty()) {
        bail!("no frame above the MTU with a gso_size was seen{text}");
    }
    if !wanted && (large != 0 || !cut.is_empty()) {
        bail!("frames above the MTU were seen{text}");
    }
    if let Some((size, _)) = cut.iter().find(|(size, _)| *size > mtu - HEADERS) {
        bail!("segments of {size} bytes do not fit into an MTU of {mtu}");
    }
    Ok(text)
}

fn compare(totals: Totals, counted: &Counters) -> anyhow::Result<String> {
    let pairs = [
        ("frames sent", totals.frames_sent, counted.packets_sent),
        ("bytes sent", totals.bytes_sent, counted.bytes_sent),
        (
            "frames received",
            totals.frames_received,
            counted.packets_received,
        ),
        (
            "bytes received",
            totals.bytes_received,
            counted.bytes_received,
        ),
    ];
    let wrong: Vec<String> = pairs
        .iter()
        .filter(|(_, seen, counted)| seen != counted)
        .map(|(name, seen, counted)| {
            format!("{name}: the adapter counted {counted}, tcpdump {seen}")
        })
        .collect();
    if !wrong.is_empty() {
        bail!("{}", wrong.join("; "));
    }
    if pairs.iter().all(|(_, seen, _)| *seen == 0) {
        bail!("nothing passed: there is nothing to compare");
    }
    Ok(pairs
        .map(|(name, seen, _)| format!("{seen} {name}"))
        .join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nic::Mac;

    fn frame(length: u32) -> Frame {
        Frame {
            length,
            source: Mac([2; 6]),
            tcp: true,
        }
    }

    #[test]
    fn segments_are_read_from_the_kernels_histogram() {
        let text = "# event histogram\n#\n# trigger info: hist:keys=gso_size:vals=hitcount:sort=hitcount:size=2048 [active]\n#\n\n\
                    { gso_size:       1448 } hitcount:         12\n{ gso_size:          0 } hitcount:        345\n\nTotals:\n    Hits: 357\n";
        assert_eq!(gso_sizes(text), [(1448, 12), (0, 345)]);
        assert_eq!(gso_sizes(""), []);
    }

    #[test]
    fn large_frames_need_segments_that_fit() {
        let judge = |wanted, lengths: &[u32], sizes: &[(u32, u64)]| {
            let frames: Vec<Frame> = lengths.iter().copied().map(frame).collect();
            judge_gso(wanted, &frames, sizes, 1500).is_ok()
        };
        assert!(judge(true, &[1514, 9000], &[(0, 5), (1448, 1)]));
        assert!(!judge(true, &[1514], &[(1448, 1)]));
        assert!(!judge(true, &[9000], &[(0, 5)]));
        assert!(!judge(true, &[9000], &[(1461, 1)]));
        assert!(judge(false, &[1514], &[(0, 5)]));
        assert!(!judge(false, &[1515], &[(0, 5)]));
        assert!(!judge(false, &[1514], &[(536, 1)]));
    }

    #[test]
    fn counts_have_their_bounds() {
        let expect = |least, most| TcpdumpExpect {
            at_least: least,
            at_most: most,
            ..TcpdumpExpect::default()
        };
        let two = [frame(60), frame(70)];
        assert!(count(&two, &expect(Some(2), Some(2))).is_ok());
        assert!(count(&two, &expect(Some(3), None)).is_err());
        assert!(count(&two, &expect(None, Some(1))).is_err());
    }

    #[test]
    fn counters_must_be_tcpdumps_to_the_byte() {
        let totals = Totals {
            frames_sent: 2,
            bytes_sent: 200,
            frames_received: 3,
            bytes_received: 300,
        };
        let counted = Counters {
            packets_sent: 2,
            bytes_sent: 200,
            packets_received: 3,
            bytes_received: 300,
            ..Counters::default()
        };
        assert!(compare(totals, &counted).is_ok());
        let more = Counters {
            bytes_received: 304,
            ..counted
        };
        let error = compare(totals, &more).unwrap_err().to_string();
        assert!(error.contains("counted 304, tcpdump 300"), "{error}");
        assert!(compare(Totals::default(), &Counters::default()).is_err());
    }

    #[test]
    fn lost_frames_are_read_from_what_tcpdump_says() {
        let text =
            "12 packets captured\n14 packets received by filter\n2 packets dropped by kernel\n";
        assert_eq!(dropped(text), Some(2));
        assert_eq!(dropped("tcpdump: no such device"), None);
    }
}
