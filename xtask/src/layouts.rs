//! `cargo xtask check-layouts`: whether what the crates declare of Windows' kernel is what a WDK's headers say.

use crate::run;
#[cfg(unix)]
use crate::toolchain::{Toolchain, Wdk};
use anyhow::bail;
use std::path::PathBuf;
use std::process::Command;

/// Which headers to compare with.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A WDK: a folder with Include/<version>/{km,shared,um}, copied from an installation
    #[arg(long, value_name = "DIR")]
    pub wdk: PathBuf,
}

/// Compares, and prints what differs.
///
/// # Errors
/// If something differs, or the folder is no WDK.
pub fn run(args: &Args) -> anyhow::Result<()> {
    // Before a tool chain is installed for it.
    #[cfg(unix)]
    Wdk::find(&args.wdk)?;
    let mut command = cargo("run")?;
    command.arg("--").arg("--wdk").arg(&args.wdk);
    let status = command.status()?;
    if !status.success() {
        bail!("the declarations are not what the headers say, or could not be compared");
    }
    Ok(())
}

/// The comparison's own tests, on small trees and on the headers that a Linux build uses.
///
/// # Errors
/// If one fails.
#[cfg(unix)]
pub fn test() -> anyhow::Result<crate::test::Outcome> {
    let root = Toolchain::provide()?.content_root()?;
    let mut command = cargo("test")?;
    command.env("LAYOUTS_MINGW", root);
    let finished = run::step("tests of the layouts", &mut command)?;
    Ok(crate::test::counted(&std::fs::read_to_string(
        finished.log,
    )?))
}

/// cargo for the comparison, which reads headers with libclang.
fn cargo(subcommand: &str) -> anyhow::Result<Command> {
    let mut command = run::host_cargo(subcommand);
    command.args(["--quiet", "--locked", "--package", "layouts"]);
    #[cfg(unix)]
    Toolchain::provide()?.show_libclang(&mut command);
    Ok(command)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_no_wdk_is_refused() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let wdk = folder.path().to_owned();
        let error = run(&Args { wdk }).expect_err("no WDK").to_string();
        assert!(error.contains("is no WDK"), "{error}");
        Ok(())
    }
}
