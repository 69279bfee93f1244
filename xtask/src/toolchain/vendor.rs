//! The crates that a Linux build uses, as a folder of sources: a registry's as they are, except for wdk-build, which gets
//! a patch so that it compiles on a host that is no Windows.
//!
//! cargo reads the folder through source replacement in a private `CARGO_HOME`, because wdk-build runs `cargo metadata`
//! itself: so the workspace's Cargo.toml and Cargo.lock stay what a Windows host uses. Folders are named by crate and
//! version and never change, so the one folder serves all states of Cargo.lock and only grows by what is new.

use super::patch;
use super::rustc::Rust;
use crate::run;
use anyhow::{Context as _, bail};
use lab_host::cache;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Marks a patched crate and says by which patch.
const MARK: &str = ".patched";

/// The folder of sources, whether it is there or not.
pub fn folder() -> anyhow::Result<PathBuf> {
    Ok(cache::folder()?.join("vendor"))
}

/// The folder of sources, complete for this workspace's Cargo.lock and for the library of `rust`.
pub fn provide(rust: &Rust) -> anyhow::Result<PathBuf> {
    let parent = cache::folder()?;
    fs::create_dir_all(&parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let folder = folder()?;
    let lock = File::create(parent.join("vendor.lock"))?;
    lock.lock()
        .context("cannot lock the folder of vendored crates")?;

    let locks = [
        run::workspace().join("Cargo.lock"),
        rust.library.join("Cargo.lock"),
    ];
    let mut needed = BTreeSet::new();
    for lock in &locks {
        let text =
            fs::read_to_string(lock).with_context(|| format!("cannot read {}", lock.display()))?;
        needed.extend(registry_packages(&text).with_context(|| lock.display().to_string())?);
    }
    let patched = needed
        .iter()
        .find(|name| name.starts_with("wdk-build-"))
        .context("Cargo.lock has no wdk-build")?;
    let patched = folder.join(patched);
    discard_unless_current(&patched)?;
    if needed
        .iter()
        .any(|name| !folder.join(name).join(".cargo-checksum.json").is_file())
    {
        fetch(rust, &folder)?;
    }
    apply(&patched)?;
    Ok(folder)
}

/// `name-version` of each package that comes from a registry.
fn registry_packages(lock: &str) -> anyhow::Result<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Lock {
        #[serde(default)]
        package: Vec<Package>,
    }
    #[derive(serde::Deserialize)]
    struct Package {
        name: String,
        version: String,
        source: Option<String>,
    }
    let lock: Lock = toml::from_str(lock)?;
    Ok(lock
        .package
        .into_iter()
        .filter(|package| {
            package
                .source
                .as_deref()
                .is_some_and(|source| source.starts_with("registry+"))
        })
        .map(|package| format!("{}-{}", package.name, package.version))
        .collect())
}

/// Lets cargo copy what is not there yet. It uses the user's own CARGO_HOME, so a mirror that is set up there counts.
fn fetch(rust: &Rust, folder: &Path) -> anyhow::Result<()> {
    eprintln!("fetching crates");
    let mut command = Command::new(rust.program("cargo"));
    command
        .current_dir(run::workspace())
        .env("RUSTC", rust.program("rustc"))
        .env_remove("RUSTUP_TOOLCHAIN")
        .args([
            "vendor",
            "--locked",
            "--versioned-dirs",
            "--no-delete",
            "--sync",
        ])
        .arg(rust.library.join("Cargo.toml"))
        .arg(folder);
    run::step("cargo vendor", &mut command)
        .map(drop)
        .context("the crates of Cargo.lock could not be fetched (is there a network?)")
}

/// Removes a crate whose patch is missing, half done or another one, so that it is copied afresh.
fn discard_unless_current(package: &Path) -> anyhow::Result<()> {
    let mark = fs::read_to_string(package.join(MARK)).unwrap_or_default();
    if package.exists() && mark != patch::version() {
        fs::remove_dir_all(package)
            .with_context(|| format!("cannot remove {}", package.display()))?;
    }
    Ok(())
}

/// Patches the crate and takes its files' checksums out, so that cargo accepts it.
fn apply(package: &Path) -> anyhow::Result<()> {
    if package.join(MARK).exists() {
        return Ok(());
    }
    patch::apply(package)?;
    let checksums = package.join(".cargo-checksum.json");
    let mut value: serde_json::Value = serde_json::from_slice(&fs::read(&checksums)?)?;
    let Some(files) = value.get_mut("files") else {
        bail!("{} has no list of files", checksums.display());
    };
    *files = serde_json::json!({});
    fs::write(&checksums, serde_json::to_vec(&value)?)?;
    fs::write(package.join(MARK), patch::version())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packages_of_a_registry_are_needed() -> anyhow::Result<()> {
        let lock = r#"
            version = 4
            [[package]]
            name = "ours"
            version = "0.1.0"
            [[package]]
            name = "theirs"
            version = "1.2.3+x"
            source = "registry+https://example.invalid/index"
            checksum = "00"
        "#;
        assert_eq!(registry_packages(lock)?, ["theirs-1.2.3+x"]);
        Ok(())
    }
}
