//! The rules that a miniport must keep, beyond those that hold for every driver.

use super::adapter::Adapter;
use super::os::*;

/// Reports a broken rule of a miniport.
pub(crate) fn broken(
    adapter: &Adapter,
    call: &str,
    rule: &'static str,
    what: core::fmt::Arguments<'_>,
) {
    crate::check::violation_by(&adapter.name, call, rule, what);
}

/// Writes a line to the log.
pub(crate) fn log(adapter: &Adapter, what: core::fmt::Arguments<'_>) {
    crate::kd::text(&alloc::format!("storport: {}: {what}", adapter.name));
}

/// The longest time that a callback of a kind may take, in units of 100 ns ([BC 0xF1], the SCSI port's figures).
fn limit(call: &str) -> u64 {
    match call {
        "HwFindAdapter" | "HwPassiveInitialize" | "HwAdapterControl" => u64::MAX,
        "HwInitialize" => 5 * SECOND,
        _ => SECOND / 2,
    }
}

/// Calls a miniport's routine: it must come back at the level that it was called at, and in time.
pub(crate) fn call<R>(adapter: &Adapter, name: &str, routine: impl FnOnce() -> R) -> R {
    let late = |took| log(adapter, format_args!("{name} took {took} ms"));
    crate::check::callback::call(&adapter.name, name, limit(name), late, routine)
}
