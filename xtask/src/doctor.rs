//! `cargo xtask doctor`: what is missing on this machine, and how to get it.

use crate::package::signing;
use crate::toolchain::{Found, Toolchain};
use lab_host::packages::{self, Need};
use std::process::ExitCode;

/// What the comparison of the ABI with Xen's headers needs.
pub const ABI: &[Need] = &[
    Need {
        what: "cc",
        package: "gcc",
    },
    Need {
        what: "/usr/include/stdio.h",
        package: "libc6-dev",
    },
    Need {
        what: "/usr/include/xen/xen.h",
        package: "libxen-dev",
    },
];

/// Prints a line for each part, and the command that gets what is missing. The exit status says whether all is there.
///
/// # Errors
/// If the machine cannot be looked at.
pub fn run() -> anyhow::Result<ExitCode> {
    let mut missing: Vec<String> = Vec::new();
    match Toolchain::look() {
        Ok(Found::Complete(toolchain)) => {
            println!(
                "ok       Rust for the drivers and the guest: {}",
                toolchain.rust.version
            );
            println!(
                "ok       LLVM {} for linking and binding",
                toolchain.llvm.version
            );
            println!(
                "ok       headers for the drivers: mingw-w64 {}",
                toolchain.mingw_version()
            );
        }
        Ok(Found::Missing(packages)) => {
            println!("missing  the cross tool chain: {}", packages.join(" "));
            missing.extend(packages);
        }
        Err(error) => println!("missing  the cross tool chain: {error:#}"),
    }
    for (what, needs) in [
        ("the lab", packages::LAB),
        ("the ABI comparison", ABI),
        ("packages", signing::NEEDS),
    ] {
        for need in needs {
            let state = if need.is_met() { "ok     " } else { "missing" };
            println!("{state}  for {what}: {}", need.what);
        }
        missing.extend(packages::missing(needs).into_iter().map(str::to_owned));
    }
    if matches!(Toolchain::look(), Ok(Found::Complete(_))) && missing.is_empty() {
        println!("nothing is missing");
        return Ok(ExitCode::SUCCESS);
    }
    if !missing.is_empty() {
        println!(
            "to get what is missing (as root, every command that needs it does it by itself):\n  \
             sudo apt-get update && sudo apt-get install --no-install-recommends {}",
            missing.join(" ")
        );
    }
    Ok(ExitCode::FAILURE)
}
