//! The lab's tests: Xen is booted once, and guests go through plans in it one after the other.

use super::{Lab, Run, allowed, renamed};
use crate::test::Outcome;
use crate::{demo, drivers, package};
use anyhow::Context as _;
use lab_host::disk::{self, Disk, DiskOption};
use lab_host::nic::{self, Nic, NicOption};
use lab_host::packages;
use lab_host::session::Session;
use lab_protocol::plan::{Bytes, Plan, Step};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

mod net;
pub use net::own as network;

/// Names the folder of drivers that were built elsewhere: `free` and `checked` in it, and in these a folder a package.
pub const FOREIGN: &str = "XEN_FOREIGN_DRIVERS";
/// How long a guest may say nothing.
const SILENCE: Duration = Duration::from_secs(180);
/// What each disk of `two-backends.toml` moves in a test; the plan itself moves 256 MiB.
const RANDOM_BYTES: u64 = 32 << 20;

/// What an adapter moves each way while others do the same; in `net-two-adapters.toml` it is 8 MiB.
const TRANSFERRED_BYTES: u64 = 2 << 20;
/// What `net-throughput.toml` moves each way in a test; the plan itself moves 64 MiB.
const MEASURED_BYTES: u64 = 8 << 20;

/// A disk of a test, made anew for it.
struct TestDisk {
    options: &'static str,
    format: &'static str,
    size: u64,
}

const fn raw(options: &'static str) -> TestDisk {
    TestDisk {
        options,
        format: "raw",
        size: 16 << 20,
    }
}

/// A plan with its disks.
struct Test {
    name: &'static str,
    plan: &'static str,
    disks: &'static [TestDisk],
    /// `--nic` options
    nics: &'static [&'static str],
}

const BASIC: &str = include_str!("../../../lab/plans/basic.toml");

const XVDE: &[TestDisk] = &[raw("vdev=xvde")];

