//! Reading plans: what is wrong with one is said before anything is started.

use crate::disk::Disk;
use anyhow::Context;
use anyhow::bail;
use lab_protocol::plan::Plan;
use lab_protocol::plan::Step;
use lab_protocol::plan::devices::Which;
use lab_protocol::plan::target_of;
use std::fs;
use std::io::Read;
use std::path::Path;

mod net;
pub use net::check_nics;

/// Virtual CPUs that a guest may have.
const VCPUS: std::ops::RangeInclusive<u32> = 1..=8;
/// Memory that a guest may have, in MiB.
const MEMORY: std::ops::RangeInclusive<u64> = 64..=2048;
/// Requests at once.
const DEPTH: std::ops::RangeInclusive<u32> = 1..=1024;

/// Reads a plan and picks a seed if it has none.
///
/// # Errors
/// If the file cannot be read or is no plan: with file, line, and what is allowed.
pub fn read(file: &Path) -> anyhow::Result<Plan> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read the plan {}", file.display()))?;
    parse(&text).with_context(|| format!("{}", file.display()))
}

/// Reads a plan out of a text and picks a seed if it has none.
///
/// # Errors
/// If the text is no plan.
pub fn parse(text: &str) -> anyhow::Result<Plan> {
    // The error of the parser shows the line and, for a key that it does not know, those that it does.
    let mut plan: Plan = toml::from_str(text)?;
    check(&plan)?;
    if plan.guest.seed == 0 {
        plan.guest.seed = random()?;
    }
    Ok(plan)
}

/// A number that nobody knows beforehand; never 0.
///
/// # Errors
/// If the system gives none.
pub fn random() -> anyhow::Result<u64> {
    let mut bytes = [0; 8];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes).max(1))
}

fn check(plan: &Plan) -> anyhow::Result<()> {
    let guest = &plan.guest;
    if !VCPUS.contains(&guest.vcpus) {
        bail!("guest: vcpus = {}: allowed are {VCPUS:?}", guest.vcpus);
    }
    if !MEMORY.contains(&(guest.memory.0 >> 20)) {
        bail!(
            "guest: memory = {}: allowed are {MEMORY:?} MiB",
            guest.memory
        );
    }
    if let Some(vendor) = &guest.cpu_vendor
        && !(vendor.len() == 12 && vendor.bytes().all(|byte| matches!(byte, b' '..=b'~')))
    {
        bail!("guest: cpu-vendor = {vendor:?}: 12 printable ASCII characters are needed");
    }
    if plan.step.is_empty() {
        bail!("the plan has no [[step]]");
    }
    for (number, step) in (1..).zip(&plan.step) {
        check_step(step, false).with_context(|| format!("step {number}, {}", step.name()))?;
    }
    Ok(())
}

fn check_step(step: &Step, parallel: bool) -> anyhow::Result<()> {
    match step {
        Step::Write(range) | Step::Verify(range) | Step::Hash(range) => {
            check_depth(range.depth)?;
            check_block(range.block.0)?;
        }
        Step::Random(random) => {
            check_depth(random.depth)?;
            check_block(random.min_block.0)?;
            check_block(random.max_block.0)?;
            if random.min_block > random.max_block {
                bail!("min-block is larger than max-block");
            }
            if random.writes > 100 {
                bail!("writes = {}: it is a share of a hundred", random.writes);
            }
        }
        Step::Cdb(cdb) => {
            let length = hex_digits(&cdb.cdb, false).context("cdb")? / 2;
            if !(6..=16).contains(&length) {
                bail!("cdb has {length} bytes: 6 to 16 are allowed");
            }
            hex_digits(&cdb.send, false).context("send")?;
            hex_digits(&cdb.expect, true).context("expect")?;
            if cdb.receive.0 != 0 && !cdb.send.is_empty() {
                bail!("a command either sends or receives");
            }
        }
        Step::Parallel(steps) if !parallel => {
            if steps.is_empty() {
                bail!("there are no steps in it");
            }
            for (number, step) in steps.iter().enumerate() {
                if disks_of(step).is_empty()
                    && step.device_change().is_none()
                    && !net::runs_beside_others(step)
                {
                    bail!(
                        "{} cannot run beside others: only steps for disks and devices, transfer, ping, echo and udp-flood can",
                        step.name()
                    );
                }
                let mut before = steps[..number].iter().filter_map(Step::nic);
                if let Some(nic) = step.nic().filter(|nic| before.any(|other| other == *nic)) {
                    bail!("two of them are for adapter {nic}");
                }
                check_step(step, true).with_context(|| step.name())?;
            }
        }
        Step::Parallel(_) => bail!("it cannot be within another"),
        step => net::check(step)?,
    }
    for disk in disks_of(step) {
        if target_of(disk).is_none() {
            bail!("disk = {disk:?}: a disk is called as the toolstack calls it, as xvde");
        }
    }
    Ok(())
}

