//! The plans on this project's drivers.

use super::{BASIC, Job, Test, TestDisk, XVDE, net, raw};
use crate::drivers;
use crate::lab::renamed;
use std::path::Path;
use tempfile::TempDir;

/// The same I/O for all disk drivers.
pub(super) const DISK: Test = Test::on_disks("basic", BASIC, XVDE);

/// The plans about the bus and disks; the longest is not the last, which the other Xens would wait for.
pub(super) const PLANS: &[Test] = &[
    Test::on_disks(
        "broken-backends",
        include_str!("../../../../lab/plans/broken-backends.toml"),
        XVDE,
    ),
    DISK,
    Test::on_disks(
        "hypercall-page",
        include_str!("../../../../lab/plans/hypercall-page.toml"),
        XVDE,
    ),
    Test::on_disks(
        "unknown-vendor",
        include_str!("../../../../lab/plans/unknown-vendor.toml"),
        XVDE,
    ),
    Test::on_disks(
        "vendor-device",
        include_str!("../../../../lab/plans/vendor-device.toml"),
        XVDE,
    ),
    Test::on_disks(
        "disks",
        include_str!("../../../../lab/plans/disks.toml"),
        &[
            raw("vdev=xvde,sector=4096"),
            raw("vdev=xvdf,readonly"),
            raw("vdev=xvdg"),
        ],
    ),
    Test::on_disks(
        "two-backends",
        include_str!("../../../../lab/plans/two-backends.toml"),
        &[raw("vdev=xvde,backend=phy"), raw("vdev=xvdf,backend=qdisk")],
    ),
    Test::on_disks(
        "qcow2",
        BASIC,
        &[TestDisk {
            options: "vdev=xvde,backend=qdisk,format=qcow2",
            format: "qcow2",
            size: 16 << 20,
        }],
    ),
    Test::on_disks(
        "devices",
        include_str!("../../../../lab/plans/devices.toml"),
        XVDE,
    ),
    Test::on_disks(
        "line-interrupt",
        include_str!("../../../../lab/plans/line-interrupt.toml"),
        XVDE,
    ),
    Test::on_disks(
        "two-level",
        include_str!("../../../../lab/plans/two-level.toml"),
        XVDE,
    ),
    Test::on_disks(
        "scsi",
        include_str!("../../../../lab/plans/scsi.toml"),
        XVDE,
    ),
    Test::on_disks(
        "toolstack",
        include_str!("../../../../lab/plans/toolstack.toml"),
        XVDE,
    ),
    Test::on_disks(
        "reboot",
        include_str!("../../../../lab/plans/reboot.toml"),
        XVDE,
    ),
    Test::on_disks(
        "twin",
        include_str!("../../../../lab/plans/twin.toml"),
        &[raw("vdev=xvda")],
    ),
];

/// What is run on the bus driver alone: its children have no drivers.
pub(super) const CHILDREN: Test = Test::on_disks(
    "children",
    include_str!("../../../../lab/plans/children.toml"),
    XVDE,
);

/// What is run on the drivers under other services' names.
const RENAMED: Test = Test::on_disks(
    "renamed-services",
    r#"
        [[step]]
        expect-disks = { disks = ["xvde"] }
        [[step]]
        write = { disk = "xvde", length = "2MiB" }
        [[step]]
        hash = { disk = "xvde" }
    "#,
    XVDE,
);

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
