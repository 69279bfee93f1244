//! The thread that goes through the plan.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use lab_protocol::bundle::Bundle;
use lab_protocol::plan::{Doer, Step, target_of};
use lab_protocol::record::{GO, Io, Phase, Record, STOP};

use super::{device_steps, disk_steps, net};
use crate::disk::client;
use crate::machine::machine;
use crate::storport::os::{SECOND, new_event, now, wait};
use crate::sync::Lock;

/// How long the host may take for a step of its own.
const HOST_LIMIT: u64 = 600 * SECOND;
/// How long devices may take to settle.
const SETTLE_MS: u32 = 120_000;

/// Waits. PASSIVE_LEVEL.
pub(super) fn pause(ms: u32) {
    let mut event = new_event();
    wait(&mut event, Some(u64::from(ms) * 10_000));
}

/// Does the plan from the bundle's first step on, takes everything down, and powers off. PASSIVE_LEVEL, in a thread of its own.
pub fn plan_thread(bundle: &'static Bundle) -> ! {
    let mut ok = crate::pnp::wait_until_settled(SETTLE_MS);
    if !ok {
        crate::kd::text("run: the devices did not settle");
    }
    reboot_if_asked(bundle.first_step);
    for (number, step) in (0u32..)
        .zip(&bundle.plan.step)
        .skip(bundle.first_step as usize)
    {
        crate::check::emit(&Record::StepBegin { step: number });
        let (result, io) = do_step(bundle, number, step);
        let failed = result.is_err();
        if failed {
            // What a driver does only after a restart cannot have gone well before it: the step is done again then.
            reboot_if_asked(number);
        }
        crate::check::emit(&Record::StepEnd {
            step: number,
            error: result.err(),
            io,
        });
        if failed {
            ok = false;
            break;
        }
        if matches!(step, Step::Reboot {}) {
            reboot("the plan", number + 1);
        }
        reboot_if_asked(number + 1);
    }
    ok &= crate::pnp::remove_all_and_unload();
    ok &= crate::check::violations() == 0;
    crate::po::shut_down(false);
    crate::check::emit(&Record::Finished { ok });
    machine().power_off()
}

/// Restarts if a device or driver asked for it.
fn reboot_if_asked(next_step: u32) {
    if let Some(why) = crate::pnp::reboot_requested() {
        reboot(&why, next_step);
    }
}

fn reboot(why: &str, next_step: u32) -> ! {
    // A restart removes no device: what is in the disks' caches is made safe, as file systems do, and the devices are told
    // that the system goes down.
    for target in client::targets() {
        let flushed = client::find(target).map_or(Ok(()), |disk| disk.flush());
        if let Err(status) = flushed {
            crate::kd::text(&format!(
                "run: the flush of target {target} before the restart failed: {status:#x}"
            ));
        }
    }
    for endpoint in crate::net::bind::all() {
        endpoint.report_counters();
    }
    crate::po::shut_down(true);
    crate::check::emit(&Record::Reboot {
        why: String::from(why),
        next_step,
    });
    machine().reset()
}

fn do_step(
    bundle: &'static Bundle,
    number: u32,
    step: &'static Step,
) -> (Result<(), String>, Vec<Io>) {
    let seed = bundle.plan.guest.seed;
    let context = net::Context { seed, number };
    if step.doer() == Doer::Host {
        return (host_step(number, Phase::Whole), Vec::new());
    }
    match step {
        Step::Parallel(steps) => parallel(steps, step.doer() == Doer::Both, context),
        step if net::is_ours(step) => (net_step(step, context), Vec::new()),
        Step::Wait { ms } => {
            pause(*ms);
            (Ok(()), Vec::new())
        }
        Step::ExpectDisks { disks, within_ms } => (expect_disks(disks, *within_ms), Vec::new()),
        Step::Unload {} => {
            let clean = crate::pnp::remove_all_and_unload();
            (
                if clean {
                    Ok(())
                } else {
                    Err("something was left behind".into())
                },
                Vec::new(),
            )
        }
        Step::Start {} => {
            let started = crate::pnp::start_all() && crate::pnp::wait_until_settled(SETTLE_MS);
            (
                if started {
                    Ok(())
                } else {
                    Err("the devices did not start".into())
                },
                Vec::new(),
            )
        }
        Step::Reboot {} => (Ok(()), Vec::new()),
        _ => {
            if let Some(result) = device_steps::run(step) {
                return (result, Vec::new());
            }
            let mut io = Io::default();
            let result = disk_steps::run(step, seed, number, &mut io);
            (result, Vec::from([io]))
        }
    }
}

/// A step for an adapter, with the host's part of it.
fn net_step(step: &Step, context: net::Context) -> Result<(), String> {
    let both = step.doer() == Doer::Both;
    let prepared = net::prepare(step)?;
    if both {
        host_step(context.number, Phase::Begin)?;
    }
    net::run(step, prepared, context)?;
    if both {
        host_step(context.number, Phase::End)?;
    }
    Ok(())
}

