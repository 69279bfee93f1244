//! Which Debian packages the cross tool chain comes from, found rather than named where they carry a version.

use crate::run;
use anyhow::{Context as _, bail};
use lab_host::{command, packages};
use std::collections::BTreeSet;
use std::process::Command;

/// Whether this machine installs its software with apt.
pub fn is_here() -> bool {
    command::find("apt-get").is_some() && command::find("dpkg-query").is_some()
}

/// Those of `names` that are installed.
pub fn installed<'a>(names: &[&'a str]) -> anyhow::Result<BTreeSet<&'a str>> {
    // dpkg-query fails if one of the names is unknown, and still prints the others.
    let output = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status} ${Package}\n"])
        .args(names)
        .output()
        .context("cannot run dpkg-query")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .collect();
    Ok(names
        .iter()
        .copied()
        .filter(|name| found.contains(name))
        .collect())
}

/// The version of an installed package, as text that changes when the package does.
pub fn version(name: &str) -> anyhow::Result<String> {
    let output = command::output(Command::new("dpkg-query").args([
        "--show",
        "--showformat",
        "${Version}",
        name,
    ]))?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// Names of packages in apt's lists that start with `prefix`.
pub fn known(prefix: &str) -> anyhow::Result<Vec<String>> {
    let output = command::output(Command::new("apt-cache").args(["pkgnames", prefix]))?;
    Ok(String::from_utf8_lossy(&output)
        .lines()
        .map(str::to_owned)
        .collect())
}

/// Whether apt could install each of `names`.
pub fn all_installable(names: &[String]) -> anyhow::Result<bool> {
    let output = command::output(Command::new("apt-cache").arg("policy").args(names))?;
    let text = String::from_utf8_lossy(&output);
    let candidates = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Candidate: "))
        .filter(|version| *version != "(none)");
    Ok(candidates.count() == names.len())
}

/// Brings apt's lists up to date.
pub fn update() -> anyhow::Result<()> {
    run::step("apt-get update", apt().arg("update")).map(drop)
}

/// Installs packages. Nothing that is installed goes away for it.
pub fn install(names: &[&str]) -> anyhow::Result<()> {
    eprintln!("installing {}", names.join(" "));
    let mut command = apt();
    command
        .args(["install", "--no-install-recommends", "--no-remove"])
        .args(names);
    run::step("apt-get install", &mut command).map(drop)
}

/// The error for a machine where we may not install: what is missing, and the command that gets it.
///
/// # Errors
/// Unless this is root.
pub fn must_be_root(names: &[&str]) -> anyhow::Result<()> {
    if packages::is_root()? {
        return Ok(());
    }
    bail!(
        "missing packages: {}\nto get them: {}",
        names.join(" "),
        command_line(names)
    );
}

/// The command that installs packages.
pub fn command_line(names: &[&str]) -> String {
    format!(
        "sudo apt-get update && sudo apt-get install --no-install-recommends {}",
        names.join(" ")
    )
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args([
        "--yes",
        "-o",
        "DPkg::Lock::Timeout=300",
    ]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_that_are_installed_are_reported() -> anyhow::Result<()> {
        if !is_here() {
            return Ok(());
        }
        let names = ["dpkg", "no-such-package-at-all"];
        assert_eq!(installed(&names)?, BTreeSet::from(["dpkg"]));
        Ok(())
    }
}
