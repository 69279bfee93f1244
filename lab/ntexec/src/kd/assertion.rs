//! Assertions that fail in drivers of a checked build.
//!
//! `NT_ASSERT` and drivers' own macros end in `DbgRaiseAssertionFailure`, `int 2Ch` on x64
//! (<https://learn.microsoft.com/previous-versions/jj635749(v=vs.85)>). A checked driver is run under a kernel debugger, which
//! may let it go on (<https://learn.microsoft.com/previous-versions/ff961903(v=vs.85)>: "gives you the option of ignoring the
//! exception"). That is what the executive does: the failure is a finding, which names the driver and what it printed last,
//! and the driver goes on behind the instruction, as a free build of it would. One that fails again and again is stopped.

use core::sync::atomic::{AtomicU32, Ordering};

use super::{bugcheck, modules};
use crate::check::violation_by;
use crate::ke::KeGetCurrentThread;
use crate::machine::TrapFrame;

const STATUS_ASSERTION_FAILURE: usize = 0xC000_0420;
/// Failed assertions that a run may go on after.
const MOST: u32 = 32;

static FAILED: AtomicU32 = AtomicU32::new(0);

/// Reports a failed assertion. `frame` is behind the instruction. Any IRQL.
pub fn failed(frame: &TrapFrame) {
    let at = frame.rip as usize;
    let owner = modules::find(at).filter(|m| m.driver != 0);
    let Some(image) = owner.filter(|_| FAILED.fetch_add(1, Ordering::AcqRel) < MOST) else {
        let p = [STATUS_ASSERTION_FAILURE, at, 0, 0];
        bugcheck::raise_at(frame, bugcheck::KMODE_EXCEPTION_NOT_HANDLED, p, "assertion")
    };
    let thread = KeGetCurrentThread();
    // SAFETY: the running thread; what it said is its own.
    let said = unsafe { thread.as_ref() }.map_or("", |t| t.said.as_str());
    violation_by(
        image.name(),
        "int 2Ch",
        "an assertion failed",
        format_args!("at +{:#x}, behind {said:?}", at - image.base),
    );
}