fn check_depth(depth: u32) -> anyhow::Result<()> {
    if !DEPTH.contains(&depth) {
        bail!("depth = {depth}: allowed are {DEPTH:?}");
    }
    Ok(())
}

fn check_block(block: u64) -> anyhow::Result<()> {
    if block == 0 || !block.is_multiple_of(512) || block > 16 << 20 {
        bail!("a block of {block} bytes: allowed are multiples of 512 up to 16 MiB");
    }
    Ok(())
}

/// The number of digits; blanks between them are passed over.
fn hex_digits(text: &str, wildcards: bool) -> anyhow::Result<usize> {
    let mut digits = 0;
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        let allowed = c.is_ascii_hexdigit() || (wildcards && c == '.');
        if !allowed {
            bail!("{c:?} is no hexadecimal digit");
        }
        digits += 1;
    }
    if digits % 2 != 0 {
        bail!("{digits} hexadecimal digits are no whole number of bytes");
    }
    Ok(digits)
}

/// The disks that a step is about.
fn disks_of(step: &Step) -> Vec<&str> {
    match step {
        Step::Write(range) | Step::Verify(range) | Step::Hash(range) => vec![&range.disk],
        Step::Random(random) => vec![&random.disk],
        Step::Cdb(cdb) => vec![&cdb.disk],
        Step::Flush { disk } => vec![disk],
        Step::Parallel(steps) => steps.iter().flat_map(disks_of).collect(),
        Step::ExpectDisks { disks, .. } => disks.iter().map(String::as_str).collect(),
        Step::Rebalance(Which::Disk(disk))
        | Step::CancelStop(Which::Disk(disk))
        | Step::CancelRemove(Which::Disk(disk))
        | Step::SurpriseRemove(Which::Disk(disk)) => vec![disk],
        _ => Vec::new(),
    }
}

/// The disk that a step writes to.
fn written(step: &Step) -> Vec<&str> {
    match step {
        Step::Write(range) => vec![&range.disk],
        Step::Random(random) if random.writes != 0 => vec![&random.disk],
        Step::Parallel(steps) => steps.iter().flat_map(written).collect(),
        _ => Vec::new(),
    }
}

