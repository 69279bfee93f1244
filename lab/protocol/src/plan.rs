//! Plans: what a run does, step by step. Users write them in TOML; the same types travel to the guest.
//!
//! ```toml
//! [guest]
//! vcpus = 2
//!
//! [[step]]
//! write = { disk = "xvde", length = "64MiB" }
//!
//! [[step]]
//! verify = { disk = "xvde", length = "64MiB" }
//! ```

use alloc::string::String;
use alloc::vec::Vec;
use serde::Deserialize;
use serde::Serialize;

mod bytes;
pub use bytes::Bytes;

/// A plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// The machine to run on
    pub guest: Guest,
    /// The steps, in order
    pub step: Vec<Step>,
}

/// The guest that a plan runs on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Guest {
    /// Virtual CPUs, 1 to 8
    pub vcpus: u32,
    /// Memory
    pub memory: Bytes,
    /// Registry values to write before the drivers load, over what the INFs say
    pub registry: Vec<RegistryValue>,
    /// The seed of all patterns and random choices; the host picks one if it is 0 or absent
    pub seed: u64,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            vcpus: 2,
            memory: Bytes(256 << 20),
            registry: Vec::new(),
            seed: 0,
        }
    }
}

/// A registry value that a plan sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RegistryValue {
    /// The key, from `\Registry\Machine\` on
    pub key: String,
    /// The value's name
    pub name: String,
    /// The value
    pub data: crate::registry::Data,
}

/// A range of a disk and how to go over it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Range {
    /// The disk, by its name in the toolstack (`xvde`); its letters count the SCSI targets
    pub disk: String,
    /// Where to begin
    #[serde(default)]
    pub offset: Bytes,
    /// How much; to the disk's end if absent
    #[serde(default)]
    pub length: Option<Bytes>,
    /// Bytes a request, 64 KiB if absent
    #[serde(default = "default_block")]
    pub block: Bytes,
    /// Requests under way at once, 8 if absent
    #[serde(default = "default_depth")]
    pub depth: u32,
}

fn default_block() -> Bytes {
    Bytes(64 << 10)
}

fn default_depth() -> u32 {
    8
}

/// Random I/O.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Random {
    /// The disk
    pub disk: String,
    /// How many bytes to move in all
    pub bytes: Bytes,
    /// Where the area begins
    #[serde(default)]
    pub offset: Bytes,
    /// The area's length; to the disk's end if absent
    #[serde(default)]
    pub length: Option<Bytes>,
    /// The smallest request
    #[serde(default = "default_min_block")]
    pub min_block: Bytes,
    /// The largest request
    #[serde(default = "default_max_block")]
    pub max_block: Bytes,
    /// Requests under way at once
    #[serde(default = "default_depth")]
    pub depth: u32,
    /// How many of a hundred requests write; the others read and compare
    #[serde(default = "default_writes")]
    pub writes: u8,
}

fn default_min_block() -> Bytes {
    Bytes(512)
}

fn default_max_block() -> Bytes {
    Bytes(128 << 10)
}

fn default_writes() -> u8 {
    50
}

/// A SCSI command sent as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cdb {
    /// The disk
    pub disk: String,
    /// The command, in hexadecimal digits
    pub cdb: String,
    /// Bytes to receive
    #[serde(default)]
    pub receive: Bytes,
    /// Bytes to send, in hexadecimal digits
    #[serde(default)]
    pub send: String,
    /// The SCSI status that must come back
    #[serde(default)]
    pub status: u8,
    /// Sense key, ASC and ASCQ that must come back
    #[serde(default)]
    pub sense: Option<[u8; 3]>,
    /// How the received data must begin, in hexadecimal digits; `..` stands for any byte
    #[serde(default)]
    pub expect: String,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    deny_unknown_fields,
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum Step {
    /// Writes the pattern that depends on the seed, the disk and the sector.
    Write(Range),
    /// Reads and compares with that pattern.
    Verify(Range),
    /// Reads, and reports the SHA-256 of what was read.
    Hash(Range),
    /// Random reads and writes, every read compared with what was last written.
    Random(Random),
    /// A flush as the class driver sends one.
    Flush {
        /// The disk
        disk: String,
    },
    /// A raw command.
    Cdb(Cdb),
    /// Steps that run at once. Only disk steps may be in here.
    Parallel(Vec<Step>),
    /// Waits.
    Wait {
        /// Milliseconds
        ms: u32,
    },
    /// Waits until exactly these disks are there.
    ExpectDisks {
        /// Their names, in any order
        disks: Vec<String>,
        /// How long it may take, in milliseconds
        #[serde(default = "default_within")]
        within_ms: u32,
    },
    /// Removes every device that the packages' drivers run, and unloads the drivers.
    Unload {},
    /// Starts the devices anew, within the same boot.
    Start {},
    /// Restarts the machine; the registry survives.
    Reboot {},
    /// Runs `xl` in dom0. `$DOMID` stands for the guest's number.
    Xl {
        /// The arguments
        args: Vec<String>,
    },
    /// Runs a shell command in dom0, which must succeed. `$DOMID` stands for the guest's number.
    Dom0 {
        /// The command
        command: String,
    },
    /// Writes to xenstore in dom0. `$DOMID` stands for the guest's number.
    XenstoreWrite {
        /// The path
        path: String,
        /// The value
        value: String,
    },
    /// Reads from xenstore in dom0 until the value is the one expected.
    XenstoreExpect {
        /// The path
        path: String,
        /// The value
        value: String,
        /// How long it may take, in milliseconds
        #[serde(default = "default_within")]
        within_ms: u32,
    },
    /// A line that the guest logs must contain the text, from the run's start on.
    ExpectLog {
        /// The text
        text: String,
        /// How long it may take, in milliseconds
        #[serde(default = "default_within")]
        within_ms: u32,
    },
}

