//! `cargo xtask lab`: a plan on real Xen, with any drivers and disks.

use crate::toolchain::Toolchain;
use crate::{drivers, guest, package, run};
use anyhow::Context as _;
use lab_host::disk::{self, Disk, DiskOption};
use lab_host::nic::{self, Nic, NicOption};
use lab_host::report::Report;
use lab_host::session::Session;
use lab_host::{dom0, interrupt, log, packages, plan, session};
use lab_protocol::bundle::Package;
use lab_protocol::plan::Plan;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

mod allowed;
mod renamed;
mod table;
pub mod tests;
pub use table::print as print_table;

/// What to run.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The plan, a TOML file (docs/lab.md; examples in lab/plans)
    #[arg(long, value_name = "FILE")]
    pub plan: PathBuf,
    /// A driver package, a folder of .inf and .sys files or one .inf file; may be given more than once [default: this project's]
    #[arg(long, value_name = "DIR")]
    pub drivers: Vec<PathBuf>,
    #[command(flatten)]
    pub disks: DiskArgs,
    #[command(flatten)]
    pub nics: NicArgs,
    /// The guest's kernel, if it is built already (`cargo xtask build-guest`) [default: it is built]
    #[arg(long, value_name = "FILE")]
    pub guest: Option<PathBuf>,
    /// Seconds after which a guest that says nothing is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 180)]
    pub silence: u64,
}

/// The disks of a run.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DiskArgs {
    /// A disk: FILE[,format=raw|qcow2|vmdk|vhdx|vdi][,backend=phy|qdisk][,vdev=xvdX][,sector=512|4096][,readonly]; may be given more than once
    #[arg(long = "disk", value_name = "DISK")]
    pub disks: Vec<String>,
    /// Write to disks that hold data; without it, they are only read
    #[arg(long)]
    pub overwrite: bool,
}

impl DiskArgs {
    /// What the options say; nothing is opened yet.
    ///
    /// # Errors
    /// An unknown option or value.
    pub fn parse(&self) -> anyhow::Result<Vec<DiskOption>> {
        self.disks.iter().map(|text| text.parse()).collect()
    }
}

/// The network adapters of a run.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct NicArgs {
    /// A network adapter: [bridge=NAME][,mac=00:16:3e:xx:xx:xx][,type=vif|ioemu][,mtu=1500], all of it optional; may be given more than once
    #[arg(long = "nic", value_name = "NIC", num_args = 0..=1, default_missing_value = "")]
    pub nics: Vec<String>,
    /// Keep every frame that passes the adapters in a pcapng file
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,
}

impl NicArgs {
    /// What the options say.
    ///
    /// # Errors
    /// An unknown option or value, or a contradiction.
    pub fn parse(&self) -> anyhow::Result<Vec<Nic>> {
        let options: anyhow::Result<Vec<NicOption>> =
            self.nics.iter().map(|text| text.parse()).collect();
        let nics = nic::assign(&options?)?;
        anyhow::ensure!(
            self.pcap.is_none() || !nics.is_empty(),
            "--pcap: there is no adapter: give one with --nic"
        );
        Ok(nics)
    }
}

/// Runs the plan. The exit status says whether it passed.
///
/// # Errors
/// Bad input, before anything is started; or a lab that fails.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let plan = plan::read(&args.plan)?;
    let options = args.disks.parse()?;
    let nics = args.nics.parse()?;
    plan::check_nics(&plan, &nics)?;
    packages::ensure(packages::LAB)?;
    let disks = disk::open_all(&options, args.disks.overwrite)?;
    plan::check_disks(&plan, &disks)?;
    // What the user gives is looked at before anything is built.
    let mut given = lab_host::drivers::read(&args.drivers)?;
    interrupt::catch()?;
    let name = args.plan.file_stem().map_or_else(
        || "plan".to_owned(),
        |stem| stem.to_string_lossy().into_owned(),
    );
    let mut paths = args.drivers.clone();
    let boot = |lab: Lab| {
        let session = lab.boot(&name, &disks, lab_host::run::memory(&plan))?;
        Ok((lab, session))
    };
    let (lab, session) = if paths.is_empty() {
        let (booted, package) = Lab::with_package(args.guest.clone(), boot)?;
        paths = vec![package];
        given = lab_host::drivers::read(&paths)?;
        booted
    } else {
        boot(Lab::prepare(args.guest.clone())?)?
    };
    let run = Run {
        name: &name,
        label: "",
        packages: given,
        folders: &lab_host::drivers::folders(&paths),
        plan,
        disks: disks.iter().enumerate().collect(),
        nics,
        pcap: args.nics.pcap.clone(),
        silence: Duration::from_secs(args.silence),
    };
    let logs = session.logs().path().to_owned();
    let report = lab.run(&session, run)?;
    session.close()?;
    Ok(verdict(&report, &logs))
}

