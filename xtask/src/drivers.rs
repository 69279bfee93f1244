//! `cargo xtask build` and `clippy-drivers`: the Windows drivers.

use crate::run;
use crate::stamp::{self, Stamp};
#[cfg(unix)]
use crate::toolchain::{Toolchain, Wdk};
use anyhow::{Context as _, ensure};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The drivers' target triple.
pub const TARGET: &str = "x86_64-pc-windows-msvc";
/// The drivers, by the names of their crates and images.
pub const DRIVERS: &[&str] = &["xenbus", "xenvbd", "xennet"];

/// Where drivers are put without another folder.
pub const OUT: &str = "target/drivers";
/// cargo's folder for the drivers.
pub const TARGET_DIR: &str = "target/cross";

/// The same for builds with the headers of a WDK: what was built with others would have to go each time.
const WDK_TARGET_DIR: &str = "target/cross-wdk";

/// What to build and where to put it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Folder for the .sys, .pdb and .inf files [default: target/drivers]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub scope: Scope,
    #[command(flatten)]
    pub stamp: stamp::Options,
    /// Headers of a WDK, in place of mingw-w64's: a folder with Include/<version>/{km,shared,um}, copied from an installation
    #[cfg(unix)]
    #[arg(long, value_name = "DIR")]
    pub wdk: Option<PathBuf>,
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
    /// The drivers, by name.
    pub fn crates(&self) -> Vec<&'static str> {
        let all = self.crates.is_empty();
        DRIVERS
            .iter()
            .copied()
            .filter(|name| all || self.crates.iter().any(|wanted| wanted == name))
            .collect()
    }

    fn target_dir(&self) -> anyhow::Result<PathBuf> {
        self.target_dir_or(TARGET_DIR)
    }

    /// cargo's folder. wdk-build finds the workspace by walking up from it.
    fn target_dir_or(&self, default: &str) -> anyhow::Result<PathBuf> {
        let workspace = run::workspace();
        let folder = workspace.join(self.target_dir.as_deref().unwrap_or(Path::new(default)));
        ensure!(
            folder.starts_with(workspace),
            "{} must lie in {}: wdk-build looks for the workspace above it",
            folder.display(),
            workspace.display()
        );
        Ok(folder)
    }
}

/// Headers of the user's own.
#[cfg(unix)]
type Headers = Wdk;
/// On Windows the prompt says where they are.
#[cfg(windows)]
type Headers = std::convert::Infallible;

/// Where and with what drivers are built.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// This workspace or a copy of it
    pub workspace: &'a Path,
    /// cargo's folder
    pub target_dir: &'a Path,
    /// In place of mingw-w64's headers
    #[cfg_attr(windows, expect(dead_code, reason = "there is none to have"))]
    pub headers: Option<&'a Headers>,
}

impl Args {
    #[cfg(unix)]
    fn headers(&self) -> anyhow::Result<Option<Headers>> {
        self.wdk.as_deref().map(Wdk::find).transpose()
    }

    #[cfg(windows)]
    fn headers(&self) -> anyhow::Result<Option<Headers>> {
        Ok(None)
    }
}

/// Builds drivers and returns the folder that has them.
///
/// # Errors
/// If the tool chain cannot be had or a build fails.
pub fn build(args: &Args) -> anyhow::Result<PathBuf> {
    let stamp = Stamp::new(&args.stamp)?;
    let headers = args.headers()?;
    let crates = args.scope.crates();
    let target_dir = args.scope.target_dir_or(match headers {
        None => TARGET_DIR,
        Some(_) => WDK_TARGET_DIR,
    })?;
    let out = match &args.out {
        Some(out) => std::path::absolute(out)?,
        None => run::workspace().join(OUT),
    };
    let title = format!("building {}", crates.join(", "));
    let place = Place {
        workspace: run::workspace(),
        target_dir: &target_dir,
        headers: headers.as_ref(),
    };
    let time = compile(&title, place, &crates, &stamp)?;
    let built = target_dir.join(TARGET).join("release");
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    for name in &crates {
        install(&built, name, &stamp, &out)?;
    }
    eprintln!(
        "built {} in {:.1} s: {}",
        crates.join(", "),
        time.as_secs_f64(),
        out.display()
    );
    Ok(out)
}

/// Lets cargo build drivers of a workspace, this one or a copy of it.
///
/// # Errors
/// If the tool chain cannot be had or a build fails.
pub fn compile(
    title: &str,
    place: Place<'_>,
    crates: &[&str],
    stamp: &Stamp,
) -> anyhow::Result<Duration> {
    eprintln!("{title}");
    let mut command = cargo("build", place)?;
    command
        .arg("--release")
        .env("XEN_DRIVERS_VENDOR", &stamp.vendor)
        .env("XEN_DRIVERS_BUILD", stamp.version[3].to_string());
    for name in crates {
        command.args(["--package", name]);
    }
    Ok(run::step(title, &mut command)?.time)
}

/// A cargo command for the drivers: with the cross tool chain.
#[cfg(unix)]
fn cargo(subcommand: &str, place: Place<'_>) -> anyhow::Result<Command> {
    Toolchain::provide()?.driver_cargo(subcommand, place.workspace, place.target_dir, place.headers)
}

/// A cargo command for the drivers: with the WDK that the prompt was set up for.
#[cfg(windows)]
fn cargo(subcommand: &str, place: Place<'_>) -> anyhow::Result<Command> {
    let mut command = run::host_cargo(subcommand);
    command
        .current_dir(place.workspace)
        .args(["--locked", "--target", TARGET])
        .env("CARGO_TARGET_DIR", place.target_dir);
    Ok(command)
}

/// Puts a driver's three files into a folder.
fn install(built: &Path, name: &str, stamp: &Stamp, out: &Path) -> anyhow::Result<()> {
    for (suffix, new) in [("dll", "sys"), ("pdb", "pdb")] {
        let from = built.join(format!("{name}.{suffix}"));
        let to = out.join(format!("{name}.{new}"));
        replace(&from, &to)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    }
    let file = format!("{name}.inf");
    let from = run::workspace().join("inf").join(&file);
    let text =
        fs::read_to_string(&from).with_context(|| format!("cannot read {}", from.display()))?;
    let text = stamp
        .inf(&text)
        .with_context(|| from.display().to_string())?;
    write(&out.join(&file), text.as_bytes())
}

/// Writes a file so that it is there as a whole or not at all.
pub fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = path.parent().context("a file lies in a folder")?;
    let failed = || format!("cannot write {}", path.display());
    let mut new = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    new.write_all(bytes).with_context(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(new.path(), fs::Permissions::from_mode(0o644))?;
    }
    new.persist(path).with_context(failed)?;
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
    let place = Place {
        workspace: run::workspace(),
        target_dir: &scope.target_dir()?,
        headers: None,
    };
    let mut command = cargo("clippy", place)?;
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
        let outside = run::workspace().with_file_name("elsewhere");
        let outside = outside.to_str().expect("a path that is text");
        let error = scope(&[], Some(outside))
            .target_dir()
            .expect_err("outside")
            .to_string();
        assert!(
            error.starts_with(&format!("{outside} must lie in")),
            "{error}"
        );
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

    #[cfg(unix)]
    #[test]
    fn a_folder_that_is_no_wdk_is_refused_before_anything_is_made() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let out = folder.path().join("out");
        let args = Args {
            out: Some(out.clone()),
            wdk: Some(folder.path().to_owned()),
            ..Args::default()
        };
        let error = build(&args).expect_err("no WDK").to_string();
        assert!(error.contains("is no WDK"), "{error}");
        assert!(!out.exists());
        Ok(())
    }
}
