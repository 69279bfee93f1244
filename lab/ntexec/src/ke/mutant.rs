//! Mutexes (mutants). <https://learn.microsoft.com/windows-hardware/drivers/kernel/introduction-to-mutex-objects>

use super::dispatcher;
use super::thread::{KTHREAD, KeGetCurrentThread, reschedule_if_wanted};
use super::wait;
use crate::kd::bugcheck;
use crate::nt::ke::{BOOLEAN, DISPATCHER_HEADER, KMUTANT, LIST_ENTRY, object_type};
use crate::nt::status::STATUS_MUTANT_NOT_OWNED;

/// Who owns a mutex, or null.
pub(super) unsafe fn owner(header: *mut DISPATCHER_HEADER) -> *mut KTHREAD {
    (*header.cast::<KMUTANT>()).OwnerThread.cast()
}

/// Makes `thread` the owner, once more if it is already. `SignalState` is 1 when free and one less each time it is taken.
pub(super) unsafe fn take(header: *mut DISPATCHER_HEADER, thread: *mut KTHREAD) {
    let mutant = header.cast::<KMUTANT>();
    (*header).SignalState -= 1;
    if (*header).SignalState == 0 {
        (*mutant).OwnerThread = thread.cast();
        (*thread).mutants += 1;
        (*thread).apc_disable -= i32::from((*mutant).ApcDisable);
    }
}

/// `KeInitializeMutex`. `Level` is not used by NT.
pub unsafe extern "win64" fn KeInitializeMutex(Mutex: *mut KMUTANT, _Level: u32) {
    let header = &raw mut (*Mutex).Header;
    Mutex.write(KMUTANT {
        Header: DISPATCHER_HEADER {
            Type: object_type::MUTANT,
            Signalling: 0,
            Size: (size_of::<KMUTANT>() / 4) as u8,
            Reserved1: 0,
            SignalState: 1,
            WaitListHead: LIST_ENTRY::NULL,
        },
        MutantListEntry: LIST_ENTRY::NULL,
        OwnerThread: core::ptr::null_mut(),
        MutantFlags: 0,
        ApcDisable: 1,
    });
    LIST_ENTRY::initialize(&raw mut (*header).WaitListHead);
}

/// `KeReleaseMutex`: gives the earlier state; 0 means that it is free now. Only its owner may: NT raises
/// STATUS_MUTANT_NOT_OWNED, which is a bug check here.
pub unsafe extern "win64" fn KeReleaseMutex(Mutex: *mut KMUTANT, _Wait: BOOLEAN) -> i32 {
    let header = &raw mut (*Mutex).Header;
    let thread = KeGetCurrentThread();
    let mut locked = dispatcher::lock();
    if owner(header) != thread {
        bugcheck::raise(
            bugcheck::KMODE_EXCEPTION_NOT_HANDLED,
            [
                STATUS_MUTANT_NOT_OWNED as u32 as usize,
                Mutex as usize,
                owner(header) as usize,
                thread as usize,
            ],
        );
    }
    let old = (*header).SignalState;
    (*header).SignalState = old + 1;
    if old + 1 == 1 {
        (*Mutex).OwnerThread = core::ptr::null_mut();
        (*thread).mutants -= 1;
        (*thread).apc_disable += i32::from((*Mutex).ApcDisable);
        wait::satisfy(&mut locked, header);
    }
    locked.unlock();
    reschedule_if_wanted();
    old
}

/// `KeReadStateMutex`: 1 if free.
pub unsafe extern "win64" fn KeReadStateMutex(Mutex: *mut KMUTANT) -> i32 {
    (&raw const (*Mutex).Header.SignalState).read_volatile()
}

exports! { pub static EXPORTS;
    Ntoskrnl { KeInitializeMutex, KeReleaseMutex, KeReadStateMutex }
}
