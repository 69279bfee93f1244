//! What the guest reports, beside its log.

use crate::net;
use crate::registry::Change;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Deserialize;
use serde::Serialize;

/// The byte on the guest's first serial port that says: the step is done, go on.
pub const GO: u8 = b'g';
/// The byte that says: the step failed, stop the run.
pub const STOP: u8 = b'x';

/// A report. On the wire: one JSON object in a line that begins with `@`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Record {
    /// The executive is up.
    Boot {
        /// Virtual CPUs that answered
        cpus: u32,
        /// Usable memory in bytes
        memory: u64,
    },
    /// An image was mapped.
    ImageLoaded {
        /// File name
        name: String,
        /// Where
        base: u64,
        /// How long
        size: u64,
        /// FILEVERSION of its resources, or empty
        version: String,
    },
    /// An image was unmapped.
    ImageUnloaded {
        /// File name
        name: String,
    },
    /// A device node was found or changed its state.
    Device {
        /// Instance path
        instance: String,
        /// Its state, as `started`
        state: String,
        /// Its function driver's service, or empty
        service: String,
    },
    /// A disk came.
    Disk {
        /// SCSI target
        target: u32,
        /// INQUIRY vendor, product and revision
        inquiry: String,
        /// Serial number (VPD 80h), or empty
        serial: String,
        /// Bytes
        capacity: u64,
        /// Bytes a logical block
        block: u32,
        /// True if it says that it has a volatile write cache
        write_cache: bool,
    },
    /// A disk went.
    DiskGone {
        /// SCSI target
        target: u32,
    },
    /// A step began.
    StepBegin {
        /// Its number in the plan, from 0
        step: u32,
    },
    /// A step ended.
    StepEnd {
        /// Its number in the plan
        step: u32,
        /// What went wrong, if anything
        error: Option<String>,
        /// What it did to each disk
        io: Vec<Io>,
    },
    /// The guest waits for the host to do this step, or its part of it, in dom0.
    HostStep {
        /// Its number in the plan
        step: u32,
        /// Which part of it
        #[serde(default)]
        phase: Phase,
    },
    /// A network adapter came, or what it says of itself changed.
    Nic(net::Nic),
    /// A network adapter went.
    NicGone {
        /// Its number in the toolstack
        nic: u32,
    },
    /// One connection's way of a transfer is done.
    Transfer(net::Transfer),
    /// A transfer goes on.
    TransferProgress(net::TransferProgress),
    /// Pings are done.
    Ping(net::Ping),
    /// A UDP flood is done.
    Flood(net::Flood),
    /// What an adapter and the stack counted since the adapter came. Reported before `tcpdump-start` and `expect-counters` begin,
    /// with `net-down`, and when the adapter goes for good.
    Counters(net::Counters),
    /// A change to a part of the registry that survives a boot.
    Registry(Change),
    /// A driver broke a rule.
    Violation {
        /// The driver's file name
        driver: String,
        /// The routine that it called, or that was called in it
        call: String,
        /// The rule
        rule: String,
        /// What was seen
        detail: String,
    },
    /// The system stopped.
    BugCheck {
        /// The code
        code: u32,
        /// The four parameters
        parameters: [u64; 4],
        /// Return addresses, innermost first
        stack: Vec<Frame>,
        /// What the executive knows besides
        detail: String,
    },
    /// What a driver left behind when it was unloaded.
    Leaks {
        /// The driver's file name
        driver: String,
        /// Pool bytes by tag
        pool: Vec<PoolLeak>,
    },
    /// The guest is about to restart, because of the plan or because a driver or device asked for it.
    Reboot {
        /// Who asked
        why: String,
        /// The step of the plan with which the next boot begins
        next_step: u32,
    },
    /// All steps are done, and everything is unloaded. Nothing comes after this.
    Finished {
        /// True if nothing went wrong
        ok: bool,
    },
}

/// The part of a step that the guest waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// All of it: the guest has nothing to do but wait
    #[default]
    Whole,
    /// What has to be there before the guest does its part
    Begin,
    /// What is left when the guest has done its part
    End,
}

/// A return address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The image's file name, or empty if the address lies in none
    pub image: String,
    /// Offset in the image, or the address itself
    pub offset: u64,
}

/// Pool that was not given back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolLeak {
    /// The four characters
    pub tag: String,
    /// Blocks
    pub blocks: u64,
    /// Bytes
    pub bytes: u64,
}

/// What a step did to a disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Io {
    /// SCSI target
    pub target: u32,
    /// Requests done
    pub requests: u64,
    /// Bytes read
    pub bytes_read: u64,
    /// Bytes written
    pub bytes_written: u64,
    /// How long it took, in microseconds
    pub microseconds: u64,
    /// The mean time from sending a request to its completion, in microseconds
    #[serde(default)]
    pub latency_mean: u64,
    /// The longest time from sending a request to its completion, in microseconds
    #[serde(default)]
    pub latency_max: u64,
    /// SHA-256 of what was read in order, in hexadecimal digits, or empty
    pub sha256: String,
}

impl Record {
    /// The record as a line's text.
    pub fn to_text(&self) -> String {
        // serde_json fails only on maps with keys that are no strings, and on writers that fail: neither exists here.
        let json = serde_json::to_string(self).unwrap_or_default();
        alloc::format!("@{json}")
    }

    /// The record in a line's text: `None` if the text is no record.
    ///
    /// # Errors
    /// If the text begins like a record and is none.
    pub fn from_text(text: &str) -> Option<Result<Self, serde_json::Error>> {
        text.strip_prefix('@').map(serde_json::from_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_from_its_text() {
        let record = Record::Violation {
            driver: "a.sys".into(),
            call: "KeSetEvent".into(),
            rule: "IRQL".into(),
            detail: "\"quoted\"\n".into(),
        };
        assert_eq!(
            Record::from_text(&record.to_text()).unwrap().unwrap(),
            record
        );
    }

    #[test]
    fn log_text_is_no_record_and_a_broken_record_is_an_error() {
        assert!(Record::from_text("hello").is_none());
        assert!(Record::from_text("@{").unwrap().is_err());
    }
}
