//! Structured exception handling: what of it is here.
//!
//! A hardware exception or `RtlRaiseStatus`-like call in a driver is a bug check (KMODE_EXCEPTION_NOT_HANDLED): the
//! executive's memory is never paged and there is no user mode, so drivers' handlers guard what cannot fail here
//! (`MmProbeAndLockPages` on kernel addresses). `__C_specific_handler` is imported by every image that has a `__try`, and
//! called by an exception's dispatcher only; there is none, so a call is a bug check too.

use super::bugcheck;
use crate::nt::ke::{CONTEXT, EXCEPTION_RECORD, NTSTATUS, PVOID};

/// `__C_specific_handler`.
pub unsafe extern "win64" fn __C_specific_handler(
    ExceptionRecord: *mut EXCEPTION_RECORD,
    EstablisherFrame: PVOID,
    _ContextRecord: *mut CONTEXT,
    _DispatcherContext: PVOID,
) -> i32 {
    let r = &*ExceptionRecord;
    bugcheck::raise(
        bugcheck::KMODE_EXCEPTION_NOT_HANDLED,
        [
            r.ExceptionCode as u32 as usize,
            r.ExceptionAddress as usize,
            EstablisherFrame as usize,
            0,
        ],
    )
}

/// `ExRaiseStatus`.
pub unsafe extern "win64" fn ExRaiseStatus(Status: NTSTATUS) {
    bugcheck::raise(
        bugcheck::KMODE_EXCEPTION_NOT_HANDLED,
        [Status as u32 as usize, 0, 0, 0],
    )
}

exports! { pub static EXPORTS;
    Ntoskrnl { __C_specific_handler, ExRaiseStatus }
}