/// Checks that the disks which a plan speaks of are there, and that it may write to those that it writes to.
///
/// # Errors
/// If not.
pub fn check_disks(plan: &Plan, disks: &[Disk]) -> anyhow::Result<()> {
    for (number, step) in (1..).zip(&plan.step) {
        let of_step = || format!("step {number} of the plan, {}", step.name());
        let hotplug = plan.step[..number - 1]
            .iter()
            .any(|step| matches!(step, Step::Xl { .. } | Step::Dom0 { .. }));
        for name in disks_of(step) {
            let known = disks.iter().any(|disk| disk.vdev == name);
            if !known && !hotplug && !matches!(step, Step::ExpectDisks { .. }) {
                bail!(
                    "{}: there is no disk {name}: give one with --disk FILE,vdev={name}",
                    of_step()
                );
            }
        }
        for name in written(step) {
            if let Some(disk) = disks.iter().find(|disk| disk.vdev == name && disk.readonly) {
                let file = disk.file.display();
                match disk.holds_data {
                    true => bail!(
                        "{}: {file} holds data, and is only read unless --overwrite is given",
                        of_step()
                    ),
                    false => bail!("{}: {file} is given as readonly", of_step()),
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        format!("{:#}", parse(text).unwrap_err())
    }

    #[test]
    fn an_unknown_key_is_shown_with_its_line_and_the_known_ones() {
        let text = error("[guest]\nvcpus = 1\n[[step]]\nwrite = { disk = \"xvde\", lenght = 1 }");
        assert!(text.contains("line 4"), "{text}");
        assert!(text.contains("lenght") && text.contains("length"), "{text}");
        let text = error("[[step]]\nwrit = { disk = \"xvde\" }");
        assert!(
            text.contains("writ") && text.contains("expect-disks"),
            "{text}"
        );
    }

    #[test]
    fn values_out_of_their_range_are_refused() {
        assert!(error("[guest]\nvcpus = 9\n[[step]]\nwait = { ms = 1 }").contains("1..=8"));
        assert!(
            error("[guest]\ncpu-vendor = \"me\"\n[[step]]\nwait = { ms = 1 }")
                .contains("12 printable")
        );
        assert!(error("[guest]\nmemory = \"4GiB\"\n[[step]]\nwait = { ms = 1 }").contains("2048"));
        assert!(error("[guest]\nvcpus = 1").contains("no [[step]]"));
        assert!(error("[[step]]\nflush = { disk = \"sdx1\" }").contains("xvde"));
        assert!(error("[[step]]\nwrite = { disk = \"xvde\", block = 100 }").contains("512"));
        assert!(error("[[step]]\nwrite = { disk = \"xvde\", depth = 0 }").contains("1..=1024"));
        assert!(error("[[step]]\ncdb = { disk = \"xvde\", cdb = \"1200\" }").contains("6 to 16"));
        assert!(
            error("[[step]]\ncdb = { disk = \"xvde\", cdb = \"12 00 00 00 0g 00\" }")
                .contains("'g'")
        );
        assert!(error("[[step]]\nparallel = [{ unload = {} }]").contains("unload"));
    }

    #[test]
    fn a_plan_without_a_seed_gets_one() {
        let text = "[[step]]\nwait = { ms = 1 }";
        let one = parse(text).unwrap().guest.seed;
        assert_ne!(one, 0);
        assert_ne!(one, parse(text).unwrap().guest.seed);
        let text = format!("[guest]\nseed = 7\n{text}");
        assert_eq!(parse(&text).unwrap().guest.seed, 7);
    }

    fn disk(content: &[u8], rest: &str) -> Disk {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        let option = format!("{}{rest}", file.path().display()).parse().unwrap();
        crate::disk::open_all(&[option], false).unwrap().remove(0)
    }

    #[test]
    fn a_plan_writes_only_to_disks_that_it_may_write_to() {
        let plan = parse("[[step]]\nwrite = { disk = \"xvde\" }").unwrap();
        assert!(check_disks(&plan, &[disk(&[0; 512], "")]).is_ok());
        let error = |disks: &[Disk]| check_disks(&plan, disks).unwrap_err().to_string();
        assert!(error(&[disk(&[1; 512], "")]).contains("--overwrite"));
        assert!(error(&[disk(&[0; 512], ",readonly")]).contains("readonly"));
        assert!(error(&[]).contains("vdev=xvde"));
    }

    #[test]
    fn reading_what_holds_data_is_allowed() {
        let plan = parse("[[step]]\nhash = { disk = \"xvde\" }").unwrap();
        assert!(check_disks(&plan, &[disk(&[1; 512], "")]).is_ok());
    }
}
