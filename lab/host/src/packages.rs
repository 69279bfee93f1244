//! Debian packages that the lab's tools come from.

use crate::command;
use anyhow::bail;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Something that must be on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// A program's name, or a file's absolute path
    pub what: &'static str,
    /// The Debian package that has it
    pub package: &'static str,
}

/// What the lab needs.
pub const LAB: &[Need] = &[
    need("qemu-system-x86_64", "qemu-system-x86"),
    need("qemu-img", "qemu-utils"),
    need("mmdebstrap", "mmdebstrap"),
    need("tar", "tar"),
    need("xz", "xz-utils"),
    need("zstd", "zstd"),
    need("gzip", "gzip"),
    need("/usr/share/seabios/bios-256k.bin", "seabios"),
    need(
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "debian-archive-keyring",
    ),
];

const fn need(what: &'static str, package: &'static str) -> Need {
    Need { what, package }
}

impl Need {
    /// True if it is there.
    pub fn is_met(&self) -> bool {
        if self.what.starts_with('/') {
            Path::new(self.what).exists()
        } else {
            command::find(self.what).is_some()
        }
    }
}

/// The packages that are missing, each once.
pub fn missing(needs: &[Need]) -> Vec<&'static str> {
    let mut packages: Vec<_> = needs
        .iter()
        .filter(|need| !need.is_met())
        .map(|need| need.package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Installs what is missing when run as root.
///
/// # Errors
/// If something is missing and this is not root or no Debian: the error has the command to type.
pub fn ensure(needs: &[Need]) -> anyhow::Result<()> {
    /// apt runs once at a time, and what one thread installs another need not.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let packages = missing(needs);
    if packages.is_empty() {
        return Ok(());
    }
    install(&packages)?;
    match missing(needs).as_slice() {
        [] => Ok(()),
        still => bail!(
            "{} installed, but what was needed is still not there",
            still.join(" ")
        ),
    }
}

/// Installs Debian packages when run as root; nothing that is there is removed for them.
///
/// # Errors
/// If this is not root or no Debian, the error has the command to type; if apt fails, it says where apt's log is.
pub fn install(packages: &[impl AsRef<str>]) -> anyhow::Result<()> {
    let packages: Vec<&str> = packages.iter().map(AsRef::as_ref).collect();
    let list = packages.join(" ");
    if command::find("apt-get").is_none() {
        bail!("missing on this machine: {list} (Debian's names of the packages)");
    }
    if !is_root()? {
        bail!(
            "missing on this machine: {list}\nto install: sudo apt-get update && sudo apt-get install --no-install-recommends {list}"
        );
    }
    eprintln!("installing {list}");
    let logs = crate::cache::folder()?.join("logs");
    std::fs::create_dir_all(&logs)?;
    let apt = |log: &str, arguments: &[&str]| {
        command::logged(
            Command::new("apt-get")
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(["--quiet", "--yes", "-o", "DPkg::Lock::Timeout=300"])
                .args(arguments),
            &logs.join(log),
        )
    };
    apt("apt-update.log", &["update"])?;
    let mut install = vec!["install", "--no-install-recommends", "--no-remove"];
    install.extend(&packages);
    apt("apt-install.log", &install)
}

/// True for the superuser.
///
/// # Errors
/// If `id` cannot be run.
pub fn is_root() -> anyhow::Result<bool> {
    Ok(command::output(Command::new("id").arg("-u"))?.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_needs_no_package() {
        assert!(missing(&[need("sh", "dash"), need("/bin/sh", "dash")]).is_empty());
    }

    #[test]
    fn a_package_that_two_things_need_is_named_once() {
        let needs = [need("no-such-program", "p"), need("/no/such/file", "p")];
        assert_eq!(missing(&needs), ["p"]);
    }
}
