//! Which Debian packages the cross tool chain comes from, found rather than named where they carry a version.

use crate::run;
use lab_host::command;
use std::process::Command;

/// Whether this machine installs its software with apt.
pub fn is_here() -> bool {
    command::find("apt-get").is_some() && command::find("dpkg-query").is_some()
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
    let mut command = Command::new("apt-get");
    command.args(["--yes", "-o", "DPkg::Lock::Timeout=300", "update"]);
    run::step("apt-get update", &mut command).map(drop)
}
