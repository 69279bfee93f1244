//! Debug output: DbgPrint and its kin, and those who listen in.
//!
//! Everything is printed, whatever its level: the lab has no debugger whose masks could apply. As with a debugger, a text
//! of up to 512 bytes at a time.

use alloc::string::String;
use alloc::vec::Vec;

use super::printf;
use crate::nt::base::{NTSTATUS, STRING};
use crate::nt::status::*;
use crate::sync::Lock;

/// What a driver is called with for each text (`DbgSetDebugPrintCallback`).
type Callback = unsafe extern "win64" fn(*mut STRING, u32, u32);

static CALLBACKS: Lock<Vec<Callback>> = Lock::new(Vec::new());
const MOST: usize = 512;

/// vDbgPrintExWithPrefix: any IRQL.
///
/// # Safety
/// As printf.
pub unsafe extern "win64" fn vDbgPrintExWithPrefix(
    prefix: *const u8,
    component: u32,
    level: u32,
    format: *const u8,
    va: *const u64,
) -> u32 {
    let mut text = String::new();
    let mut add = |c: u16| {
        if text.len() < MOST {
            text.push(u8::try_from(c).map_or('?', char::from));
        }
    };
    if !prefix.is_null() {
        (0..super::crt::strlen(prefix)).for_each(|i| add((*prefix.add(i)).into()));
    }
    printf::format(&|i| u16::from(*format.add(i)), false, va, &mut add);
    for line in text.split(['\n', '\r']).filter(|l| !l.trim().is_empty()) {
        crate::kd::text(line);
        remember(line);
    }
    let callbacks = CALLBACKS.lock().clone();
    let mut string = STRING {
        Length: text.len() as u16,
        MaximumLength: text.len() as u16,
        Buffer: text.as_mut_ptr(),
    };
    for callback in callbacks {
        callback(&mut string, component, level);
    }
    0
}

/// Keeps what the running thread printed last, for reports.
fn remember(line: &str) {
    let mut said = crate::kd::Line::new();
    let _ = core::fmt::Write::write_str(&mut said, line);
    let thread = crate::ke::KeGetCurrentThread();
    if !thread.is_null() {
        // SAFETY: the running thread; nobody else touches the field.
        unsafe { (&raw mut (*thread).said).write(said) };
    }
}

/// vDbgPrintEx: any IRQL.
///
/// # Safety
/// As printf.
pub unsafe extern "win64" fn vDbgPrintEx(
    component: u32,
    level: u32,
    format: *const u8,
    va: *const u64,
) -> u32 {
    vDbgPrintExWithPrefix(core::ptr::null(), component, level, format, va)
}

/// DPFLTR_DEFAULT_ID and DPFLTR_INFO_LEVEL, which DbgPrint implies.
unsafe extern "win64" fn default_print(format: *const u8, va: *const u64) -> u32 {
    vDbgPrintExWithPrefix(core::ptr::null(), 101, 3, format, va)
}

crate::variadic!(DbgPrint, 1, "rdx", default_print);
crate::variadic!(DbgPrintEx, 3, "r9", vDbgPrintEx);

/// DbgSetDebugPrintCallback: adds or removes a listener.
///
/// # Safety
/// The callback must stay callable until it is removed.
pub unsafe extern "win64" fn DbgSetDebugPrintCallback(callback: Callback, enable: u8) -> NTSTATUS {
    let mut list = CALLBACKS.lock();
    let at = list
        .iter()
        .position(|c| core::ptr::fn_addr_eq(*c, callback));
    match (at, enable != 0) {
        (None, true) => list.push(callback),
        (Some(i), false) => {
            list.remove(i);
        }
        _ => return STATUS_INVALID_PARAMETER_1,
    }
    STATUS_SUCCESS
}

/// DbgSetDebugFilterState: nothing is filtered here, so there is no state to set.
///
/// # Safety
/// None needed.
pub unsafe extern "win64" fn DbgSetDebugFilterState(
    _component: u32,
    _level: u32,
    _state: u8,
) -> NTSTATUS {
    STATUS_SUCCESS
}

/// DbgQueryDebugFilterState: everything is printed.
///
/// # Safety
/// None needed.
pub unsafe extern "win64" fn DbgQueryDebugFilterState(_component: u32, _level: u32) -> NTSTATUS {
    1
}

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl {
        vDbgPrintExWithPrefix, vDbgPrintEx, DbgPrint, DbgPrintEx, DbgSetDebugPrintCallback, DbgSetDebugFilterState,
        DbgQueryDebugFilterState,
    }
}
