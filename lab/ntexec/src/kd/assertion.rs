//! Assertions that fail in drivers of a checked build.
//!
//! `NT_ASSERT` and drivers' own macros end in `DbgRaiseAssertionFailure`, `int 2Ch` on x64
//! (<https://learn.microsoft.com/previous-versions/jj635749(v=vs.85)>). Without a debugger Windows stops with bug check 1Eh;
//! so it is here, and the report says what the thread printed last, which is where these macros say what failed. To go on
//! behind the instruction, as a debugger could, is no choice: compilers take it for one that does not return.

use core::fmt::Write;

use super::{Line, bugcheck};
use crate::ke::KeGetCurrentThread;
use crate::machine::TrapFrame;

const STATUS_ASSERTION_FAILURE: usize = 0xC000_0420;

/// Ends the run because of a failed assertion. Any IRQL.
pub fn failed(frame: &TrapFrame) -> ! {
    let thread = KeGetCurrentThread();
    // SAFETY: the running thread; what it said is its own.
    let said = unsafe { thread.as_ref() }.map_or("", |t| t.said.as_str());
    let mut detail = Line::new();
    let _ = write!(detail, "assertion: {said}");
    let p = [STATUS_ASSERTION_FAILURE, frame.rip as usize, 0, 0];
    bugcheck::raise_at(
        frame,
        bugcheck::KMODE_EXCEPTION_NOT_HANDLED,
        p,
        detail.as_str(),
    )
}
