//! Events. <https://learn.microsoft.com/windows-hardware/drivers/kernel/event-objects>

use super::dispatcher;
use super::thread::reschedule_if_wanted;
use super::wait;
use crate::nt::ke::{
    BOOLEAN, DISPATCHER_HEADER, KEVENT, KPRIORITY, LIST_ENTRY, event_type, object_type,
};

/// `KeInitializeEvent`: `Type` 0 notification, 1 synchronization. Any IRQL.
pub unsafe extern "win64" fn KeInitializeEvent(Event: *mut KEVENT, Type: i32, State: BOOLEAN) {
    let header = &raw mut (*Event).Header;
    header.write(DISPATCHER_HEADER {
        Type: if Type == event_type::NotificationEvent {
            object_type::EVENT_NOTIFICATION
        } else {
            object_type::EVENT_SYNCHRONIZATION
        },
        Signalling: 0,
        Size: (size_of::<KEVENT>() / 4) as u8,
        Reserved1: 0,
        SignalState: i32::from(State != 0),
        WaitListHead: LIST_ENTRY::NULL,
    });
    LIST_ENTRY::initialize(&raw mut (*header).WaitListHead);
}

/// `KeSetEvent`: gives the earlier state. At most DISPATCH_LEVEL. `Wait` would let the caller wait without another thread
/// coming between; here the call returns as it does without.
pub unsafe extern "win64" fn KeSetEvent(
    Event: *mut KEVENT,
    _Increment: KPRIORITY,
    _Wait: BOOLEAN,
) -> i32 {
    let header = &raw mut (*Event).Header;
    let mut locked = dispatcher::lock();
    let old = (*header).SignalState;
    (*header).SignalState = 1;
    if old == 0 {
        wait::satisfy(&mut locked, header);
    }
    locked.unlock();
    reschedule_if_wanted();
    old
}

/// `KeResetEvent`: gives the earlier state. At most DISPATCH_LEVEL.
pub unsafe extern "win64" fn KeResetEvent(Event: *mut KEVENT) -> i32 {
    let locked = dispatcher::lock();
    let old = core::mem::replace(&mut (*Event).Header.SignalState, 0);
    locked.unlock();
    old
}

/// `KeClearEvent`. At most DISPATCH_LEVEL.
pub unsafe extern "win64" fn KeClearEvent(Event: *mut KEVENT) {
    KeResetEvent(Event);
}

/// `KeReadStateEvent`. At most DISPATCH_LEVEL.
pub unsafe extern "win64" fn KeReadStateEvent(Event: *mut KEVENT) -> i32 {
    (&raw const (*Event).Header.SignalState).read_volatile()
}

/// `KePulseEvent`: ends the waits that there are and leaves the event unsignalled. At most DISPATCH_LEVEL.
pub unsafe extern "win64" fn KePulseEvent(
    Event: *mut KEVENT,
    _Increment: KPRIORITY,
    _Wait: BOOLEAN,
) -> i32 {
    let header = &raw mut (*Event).Header;
    let mut locked = dispatcher::lock();
    let old = (*header).SignalState;
    (*header).SignalState = 1;
    wait::satisfy(&mut locked, header);
    (*header).SignalState = 0;
    locked.unlock();
    reschedule_if_wanted();
    old
}

exports! { pub static EXPORTS;
    Ntoskrnl { KeInitializeEvent, KeSetEvent, KeResetEvent, KeClearEvent, KeReadStateEvent, KePulseEvent }
}