const OWN: &[Test] = &[
    Test {
        name: "basic",
        plan: BASIC,
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "hypercall-page",
        plan: include_str!("../../../lab/plans/hypercall-page.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "unknown-vendor",
        plan: include_str!("../../../lab/plans/unknown-vendor.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "vendor-device",
        plan: include_str!("../../../lab/plans/vendor-device.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "disks",
        plan: include_str!("../../../lab/plans/disks.toml"),
        disks: &[
            raw("vdev=xvde,sector=4096"),
            raw("vdev=xvdf,readonly"),
            raw("vdev=xvdg"),
        ],
        nics: &[],
    },
    Test {
        name: "two-backends",
        plan: include_str!("../../../lab/plans/two-backends.toml"),
        disks: &[raw("vdev=xvde,backend=phy"), raw("vdev=xvdf,backend=qdisk")],
        nics: &[],
    },
    Test {
        name: "qcow2",
        plan: BASIC,
        disks: &[TestDisk {
            options: "vdev=xvde,backend=qdisk,format=qcow2",
            format: "qcow2",
            size: 16 << 20,
        }],
        nics: &[],
    },
    Test {
        name: "devices",
        plan: include_str!("../../../lab/plans/devices.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "line-interrupt",
        plan: include_str!("../../../lab/plans/line-interrupt.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "two-level",
        plan: include_str!("../../../lab/plans/two-level.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "scsi",
        plan: include_str!("../../../lab/plans/scsi.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "toolstack",
        plan: include_str!("../../../lab/plans/toolstack.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "reboot",
        plan: include_str!("../../../lab/plans/reboot.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "twin",
        plan: include_str!("../../../lab/plans/twin.toml"),
        disks: &[raw("vdev=xvda")],
        nics: &[],
    },
    Test {
        name: "broken-backends",
        plan: include_str!("../../../lab/plans/broken-backends.toml"),
        disks: XVDE,
        nics: &[],
    },
];

/// What is run on a checked xenvbd.sys: a disk is detached before its adapter goes (docs/findings.md).
const DETACHED: Test = Test {
    name: "detached",
    plan: r#"
        [[step]]
        expect-disks = { disks = ["xvde"] }
        [[step]]
        write = { disk = "xvde" }
        [[step]]
        flush = { disk = "xvde" }
        [[step]]
        verify = { disk = "xvde" }
        [[step]]
        verify = { disk = "xvde", offset = "1MiB", length = "256KiB", block = 512, depth = 1 }
        [[step]]
        hash = { disk = "xvde" }
        [[step]]
        xl = { args = ["block-detach", "$DOMID", "xvde"] }
        [[step]]
        expect-disks = { disks = [] }
        [[step]]
        unload = {}
        [[step]]
        start = {}
    "#,
    disks: XVDE,
    nics: &[],
};

/// What is run on the bus driver alone: its children have no drivers.
const CHILDREN: Test = Test {
    name: "children",
    plan: include_str!("../../../lab/plans/children.toml"),
    disks: XVDE,
    nics: &[],
};

/// What is run on this project's drivers under other services' names.
const RENAMED: Test = Test {
    name: "renamed-services",
    plan: r#"
        [[step]]
        expect-disks = { disks = ["xvde"] }
        [[step]]
        write = { disk = "xvde", length = "2MiB" }
        [[step]]
        hash = { disk = "xvde" }
    "#,
    disks: XVDE,
    nics: &[],
};

/// The demo, as a user runs it.
///
/// # Errors
/// If it does not pass.
pub fn demo() -> anyhow::Result<Outcome> {
    let code = demo::run(&demo::Args::default())?;
    anyhow::ensure!(code == ExitCode::SUCCESS, "the demo did not end in PASS");
    Ok(Outcome::PASSED)
}

/// Every plan of `lab/plans` on this project's drivers.
///
/// # Errors
/// If the lab fails.
pub fn own_drivers() -> anyhow::Result<Outcome> {
    let folder = package::for_the_lab()?;
    let renamed = renamed::copy(&crate::run::workspace().join(drivers::OUT))?;
    let mut runs: Vec<_> = OWN
        .iter()
        .map(|test| (test.name.to_owned(), test, vec![folder.clone()]))
        .collect();
    let other = vec![renamed.path().to_owned()];
    runs.push((RENAMED.name.to_owned(), &RENAMED, other));
    let bus = vec![folder.join("xenbus.inf")];
    runs.push((CHILDREN.name.to_owned(), &CHILDREN, bus));
    suite("own-drivers", &runs, |_| None)
}

/// The same plan on drivers that run on Windows, alone and mixed with this project's. Without them there is nothing to do.
///
/// # Errors
/// If the lab fails.
pub fn foreign_drivers() -> anyhow::Result<Outcome> {
    let Some(foreign) = std::env::var_os(FOREIGN).map(PathBuf::from) else {
        println!(
            "      {FOREIGN} names no folder: no drivers that were built elsewhere to test with"
        );
        return Ok(Outcome::default());
    };
    let own = package::for_the_lab()?;
    let mut runs = Vec::new();
    for build in ["free", "checked"] {
        let package = |name: &str| foreign.join(build).join(name);
        let combinations = [
            ("alone", package("xenbus"), package("xenvbd")),
            ("xenvbd-on-ours", own.join("xenbus.inf"), package("xenvbd")),
            (
                "xenbus-below-ours",
                package("xenbus"),
                own.join("xenvbd.inf"),
            ),
        ];
        for (name, bus, disk) in combinations {
            let checked = build == "checked" && disk == package("xenvbd");
            let test = if checked { &DETACHED } else { &OWN[0] };
            runs.push((format!("{build}-{name}"), test, vec![bus, disk]));
        }
    }
    suite("foreign-drivers", &runs, allowed::reason)
}

/// Runs tests in one Xen. One that fails does not keep the others from running. `allowed` says why a failure does not count.
fn suite(
    name: &str,
    tests: &[(String, &Test, Vec<PathBuf>)],
    allowed: impl Fn(&str) -> Option<&'static str>,
) -> anyhow::Result<Outcome> {
    packages::ensure(packages::LAB)?;
    let lab = Lab::prepare(None)?;
    let work = tempfile::tempdir()?;
    let mut options = Vec::new();
    let mut places = Vec::new();
    for (run, test, _) in tests {
        let first = options.len();
        for (number, disk) in test.disks.iter().enumerate() {
            let file = work.path().join(format!("{run}-{number}"));
            options.push(make(disk, &file)?);
        }
        places.push(first..options.len());
    }
    let disks = open(&options)?;
    let mut memory = 256;
    for (_, test, _) in tests {
        memory = memory.max(lab_host::run::memory(&lab_host::plan::parse(test.plan)?));
    }
    let session = lab.boot(name, &disks, memory)?;
    let mut outcome = Outcome::default();
    for ((run, test, packages), places) in tests.iter().zip(places) {
        let start = Instant::now();
        let disks = places.map(|place| (place, &disks[place])).collect();
        let error = match one(&lab, &session, run, test, packages, disks) {
            Ok(failures) => unallowed(failures, &allowed).join("\n"),
            // The lab itself has failed: what comes after it would fail too.
            Err(error) => return Err(error.context(run.clone())),
        };
        let word = if error.is_empty() { "ok  " } else { "FAIL" };
        println!(
            "  {word}  {name}: {run:<36} {:7.1} s",
            start.elapsed().as_secs_f64()
        );
        for line in error.lines() {
            println!("        {line}");
        }
        outcome += Outcome {
            passed: usize::from(error.is_empty()),
            failed: usize::from(!error.is_empty()),
        };
    }
    session.close()?;
    Ok(outcome)
}

/// The failures that count; the others are printed with the reason why not.
fn unallowed(
    mut failures: Vec<String>,
    allowed: impl Fn(&str) -> Option<&'static str>,
) -> Vec<String> {
    failures.retain(|failure| match allowed(failure) {
        Some(reason) => {
            println!("        allowed: {failure}: {reason}");
            false
        }
        None => true,
    });
    failures
}

fn make(disk: &TestDisk, file: &Path) -> anyhow::Result<DiskOption> {
    disk::create(file, disk.format, disk.size)?;
    let mut option: DiskOption = format!("disk,{}", disk.options).parse()?;
    option.file = file.to_owned();
    Ok(option)
}

fn nics(options: &[&str]) -> anyhow::Result<Vec<Nic>> {
    let options: anyhow::Result<Vec<NicOption>> = options.iter().map(|text| text.parse()).collect();
    nic::assign(&options?)
}

/// Disks of different tests may have the same name: they are never in the same guest.
fn open(options: &[DiskOption]) -> anyhow::Result<Vec<Disk>> {
    options
        .iter()
        .map(|option| {
            let disks = disk::open_all(std::slice::from_ref(option), false)?;
            disks.into_iter().next().context("no disk was opened")
        })
        .collect()
}

fn one(
    lab: &Lab,
    session: &Session,
    name: &str,
    test: &Test,
    packages: &[PathBuf],
    disks: Vec<(usize, &Disk)>,
) -> anyhow::Result<Vec<String>> {
    let mut plan = lab_host::plan::parse(test.plan).with_context(|| test.name)?;
    shorten(&mut plan);
    let run = Run {
        name,
        packages: lab_host::drivers::read(packages)?,
        folders: &lab_host::drivers::folders(packages),
        plan,
        disks,
        nics: nics(test.nics)?,
        pcap: None,
        silence: SILENCE,
    };
    Ok(lab.run(session, run)?.failures)
}

/// Random I/O and what is only measured go on for as long as a test has time for.
fn shorten(plan: &mut Plan) {
    for step in &mut plan.step {
        match step {
            Step::Transfer(transfer) if !transfer.hash => {
                transfer.bytes = transfer.bytes.min(Bytes(MEASURED_BYTES));
            }
            Step::LinuxGuest(guest) => guest.bytes = guest.bytes.min(Bytes(MEASURED_BYTES)),
            _ => {}
        }
        if let Step::Parallel(steps) = step {
            for step in steps {
                match step {
                    Step::Random(random) => random.bytes = random.bytes.min(Bytes(RANDOM_BYTES)),
                    Step::Transfer(transfer) => {
                        transfer.bytes = transfer.bytes.min(Bytes(TRANSFERRED_BYTES));
                    }
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_example_plan_is_a_plan_and_is_tested() -> anyhow::Result<()> {
        let folder = crate::run::workspace().join("lab/plans");
        let tests = OWN.iter().chain([&CHILDREN]).chain(net::PLANS);
        let mut tested: BTreeSet<&str> = tests.map(|test| test.plan).collect();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            lab_host::plan::read(&path)?;
            let text = std::fs::read_to_string(&path)?;
            assert!(
                tested.remove(text.as_str()),
                "{} is not tested",
                path.display()
            );
        }
        assert!(tested.is_empty());
        Ok(())
    }

    #[test]
    fn the_plans_of_the_tests_fit_their_disks() -> anyhow::Result<()> {
        for test in OWN.iter().chain([&CHILDREN]).chain(net::PLANS) {
            let work = tempfile::tempdir()?;
            let mut options = Vec::new();
            for (number, disk) in test.disks.iter().enumerate() {
                if disk.format == "raw" {
                    let file = work.path().join(number.to_string());
                    std::fs::File::create(&file)?.set_len(disk.size)?;
                    let mut option: DiskOption = format!("disk,{}", disk.options).parse()?;
                    option.file = file;
                    options.push(option);
                }
            }
            let plan = lab_host::plan::parse(test.plan)?;
            lab_host::plan::check_nics(&plan, &nics(test.nics)?).with_context(|| test.name)?;
            if options.len() == test.disks.len() {
                let disks = disk::open_all(&options, false)?;
                lab_host::plan::check_disks(&plan, &disks).with_context(|| test.name)?;
            }
        }
        Ok(())
    }
}
