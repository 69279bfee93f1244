//! Processors: one group of at most 32, all there from the start.

use super::pcr::{self, MAX_CPUS};
use crate::machine::machine;
use crate::nt::ke::{
    KAFFINITY, KE_PROCESSOR_CHANGE_NOTIFY_CONTEXT, NTSTATUS, PROCESSOR_NUMBER, PVOID,
};
use crate::nt::status::{STATUS_INVALID_PARAMETER, STATUS_NOT_FOUND, STATUS_SUCCESS};
use crate::sync::Lock;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// `ALL_PROCESSOR_GROUPS`.
const ALL_PROCESSOR_GROUPS: u16 = 0xFFFF;
/// `INVALID_PROCESSOR_INDEX`.
const INVALID_PROCESSOR_INDEX: u32 = u32::MAX;
/// `KE_PROCESSOR_CHANGE_ADD_EXISTING`.
const ADD_EXISTING: u32 = 1;
/// `KeProcessorAddStartNotify`, `KeProcessorAddCompleteNotify`.
const START_NOTIFY: i32 = 0;
const COMPLETE_NOTIFY: i32 = 1;

fn count() -> u32 {
    machine().cpu_count() as u32
}

fn number(index: usize) -> PROCESSOR_NUMBER {
    PROCESSOR_NUMBER {
        Group: 0,
        Number: index as u8,
        Reserved: 0,
    }
}

/// `KeQueryActiveProcessorCountEx`. Any IRQL.
pub extern "win64" fn KeQueryActiveProcessorCountEx(GroupNumber: u16) -> u32 {
    if GroupNumber == 0 || GroupNumber == ALL_PROCESSOR_GROUPS {
        count()
    } else {
        0
    }
}

/// `KeQueryActiveProcessorCount`.
pub unsafe extern "win64" fn KeQueryActiveProcessorCount(ActiveProcessors: *mut KAFFINITY) -> u32 {
    if !ActiveProcessors.is_null() {
        *ActiveProcessors = KeQueryActiveProcessors();
    }
    count()
}

/// `KeQueryActiveProcessors`.
pub extern "win64" fn KeQueryActiveProcessors() -> KAFFINITY {
    super::thread::all_processors()
}

/// `KeQueryGroupAffinity`.
pub extern "win64" fn KeQueryGroupAffinity(GroupNumber: u16) -> KAFFINITY {
    if GroupNumber == 0 {
        KeQueryActiveProcessors()
    } else {
        0
    }
}

/// `KeQueryMaximumProcessorCountEx`. No processor is added later.
pub extern "win64" fn KeQueryMaximumProcessorCountEx(GroupNumber: u16) -> u32 {
    KeQueryActiveProcessorCountEx(GroupNumber)
}

/// `KeQueryMaximumProcessorCount`.
pub extern "win64" fn KeQueryMaximumProcessorCount() -> u32 {
    count()
}

/// `KeQueryActiveGroupCount`.
pub extern "win64" fn KeQueryActiveGroupCount() -> u16 {
    1
}

/// `KeQueryMaximumGroupCount`.
pub extern "win64" fn KeQueryMaximumGroupCount() -> u16 {
    1
}

/// `KeGetCurrentProcessorNumberEx`: gives the index. Any IRQL.
pub unsafe extern "win64" fn KeGetCurrentProcessorNumberEx(
    ProcNumber: *mut PROCESSOR_NUMBER,
) -> u32 {
    let index = pcr::this().number();
    if !ProcNumber.is_null() {
        *ProcNumber = number(index);
    }
    index as u32
}

/// `KeGetProcessorNumberFromIndex`.
pub unsafe extern "win64" fn KeGetProcessorNumberFromIndex(
    ProcIndex: u32,
    ProcNumber: *mut PROCESSOR_NUMBER,
) -> NTSTATUS {
    if ProcIndex >= count() {
        return STATUS_INVALID_PARAMETER;
    }
    *ProcNumber = number(ProcIndex as usize);
    STATUS_SUCCESS
}

