//! What a guest says, and what follows from it.

use super::Boot;
use super::Run;
use crate::domain::Domain;
use crate::report::DiskFound;
use crate::report::StepDone;
use crate::session::Event;
use crate::steps;
use anyhow::Context;
use anyhow::bail;
use dom0_agent::StateChange;
use lab_protocol::line;
use lab_protocol::line::Decoded;
use lab_protocol::net;
use lab_protocol::plan::Step;
use lab_protocol::record::GO;
use lab_protocol::record::Phase;
use lab_protocol::record::Record;
use lab_protocol::record::STOP;
use std::time::Duration;
use std::time::Instant;

/// Lines that are kept for `expect-log`.
const MAX_TEXTS: usize = 200_000;

/// How far a transfer is, in words.
fn transfer_progress(progress: &net::TransferProgress) -> String {
    let of = progress.bytes >> 20;
    let way = |(word, bytes): (&str, Option<u64>)| {
        bytes.map(|bytes| format!("{word} {} of {of} MiB", bytes >> 20))
    };
    let ways = [("sent", progress.sent), ("received", progress.received)];
    let ways: Vec<String> = ways.into_iter().filter_map(way).collect();
    format!("adapter {}: {}", progress.nic, ways.join(", "))
}

impl Run<'_> {
    /// Takes an event. True if it is a word of the guest.
    pub(super) fn take(&mut self, boot: &mut Boot, event: Event) -> bool {
        match event {
            Event::Console(line) => match line::split_domain(&line) {
                Some((domain, text)) if domain == boot.domain => {
                    self.take_line(boot, text);
                    true
                }
                _ => self.take_xens_line(boot, &line),
            },
            Event::State(change) => {
                self.take_state(boot.domain, change);
                false
            }
            Event::DomainEnded | Event::Ready | Event::Ended => false,
        }
    }

    /// Xen tells of a triple fault and the like with the vCPU in front.
    fn take_xens_line(&mut self, boot: &Boot, line: &str) -> bool {
        if line.contains(&format!("d{}v", boot.domain)) {
            self.log.line(line);
        }
        false
    }

    fn take_line(&mut self, boot: &mut Boot, line: &str) {
        let text = match boot.decoder.line(line) {
            Decoded::Text(text) => text,
            Decoded::Gap(missing, text) => {
                self.report
                    .fail(format!("{missing} pieces of the guest's log are lost"));
                text
            }
            Decoded::Partial => return,
            Decoded::Foreign(text) => {
                self.log.line(&format!("firmware: {text}"));
                return;
            }
        };
        self.log.line(&text);
        match Record::from_text(&text) {
            None => {
                if self.texts.len() < MAX_TEXTS {
                    self.texts.push(text);
                }
            }
            Some(Ok(record)) => self.take_record(boot, record),
            Some(Err(error)) => self.report.fail(format!(
                "a record of the guest cannot be read: {error}: {text}"
            )),
        }
    }

    fn take_state(&mut self, domain: u32, change: StateChange) {
        let front = format!("/local/domain/{domain}/device/");
        let mut parts = change.path.split('/').rev();
        // …/backend/CLASS/DOMAIN/ID/state
        let owner = parts.nth(2);
        let back = change.path.contains("/backend/") && owner == Some(&domain.to_string());
        if back || change.path.starts_with(&front) {
            self.report.states.push(change);
        }
    }

    fn take_record(&mut self, boot: &mut Boot, record: Record) {
        match record {
            Record::Boot { cpus, memory } => {
                let boots = self.report.boots + 1;
                let memory = memory >> 20;
                (self.progress)(&format!("boot {boots}: {cpus} CPUs, {memory} MiB"));
            }
            Record::ImageLoaded { name, version, .. } => {
                let version = match version.is_empty() {
                    true => self.package_version(&name),
                    false => version,
                };
                self.report.images.insert(name, version);
            }
            Record::ImageUnloaded { .. } => {}
            Record::Device {
                instance,
                state,
                service,
            } => {
                self.report.devices.insert(instance, (state, service));
            }
            Record::Disk {
                target,
                inquiry,
                serial,
                capacity,
                block,
                write_cache,
            } => {
                (self.progress)(&format!(
                    "disk at target {target}: {inquiry}, {capacity} bytes"
                ));
                let found = DiskFound {
                    inquiry,
                    serial,
                    capacity,
                    block,
                    write_cache,
                };
                self.report.disks.insert(target, found);
            }
            Record::DiskGone { .. } => {}
            Record::StepBegin { step } => boot.step = Some(step),
            Record::StepEnd { step, error, io } => {
                self.step_ended(boot, StepDone { step, error, io })
            }
            Record::HostStep { step, phase } => boot.host_step = Some((step, phase)),
            Record::Nic(nic) => {
                let link = if nic.link { "link up" } else { "no link" };
                (self.progress)(&format!(
                    "adapter {}: {}, {}, MTU {}, {link}",
                    nic.nic, nic.driver, nic.mac, nic.mtu
                ));
                self.report.nics.insert(nic.nic, nic);
            }
            Record::NicGone { nic } => (self.progress)(&format!("adapter {nic} has gone")),
            Record::Transfer(transfer) => self.report.transfers.push(transfer),
            Record::TransferProgress(progress) => (self.progress)(&transfer_progress(&progress)),
            Record::Ping(ping) => self.report.pings.push(ping),
            Record::Flood(flood) => self.report.guest_floods.push(flood),
            Record::Counters(counters) => {
                self.report.counters.insert(counters.nic, counters);
            }
            Record::Registry(change) => self.registry.push(change),
            Record::Violation {
                driver,
                call,
                rule,
                detail,
            } => self
                .report
                .fail(format!("{driver} broke a rule: {call}: {rule}: {detail}")),
            Record::BugCheck {
                code,
                parameters,
                stack,
                detail,
            } => {
                boot.bug_check = true;
                let [a, b, c, d] = parameters;
                let mut text = format!(
                    "bug check {code:#x} ({a:#x}, {b:#x}, {c:#x}, {d:#x}){}: {detail}",
                    boot.place()
                );
                for frame in &stack {
                    text += &format!("\n    {}", self.symbols.describe(frame));
                }
                self.log.line(&text);
                self.report.fail(text);
            }
            Record::Leaks { driver, pool } => {
                if !pool.is_empty() {
                    self.report.leaks.push((driver, pool));
                }
            }
            Record::Reboot { why, next_step } => boot.reboot = Some((why, next_step)),
            Record::Finished { ok } => {
                boot.finished = true;
                if !ok && self.report.passed() {
                    self.report
                        .fail("the guest says that the run failed, but not why");
                }
            }
        }
    }

    /// The version that the INF of an image's package tells (DriverVer), for images without a version of their own.
    fn package_version(&self, image: &str) -> String {
        let has = |name: &String| name.eq_ignore_ascii_case(image);
        let mut packages = self.setup.packages.iter();
        packages
            .find(|package| package.images.iter().any(|image| has(&image.name)))
            .map_or_else(String::new, |package| package.driver_version.clone())
    }

    fn step_ended(&mut self, boot: &mut Boot, done: StepDone) {
        boot.step = None;
        let number = done.step + 1;
        let name = self
            .setup
            .plan
            .step
            .get(done.step as usize)
            .map_or("?", Step::name);
        match &done.error {
            None => (self.progress)(&format!("step {number}: {name}: done")),
            Some(error) => {
                (self.progress)(&format!("step {number}: {name}: {error}"));
                self.report.fail(format!("step {number}, {name}: {error}"));
            }
        }
        self.report.steps.push(done);
    }

    /// Does a step that the guest waits for, and tells it how that went.
    pub(super) fn host_step(
        &mut self,
        domain: &Domain,
        boot: &mut Boot,
        step: u32,
        phase: Phase,
    ) -> anyhow::Result<()> {
        let outcome = self.do_step(domain, boot, step, phase);
        let answer = match outcome {
            Ok(()) => GO,
            Err(error) => {
                crate::interrupt::check()?;
                let text = format!("step {}: {error:#}", step + 1);
                self.log.line(&text);
                self.report.fail(text);
                STOP
            }
        };
        domain.send(self.session, answer)
    }

    fn do_step(
        &mut self,
        domain: &Domain,
        boot: &mut Boot,
        number: u32,
        phase: Phase,
    ) -> anyhow::Result<()> {
        let plan = &self.setup.plan;
        let step = plan.step.get(number as usize);
        let step = step.context("the guest waits for a step that the plan has not")?;
        let report = &mut self.report;
        if self.net.perform(domain.id, number, phase, report)? {
            return Ok(());
        }
        match step {
            _ if phase != Phase::Whole => bail!("the host has no {phase:?} of {}", step.name()),
            Step::ExpectLog { text, within_ms } => {
                let within = Duration::from_millis(u64::from(*within_ms));
                self.expect_log(boot, text, within)
            }
            step => steps::perform(self.session, step, &|text| {
                self.net.fill(text, domain.id, number)
            }),
        }
    }

    fn expect_log(&mut self, boot: &mut Boot, text: &str, within: Duration) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            if self.texts.iter().any(|line| line.contains(text)) {
                return Ok(());
            }
            if start.elapsed() > within {
                bail!("no line with {text:?} in the guest's log after {within:?}");
            }
            if let Some(event) = self.session.event(Duration::from_millis(100))? {
                self.take(boot, event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_of_the_ways_that_a_transfer_has() {
        let told = |sent, received| {
            transfer_progress(&net::TransferProgress {
                nic: 1,
                sent,
                received,
                bytes: 64 << 20,
            })
        };
        assert_eq!(
            told(Some(5 << 20), Some(0)),
            "adapter 1: sent 5 of 64 MiB, received 0 of 64 MiB"
        );
        assert_eq!(told(None, Some(7 << 20)), "adapter 1: received 7 of 64 MiB");
    }
}