fn default_within() -> u32 {
    120_000
}

impl Step {
    /// True for a step that the host does in dom0 while the guest waits.
    pub fn is_for_host(&self) -> bool {
        matches!(
            self,
            Self::Xl { .. }
                | Self::Dom0 { .. }
                | Self::XenstoreWrite { .. }
                | Self::XenstoreExpect { .. }
                | Self::ExpectLog { .. }
        )
    }

    /// The step's name, as a plan writes it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Write(_) => "write",
            Self::Verify(_) => "verify",
            Self::Hash(_) => "hash",
            Self::Random(_) => "random",
            Self::Flush { .. } => "flush",
            Self::Cdb(_) => "cdb",
            Self::Parallel(_) => "parallel",
            Self::Wait { .. } => "wait",
            Self::ExpectDisks { .. } => "expect-disks",
            Self::Unload {} => "unload",
            Self::Start {} => "start",
            Self::Reboot {} => "reboot",
            Self::Xl { .. } => "xl",
            Self::Dom0 { .. } => "dom0",
            Self::XenstoreWrite { .. } => "xenstore-write",
            Self::XenstoreExpect { .. } => "xenstore-expect",
            Self::ExpectLog { .. } => "expect-log",
        }
    }
}

/// The SCSI target that a toolstack's disk name stands for: `xvda` is 0, `xvdz` 25, `xvdaa` 26 (Xen's vbd-interface(7)).
pub fn target_of(disk: &str) -> Option<u32> {
    let letters = ["xvd", "sd", "hd"]
        .iter()
        .find_map(|prefix| disk.strip_prefix(prefix))?;
    if letters.is_empty() || letters.len() > 2 {
        return None;
    }
    let index = letters.bytes().try_fold(0u32, |index, letter| {
        letter
            .is_ascii_lowercase()
            .then(|| index * 26 + u32::from(letter - b'a') + 1)
    })?;
    Some(index - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_in_toml_becomes_steps_with_their_defaults() {
        let plan: Plan = toml::from_str(
            r#"
            [guest]
            vcpus = 1
            [[step]]
            write = { disk = "xvde", length = "1MiB" }
            [[step]]
            parallel = [{ hash = { disk = "xvde" } }, { random = { disk = "xvdf", bytes = "4KiB", depth = 32 } }]
            [[step]]
            unload = {}
            "#,
        )
        .unwrap();
        assert_eq!(plan.guest.vcpus, 1);
        assert_eq!(plan.step.len(), 3);
        let Step::Write(range) = &plan.step[0] else {
            panic!("{:?}", plan.step[0])
        };
        assert_eq!(range.length, Some(Bytes(1 << 20)));
        assert_eq!(range.block, Bytes(64 << 10));
    }

    #[test]
    fn an_unknown_key_is_refused() {
        assert!(
            toml::from_str::<Plan>("[[step]]\nwrite = { disk = \"xvde\", lenght = 1 }").is_err()
        );
        assert!(toml::from_str::<Plan>("[[step]]\nwrit = { disk = \"xvde\" }").is_err());
    }

    #[test]
    fn a_plan_survives_the_way_to_the_guest() {
        let plan: Plan = toml::from_str(
            "[[step]]\nrandom = { disk = \"xvde\", bytes = 65536 }\n[[step]]\nreboot = {}",
        )
        .unwrap();
        let bytes = postcard::to_allocvec(&plan).unwrap();
        assert_eq!(postcard::from_bytes::<Plan>(&bytes).unwrap(), plan);
    }

    #[test]
    fn disk_names_count_targets() {
        assert_eq!(target_of("xvda"), Some(0));
        assert_eq!(target_of("xvdz"), Some(25));
        assert_eq!(target_of("xvdaa"), Some(26));
        assert_eq!(target_of("hdb"), Some(1));
        assert_eq!(target_of("xvd"), None);
        assert_eq!(target_of("xvdA"), None);
        assert_eq!(target_of("nbd0"), None);
    }
}
