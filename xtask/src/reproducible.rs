//! Whether the same sources give the same bytes in another folder: the drivers are built a second time, from a copy of the
//! workspace elsewhere, and compared.

use crate::drivers::{self, DRIVERS, Place, TARGET};
use crate::run;
use crate::stamp::{self, Stamp};
use anyhow::{Context as _, bail};
use lab_host::command;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What the copy has no use for.
const LEFT_OUT: &[&str] = &["target", ".git"];
/// The second build's folder, in the copy: of another depth and length than the first one's.
const TARGET_DIR: &str = "target/in/another/folder";

/// Compares `folder`, where [`drivers::build`] has put its files, with a second build of all drivers.
///
/// # Errors
/// If they differ: with the names of all files that do, or if the second build fails.
pub fn check(folder: &Path) -> anyhow::Result<()> {
    let elsewhere = tempfile::Builder::new()
        .prefix("xen-windows-drivers-elsewhere-")
        .tempdir()?;
    let workspace = elsewhere.path().join("sources");
    fs::create_dir(&workspace)?;
    for entry in fs::read_dir(run::workspace())? {
        let entry = entry?;
        if !LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
            copy(&entry.path(), &workspace)?;
        }
    }
    let target_dir = workspace.join(TARGET_DIR);
    fs::create_dir_all(&target_dir)?;
    // What runs on this machine (procedural macros, build scripts) is taken over: it is the same for both.
    let programs = run::workspace().join(drivers::TARGET_DIR).join("release");
    copy(&programs, &target_dir)?;
    let stamp = Stamp::new(&stamp::Options::default())?;
    let title = "building the drivers in another folder";
    let place = Place {
        workspace: &workspace,
        target_dir: &target_dir,
        headers: None,
    };
    drivers::compile(title, place, DRIVERS, &stamp)?;
    let built = target_dir.join(TARGET).join("release");
    let mut different = Vec::new();
    for name in DRIVERS {
        for (first, second) in [("sys", "dll"), ("pdb", "pdb")] {
            let read = |path: &Path| {
                fs::read(path).with_context(|| format!("cannot read {}", path.display()))
            };
            let first = folder.join(format!("{name}.{first}"));
            let second = built.join(format!("{name}.{second}"));
            if read(&first)? != read(&second)? {
                let kept = keep(&second)?;
                different.push(format!("{} and {}", first.display(), kept.display()));
            }
        }
    }
    if !different.is_empty() {
        bail!(
            "two builds of the same sources differ:\n{}",
            different.join("\n")
        );
    }
    Ok(())
}

/// Copies a file or folder into a folder, times and all, which cargo goes by.
fn copy(from: &Path, into: &Path) -> anyhow::Result<()> {
    command::output(Command::new("cp").arg("--archive").args([from, into])).map(drop)
}

/// Puts a file where it stays, for the person who looks for the difference.
fn keep(file: &Path) -> anyhow::Result<std::path::PathBuf> {
    let folder = run::workspace().join("target/elsewhere");
    fs::create_dir_all(&folder)?;
    let kept = folder.join(file.file_name().context("a file has a name")?);
    fs::copy(file, &kept)?;
    Ok(kept)
}
