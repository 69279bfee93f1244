//! The lab's tests: plans with the drivers and disks that they are run on. Several Xens work them off beside each other, each with
//! one guest after the other.

use super::{Lab, Run};
use crate::demo;
use crate::test::Outcome;
use anyhow::Context as _;
use lab_host::disk::{self, Disk, DiskOption};
use lab_host::nic::{self, Nic, NicOption};
use lab_host::packages;
use lab_host::session::Session;
use lab_protocol::plan::{Bytes, Plan, Step};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

mod foreign;
mod net;
mod own;
mod queue;

/// How long a guest may say nothing.
const SILENCE: Duration = Duration::from_secs(180);
/// What each disk of `two-backends.toml` moves in a test; the plan itself moves 256 MiB.
const RANDOM_BYTES: u64 = 32 << 20;

/// What an adapter moves each way while others do the same; in `net-two-adapters.toml` it is 1 GiB.
const TRANSFERRED_BYTES: u64 = 64 << 20;
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

impl Test {
    const fn on_disks(name: &'static str, plan: &'static str, disks: &'static [TestDisk]) -> Self {
        Self {
            name,
            plan,
            disks,
            nics: &[],
        }
    }

    const fn on_nics(
        name: &'static str,
        plan: &'static str,
        nics: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            plan,
            disks: &[],
            nics,
        }
    }
}

/// A test on some drivers.
struct Job {
    /// Its suite and itself
    name: String,
    test: &'static Test,
    packages: Vec<PathBuf>,
    /// Says why a failure does not count
    allowed: fn(&str) -> Option<&'static str>,
}

impl Job {
    /// The name as files have it.
    fn file_name(&self) -> String {
        self.name.replace(": ", "-")
    }
}

const BASIC: &str = include_str!("../../../lab/plans/basic.toml");

const XVDE: &[TestDisk] = &[raw("vdev=xvde")];

/// The demo, as a user runs it.
///
/// # Errors
/// If it does not pass.
pub fn demo() -> anyhow::Result<Outcome> {
    let code = demo::run(&demo::Args::default())?;
    anyhow::ensure!(code == ExitCode::SUCCESS, "the demo did not end in PASS");
    Ok(Outcome::PASSED)
}

/// The plans whose job's name has one of the texts in it, all if there is no text.
///
/// # Errors
/// If no plan is left, or the lab fails.
pub fn plans(chosen: &[String]) -> anyhow::Result<Outcome> {
    packages::ensure(packages::LAB)?;
    let (lab, own) = Lab::with_package(None, Ok)?;
    let (mut jobs, _renamed) = own::jobs(&own)?;
    jobs.extend(foreign::jobs(&own));
    if !chosen.is_empty() {
        jobs.retain(|job| chosen.iter().any(|text| job.name.contains(text.as_str())));
    }
    anyhow::ensure!(!jobs.is_empty(), "no plan has such a name");
    queue::run(&lab, &jobs)
}

/// The failures that count; the others are printed with the reason why not.
fn unallowed(job: &Job, mut failures: Vec<String>) -> Vec<String> {
    failures.retain(|failure| match (job.allowed)(failure) {
        Some(reason) => {
            println!("        {}: allowed: {failure}: {reason}", job.name);
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

/// Runs one in a Xen; its disks are the session's from number `first` on. Returns the failures that count.
fn one(
    lab: &Lab,
    session: &Session,
    job: &Job,
    first: usize,
    disks: &[Disk],
) -> anyhow::Result<Vec<String>> {
    let mut plan = lab_host::plan::parse(job.test.plan).with_context(|| job.test.name)?;
    shorten(&mut plan);
    let run = Run {
        name: &job.file_name(),
        label: &job.name,
        packages: lab_host::drivers::read(&job.packages)?,
        folders: &lab_host::drivers::folders(&job.packages),
        plan,
        disks: disks
            .iter()
            .enumerate()
            .map(|(number, disk)| (first + number, disk))
            .collect(),
        nics: nics(job.test.nics)?,
        pcap: None,
        silence: SILENCE,
    };
    Ok(unallowed(job, lab.run(session, run)?.failures))
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
        let tests = own::PLANS.iter().chain([&own::CHILDREN]).chain(net::PLANS);
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
        for test in own::PLANS.iter().chain([&own::CHILDREN]).chain(net::PLANS) {
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
