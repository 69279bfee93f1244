//! The workflows in `.github` are linted: by GitHub's schema, and for what an attacker could use. They were not run by the
//! project, so this is what is known of them.

use super::Outcome;
use crate::run::{self, workspace};
use lab_host::cache;
use lab_host::packages::{self, Need};
use std::path::Path;
use std::process::Command;

/// The linters, from PyPI: zizmor (MIT) and check-jsonschema (Apache-2.0), which has GitHub's schema in it.
const LINTERS: &[&str] = &["zizmor==1.32.0", "check-jsonschema==0.39.0"];

/// What gets them.
pub const NEEDS: &[Need] = &[
    Need {
        what: "python3",
        package: "python3",
    },
    Need {
        what: "pip3",
        package: "python3-pip",
    },
];

/// Lints all workflows.
///
/// # Errors
/// What the linters found, or if they cannot be fetched.
pub fn lint() -> anyhow::Result<Outcome> {
    packages::ensure(NEEDS)?;
    let key = cache::key(LINTERS.iter().map(|linter| linter.as_bytes()));
    let linters = cache::entry("workflow-linters", &key, fetch)?;
    let folder = workspace().join(".github/workflows");

    let mut zizmor = Command::new(linters.join("bin/zizmor"));
    zizmor.args(["--offline", "--no-progress"]).arg(&folder);
    run::step("lints of the workflows, zizmor", &mut zizmor)?;

    let mut schema = Command::new("python3");
    schema
        .env("PYTHONPATH", &linters)
        .args(["-m", "check_jsonschema"])
        .args(["--builtin-schema", "vendor.github-workflows"])
        .arg(folder.join("linux.yml"))
        .arg(folder.join("windows.yml"));
    run::step("lints of the workflows, schema", &mut schema)?;
    Ok(Outcome::PASSED)
}

fn fetch(folder: &Path) -> anyhow::Result<()> {
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-warn-script-location",
    ])
    .args(["--disable-pip-version-check", "--only-binary", ":all:"])
    .arg("--target")
    .arg(folder)
    .args(LINTERS);
    run::step("fetching the linters of workflows", &mut pip).map(drop)
}
