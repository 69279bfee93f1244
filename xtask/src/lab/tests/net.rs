//! The lab's tests of network adapters.

use super::Test;

const BASIC: &str = include_str!("../../../../lab/plans/net-basic.toml");

/// An adapter as it is without options.
const ONE: &[&str] = &[""];
const TWO: &[&str] = &["", ""];
const TWIN: &[&str] = &["type=ioemu"];
const JUMBO: &[&str] = &["mtu=9000"];
/// On one bridge.
const NEIGHBOURS: &[&str] = &["bridge=lab0", "bridge=lab0"];

const fn test(name: &'static str, plan: &'static str, nics: &'static [&'static str]) -> Test {
    Test {
        name,
        plan,
        disks: &[],
        nics,
    }
}

/// The plans about adapters.
pub(super) const PLANS: &[Test] = &[
    test("net-basic", BASIC, ONE),
    test(
        "net-offload",
        include_str!("../../../../lab/plans/net-offload.toml"),
        ONE,
    ),
    test(
        "net-broken",
        include_str!("../../../../lab/plans/net-broken.toml"),
        ONE,
    ),
    test(
        "net-counters",
        include_str!("../../../../lab/plans/net-counters.toml"),
        ONE,
    ),
    test(
        "net-reconnect",
        include_str!("../../../../lab/plans/net-reconnect.toml"),
        TWO,
    ),
    test(
        "net-two-adapters",
        include_str!("../../../../lab/plans/net-two-adapters.toml"),
        TWO,
    ),
    test(
        "net-twin",
        include_str!("../../../../lab/plans/net-twin.toml"),
        TWIN,
    ),
    test(
        "net-trusted",
        include_str!("../../../../lab/plans/net-trusted.toml"),
        JUMBO,
    ),
    test(
        "net-tags",
        include_str!("../../../../lab/plans/net-tags.toml"),
        ONE,
    ),
    test(
        "net-receive",
        include_str!("../../../../lab/plans/net-receive.toml"),
        NEIGHBOURS,
    ),
    test(
        "net-throughput",
        include_str!("../../../../lab/plans/net-throughput.toml"),
        ONE,
    ),
];
