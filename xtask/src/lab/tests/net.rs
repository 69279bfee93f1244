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

/// The plans about adapters.
pub(super) const PLANS: &[Test] = &[
    Test::on_nics("net-basic", BASIC, ONE),
    Test::on_nics(
        "net-offload",
        include_str!("../../../../lab/plans/net-offload.toml"),
        ONE,
    ),
    Test::on_nics(
        "net-broken",
        include_str!("../../../../lab/plans/net-broken.toml"),
        ONE,
    ),
    Test::on_nics(
        "net-counters",
        include_str!("../../../../lab/plans/net-counters.toml"),
        ONE,
    ),
    Test::on_nics(
        "net-reconnect",
        include_str!("../../../../lab/plans/net-reconnect.toml"),
        TWO,
    ),
    Test::on_nics(
        "net-two-adapters",
        include_str!("../../../../lab/plans/net-two-adapters.toml"),
        TWO,
    ),
    Test::on_nics(
        "net-twin",
        include_str!("../../../../lab/plans/net-twin.toml"),
        TWIN,
    ),
    Test::on_nics(
        "net-trusted",
        include_str!("../../../../lab/plans/net-trusted.toml"),
        JUMBO,
    ),
    Test::on_nics(
        "net-tags",
        include_str!("../../../../lab/plans/net-tags.toml"),
        ONE,
    ),
    Test::on_nics(
        "net-receive",
        include_str!("../../../../lab/plans/net-receive.toml"),
        NEIGHBOURS,
    ),
    Test::on_nics(
        "net-throughput",
        include_str!("../../../../lab/plans/net-throughput.toml"),
        ONE,
    ),
];
