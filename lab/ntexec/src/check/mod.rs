//! Rules that drivers must keep, and what is said when one does not.
//!
//! A broken rule becomes a [`Record::Violation`] that names driver, call and rule, and fails the run unless the
//! allow-list of the run's plan explains it. The driver is found by the return addresses on the stack, or given.

use alloc::format;
use alloc::string::{String, ToString};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use lab_protocol::record::Record;

use crate::sync::Lock;

pub mod callback;
pub mod calls;

static VIOLATIONS: AtomicU32 = AtomicU32::new(0);
static REPORTING: AtomicBool = AtomicBool::new(false);
static SEEN: Lock<alloc::collections::BTreeMap<(String, String, String), u32>> =
    Lock::new(alloc::collections::BTreeMap::new());

/// A rule, where it is broken often, is reported so many times.
const REPEATS: u32 = 3;

/// How many violations there were.
pub fn violations() -> u32 {
    VIOLATIONS.load(Ordering::Acquire)
}

/// Reports a broken rule; the driver and the routine are those of the last call on this processor. Any IRQL.
pub fn violation(rule: &'static str, what: core::fmt::Arguments<'_>) {
    let (driver, call) = calls::current();
    violation_by(&driver, &call, rule, what);
}

/// Reports a rule that `driver` broke in `call`. Any IRQL.
pub fn violation_by(driver: &str, call: &str, rule: &str, what: core::fmt::Arguments<'_>) {
    VIOLATIONS.fetch_add(1, Ordering::AcqRel);
    if REPORTING.swap(true, Ordering::AcqRel) {
        // A violation while one is reported, here or on another processor: it is counted, which fails the run.
        return;
    }
    let key = (driver.to_string(), call.to_string(), rule.to_string());
    let times = {
        let mut seen = SEEN.lock();
        let n = seen.entry(key).or_insert(0);
        *n = n.saturating_add(1);
        *n
    };
    if times <= REPEATS {
        emit(&Record::Violation {
            driver: driver.into(),
            call: call.into(),
            rule: rule.into(),
            detail: format!("{what}"),
        });
    }
    REPORTING.store(false, Ordering::Release);
}

/// Sends a record to the host. Any IRQL.
pub fn emit(record: &Record) {
    if matches!(record, Record::Reboot { .. } | Record::BugCheck { .. }) {
        crate::cm::tell_changes();
    }
    crate::kd::text(&record.to_text());
}