/// Prints the table and, as the last line, PASS or FAIL.
pub fn verdict(report: &Report, logs: &Path) -> ExitCode {
    print_table(report);
    println!("logs: {}", logs.display());
    for failure in &report.failures {
        println!("failed: {failure}");
    }
    if report.passed() {
        println!("PASS");
        ExitCode::SUCCESS
    } else {
        println!("FAIL");
        ExitCode::FAILURE
    }
}

/// What a run needs beside the lab.
pub struct Run<'a> {
    /// A short name, which files have
    pub name: &'a str,
    /// What its lines begin with where several runs go on at once
    pub label: &'a str,
    /// The driver packages
    pub packages: Vec<Package>,
    /// Where symbols may lie
    pub folders: &'a [PathBuf],
    /// The plan
    pub plan: Plan,
    /// The disks with their places in the session
    pub disks: Vec<(usize, &'a Disk)>,
    /// The network adapters
    pub nics: Vec<Nic>,
    /// Where to keep the frames that pass them
    pub pcap: Option<PathBuf>,
    /// How long a guest may say nothing
    pub silence: Duration,
}

/// What is built once for all runs: dom0, its agent, the guest.
pub struct Lab {
    image: dom0::Image,
    agent: PathBuf,
    guest: PathBuf,
}

impl Lab {
    /// Builds what is not there yet, and this project's drivers: the package that guests install them from comes with what
    /// `next` makes of the lab, while the drivers may still be under way.
    ///
    /// # Errors
    /// If something cannot be built, or `next` fails.
    pub fn with_package<T>(
        guest: Option<PathBuf>,
        next: impl FnOnce(Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, PathBuf)> {
        // apt runs once at a time: what both builds need is there before they begin.
        Toolchain::provide()?;
        // Each build has stretches that keep only one processor busy.
        let (package, lab) = beside(package::for_the_lab, || Self::prepare(guest).and_then(next));
        Ok((lab?, package?))
    }

    /// Builds what is not there yet; the guest only if none is given.
    ///
    /// # Errors
    /// If something cannot be built.
    pub fn prepare(guest: Option<PathBuf>) -> anyhow::Result<Self> {
        // Most of the guest's time goes into one crate, on one processor; dom0 is fetched and unpacked on the other.
        let (guest, dom0) = beside(
            || match guest {
                Some(guest) => Ok(guest),
                None => guest::build(&guest::Args::default()),
            },
            dom0,
        );
        let (image, agent) = dom0?;
        Ok(Self {
            image,
            agent,
            guest: guest?,
        })
    }

    /// Boots Xen with the disks. `memory` is the most that guests get at once, in MiB.
    ///
    /// # Errors
    /// If Xen or dom0 does not come up.
    pub fn boot(&self, name: &str, disks: &[Disk], memory: u64) -> anyhow::Result<Session> {
        let start = Instant::now();
        eprintln!("booting Xen");
        let logs = log::Folder::create(&run::workspace().join("target/lab"), name)?;
        let setup = session::Setup {
            image: &self.image,
            agent: &self.agent,
            disks,
            guest_memory: memory,
        };
        let session = Session::boot(&setup, logs)?;
        eprintln!("dom0 is up after {:.1} s", start.elapsed().as_secs_f64());
        Ok(session)
    }

    /// Runs a guest in a session.
    ///
    /// # Errors
    /// If the lab fails.
    pub fn run(&self, session: &Session, run: Run<'_>) -> anyhow::Result<Report> {
        eprintln!("{}: seed {}", run.name, run.plan.guest.seed);
        let start = Instant::now();
        let label = run.label;
        // A package has no PDBs: those of this project's drivers lie where they are built.
        let mut folders = run.folders.to_vec();
        folders.push(run::workspace().join(drivers::OUT));
        let setup = lab_host::run::Setup {
            name: run.name,
            guest: &self.guest,
            packages: run.packages,
            folders: &folders,
            plan: run.plan,
            disks: run.disks,
            nics: run.nics,
            pcap: run.pcap,
            image: &self.image,
            agent: &self.agent,
            silence: run.silence,
        };
        lab_host::run::run(session, &setup, &mut |line| {
            eprintln!("{label}  {:6.1} s  {line}", start.elapsed().as_secs_f64());
        })
    }
}

/// Does both at once, `one` on a thread of its own; a panic of either goes on here.
fn beside<A: Send, B>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        let one = one
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (one, other)
    })
}

