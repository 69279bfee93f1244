//! `cargo xtask build` and `clippy-drivers`: the Windows drivers.

use crate::run;
#[cfg(unix)]
use crate::toolchain::Toolchain;
use anyhow::{Context as _, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The drivers' target triple.
pub const TARGET: &str = "x86_64-pc-windows-msvc";
/// The drivers, by the names of their crates and images.
pub const DRIVERS: &[&str] = &["xenbus", "xenvbd"];

/// What to build and where to put it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Folder for the .sys, .pdb and .inf files [default: target/drivers]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub scope: Scope,
}

/// Which drivers, and cargo's own folder.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Scope {
    /// Only this driver (may be given more than once)
    #[arg(long = "crate", value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(DRIVERS))]
    pub crates: Vec<String>,
    /// cargo's folder for what it makes; must lie in the workspace [default: target/cross]
    #[arg(long, value_name = "DIR")]
    pub target_dir: Option<PathBuf>,
}

impl Scope {
    fn crates(&self) -> Vec<&str> {
        let all = self.crates.is_empty();
        DRIVERS
            .iter()
            .copied()
            .filter(|name| all || self.crates.iter().any(|wanted| wanted == name))
            .collect()
    }

    /// cargo's folder. wdk-build finds the workspace by walking up from it.
    fn target_dir(&self) -> anyhow::Result<PathBuf> {
        let workspace = run::workspace();
        let folder = workspace.join(
            self.target_dir
                .as_deref()
                .unwrap_or(Path::new("target/cross")),
        );
        ensure!(
            folder.starts_with(workspace),
            "{} must lie in {}: wdk-build looks for the workspace above it",
            folder.display(),
            workspace.display()
        );
        Ok(folder)
    }
}

/// Builds drivers and returns the folder that has them.
///
/// # Errors
/// If the tool chain cannot be had or a build fails.
pub fn build(args: &Args) -> anyhow::Result<PathBuf> {
    let crates = args.scope.crates();
    let target_dir = args.scope.target_dir()?;
    let out = match &args.out {
        Some(out) => std::path::absolute(out)?,
        None => run::workspace().join("target/drivers"),
    };
    let title = format!("building {}", crates.join(", "));
    eprintln!("{title}");
    let mut command = cargo("build", &target_dir)?;
    command.arg("--release");
    for name in &crates {
        command.args(["--package", name]);
    }
    let finished = run::step(&title, &mut command)?;
    let built = target_dir.join(TARGET).join("release");
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    for name in &crates {
        install(&built, name, &out)?;
    }
    eprintln!(
        "built {} in {:.1} s: {}",
        crates.join(", "),
        finished.time.as_secs_f64(),
        out.display()
    );
    Ok(out)
}

/// A cargo command for the drivers: with the cross tool chain.
#[cfg(unix)]
fn cargo(subcommand: &str, target_dir: &Path) -> anyhow::Result<Command> {
    Toolchain::provide()?.driver_cargo(subcommand, target_dir)
}

/// A cargo command for the drivers: with the WDK that the prompt was set up for.
#[cfg(windows)]
fn cargo(subcommand: &str, target_dir: &Path) -> anyhow::Result<Command> {
    let mut command = run::host_cargo(subcommand);
    command
        .args(["--locked", "--target", TARGET])
        .env("CARGO_TARGET_DIR", target_dir);
    Ok(command)
}

/// Puts a driver's three files into a folder.
fn install(built: &Path, name: &str, out: &Path) -> anyhow::Result<()> {
    let inf = run::workspace().join("inf").join(format!("{name}.inf"));
    for (from, suffix) in [
        (built.join(format!("{name}.dll")), "sys"),
        (built.join(format!("{name}.pdb")), "pdb"),
        (inf, "inf"),
    ] {
        let to = out.join(format!("{name}.{suffix}"));
        replace(&from, &to)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// Copies a file so that the new name is there as a whole or not at all.
pub fn replace(from: &Path, to: &Path) -> anyhow::Result<()> {
    let folder = to.parent().context("a file lies in a folder")?;
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    std::io::copy(&mut fs::File::open(from)?, &mut new)?;
    fs::set_permissions(new.path(), fs::metadata(from)?.permissions())?;
    new.persist(to)?;
    Ok(())
}

/// Runs clippy over the drivers for their own target; a warning fails.
///
/// # Errors
/// If the tool chain cannot be had or clippy finds something.
pub fn clippy(scope: &Scope) -> anyhow::Result<()> {
    let mut command = cargo("clippy", &scope.target_dir()?)?;
    for name in scope.crates() {
        command.args(["--package", name]);
    }
    command.args(["--release", "--", "-D", "warnings"]);
    run::step("clippy of the drivers", &mut command).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(crates: &[&str], target_dir: Option<&str>) -> Scope {
        Scope {
            crates: crates.iter().map(|name| (*name).to_owned()).collect(),
            target_dir: target_dir.map(PathBuf::from),
        }
    }

    #[test]
    fn without_a_name_every_driver_is_built() {
        assert_eq!(scope(&[], None).crates(), DRIVERS);
        assert_eq!(scope(&["xenvbd", "xenvbd"], None).crates(), ["xenvbd"]);
    }

    #[test]
    fn cargo_s_folder_must_lie_in_the_workspace() {
        let inside = scope(&[], Some("target/x")).target_dir();
        assert_eq!(inside.ok(), Some(run::workspace().join("target/x")));
        let error = scope(&[], Some("/elsewhere"))
            .target_dir()
            .expect_err("outside")
            .to_string();
        assert!(error.starts_with("/elsewhere must lie in"), "{error}");
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_or_not_at_all() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        fs::write(&to, "old")?;
        assert!(replace(&from, &to).is_err());
        assert_eq!(fs::read_to_string(&to)?, "old");
        fs::write(&from, "new")?;
        replace(&from, &to)?;
        assert_eq!(fs::read_to_string(&to)?, "new");
        assert_eq!(fs::read_dir(folder.path())?.count(), 2);
        Ok(())
    }
}
