//! Jobs are worked off by several Xens beside each other: QEMU emulates one processor on one of the host's.

use super::{Job, make, one, open};
use crate::lab::Lab;
use crate::test::Outcome;
use lab_host::disk::{Disk, DiskOption};
use lab_host::interrupt;
use lab_host::session::Session;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

/// Runs all jobs. One that fails does not keep the others from running.
///
/// # Errors
/// If a Xen does not come up, or the user wants to stop.
pub(super) fn run(lab: &Lab, jobs: &[Job]) -> anyhow::Result<Outcome> {
    let workers = thread::available_parallelism()?.get().min(jobs.len());
    let next = AtomicUsize::new(0);
    let mut memory = 256;
    for job in jobs {
        memory = memory.max(lab_host::run::memory(&lab_host::plan::parse(
            job.test.plan,
        )?));
    }
    let work = || {
        Worker {
            lab,
            jobs,
            next: &next,
            memory,
        }
        .run()
    };
    let ends: Vec<anyhow::Result<Outcome>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let ends = workers.into_iter().map(thread::ScopedJoinHandle::join);
        ends.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut sum = Outcome::default();
    for end in ends {
        sum += end?;
    }
    Ok(sum)
}

/// One that takes the next job for as long as there is one.
struct Worker<'a> {
    lab: &'a Lab,
    jobs: &'a [Job],
    /// The first job that nobody has taken
    next: &'a AtomicUsize,
    /// Of the largest guest, in MiB
    memory: u64,
}

impl Worker<'_> {
    fn run(&self) -> anyhow::Result<Outcome> {
        // Which jobs it will get is not known, and a disk is in one Xen: each has all jobs' disks.
        let folder = tempfile::tempdir()?;
        let disks = Disks::make(self.jobs, folder.path())?;
        let mut session = None;
        let mut outcome = Outcome::default();
        while let Some((number, job)) = self.take() {
            let start = Instant::now();
            let booted = match session.take() {
                Some(booted) => booted,
                None => self.lab.boot("tests", &disks.all, self.memory)?,
            };
            let first = disks.first[number];
            let own = &disks.all[first..first + job.test.disks.len()];
            let logs = booted.logs().path().to_owned();
            let failures = match one(self.lab, &booted, job, first, own) {
                Ok(failures) => {
                    session = Some(booted);
                    failures
                }
                Err(error) => {
                    interrupt::check()?;
                    // What comes next gets another Xen.
                    vec![format!("the lab has failed: {error:#}")]
                }
            };
            outcome += report(job, start, &failures, &logs);
        }
        session.map_or(Ok(()), Session::close)?;
        Ok(outcome)
    }

    fn take(&self) -> Option<(usize, &Job)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.jobs.get(number).map(|job| (number, job))
    }
}

/// Prints how a job has ended.
fn report(job: &Job, start: Instant, failures: &[String], logs: &Path) -> Outcome {
    let passed = failures.is_empty();
    let word = if passed { "ok  " } else { "FAIL" };
    let time = start.elapsed().as_secs_f64();
    println!("  {word}  {:<42} {time:7.1} s", job.name);
    for line in failures.iter().flat_map(|failure| failure.lines()) {
        println!("        {}: {line}", job.name);
    }
    if !passed {
        let log = logs.join(format!("{}.log", job.file_name()));
        println!("        {}: log: {}", job.name, log.display());
    }
    Outcome {
        passed: usize::from(passed),
        failed: usize::from(!passed),
    }
}

/// The disks of all jobs.
struct Disks {
    all: Vec<Disk>,
    /// The place of each job's first one
    first: Vec<usize>,
}

impl Disks {
    fn make(jobs: &[Job], folder: &Path) -> anyhow::Result<Self> {
        let mut options: Vec<DiskOption> = Vec::new();
        let mut first = Vec::new();
        for job in jobs {
            first.push(options.len());
            for disk in job.test.disks {
                let file = folder.join(options.len().to_string());
                options.push(make(disk, &file)?);
            }
        }
        Ok(Self {
            all: open(&options)?,
            first,
        })
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;
    use crate::lab::tests::own;

    fn job(test: &'static super::super::Test) -> Job {
        Job {
            name: test.name.to_owned(),
            test,
            packages: Vec::new(),
            allowed: |_| None,
        }
    }

    #[test]
    fn each_job_finds_its_own_disks() -> anyhow::Result<()> {
        let jobs: Vec<Job> = own::PLANS
            .iter()
            .filter(|test| test.disks.iter().all(|disk| disk.format == "raw"))
            .map(job)
            .collect();
        let folder = tempfile::tempdir()?;
        let disks = Disks::make(&jobs, folder.path())?;
        for (job, first) in jobs.iter().zip(&disks.first) {
            for (disk, made) in job.test.disks.iter().zip(&disks.all[*first..]) {
                let name = disk
                    .options
                    .split(',')
                    .next()
                    .and_then(|o| o.strip_prefix("vdev="));
                assert_eq!(name, Some(made.vdev.as_str()), "{}", job.name);
            }
        }
        Ok(())
    }
}
