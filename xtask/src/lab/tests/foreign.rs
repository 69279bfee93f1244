//! The plans on drivers that were built elsewhere, alone and mixed with this project's.

use super::{Job, Test, XVDE, own};
use crate::lab::allowed;
use std::path::{Path, PathBuf};

/// Names the folder of drivers that were built elsewhere: `free` and `checked` in it, and in these a folder a package.
pub const FOREIGN: &str = "XEN_FOREIGN_DRIVERS";

/// What is run on a checked xenvbd.sys: a disk is detached before its adapter goes (docs/findings.md).
const DETACHED: Test = Test::on_disks(
    "detached",
    r#"
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
    XVDE,
);

/// An adapter on their network drivers: what [`net`](super::net)'s plans do at length. There is none before the restart that they
/// ask for, since the emulated adapters go only at a boot that the one before it armed.
macro_rules! carried {
    () => {
        r#"
        [[step]]
        expect-nics = { nics = [0] }
        [[step]]
        net-up = {}
        [[step]]
        ping = { count = 3 }
        [[step]]
        ping = { count = 3, size = 4000 }
        [[step]]
        pinged = { count = 3 }
        [[step]]
        pinged = { count = 3, size = 8000 }
        [[step]]
        pinged = { count = 3, ipv6 = true }
        [[step]]
        transfer = { direction = "send", bytes = "1MiB" }
        [[step]]
        transfer = { direction = "receive", bytes = "1MiB" }
        [[step]]
        transfer = { direction = "both", bytes = "256KiB", ipv6 = true }
        [[step]]
        echo = { bytes = "128KiB" }
        [[step]]
        udp-flood = { direction = "send", packets = 200, size = 1400 }
        [[step]]
        udp-flood = { direction = "receive", packets = 200, size = 1400 }
        [[step]]
        unload = {}
        [[step]]
        start = {}
        [[step]]
        net-up = { address = "dhcp" }
        [[step]]
        pinged = { count = 3, within-ms = 10000 }
        "#
    };
}

const NET: Test = Test::on_nics("net", carried!(), &[""]);

/// The same on this project's bus, which has one child for all adapters then.
const NET_ON_OURS: Test = Test::on_nics(
    "net-on-ours",
    concat!(
        r#"
        [[guest.registry]]
        key = '\Registry\Machine\System\CurrentControlSet\Services\xenbus\Parameters\VIF'
        name = "PerDevice"
        data = { dword = 0 }
        "#,
        carried!()
    ),
    &[""],
);

type Allowed = fn(&str) -> Option<&'static str>;
const ALL_THEIRS: Allowed = |failure| allowed::reason(failure, &[]);
const OUR_BUS: Allowed = |failure| allowed::reason(failure, &["xenbus.sys"]);
const OUR_DISKS: Allowed = |failure| allowed::reason(failure, &["xenvbd.sys"]);

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
            ("alone", package("xenbus"), package("xenvbd"), ALL_THEIRS),
            (
                "xenvbd-on-ours",
                own.join("xenbus.inf"),
                package("xenvbd"),
                OUR_BUS,
            ),
            (
                "xenbus-below-ours",
                package("xenbus"),
                own.join("xenvbd.inf"),
                OUR_DISKS,
            ),
        ];
        for (name, bus, disk, allowed) in combinations {
            let checked = build == "checked" && disk == package("xenvbd");
            jobs.push(Job {
                name: format!("foreign: {build}-{name}"),
                test: if checked { &DETACHED } else { &own::DISK },
                packages: vec![bus, disk],
                allowed,
            });
        }
        for (name, test, bus, allowed) in [
            ("net-alone", &NET, package("xenbus"), ALL_THEIRS),
            ("net-on-ours", &NET_ON_OURS, own.join("xenbus.inf"), OUR_BUS),
        ] {
            jobs.push(Job {
                name: format!("foreign: {build}-{name}"),
                test,
                packages: vec![bus, package("xenvif"), package("xennet")],
                allowed,
            });
        }
    }
    jobs
}

#[cfg(test)]
mod unit_tests {
    use super::super::nics;
    use super::{NET, NET_ON_OURS};

    #[test]
    fn the_plans_of_network_drivers_fit_their_adapter_and_differ_in_the_bus_parameter()
    -> anyhow::Result<()> {
        let [alone, ours] = [NET.plan, NET_ON_OURS.plan].map(lab_host::plan::parse);
        let (alone, ours) = (alone?, ours?);
        lab_host::plan::check_nics(&alone, &nics(NET.nics)?)?;
        assert_eq!(alone.step, ours.step);
        assert!(alone.guest.registry.is_empty());
        assert_eq!(ours.guest.registry.len(), 1);
        assert_eq!(ours.guest.registry[0].name, "PerDevice");
        Ok(())
    }
}
