//! The plans on this project's drivers.

use super::{BASIC, Job, Test, TestDisk, XVDE, net, raw};
use crate::drivers;
use crate::lab::renamed;
use std::path::Path;
use tempfile::TempDir;

/// The same I/O for all disk drivers.
pub(super) const DISK: Test = Test {
    name: "basic",
    plan: BASIC,
    disks: XVDE,
    nics: &[],
};

/// The plans about the bus and disks.
pub(super) const PLANS: &[Test] = &[
    DISK,
    Test {
        name: "hypercall-page",
        plan: include_str!("../../../../lab/plans/hypercall-page.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "unknown-vendor",
        plan: include_str!("../../../../lab/plans/unknown-vendor.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "vendor-device",
        plan: include_str!("../../../../lab/plans/vendor-device.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "disks",
        plan: include_str!("../../../../lab/plans/disks.toml"),
        disks: &[
            raw("vdev=xvde,sector=4096"),
            raw("vdev=xvdf,readonly"),
            raw("vdev=xvdg"),
        ],
        nics: &[],
    },
    Test {
        name: "two-backends",
        plan: include_str!("../../../../lab/plans/two-backends.toml"),
        disks: &[raw("vdev=xvde,backend=phy"), raw("vdev=xvdf,backend=qdisk")],
        nics: &[],
    },
    Test {
        name: "qcow2",
        plan: BASIC,
        disks: &[TestDisk {
            options: "vdev=xvde,backend=qdisk,format=qcow2",
            format: "qcow2",
            size: 16 << 20,
        }],
        nics: &[],
    },
    Test {
        name: "devices",
        plan: include_str!("../../../../lab/plans/devices.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "line-interrupt",
        plan: include_str!("../../../../lab/plans/line-interrupt.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "two-level",
        plan: include_str!("../../../../lab/plans/two-level.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "scsi",
        plan: include_str!("../../../../lab/plans/scsi.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "toolstack",
        plan: include_str!("../../../../lab/plans/toolstack.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "reboot",
        plan: include_str!("../../../../lab/plans/reboot.toml"),
        disks: XVDE,
        nics: &[],
    },
    Test {
        name: "twin",
        plan: include_str!("../../../../lab/plans/twin.toml"),
        disks: &[raw("vdev=xvda")],
        nics: &[],
    },
    Test {
        name: "broken-backends",
        plan: include_str!("../../../../lab/plans/broken-backends.toml"),
        disks: XVDE,
        nics: &[],
    },
];

/// What is run on the bus driver alone: its children have no drivers.
pub(super) const CHILDREN: Test = Test {
    name: "children",
    plan: include_str!("../../../../lab/plans/children.toml"),
    disks: XVDE,
    nics: &[],
};

/// What is run on the drivers under other services' names.
const RENAMED: Test = Test {
    name: "renamed-services",
    plan: r#"
        [[step]]
        expect-disks = { disks = ["xvde"] }
        [[step]]
        write = { disk = "xvde", length = "2MiB" }
        [[step]]
        hash = { disk = "xvde" }
    "#,
    disks: XVDE,
    nics: &[],
};

/// Every plan of `lab/plans` on the package in `own`. The folder that comes with them holds the drivers of one of them.
///
/// # Errors
/// If the drivers cannot be copied.
pub(super) fn jobs(own: &Path) -> anyhow::Result<(Vec<Job>, TempDir)> {
    let job = |suite: &str, test: &'static Test, packages| Job {
        name: format!("{suite}: {}", test.name),
        test,
        packages,
        allowed: |_| None,
    };
    let renamed = renamed::copy(&crate::run::workspace().join(drivers::OUT))?;
    // Those that take the longest come first, so that all Xens end at about the same time.
    let network = net::PLANS.iter().map(|test| ("network", test));
    let mut jobs: Vec<Job> = network
        .chain(PLANS.iter().map(|test| ("own", test)))
        .map(|(suite, test)| job(suite, test, vec![own.to_owned()]))
        .collect();
    jobs.push(job("own", &RENAMED, vec![renamed.path().to_owned()]));
    jobs.push(job("own", &CHILDREN, vec![own.join("xenbus.inf")]));
    Ok((jobs, renamed))
}
