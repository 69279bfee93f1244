//! `cargo xtask demo`: this project's drivers serve a disk and a network adapter on real Xen.

use crate::lab::{self, DiskArgs, Lab, NicArgs, Run};
use crate::{package, run};
use lab_host::disk::{self, Disk, DiskOption};
use lab_host::nic::Nic;
use lab_host::{interrupt, packages, plan};
use lab_protocol::plan::{Bytes, Guest, Plan, Range, Step, net};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The size of the disk that is made if none is given.
const SIZE: u64 = 64 << 20;
/// Bytes of the file that goes each way over an adapter.
const TRANSFER: u64 = 8 << 20;
/// How long the guest may say nothing.
const SILENCE: Duration = Duration::from_secs(180);

/// The disks and adapters to show it on.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub disks: DiskArgs,
    #[command(flatten)]
    pub nics: NicArgs,
    /// No network adapter [default: one]
    #[arg(long, conflicts_with_all = ["nics", "pcap"])]
    pub no_nic: bool,
}

impl Args {
    /// The adapters that are given, or one.
    fn nics(&self) -> anyhow::Result<Vec<Nic>> {
        let mut args = self.nics.clone();
        if args.nics.is_empty() && !self.no_nic {
            args.nics.push(String::new());
        }
        args.parse()
    }
}

/// Runs the demo. The exit status says whether it passed.
///
/// # Errors
/// Bad input, before anything is started; or a lab that fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let given = args.disks.parse()?;
    let nics = args.nics()?;
    // At once: each time apt's lists are brought up to date first.
    packages::ensure(&[packages::LAB, package::signing::NEEDS].concat())?;
    let own = match given.is_empty() {
        true => Some(fresh_disk()?),
        false => None,
    };
    let options: Vec<DiskOption> = given.into_iter().chain(own).collect();
    let disks = disk::open_all(&options, args.disks.overwrite)?;
    interrupt::catch()?;
    let plan = plan_for(&disks, &nics, plan::random()?);
    let ((lab, session), folder) = Lab::with_package(None, |lab| {
        let session = lab.boot("demo", &disks, lab_host::run::memory(&plan))?;
        Ok((lab, session))
    })?;
    let logs = session.logs().path().to_owned();
    let report = lab.run(
        &session,
        Run {
            name: "demo",
            label: "",
            packages: lab_host::drivers::read(std::slice::from_ref(&folder))?,
            folders: &[folder],
            plan,
            disks: disks.iter().enumerate().collect(),
            nics,
            pcap: args.nics.pcap.clone(),
            silence: SILENCE,
        },
    )?;
    session.close()?;
    for disk in &disks {
        println!("{} was {}", disk.vdev, disk.file.display());
    }
    Ok(lab::verdict(&report, &logs))
}

/// A disk of zeros that takes no room, in a place where the user can look at it afterwards.
fn fresh_disk() -> anyhow::Result<DiskOption> {
    let folder = run::workspace().join("target/lab");
    fs::create_dir_all(&folder)?;
    let file: PathBuf = folder.join("demo.img");
    if file.exists() {
        fs::remove_file(&file)?;
    }
    disk::create(&file, "raw", SIZE)?;
    // No option can be in the name: a comma in it would end it.
    let mut option: DiskOption = "demo.img,vdev=xvde".parse()?;
    option.file = file;
    Ok(option)
}

/// Writes, reads back and compares, flushes and hashes each disk that may be written to; reads and hashes the others. Pings and
/// is pinged over each adapter, and sends and receives files, whose hashes are compared.
fn plan_for(disks: &[Disk], nics: &[Nic], seed: u64) -> Plan {
    let mut step = vec![Step::ExpectDisks {
        disks: disks.iter().map(|disk| disk.vdev.clone()).collect(),
        within_ms: 60_000,
    }];
    for disk in disks {
        let range = Range {
            disk: disk.vdev.clone(),
            offset: Bytes(0),
            length: Some(Bytes(disk.size)),
            block: Bytes(128 << 10),
            depth: 8,
        };
        if !disk.readonly {
            step.push(Step::Write(range.clone()));
            step.push(Step::Flush {
                disk: disk.vdev.clone(),
            });
            step.push(Step::Verify(range.clone()));
        }
        step.push(Step::Hash(range));
    }
    for nic in nics {
        step.extend(steps_for(nic.number.into()));
    }
    Plan {
        guest: Guest {
            seed,
            ..Guest::default()
        },
        step,
        ..Plan::default()
    }
}

fn steps_for(nic: u32) -> [Step; 5] {
    let transfer = |direction| {
        Step::Transfer(net::Transfer {
            nic,
            direction,
            bytes: Bytes(TRANSFER),
            connections: 1,
            ipv6: false,
            hash: true,
            within_ms: 300_000,
        })
    };
    let ping = net::Ping {
        nic,
        ..net::Ping::default()
    };
    [
        Step::NetUp(net::NetUp {
            nic,
            ..net::NetUp::default()
        }),
        Step::Ping(ping.clone()),
        Step::Pinged(ping),
        transfer(net::Direction::Send),
        transfer(net::Direction::Receive),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    fn disk(content: &[u8]) -> anyhow::Result<Disk> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), content)?;
        let text = file.path().to_str().context("UTF-8")?;
        Ok(disk::open_all(&[text.parse()?], false)?.remove(0))
    }

    #[test]
    fn a_disk_with_data_is_only_read() -> anyhow::Result<()> {
        let names = |plan: &Plan| plan.step.iter().map(Step::name).collect::<Vec<_>>();
        let plan = plan_for(&[disk(&[0; 512])?], &[], 1);
        assert_eq!(
            names(&plan),
            ["expect-disks", "write", "flush", "verify", "hash"]
        );
        let plan = plan_for(&[disk(&[1; 512])?], &[], 1);
        assert_eq!(names(&plan), ["expect-disks", "hash"]);
        Ok(())
    }

    #[test]
    fn there_is_an_adapter_unless_none_is_wanted() -> anyhow::Result<()> {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            args: Args,
        }
        let count = |arguments: &[&str]| {
            let command = Command::try_parse_from([&["demo"], arguments].concat())?;
            Ok::<_, anyhow::Error>(command.args.nics()?.len())
        };
        assert_eq!(count(&[])?, 1);
        assert_eq!(count(&["--pcap", "file"])?, 1);
        assert_eq!(count(&["--nic", "--nic", "mtu=9000"])?, 2);
        assert_eq!(count(&["--no-nic"])?, 0);
        assert!(count(&["--no-nic", "--nic"]).is_err());
        assert!(count(&["--no-nic", "--pcap", "file"]).is_err());
        Ok(())
    }

    #[test]
    fn an_adapter_is_pinged_and_moves_files_both_ways() -> anyhow::Result<()> {
        let nics = lab_host::nic::assign(&["".parse()?])?;
        let plan = plan_for(&[], &nics, 1);
        let names: Vec<_> = plan.step.iter().skip(1).map(Step::name).collect();
        assert_eq!(names, ["net-up", "ping", "pinged", "transfer", "transfer"]);
        plan::check_nics(&plan, &nics)
    }
}