/// `KeGetProcessorIndexFromNumber`.
pub unsafe extern "win64" fn KeGetProcessorIndexFromNumber(
    ProcNumber: *mut PROCESSOR_NUMBER,
) -> u32 {
    let n = *ProcNumber;
    if n.Group == 0 && u32::from(n.Number) < count() {
        u32::from(n.Number)
    } else {
        INVALID_PROCESSOR_INDEX
    }
}

/// `KeIpiGenericCall`'s routine.
pub type BroadcastWorker = unsafe extern "win64" fn(argument: usize) -> usize;

/// `PROCESSOR_CALLBACK_FUNCTION`.
type Callback = unsafe extern "win64" fn(
    context: PVOID,
    change: *mut KE_PROCESSOR_CHANGE_NOTIFY_CONTEXT,
    status: *mut NTSTATUS,
);

struct Registration {
    _callback: Callback,
    _context: usize,
}

// The boxes' addresses are the handles.
#[allow(clippy::vec_box)]
static REGISTRATIONS: Lock<Vec<Box<Registration>>> = Lock::new(Vec::new());

unsafe fn notify(
    callback: Callback,
    context: PVOID,
    state: i32,
    index: usize,
    status: &mut NTSTATUS,
) {
    let mut change = KE_PROCESSOR_CHANGE_NOTIFY_CONTEXT {
        State: state,
        NtNumber: index as u32,
        Status: STATUS_SUCCESS,
        ProcNumber: number(index),
    };
    callback(context, &raw mut change, status);
}

/// [KeRegisterProcessorChangeCallback](https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-keregisterprocessorchangecallback):
/// with `KE_PROCESSOR_CHANGE_ADD_EXISTING` the callback is called for every processor at once: start for all, then
/// complete for all. Null if the callback refused one.
pub unsafe extern "win64" fn KeRegisterProcessorChangeCallback(
    CallbackFunction: Callback,
    CallbackContext: PVOID,
    Flags: u32,
) -> PVOID {
    if Flags & ADD_EXISTING != 0 {
        for state in [START_NOTIFY, COMPLETE_NOTIFY] {
            for index in 0..machine().cpu_count() {
                let mut status = STATUS_SUCCESS;
                notify(CallbackFunction, CallbackContext, state, index, &mut status);
                if state == START_NOTIFY && status < 0 {
                    return core::ptr::null_mut();
                }
            }
        }
    }
    let registration = Box::new(Registration {
        _callback: CallbackFunction,
        _context: CallbackContext as usize,
    });
    let handle = core::ptr::from_ref(&*registration).cast_mut().cast();
    REGISTRATIONS.lock().push(registration);
    handle
}

/// `KeDeregisterProcessorChangeCallback`.
pub unsafe extern "win64" fn KeDeregisterProcessorChangeCallback(CallbackHandle: PVOID) {
    let known = {
        let mut list = REGISTRATIONS.lock();
        let at = list
            .iter()
            .position(|r| core::ptr::from_ref(&**r).cast_mut().cast() == CallbackHandle);
        at.map(|i| list.swap_remove(i))
    };
    if known.is_none() {
        crate::check::violation(
            "a processor change callback that is taken back was registered",
            format_args!("handle {CallbackHandle:p} ({STATUS_NOT_FOUND:#x})"),
        );
    }
}

const _: () = assert!(MAX_CPUS <= 64);

exports! { pub static EXPORTS;
    Ntoskrnl {
        KeQueryActiveProcessorCountEx, KeQueryActiveProcessorCount, KeQueryActiveProcessors, KeQueryGroupAffinity,
        KeQueryMaximumProcessorCountEx, KeQueryMaximumProcessorCount, KeQueryActiveGroupCount, KeQueryMaximumGroupCount,
        KeGetCurrentProcessorNumberEx, KeGetProcessorNumberFromIndex, KeGetProcessorIndexFromNumber,
        KeRegisterProcessorChangeCallback, KeDeregisterProcessorChangeCallback,
    }
}
