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

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Deserialize;
use serde::Serialize;

mod bytes;
pub mod devices;
pub mod frames;
pub mod net;
pub use bytes::Bytes;

/// A plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Plan {
    /// The machine to run on
    pub guest: Guest,
    /// What is set up around it
    pub dom0: Dom0,
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
    /// The CPU's vendor that CPUID tells (leaf 0), 12 letters, spaces included; the processor's own if absent
    pub cpu_vendor: Option<String>,
    /// The guest has XenServer's vendor device (PCI 5853:C000) beside the platform device
    pub vendor_device: bool,
    /// Registry values to write before the drivers load, over what the INFs say
    pub registry: Vec<RegistryValue>,
    /// The seed of all patterns and random choices; the host picks one if it is 0 or absent
    pub seed: u64,
    /// Advanced properties of all network adapters, as `"*NumRssQueues" = "4"`: strings in the software key of every device
    /// of class Net, over what the INFs say
    pub net_parameters: BTreeMap<String, String>,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            vcpus: 2,
            memory: Bytes(256 << 20),
            cpu_vendor: None,
            vendor_device: false,
            registry: Vec::new(),
            seed: 0,
            net_parameters: BTreeMap::new(),
        }
    }
}

/// What a plan wants of dom0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Dom0 {
    /// Parameters of the module xen-netback, set before the guest is made, as `max_queues = "4"`
    pub netback: BTreeMap<String, String>,
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
    /// The disk is taken away meanwhile: requests must begin to fail before all bytes are moved, each must end, and then
    /// the disk must be gone
    #[serde(default)]
    pub until_gone: bool,
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
    /// Steps that run at once: disk steps, and `transfer`, `ping`, `echo` and `udp-flood`. Each must be for a disk or an adapter of its own.
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
    /// Stops devices and starts them with other resources. I/O goes on afterwards.
    Rebalance(devices::Which),
    /// Asks devices whether they can be stopped, and calls it off.
    CancelStop(devices::Which),
    /// Asks devices whether they can be removed, and calls it off.
    CancelRemove(devices::Which),
    /// Waits until the devices of an id are in a state.
    ExpectDevice(devices::ExpectDevice),
    /// Takes devices away as if they had failed; `start` brings them back.
    SurpriseRemove(devices::Which),
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
    /// Configures the stack on an adapter.
    NetUp(net::NetUp),
    /// Takes the stack off an adapter; the adapter stays.
    NetDown(net::OfNic),
    /// The guest pings dom0.
    Ping(net::Ping),
    /// dom0 pings the guest.
    Pinged(net::Ping),
    /// dom0 begins to ping the guest while other steps are done.
    PingedStart(net::PingedStart),
    /// dom0 ends that, and looks at what was lost.
    PingedStop(net::PingedStop),
    /// Moves data over TCP.
    Transfer(net::Transfer),
    /// dom0 sends data over TCP, and the guest sends it back.
    Echo(net::Echo),
    /// Sends UDP datagrams.
    UdpFlood(net::UdpFlood),
    /// Switches promiscuous mode.
    Capture(net::Capture),
    /// Puts a stack into a VLAN.
    Tag(frames::Tag),
    /// Asks an adapter for the frames of groups.
    Groups(frames::Groups),
    /// Sends single frames.
    Frames(frames::Frames),
    /// What an adapter hands up is written down from now on; what was written before is forgotten.
    ReceivedStart(net::OfNic),
    /// Looks at what was written.
    ReceivedExpect(frames::ReceivedExpect),
    /// Waits until exactly these adapters run and have link.
    ExpectNics {
        /// Their numbers, in any order
        nics: Vec<u32>,
        /// How long it may take, in milliseconds
        #[serde(default = "default_within")]
        within_ms: u32,
    },
    /// Switches offloads.
    Offload(net::Offload),
    /// tcpdump in dom0 begins to write down what passes an adapter's interface; what was written before is forgotten.
    TcpdumpStart(net::OfNic),
    /// tcpdump ends.
    TcpdumpStop(net::OfNic),
    /// Looks at what tcpdump has written.
    TcpdumpExpect(net::TcpdumpExpect),
    /// The adapter's statistics must have grown since `tcpdump-start` by exactly what tcpdump has written: frames and bytes, sent and received.
    ExpectCounters(net::OfNic),
    /// Measures a Linux guest.
    LinuxGuest(net::LinuxGuest),
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

