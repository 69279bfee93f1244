//! The rules that a miniport must keep, beyond those that hold for every driver.

use super::adapter::Adapter;
use crate::storport::os::KeGetCurrentIrql;

/// The order and contents of attributes, initialisation.
pub(super) const ATTRIBUTES: &str = "NDIS attributes";
/// What is called in which state.
pub(super) const STATE: &str = "NDIS state";
/// Who owns a NET_BUFFER_LIST, and that it comes back as it went.
pub(super) const OWNERSHIP: &str = "NDIS ownership";
/// What an indication of received frames has to be.
pub(super) const INDICATION: &str = "NDIS receive indication";
/// How OID requests are answered.
pub(super) const OID: &str = "NDIS OID";
/// Offloads that are used are on.
pub(super) const OFFLOAD: &str = "NDIS offload";
/// Status indications.
pub(super) const STATUS: &str = "NDIS status indication";
/// A flag that says DISPATCH_LEVEL is true.
pub(super) const DISPATCH: &str = "NDIS dispatch flag";
/// What is allocated is freed by MiniportHaltEx.
pub(super) const LEAK: &str = "NDIS leak";
/// Objects are used as long as they exist, and freed once.
pub(super) const OBJECT: &str = "NDIS object";
/// What takes too long.
pub(super) const TIME: &str = "NDIS time";

/// Reports a broken rule of a miniport.
pub(super) fn broken(adapter: &Adapter, call: &str, rule: &str, what: core::fmt::Arguments<'_>) {
    crate::check::violation_by(&adapter.name, call, rule, what);
}

/// Writes a line to the log.
pub(super) fn log(adapter: &Adapter, what: core::fmt::Arguments<'_>) {
    crate::kd::text(&alloc::format!("ndis: {}: {what}", adapter.instance));
}

/// Calls a miniport's routine: it must come back at the level that it was called at.
pub(super) fn call<R>(adapter: &Adapter, name: &str, routine: impl FnOnce() -> R) -> R {
    let late = |took| log(adapter, format_args!("{name} took {took} ms"));
    crate::check::callback::call(
        &adapter.name,
        name,
        crate::storport::os::SECOND,
        late,
        routine,
    )
}

/// Checks a flag that says that the caller is at DISPATCH_LEVEL.
pub(super) fn dispatch_flag(adapter: &Adapter, name: &str, flag: u32) {
    let irql = KeGetCurrentIrql();
    if flag != 0 && irql != crate::nt::ke::DISPATCH_LEVEL {
        broken(
            adapter,
            name,
            DISPATCH,
            format_args!("says DISPATCH_LEVEL at IRQL {irql}"),
        );
    }
}
