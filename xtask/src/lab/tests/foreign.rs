//! The plans on drivers that were built elsewhere, alone and mixed with this project's.

use super::{Job, Test, XVDE, own};
use crate::lab::allowed;
use std::path::{Path, PathBuf};

/// Names the folder of drivers that were built elsewhere: `free` and `checked` in it, and in these a folder a package.
pub const FOREIGN: &str = "XEN_FOREIGN_DRIVERS";

/// What is run on a checked xenvbd.sys: a disk is detached before its adapter goes (docs/findings.md).
const DETACHED: Test = Test {
    name: "detached",
    plan: r#"
        [[step]]
        expect-disks = { disks = ["xvde"] }
        [[step]]
        write = { disk = "xvde" }
        [[step]]
        flush = { disk = "xvde" }
        [[step]]
        verify = { disk = "xvde" }
        [[step]]
        verify = { disk = "xvde", offset = "1MiB", length = "256KiB", block = 512, depth = 1 }
        [[step]]
        hash = { disk = "xvde" }
        [[step]]
        xl = { args = ["block-detach", "$DOMID", "xvde"] }
        [[step]]
        expect-disks = { disks = [] }
        [[step]]
        unload = {}
        [[step]]
        start = {}
    "#,
    disks: XVDE,
    nics: &[],
};

/// The same plan on drivers that run on Windows, alone and mixed with this project's in `own`. Without them there is nothing to do.
pub(super) fn jobs(own: &Path) -> Vec<Job> {
    let Some(foreign) = std::env::var_os(FOREIGN).map(PathBuf::from) else {
        println!(
            "      {FOREIGN} names no folder: no drivers that were built elsewhere to test with"
        );
        return Vec::new();
    };
    let mut jobs = Vec::new();
    for build in ["free", "checked"] {
        let package = |name: &str| foreign.join(build).join(name);
        let combinations = [
            ("alone", package("xenbus"), package("xenvbd")),
            ("xenvbd-on-ours", own.join("xenbus.inf"), package("xenvbd")),
            (
                "xenbus-below-ours",
                package("xenbus"),
                own.join("xenvbd.inf"),
            ),
        ];
        for (name, bus, disk) in combinations {
            let checked = build == "checked" && disk == package("xenvbd");
            jobs.push(Job {
                name: format!("foreign: {build}-{name}"),
                test: if checked { &DETACHED } else { &own::DISK },
                packages: vec![bus, disk],
                allowed: allowed::reason,
            });
        }
    }
    jobs
}