/// Who does a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doer {
    /// The guest alone
    Guest,
    /// The host alone, while the guest waits: [`Phase::Whole`](crate::record::Phase::Whole)
    Host,
    /// Both. The guest prepares (listens, reports counters), tells the host
    /// ([`Phase::Begin`](crate::record::Phase::Begin)) and waits for its word; does its part and reports on it; tells the host again
    /// ([`Phase::End`](crate::record::Phase::End)), and waits while the host does what is left and compares. After an error of its own the
    /// guest does not tell the host again.
    Both,
}

impl Step {
    /// Who does it. Steps that run at once have one beginning and one end in common.
    pub fn doer(&self) -> Doer {
        match self {
            Self::Xl { .. }
            | Self::Dom0 { .. }
            | Self::XenstoreWrite { .. }
            | Self::XenstoreExpect { .. }
            | Self::ExpectLog { .. }
            | Self::Pinged(_)
            | Self::PingedStart(_)
            | Self::PingedStop(_)
            | Self::TcpdumpStop(_)
            | Self::TcpdumpExpect(_)
            | Self::LinuxGuest(_) => Doer::Host,
            Self::Transfer(_)
            | Self::Echo(_)
            | Self::UdpFlood(_)
            | Self::TcpdumpStart(_)
            | Self::ExpectCounters(_) => Doer::Both,
            Self::Parallel(steps) if steps.iter().any(|step| step.doer() == Doer::Both) => {
                Doer::Both
            }
            _ => Doer::Guest,
        }
    }

    /// True for a step that the host does in dom0 while the guest waits.
    pub fn is_for_host(&self) -> bool {
        self.doer() == Doer::Host
    }

    /// What a step does to devices, if it is one that does.
    pub fn device_change(&self) -> Option<(devices::Change, &devices::Which)> {
        match self {
            Self::Rebalance(which) => Some((devices::Change::Rebalance, which)),
            Self::CancelStop(which) => Some((devices::Change::CancelStop, which)),
            Self::CancelRemove(which) => Some((devices::Change::CancelRemove, which)),
            Self::SurpriseRemove(which) => Some((devices::Change::SurpriseRemove, which)),
            _ => None,
        }
    }

