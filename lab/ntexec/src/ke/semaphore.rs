//! Semaphores. <https://learn.microsoft.com/windows-hardware/drivers/kernel/semaphore-objects>

use super::dispatcher;
use super::thread::reschedule_if_wanted;
use super::wait;
use crate::kd::bugcheck;
use crate::nt::ke::{BOOLEAN, DISPATCHER_HEADER, KPRIORITY, KSEMAPHORE, LIST_ENTRY, object_type};
use crate::nt::status::STATUS_SEMAPHORE_LIMIT_EXCEEDED;

/// `KeInitializeSemaphore`. Any IRQL.
pub unsafe extern "win64" fn KeInitializeSemaphore(
    Semaphore: *mut KSEMAPHORE,
    Count: i32,
    Limit: i32,
) {
    let header = &raw mut (*Semaphore).Header;
    header.write(DISPATCHER_HEADER {
        Type: object_type::SEMAPHORE,
        Signalling: 0,
        Size: (size_of::<KSEMAPHORE>() / 4) as u8,
        Reserved1: 0,
        SignalState: Count,
        WaitListHead: LIST_ENTRY::NULL,
    });
    LIST_ENTRY::initialize(&raw mut (*header).WaitListHead);
    (*Semaphore).Limit = Limit;
}

/// `KeReleaseSemaphore`: gives the earlier count. At most DISPATCH_LEVEL. NT raises STATUS_SEMAPHORE_LIMIT_EXCEEDED where
/// the limit would be passed; nothing here catches exceptions, so that is a bug check.
pub unsafe extern "win64" fn KeReleaseSemaphore(
    Semaphore: *mut KSEMAPHORE,
    _Increment: KPRIORITY,
    Adjustment: i32,
    _Wait: BOOLEAN,
) -> i32 {
    let header = &raw mut (*Semaphore).Header;
    let mut locked = dispatcher::lock();
    let old = (*header).SignalState;
    let new = old
        .checked_add(Adjustment)
        .filter(|&n| Adjustment > 0 && n <= (*Semaphore).Limit);
    let Some(new) = new else {
        bugcheck::raise(
            bugcheck::KMODE_EXCEPTION_NOT_HANDLED,
            [
                STATUS_SEMAPHORE_LIMIT_EXCEEDED as u32 as usize,
                Semaphore as usize,
                old as usize,
                Adjustment as usize,
            ],
        );
    };
    (*header).SignalState = new;
    wait::satisfy(&mut locked, header);
    locked.unlock();
    reschedule_if_wanted();
    old
}

/// `KeReadStateSemaphore`.
pub unsafe extern "win64" fn KeReadStateSemaphore(Semaphore: *mut KSEMAPHORE) -> i32 {
    (&raw const (*Semaphore).Header.SignalState).read_volatile()
}

exports! { pub static EXPORTS;
    Ntoskrnl { KeInitializeSemaphore, KeReleaseSemaphore, KeReadStateSemaphore }
}
