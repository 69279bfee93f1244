//! What a run of a guest came to.

use dom0_agent::StateChange;
use lab_protocol::net;
use lab_protocol::plan::net::Direction;
use lab_protocol::record::Io;
use lab_protocol::record::PoolLeak;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a run of a guest came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What went wrong; a run that passed has nothing in here
    pub failures: Vec<String>,
    /// How often the guest was booted
    pub boots: u32,
    /// The images that were loaded, with their versions
    pub images: BTreeMap<String, String>,
    /// Device nodes with their states and function drivers, as last reported
    pub devices: BTreeMap<String, (String, String)>,
    /// Disks as they came, by SCSI target
    pub disks: BTreeMap<u32, DiskFound>,
    /// The steps that ended, in that order
    pub steps: Vec<StepDone>,
    /// Changes of devices' states in xenstore, in order
    pub states: Vec<StateChange>,
    /// What drivers left behind: nothing, if all is well
    pub leaks: Vec<(String, Vec<PoolLeak>)>,
    /// Event channels beyond those that the toolstack made, after the drivers were unloaded
    pub leaked_channels: usize,
    /// Grants in use after the drivers were unloaded
    pub leaked_grants: usize,
    /// True if Xen's books were read after the drivers were unloaded
    pub books_read: bool,
    /// Disks with bytes and the SHA-256 of what both the guest and the host read in them at the end
    pub compared: Vec<(String, u64, String)>,
    /// Network adapters as the guest last reported them, by their numbers
    pub nics: BTreeMap<u32, net::Nic>,
    /// Connections of transfers, each way
    pub transfers: Vec<net::Transfer>,
    /// The guest's pings
    pub pings: Vec<net::Ping>,
    /// The guest's ends of floods
    pub guest_floods: Vec<net::Flood>,
    /// Floods with what each end counted
    pub floods: Vec<Flood>,
    /// What adapters have counted, by their numbers, as last reported
    pub counters: BTreeMap<u32, net::Counters>,
    /// Linux guests that were measured
    pub linux: Vec<LinuxMeasured>,
    /// What dom0 saw in steps about adapters, by the steps' numbers
    pub notes: Vec<(u32, String)>,
    /// From the guest's first boot to its end
    pub time: Duration,
}

/// A UDP flood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flood {
    /// The step's number in the plan
    pub step: u32,
    /// The adapter
    pub nic: u32,
    /// Which way
    pub direction: Direction,
    /// Datagrams that one end sent
    pub sent: u64,
    /// Datagrams that the other end got
    pub received: u64,
    /// Bytes of data in each
    pub size: u32,
    /// How long it took at the guest's end, in microseconds
    pub microseconds: u64,
}

/// What a Linux guest's own frontend does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinuxMeasured {
    /// The adapter on whose bridge it was
    pub nic: u32,
    /// From it to dom0
    pub send: Rate,
    /// From dom0 to it
    pub receive: Rate,
}

/// Bytes and the time that they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    /// Bytes
    pub bytes: u64,
    /// Microseconds
    pub microseconds: u64,
}

impl Rate {
    /// Adds a connection that was there at the same time.
    pub fn add(&mut self, bytes: u64, microseconds: u64) {
        self.bytes += bytes;
        self.microseconds = self.microseconds.max(microseconds);
    }

    /// Megabytes (10^6) a second
    pub fn megabytes(&self) -> f64 {
        self.bytes as f64 / self.microseconds.max(1) as f64
    }
}

/// A disk that the guest found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskFound {
    /// INQUIRY data
    pub inquiry: String,
    /// Serial number
    pub serial: String,
    /// Bytes
    pub capacity: u64,
    /// Bytes a block
    pub block: u32,
    /// True if it has a volatile write cache
    pub write_cache: bool,
}

/// A step that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct StepDone {
    /// Its number in the plan
    pub step: u32,
    /// What went wrong
    pub error: Option<String>,
    /// What it did to each disk
    pub io: Vec<Io>,
}

impl Report {
    /// True if nothing went wrong.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// Notes a failure.
    pub fn fail(&mut self, what: impl Into<String>) {
        self.failures.push(what.into());
    }

    /// All bytes that an adapter moved one way in a step, over connections that were there at the same time.
    pub fn rate(&self, step: u32, nic: u32, direction: Direction) -> Option<Rate> {
        let mut rate = Rate::default();
        let of_step = self
            .transfers
            .iter()
            .filter(|told| (told.step, told.nic, told.direction) == (step, nic, direction));
        for told in of_step {
            rate.add(told.bytes, told.microseconds);
        }
        (rate != Rate::default()).then_some(rate)
    }

    /// Pool bytes that drivers left behind.
    pub fn leaked_bytes(&self) -> u64 {
        let leaks = self.leaks.iter().flat_map(|(_, pool)| pool);
        leaks.map(|leak| leak.bytes).sum()
    }

    /// Checks the pool, and Xen's books: nothing may be left.
    pub fn judge_leaks(&mut self) {
        for (driver, pool) in &self.leaks {
            for leak in pool {
                self.failures.push(format!(
                    "{driver} left {} bytes in {} blocks of pool, tag {:?}",
                    leak.bytes, leak.blocks, leak.tag
                ));
            }
        }
        if self.leaked_channels != 0 {
            self.failures.push(format!(
                "{} event channels are left, by Xen's books",
                self.leaked_channels
            ));
        }
        if self.leaked_grants != 0 {
            self.failures.push(format!(
                "{} grants are left, by Xen's books",
                self.leaked_grants
            ));
        }
    }
}

/// The name of a XenbusState (xen/include/public/io/xenbus.h).
pub fn state_name(value: &str) -> &str {
    match value {
        "0" => "Unknown",
        "1" => "Initialising",
        "2" => "InitWait",
        "3" => "Initialised",
        "4" => "Connected",
        "5" => "Closing",
        "6" => "Closed",
        "7" => "Reconfiguring",
        "8" => "Reconfigured",
        "" => "gone",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_left_fails_the_run() {
        let clean = Report::default();
        let judged = |mut report: Report| {
            report.judge_leaks();
            report.failures.len()
        };
        assert_eq!(judged(clean.clone()), 0);
        let leak = PoolLeak {
            tag: "VBD ".into(),
            blocks: 1,
            bytes: 16,
        };
        let mut pool = clean.clone();
        pool.leaks.push(("a.sys".into(), vec![leak]));
        assert_eq!(pool.leaked_bytes(), 16);
        assert_eq!(judged(pool), 1);
        let channels = Report {
            leaked_channels: 1,
            ..clean.clone()
        };
        assert_eq!(judged(channels), 1);
        let grants = Report {
            leaked_grants: 1,
            ..clean
        };
        assert_eq!(judged(grants), 1);
    }
}