    /// The adapter that a step is about, if it is about one.
    pub fn nic(&self) -> Option<u32> {
        match self {
            Self::NetUp(step) => Some(step.nic),
            Self::Ping(step) | Self::Pinged(step) => Some(step.nic),
            Self::PingedStart(step) => Some(step.nic),
            Self::PingedStop(step) => Some(step.nic),
            Self::Transfer(step) => Some(step.nic),
            Self::Echo(step) => Some(step.nic),
            Self::UdpFlood(step) => Some(step.nic),
            Self::Capture(step) => Some(step.nic),
            Self::Offload(step) => Some(step.nic),
            Self::TcpdumpExpect(step) => Some(step.nic),
            Self::LinuxGuest(step) => Some(step.nic),
            Self::Tag(step) => Some(step.nic),
            Self::Groups(step) => Some(step.nic),
            Self::Frames(step) => Some(step.nic),
            Self::ReceivedExpect(step) => Some(step.nic),
            Self::NetDown(step)
            | Self::ReceivedStart(step)
            | Self::TcpdumpStart(step)
            | Self::TcpdumpStop(step)
            | Self::ExpectCounters(step) => Some(step.nic),
            _ => None,
        }
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
            Self::Rebalance(_) => "rebalance",
            Self::CancelStop(_) => "cancel-stop",
            Self::CancelRemove(_) => "cancel-remove",
            Self::SurpriseRemove(_) => "surprise-remove",
            Self::ExpectDevice(_) => "expect-device",
            Self::Reboot {} => "reboot",
            Self::Xl { .. } => "xl",
            Self::Dom0 { .. } => "dom0",
            Self::XenstoreWrite { .. } => "xenstore-write",
            Self::XenstoreExpect { .. } => "xenstore-expect",
            Self::NetUp(_) => "net-up",
            Self::NetDown(_) => "net-down",
            Self::Ping(_) => "ping",
            Self::Pinged(_) => "pinged",
            Self::PingedStart(_) => "pinged-start",
            Self::PingedStop(_) => "pinged-stop",
            Self::Transfer(_) => "transfer",
            Self::Echo(_) => "echo",
            Self::UdpFlood(_) => "udp-flood",
            Self::Capture(_) => "capture",
            Self::Tag(_) => "tag",
            Self::Groups(_) => "groups",
            Self::Frames(_) => "frames",
            Self::ReceivedStart(_) => "received-start",
            Self::ReceivedExpect(_) => "received-expect",
            Self::ExpectNics { .. } => "expect-nics",
            Self::Offload(_) => "offload",
            Self::TcpdumpStart(_) => "tcpdump-start",
            Self::TcpdumpStop(_) => "tcpdump-stop",
            Self::TcpdumpExpect(_) => "tcpdump-expect",
            Self::ExpectCounters(_) => "expect-counters",
            Self::LinuxGuest(_) => "linux-guest",
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
    fn devices_are_named_by_their_class_or_as_a_disk() {
        let plan: Plan = toml::from_str(
            r#"
            [[step]]
            rebalance = { class = "SCSIAdapter" }
            [[step]]
            surprise-remove = { disk = "xvde" }
            "#,
        )
        .unwrap();
        let change = plan.step[0].device_change().unwrap();
        let which = devices::Which::Class("SCSIAdapter".into());
        assert_eq!(change, (devices::Change::Rebalance, &which));
        let (change, which) = plan.step[1].device_change().unwrap();
        assert_eq!(change, devices::Change::SurpriseRemove);
        assert_eq!(which, &devices::Which::Disk("xvde".into()));
        assert!(toml::from_str::<Plan>("[[step]]\nrebalance = {}").is_err());
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
    fn network_steps_have_defaults_and_survive_the_way_to_the_guest() {
        let plan: Plan = toml::from_str(
            r#"
            [guest.net-parameters]
            "*NumRssQueues" = "4"
            [dom0.netback]
            max_queues = "4"
            [[step]]
            net-up = {}
            [[step]]
            pinged = { nic = 1, within-ms = 500 }
            [[step]]
            parallel = [
                { transfer = { direction = "both", bytes = "64MiB", connections = 4 } },
                { transfer = { nic = 1, direction = "send", bytes = "1MiB" } },
            ]
            [[step]]
            offload = { lso = false }
            [[step]]
            tcpdump-expect = { filter = "arp", at-most = 3, gso = false }
            [[step]]
            linux-guest = {}
            "#,
        )
        .unwrap();
        assert_eq!(plan.step[0], Step::NetUp(net::NetUp::default()));
        let doers: Vec<Doer> = plan.step.iter().map(Step::doer).collect();
        let expected = [
            Doer::Guest,
            Doer::Host,
            Doer::Both,
            Doer::Guest,
            Doer::Host,
            Doer::Host,
        ];
        assert_eq!(doers, expected);
        assert_eq!(plan.step[1].nic(), Some(1));
        let bytes = postcard::to_allocvec(&plan).unwrap();
        assert_eq!(postcard::from_bytes::<Plan>(&bytes).unwrap(), plan);
    }

    #[test]
    fn an_unknown_key_of_a_network_step_is_refused() {
        for step in [
            "net-up = { adress = \"auto\" }",
            "ping = { cuont = 1 }",
            "transfer = { direction = \"up\", bytes = 1 }",
            "transfer = { bytes = 1 }",
            "expect-nics = {}",
        ] {
            let text = alloc::format!("[[step]]\n{step}");
            assert!(toml::from_str::<Plan>(&text).is_err(), "{step}");
        }
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