/// What dom0 boots from and the agent that runs in it, built if they are not there yet.
///
/// # Errors
/// If packages cannot be had or a build fails.
pub fn dom0() -> anyhow::Result<(dom0::Image, PathBuf)> {
    Ok((dom0::image()?, build_agent()?))
}

/// The agent runs in a dom0 of another Debian release: it takes its C library along.
fn build_agent() -> anyhow::Result<PathBuf> {
    const TARGET: &str = "x86_64-unknown-linux-gnu";
    // xtask's own folder and profile, where there is what both run while they are built.
    let folder = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| run::workspace().join("target"), PathBuf::from);
    let folder = std::path::absolute(folder)?;
    let mut command = run::host_cargo("build");
    command
        .args(["--locked", "--package", "dom0-agent"])
        .args(["--target", TARGET])
        .env("CARGO_TARGET_DIR", &folder)
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "3")
        .env("CARGO_INCREMENTAL", "0")
        // Stripped, since dom0 reads it over a slow channel; as a profile's setting that would change what is shared, too.
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static -Cstrip=symbols")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    run::step("building dom0's agent", &mut command)?;
    let agent = folder.join(TARGET).join("debug/dom0-agent");
    agent
        .is_file()
        .then_some(agent)
        .context("cargo built no agent for dom0")
}

#[cfg(test)]
mod unit_tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn error(arguments: &[&str]) -> String {
        let command = Command::parse_from([&["lab"], arguments].concat());
        format!("{:#}", run(&command.args).expect_err("bad input"))
    }

    #[test]
    fn bad_input_is_refused_before_anything_is_started() {
        assert!(error(&["--plan", "/no/such/plan.toml"]).contains("/no/such/plan.toml"));
        let folder = tempfile::tempdir().expect("a folder");
        let plan = folder.path().join("plan.toml");
        let plan_text = plan.to_str().expect("UTF-8");
        std::fs::write(&plan, "[[step]]\nwait = { ms = 1, hours = 2 }").expect("a plan");
        assert!(error(&["--plan", plan_text]).contains("hours"));
        std::fs::write(&plan, "[[step]]\nwait = { ms = 1 }").expect("a plan");
        let text = error(&["--plan", plan_text, "--disk", "x,colour=red"]);
        assert!(text.contains("colour=red"), "{text}");
        let text = error(&["--plan", plan_text, "--nic", "mac=00:16:3e"]);
        assert!(text.contains("mac=00:16:3e"), "{text}");
        assert!(error(&["--plan", plan_text, "--pcap", "x"]).contains("--nic"));
        std::fs::write(&plan, "[[step]]\nping = { nic = 1 }").expect("a plan");
        let text = error(&["--plan", plan_text, "--nic"]);
        assert!(text.contains("no adapter 1"), "{text}");
    }
}