/// Tells the host about its part of a step, and waits for its word on the first serial port.
fn host_step(number: u32, phase: Phase) -> Result<(), String> {
    while machine().com1_byte().is_some() {}
    crate::check::emit(&Record::HostStep {
        step: number,
        phase,
    });
    let deadline = now() + HOST_LIMIT;
    while now() < deadline {
        match machine().com1_byte() {
            Some(GO) => return Ok(()),
            Some(STOP) => return Err("the host could not do it".into()),
            Some(other) => crate::kd::text(&format!(
                "run: byte {other:#x} on the serial port means nothing"
            )),
            None => pause(20),
        }
    }
    Err(format!(
        "the host said nothing for {} s",
        HOST_LIMIT / SECOND
    ))
}

fn expect_disks(disks: &[String], within_ms: u32) -> Result<(), String> {
    let mut wanted: Vec<u32> = Vec::new();
    for disk in disks {
        wanted.push(target_of(disk).ok_or_else(|| format!("{disk} is no disk's name"))?);
    }
    wanted.sort_unstable();
    let deadline = now() + u64::from(within_ms) * 10_000;
    loop {
        let there = client::targets();
        if there == wanted {
            return Ok(());
        }
        if now() >= deadline {
            return Err(format!(
                "the disks at targets {wanted:?} were expected; there are {there:?}"
            ));
        }
        pause(100);
    }
}

/// What a step is for, so that no two of those at once are for the same.
fn subject(step: &Step) -> Option<String> {
    if net::is_ours(step) {
        return step.nic().map(|nic| format!("adapter {nic}"));
    }
    disk_steps::disk_of(step).map(String::from)
}

/// Refuses steps that cannot run at once.
fn check_subjects(steps: &[Step]) -> Result<(), String> {
    let mut names: Vec<String> = steps.iter().filter_map(subject).collect();
    let devices = steps.iter().filter(|step| step.device_change().is_some());
    if names.len() + devices.count() != steps.len() {
        return Err("only steps for disks, adapters and devices can run at once".into());
    }
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("steps that run at once must be for different disks and adapters".into());
    }
    Ok(())
}

/// Steps that run at once, with the host's part of them all.
fn parallel(
    steps: &'static [Step],
    both: bool,
    context: net::Context,
) -> (Result<(), String>, Vec<Io>) {
    let begin = || {
        check_subjects(steps)?;
        let prepared: Result<Vec<net::Prepared>, String> = steps.iter().map(net::prepare).collect();
        let prepared = prepared?;
        if both {
            host_step(context.number, Phase::Begin)?;
        }
        Ok(prepared)
    };
    let prepared = match begin() {
        Ok(prepared) => prepared,
        Err(why) => return (Err(why), Vec::new()),
    };
    let (mut result, io) = at_once(steps, prepared, context);
    if both && result.is_ok() {
        result = host_step(context.number, Phase::End);
    }
    (result, io)
}

/// Runs each step in a thread.
fn at_once(
    steps: &'static [Step],
    prepared: Vec<net::Prepared>,
    context: net::Context,
) -> (Result<(), String>, Vec<Io>) {
    type Done = (usize, Result<(), String>, Option<Io>);
    let results: Arc<Lock<Vec<Done>>> = Arc::new(Lock::new(Vec::with_capacity(steps.len())));
    let left = Arc::new(AtomicUsize::new(steps.len()));
    for (index, (step, prepared)) in steps.iter().zip(prepared).enumerate() {
        let (into, count) = (results.clone(), left.clone());
        let task: Box<dyn FnOnce() + Send> = Box::new(move || {
            let mut io = None;
            let result = if net::is_ours(step) {
                net::run(step, prepared, context)
            } else if let Some(result) = device_steps::run(step) {
                result
            } else {
                let io = io.insert(Io::default());
                disk_steps::run(step, context.seed, context.number, io)
            };
            into.lock().push((index, result, io));
            count.fetch_sub(1, Ordering::AcqRel);
        });
        if !crate::ke::thread::spawn(task) {
            results
                .lock()
                .push((index, Err("no memory for a thread".into()), None));
            left.fetch_sub(1, Ordering::AcqRel);
        }
    }
    // Every request and every wait has a time out, so every step ends.
    while left.load(Ordering::Acquire) != 0 {
        pause(20);
    }
    let mut all = core::mem::take(&mut *results.lock());
    all.sort_by_key(|(index, ..)| *index);
    let mut first = Ok(());
    let mut io = Vec::new();
    for (index, result, done) in all {
        if let (Err(why), true) = (result, first.is_ok()) {
            first = Err(format!(
                "step {index} of those at once, {}: {why}",
                steps[index].name()
            ));
        }
        io.extend(done);
    }
    (first, io)
}
