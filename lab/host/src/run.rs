//! A run: a guest from its first boot to its end, with the restarts that its drivers or its plan ask for.

use crate::books::Books;
use crate::disk::Disk;
use crate::dom0;
use crate::domain;
use crate::domain::Domain;
use crate::domain::State;
use crate::log::Log;
use crate::net::LINUX_MEMORY;
use crate::net::LinuxPieces;
use crate::net::Net;
use crate::nic::Nic;
use crate::report::Report;
use crate::session::Event;
use crate::session::Session;
use crate::symbols::Symbols;
use anyhow::Context;
use anyhow::bail;
use lab_protocol::bundle::Bundle;
use lab_protocol::bundle::Package;
use lab_protocol::plan::Plan;
use lab_protocol::plan::Step;
use lab_protocol::registry::Change;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

mod boot;
mod hashes;
mod parameters;
mod records;

use boot::Boot;

/// How often a guest may restart in a run.
const MAX_REBOOTS: u32 = 3;
/// How long a guest that said its last word may take to end.
const END_LIMIT: Duration = Duration::from_secs(60);
/// How often xl is asked whether a silent guest still lives. xenstored tells when a domain ends; that it does not is no reason
/// to wait for ever. An `xl list` takes a busy dom0 some seconds of its only processor.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// The same for a guest that said its last word.
const LAST_LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Debug)]
pub struct Setup<'a> {
    /// A short name, for logs
    pub name: &'a str,
    /// The guest's kernel
    pub guest: &'a Path,
    /// The driver packages
    pub packages: Vec<Package>,
    /// The folders that the packages came from, where symbols may lie
    pub folders: &'a [PathBuf],
    /// The plan; its seed is set
    pub plan: Plan,
    /// The disks, with their places in the session's setup
    pub disks: Vec<(usize, &'a Disk)>,
    /// The network adapters
    pub nics: Vec<Nic>,
    /// Where all frames that pass an adapter are kept, if anywhere
    pub pcap: Option<PathBuf>,
    /// What dom0 was made of, for a Linux guest
    pub image: &'a dom0::Image,
    /// dom0's agent, which makes the traffic of a Linux guest
    pub agent: &'a Path,
    /// How long a guest may say nothing before it is given up
    pub silence: Duration,
}

/// The memory that a plan's guests take at once, in MiB.
pub fn memory(plan: &Plan) -> u64 {
    let linux = plan
        .step
        .iter()
        .any(|step| matches!(step, Step::LinuxGuest(_)));
    (plan.guest.memory.0 >> 20) + if linux { LINUX_MEMORY } else { 0 }
}

/// Runs a guest. What goes wrong in the guest is in the report; each line of interest goes to `progress`.
///
/// # Errors
/// If the lab itself fails: dom0 is gone, a file cannot be written, the user wants to stop.
pub fn run(
    session: &Session,
    setup: &Setup<'_>,
    progress: &mut dyn FnMut(&str),
) -> anyhow::Result<Report> {
    let start = Instant::now();
    let linux = LinuxPieces {
        kernel: &setup.image.guest_linux,
        initramfs: &setup.image.guest_initramfs,
        traffic: setup.agent,
    };
    let mut run = Run {
        net: Net::set_up(
            session,
            &setup.plan,
            &setup.nics,
            linux,
            setup.pcap.as_deref(),
        )?,
        session,
        setup,
        progress,
        report: Report::default(),
        registry: Vec::new(),
        first_step: 0,
        texts: Vec::new(),
        log: session.logs().log(&format!("{}.log", setup.name))?,
        symbols: Symbols::new(setup.guest, setup.folders, &setup.packages),
    };
    while run.boot()? == Next::Again {
        run.report.boots += 1;
        if run.report.boots > MAX_REBOOTS {
            run.report.fail(format!(
                "the guest restarts for the {}th time",
                run.report.boots
            ));
            break;
        }
    }
    run.net.tear_down()?;
    run.report.boots += 1;
    run.report.time = start.elapsed();
    run.report.judge_leaks();
    if run.report.passed() {
        hashes::compare(setup, &mut run.report)?;
    }
    Ok(run.report)
}

/// What comes after a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Nothing: the run is over.
    End,
    /// Another boot
    Again,
}

