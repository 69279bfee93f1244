//! `cargo xtask build-guest`: the lab's bare-metal guest.

use crate::drivers::{self, replace};
use crate::run;
use crate::toolchain::{GUEST_TARGET, Toolchain};
use anyhow::Context as _;
use std::path::{Path, PathBuf};

/// The package that is the guest, and the name of its image.
const PACKAGE: &str = "lab-guest";
/// The profile of the workspace that it is built with.
const PROFILE: &str = "guest";

/// Where to put the image.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// The image's file [default: only in cargo's folder]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// cargo's folder for what it makes [default: target/cross, which has what both builds run on this machine]
    #[arg(long, value_name = "DIR")]
    pub target_dir: Option<PathBuf>,
}

/// Builds the guest's image (ELF64) and returns its path.
///
/// # Errors
/// If the tool chain cannot be had or the build fails.
pub fn build(args: &Args) -> anyhow::Result<PathBuf> {
    eprintln!("building the lab's guest");
    let target_dir = args.target_dir();
    let toolchain = Toolchain::provide()?;
    let mut command = toolchain.guest_cargo("build", &target_dir)?;
    command.args(["--profile", PROFILE, "--package", PACKAGE]);
    let finished = run::step("building the lab's guest", &mut command)?;
    let image = target_dir.join(GUEST_TARGET).join(PROFILE).join(PACKAGE);
    eprintln!(
        "built {} in {:.1} s",
        image.display(),
        finished.time.as_secs_f64()
    );
    let Some(out) = &args.out else {
        return Ok(image);
    };
    let out = std::path::absolute(out)?;
    replace(&image, &out)
        .with_context(|| format!("cannot copy {} to {}", image.display(), out.display()))?;
    Ok(out)
}

/// Runs clippy over the guest for its own target; a warning fails.
///
/// # Errors
/// If the tool chain cannot be had or clippy finds something.
pub fn clippy(args: &Args) -> anyhow::Result<()> {
    let toolchain = Toolchain::provide()?;
    let mut command = toolchain.guest_cargo("clippy", &args.target_dir())?;
    command.args([
        "--profile",
        PROFILE,
        "--package",
        PACKAGE,
        "--",
        "-D",
        "warnings",
    ]);
    run::step("clippy of the lab's guest", &mut command).map(drop)
}

impl Args {
    fn target_dir(&self) -> PathBuf {
        run::workspace().join(
            self.target_dir
                .as_deref()
                .unwrap_or(Path::new(drivers::TARGET_DIR)),
        )
    }
}
