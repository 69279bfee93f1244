//! Calls into a driver, as a port driver makes them.

use crate::ke::{KeGetCurrentIrql, KeLowerIrql, KeQueryInterruptTime, KfRaiseIrql};

/// Calls `routine` of `driver`, which must come back at the IRQL that it was called at; that level is restored if it does
/// not. `late` is told how long it took, in milliseconds, if that is more than `limit` (in units of 100 ns): on an emulated
/// processor time passes faster than work is done, so that this is said and does not fail the run.
pub fn call<R>(
    driver: &str,
    name: &str,
    limit: u64,
    late: impl FnOnce(u64),
    routine: impl FnOnce() -> R,
) -> R {
    let (before, begun) = (KeGetCurrentIrql(), KeQueryInterruptTime());
    let result = routine();
    let after = KeGetCurrentIrql();
    if after != before {
        super::violation_by(
            driver,
            name,
            "IRQL",
            format_args!("called at IRQL {before}, came back at {after}"),
        );
        if after > before {
            KeLowerIrql(before);
        } else {
            KfRaiseIrql(before);
        }
    }
    let took = KeQueryInterruptTime().saturating_sub(begun);
    if took > limit {
        late(took / 10_000);
    }
    result
}