struct Run<'a> {
    net: Net<'a>,
    session: &'a Session,
    setup: &'a Setup<'a>,
    progress: &'a mut dyn FnMut(&str),
    report: Report,
    registry: Vec<Change>,
    first_step: u32,
    texts: Vec<String>,
    log: Log,
    symbols: Symbols,
}

impl Run<'_> {
    /// Boots the guest once and stays with it to its end.
    fn boot(&mut self) -> anyhow::Result<Next> {
        let configuration = self.write_files()?;
        let domain = Domain::create(self.session, &configuration)?;
        let id = domain.id;
        let books_before = self.books(id)?;
        self.net.domain_made(id)?;
        domain.start(self.session)?;
        let mut boot = Boot::new(id);
        let end = self.follow(&domain, &mut boot)?;
        if end != End::Orderly {
            self.examine(id)?;
        } else if boot.finished {
            self.read_books(id, books_before)?;
        }
        self.net.domain_ended()?;
        domain.destroy(self.session)?;
        Ok(match (end, boot.reboot) {
            (End::Orderly, Some((why, step))) => {
                (self.progress)(&format!("restart: {why}"));
                self.first_step = step;
                Next::Again
            }
            _ => Next::End,
        })
    }

    /// Puts kernel, bundle and configuration where dom0 sees them; returns dom0's name of the configuration.
    fn write_files(&self) -> anyhow::Result<String> {
        let folder = self.session.share().join("guest");
        fs::create_dir_all(&folder)?;
        fs::copy(self.setup.guest, folder.join("guest.elf")).context("no kernel for the guest")?;
        let bundle = Bundle {
            packages: parameters::with(&self.setup.packages, &self.setup.plan.guest.net_parameters),
            registry: self.registry.clone(),
            nics: self.setup.nics.iter().map(Nic::for_guest).collect(),
            plan: self.setup.plan.clone(),
            first_step: self.first_step,
            boots_before: self.report.boots,
            system_time: system_time(),
        };
        fs::write(folder.join("bundle.bin"), bundle.to_bytes()?)?;
        let disks = self
            .setup
            .disks
            .iter()
            .map(|(index, disk)| {
                let device = self.session.device(*index);
                let device = device.with_context(|| format!("{} is not in dom0", disk.vdev))?;
                Ok((device.to_owned(), *disk))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        let text = domain::configuration(
            "/share/guest",
            &self.setup.plan.guest,
            &disks,
            &self.setup.nics,
        );
        fs::write(folder.join("guest.cfg"), text)?;
        Ok("/share/guest/guest.cfg".to_owned())
    }

    /// Takes what comes until the guest has ended.
    fn follow(&mut self, domain: &Domain, boot: &mut Boot) -> anyhow::Result<End> {
        let mut last_word = Instant::now();
        let mut last_look = Instant::now();
        loop {
            let event = self.session.event(Duration::from_millis(100))?;
            if event == Some(Event::Ended) {
                bail!("QEMU has ended while a guest ran");
            }
            let told = event == Some(Event::DomainEnded);
            if event.is_some_and(|event| self.take(boot, event)) {
                last_word = Instant::now();
            }
            if let Some((step, phase)) = boot.host_step.take() {
                self.host_step(domain, boot, step, phase)?;
                last_word = Instant::now();
            }
            let interval = match boot.said_last_word() {
                true => LAST_LOOK_INTERVAL,
                false => LOOK_INTERVAL,
            };
            if told || last_word.elapsed().min(last_look.elapsed()) > interval {
                let state = presumed(domain.state(self.session), |line| self.log.line(line));
                // Afterwards: a busy dom0 takes longer to answer than the interval is, and would do nothing else.
                last_look = Instant::now();
                match state {
                    State::Alive => {}
                    state => return self.ended(boot, state),
                }
            }
            let limit = match boot.said_last_word() {
                true => END_LIMIT,
                false => self.patience(boot),
            };
            if last_word.elapsed() > limit {
                self.report.fail(format!(
                    "the guest has said nothing for {limit:?}{}",
                    boot.place()
                ));
                return Ok(End::Hung);
            }
        }
    }

    /// How long the guest may say nothing at the step that it is at: a long echo says nothing on its way.
    fn patience(&self, boot: &Boot) -> Duration {
        let step = boot
            .step
            .and_then(|step| self.setup.plan.step.get(step as usize));
        let parts = match step {
            Some(Step::Parallel(steps)) => steps.as_slice(),
            Some(step) => std::slice::from_ref(step),
            None => &[],
        };
        let longest = parts.iter().filter_map(|step| match step {
            Step::Echo(echo) => Some(echo.within_ms),
            _ => None,
        });
        let longest = Duration::from_millis(u64::from(longest.max().unwrap_or(0)));
        self.setup.silence.max(longest + END_LIMIT)
    }

    /// The domain has shut down: was it to?
    fn ended(&mut self, boot: &mut Boot, state: State) -> anyhow::Result<End> {
        // What it said last may still be on its way.
        while let Some(event) = self.session.event(Duration::from_millis(300))? {
            self.take(boot, event);
        }
        if boot.bug_check {
            return Ok(End::Crashed);
        }
        let expected = match state {
            State::Shutdown(domain::POWER_OFF) => boot.finished,
            State::Shutdown(domain::REBOOT) => boot.reboot.is_some(),
            _ => false,
        };
        if !expected {
            let place = boot.place();
            self.report.fail(match state {
                State::Shutdown(domain::POWER_OFF) => {
                    format!("the guest powered off before its end{place}")
                }
                State::Shutdown(domain::REBOOT) => format!("the guest restarted unasked{place}"),
                State::Shutdown(reason) => {
                    format!("the guest crashed (Xen's shutdown reason {reason}){place}")
                }
                _ => format!("the guest is gone{place}"),
            });
            return Ok(End::Crashed);
        }
        Ok(End::Orderly)
    }

    /// Xen's books on the guest.
    fn books(&self, domain: u32) -> anyhow::Result<Option<Books>> {
        Ok(Books::parse(&self.session.debug_keys("eg")?, domain))
    }

    fn read_books(&mut self, domain: u32, before: Option<Books>) -> anyhow::Result<()> {
        let after = self.books(domain)?;
        let (Some(before), Some(after)) = (before, after) else {
            self.report
                .fail("Xen's books on the guest could not be read");
            return Ok(());
        };
        let more = after.channels_beyond(&before);
        for (channel, count) in &more {
            self.log
                .line(&format!("Xen's books: {count} more channels: {channel}"));
        }
        self.report.leaked_channels = more.values().sum();
        self.report.leaked_grants = after.grants;
        self.report.books_read = true;
        Ok(())
    }

    /// Collects what helps to find out why a guest hangs or crashed.
    fn examine(&self, domain: u32) -> anyhow::Result<()> {
        let path = self
            .session
            .logs()
            .path()
            .join(format!("{}-examined.log", self.setup.name));
        let mut text = String::new();
        for vcpu in 0..self.setup.plan.guest.vcpus {
            let registers = self
                .session
                .try_shell(&format!("xenctx -C {domain} {vcpu} 2>&1"))?;
            text += &format!("xenctx, CPU {vcpu}:\n{}\n", registers.stdout);
        }
        text += &self.session.debug_keys("qeg")?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// What the guest is taken for: alive, if xl does not answer. A dom0 with much to do may take longer than xl is given; that says
/// nothing of the guest, for whose silence there is a limit of its own.
fn presumed(told: anyhow::Result<State>, log: impl FnOnce(&str)) -> State {
    told.unwrap_or_else(|why| {
        log(&format!("xl does not say how the guest is: {why:#}"));
        State::Alive
    })
}

/// How a boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It powered off or restarted as it said that it would.
    Orderly,
    /// It ended otherwise.
    Crashed,
    /// It did not end.
    Hung,
}

/// Now, in 100 ns since 1601-01-01 UTC.
fn system_time() -> u64 {
    /// From 1601 to 1970, in seconds.
    const EPOCHS: u64 = 11_644_473_600;
    let since_1970 = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    EPOCHS * 10_000_000 + (since_1970.as_nanos() / 100) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_xl_does_not_tell_of_is_not_given_up() {
        let mut lines = Vec::new();
        let busy = Err(anyhow::anyhow!("still running after 60s"));
        let state = presumed(busy, |line| lines.push(line.to_owned()));
        assert_eq!(state, State::Alive);
        assert!(lines[0].contains("still running after 60s"));
        let ended = State::Shutdown(domain::POWER_OFF);
        assert_eq!(presumed(Ok(ended), |_| lines.clear()), ended);
        assert_eq!(lines.len(), 1);
    }
}
