//! Basic types, dispatcher objects, locks, DPCs: `ntdef.h`, `wdm.h`, `ntddk.h`.

use core::ffi::c_void;

pub use super::base::{HANDLE, LARGE_INTEGER, NTSTATUS};

/// Interrupt request level.
pub type KIRQL = u8;
/// `BOOLEAN`: 0 or 1.
pub type BOOLEAN = u8;
/// `PVOID`.
pub type PVOID = *mut c_void;
/// A spin lock: 0 when free.
pub type KSPIN_LOCK = usize;
/// A mask of processors of one group.
pub type KAFFINITY = usize;
/// KernelMode or UserMode.
pub type KPROCESSOR_MODE = i8;
/// Scheduling priority, 0 to 31.
pub type KPRIORITY = i32;

/// Software interrupts masked: nothing.
pub const PASSIVE_LEVEL: KIRQL = 0;
/// APCs masked.
pub const APC_LEVEL: KIRQL = 1;
/// DPCs and the scheduler masked.
pub const DISPATCH_LEVEL: KIRQL = 2;
/// The clock's level.
pub const CLOCK_LEVEL: KIRQL = 13;
/// Inter-processor interrupts' level.
pub const IPI_LEVEL: KIRQL = 14;
/// Everything masked.
pub const HIGH_LEVEL: KIRQL = 15;

/// A node or the head of a doubly linked list.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LIST_ENTRY {
    pub Flink: *mut LIST_ENTRY,
    pub Blink: *mut LIST_ENTRY,
}
assert_layout!(LIST_ENTRY, 16, 8, Flink @ 0, Blink @ 8);

impl LIST_ENTRY {
    /// A node in no list.
    pub const NULL: Self = Self {
        Flink: core::ptr::null_mut(),
        Blink: core::ptr::null_mut(),
    };

    /// Makes `head` an empty list.
    ///
    /// # Safety
    /// `head` must be writable.
    pub unsafe fn initialize(head: *mut Self) {
        // SAFETY: by the caller's word.
        unsafe {
            head.write(Self {
                Flink: head,
                Blink: head,
            })
        }
    }

    /// Is the list empty?
    ///
    /// # Safety
    /// `head` must be an initialised head.
    pub unsafe fn is_empty(head: *const Self) -> bool {
        // SAFETY: by the caller's word.
        unsafe { (*head).Flink.cast_const() == head }
    }

    /// Appends `entry`.
    ///
    /// # Safety
    /// `head` must be an initialised head, `entry` writable and in no list.
    pub unsafe fn insert_tail(head: *mut Self, entry: *mut Self) {
        // SAFETY: by the caller's word every node of the list is valid.
        unsafe {
            let last = (*head).Blink;
            (*entry).Flink = head;
            (*entry).Blink = last;
            (*last).Flink = entry;
            (*head).Blink = entry;
        }
    }

    /// Prepends `entry`.
    ///
    /// # Safety
    /// As for [`LIST_ENTRY::insert_tail`].
    pub unsafe fn insert_head(head: *mut Self, entry: *mut Self) {
        // SAFETY: by the caller's word every node of the list is valid.
        unsafe {
            let first = (*head).Flink;
            (*entry).Flink = first;
            (*entry).Blink = head;
            (*first).Blink = entry;
            (*head).Flink = entry;
        }
    }

    /// Takes `entry` out of its list.
    ///
    /// # Safety
    /// `entry` must be in a list.
    pub unsafe fn remove(entry: *mut Self) {
        // SAFETY: by the caller's word every node of the list is valid.
        unsafe {
            let (next, prev) = ((*entry).Flink, (*entry).Blink);
            (*prev).Flink = next;
            (*next).Blink = prev;
        }
    }

    /// Takes the first entry, if there is one.
    ///
    /// # Safety
    /// `head` must be an initialised head.
    pub unsafe fn remove_head(head: *mut Self) -> Option<*mut Self> {
        // SAFETY: by the caller's word every node of the list is valid.
        unsafe {
            if Self::is_empty(head) {
                return None;
            }
            let first = (*head).Flink;
            Self::remove(first);
            Some(first)
        }
    }
}

/// A node of a singly linked list.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SINGLE_LIST_ENTRY {
    pub Next: *mut SINGLE_LIST_ENTRY,
}
assert_layout!(SINGLE_LIST_ENTRY, 8, 8);

/// What every object that can be waited for begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DISPATCHER_HEADER {
    pub Type: u8,
    pub Signalling: u8,
    pub Size: u8,
    pub Reserved1: u8,
    pub SignalState: i32,
    pub WaitListHead: LIST_ENTRY,
}
assert_layout!(DISPATCHER_HEADER, 24, 8, Type @ 0, Size @ 2, SignalState @ 4, WaitListHead @ 8);

/// Dispatcher object types (`KOBJECTS`; what `DISPATCHER_HEADER.Type` holds).
pub mod object_type {
    pub const EVENT_NOTIFICATION: u8 = 0;
    pub const EVENT_SYNCHRONIZATION: u8 = 1;
    pub const MUTANT: u8 = 2;
    pub const SEMAPHORE: u8 = 5;
    pub const THREAD: u8 = 6;
    pub const TIMER_NOTIFICATION: u8 = 8;
    pub const TIMER_SYNCHRONIZATION: u8 = 9;
    pub const DPC: u8 = 19;
    pub const INTERRUPT: u8 = 22;
    pub const THREADED_DPC: u8 = 24;
}

/// Kinds of events and timers.
pub mod event_type {
    pub const NotificationEvent: i32 = 0;
    pub const SynchronizationEvent: i32 = 1;
    pub const NotificationTimer: i32 = 0;
    pub const SynchronizationTimer: i32 = 1;
}

/// An event.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KEVENT {
    pub Header: DISPATCHER_HEADER,
}
assert_layout!(KEVENT, 24, 8);

/// A semaphore.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KSEMAPHORE {
    pub Header: DISPATCHER_HEADER,
    pub Limit: i32,
}
assert_layout!(KSEMAPHORE, 32, 8, Limit @ 24);

/// A mutex with an owner.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KMUTANT {
    pub Header: DISPATCHER_HEADER,
    pub MutantListEntry: LIST_ENTRY,
    pub OwnerThread: PVOID,
    pub MutantFlags: u8,
    pub ApcDisable: u8,
}
/// The name drivers use.
pub type KMUTEX = KMUTANT;
assert_layout!(KMUTANT, 56, 8, MutantListEntry @ 24, OwnerThread @ 40, MutantFlags @ 48, ApcDisable @ 49);

/// A timer; its DPC, if it has one, runs when it expires.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KTIMER {
    pub Header: DISPATCHER_HEADER,
    pub DueTime: u64,
    pub TimerListEntry: LIST_ENTRY,
    pub Dpc: *mut KDPC,
    pub Processor: u16,
    pub TimerType: u16,
    pub Period: u32,
}
assert_layout!(KTIMER, 64, 8, DueTime @ 24, TimerListEntry @ 32, Dpc @ 48, Processor @ 56, TimerType @ 58, Period @ 60);

/// `KDEFERRED_ROUTINE`.
pub type DeferredRoutine =
    unsafe extern "win64" fn(dpc: *mut KDPC, context: PVOID, argument1: PVOID, argument2: PVOID);

/// A deferred procedure call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KDPC {
    pub Type: u8,
    pub Importance: u8,
    pub Number: u16,
    pub DpcListEntry: SINGLE_LIST_ENTRY,
    pub ProcessorHistory: KAFFINITY,
    pub DeferredRoutine: Option<DeferredRoutine>,
    pub DeferredContext: PVOID,
    pub SystemArgument1: PVOID,
    pub SystemArgument2: PVOID,
    pub DpcData: PVOID,
}
assert_layout!(KDPC, 64, 8, Importance @ 1, Number @ 2, DpcListEntry @ 8, ProcessorHistory @ 16,
    DeferredRoutine @ 24, DeferredContext @ 32, SystemArgument1 @ 40, SystemArgument2 @ 48, DpcData @ 56);

/// A processor by group and number within the group.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PROCESSOR_NUMBER {
    pub Group: u16,
    pub Number: u8,
    pub Reserved: u8,
}
assert_layout!(PROCESSOR_NUMBER, 4, 2, Group @ 0, Number @ 2);

/// A set of processors of one group.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GROUP_AFFINITY {
    pub Mask: KAFFINITY,
    pub Group: u16,
    pub Reserved: [u16; 3],
}
assert_layout!(GROUP_AFFINITY, 16, 8, Mask @ 0, Group @ 8);

/// One holder's place in a queued spin lock.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KLOCK_QUEUE_HANDLE {
    pub Next: PVOID,
    pub Lock: *mut KSPIN_LOCK,
    pub OldIrql: KIRQL,
}
assert_layout!(KLOCK_QUEUE_HANDLE, 24, 8, Lock @ 8, OldIrql @ 16);

/// A thread's entry in a dispatcher object's wait list. `SpareLong` is the executive's own.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KWAIT_BLOCK {
    pub WaitListEntry: LIST_ENTRY,
    pub WaitType: u8,
    pub BlockState: u8,
    pub WaitKey: u16,
    pub SpareLong: i32,
    pub Thread: PVOID,
    pub Object: PVOID,
    pub SparePtr: PVOID,
}
assert_layout!(KWAIT_BLOCK, 48, 8, WaitListEntry @ 0, WaitType @ 16, BlockState @ 17, WaitKey @ 18, SpareLong @ 20,
    Thread @ 24, Object @ 32, SparePtr @ 40);

/// A bug check callback's record.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KBUGCHECK_CALLBACK_RECORD {
    pub Entry: LIST_ENTRY,
    pub CallbackRoutine: Option<unsafe extern "win64" fn(buffer: PVOID, length: u32)>,
    pub Buffer: PVOID,
    pub Length: u32,
    pub Component: *mut u8,
    pub Checksum: usize,
    pub State: u8,
}
assert_layout!(KBUGCHECK_CALLBACK_RECORD, 64, 8, CallbackRoutine @ 16, Buffer @ 24, Length @ 32, Component @ 40,
    Checksum @ 48, State @ 56);

/// A bug check reason callback's record.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KBUGCHECK_REASON_CALLBACK_RECORD {
    pub Entry: LIST_ENTRY,
    pub CallbackRoutine:
        Option<unsafe extern "win64" fn(reason: i32, record: *mut Self, data: PVOID, length: u32)>,
    pub Component: *mut u8,
    pub Checksum: usize,
    pub Reason: i32,
    pub State: u8,
}
assert_layout!(KBUGCHECK_REASON_CALLBACK_RECORD, 48, 8, CallbackRoutine @ 16, Component @ 24, Checksum @ 32,
    Reason @ 40, State @ 44);

/// A device queue.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KDEVICE_QUEUE {
    pub Type: i16,
    pub Size: i16,
    pub DeviceListHead: LIST_ENTRY,
    pub Lock: KSPIN_LOCK,
    pub Busy: BOOLEAN,
}
assert_layout!(KDEVICE_QUEUE, 40, 8, Type @ 0, Size @ 2, DeviceListHead @ 8, Lock @ 24, Busy @ 32);

/// A fast mutex. `Count` is 1 when it is free.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FAST_MUTEX {
    pub Count: i32,
    pub Owner: PVOID,
    pub Contention: u32,
    pub Event: KEVENT,
    pub OldIrql: u32,
}
assert_layout!(FAST_MUTEX, 56, 8, Count @ 0, Owner @ 8, Contention @ 16, Event @ 24, OldIrql @ 48);

/// What a processor change callback is told.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KE_PROCESSOR_CHANGE_NOTIFY_CONTEXT {
    pub State: i32,
    pub NtNumber: u32,
    pub Status: NTSTATUS,
    pub ProcNumber: PROCESSOR_NUMBER,
}
assert_layout!(KE_PROCESSOR_CHANGE_NOTIFY_CONTEXT, 16, 4, NtNumber @ 4, Status @ 8, ProcNumber @ 12);

/// A processor's exception record.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EXCEPTION_RECORD {
    pub ExceptionCode: NTSTATUS,
    pub ExceptionFlags: u32,
    pub ExceptionRecord: *mut EXCEPTION_RECORD,
    pub ExceptionAddress: PVOID,
    pub NumberParameters: u32,
    pub ExceptionInformation: [usize; 15],
}
assert_layout!(EXCEPTION_RECORD, 152, 8, ExceptionAddress @ 16, NumberParameters @ 24, ExceptionInformation @ 32);

/// A 128-bit register.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug, Default)]
pub struct M128A {
    pub Low: u64,
    pub High: i64,
}
assert_layout!(M128A, 16, 16);

/// A processor's registers (`CONTEXT`, x64).
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct CONTEXT {
    pub Home: [u64; 6],
    pub ContextFlags: u32,
    pub MxCsr: u32,
    pub SegCs: u16,
    pub SegDs: u16,
    pub SegEs: u16,
    pub SegFs: u16,
    pub SegGs: u16,
    pub SegSs: u16,
    pub EFlags: u32,
    pub Dr: [u64; 6],
    pub Rax: u64,
    pub Rcx: u64,
    pub Rdx: u64,
    pub Rbx: u64,
    pub Rsp: u64,
    pub Rbp: u64,
    pub Rsi: u64,
    pub Rdi: u64,
    pub R8: u64,
    pub R9: u64,
    pub R10: u64,
    pub R11: u64,
    pub R12: u64,
    pub R13: u64,
    pub R14: u64,
    pub R15: u64,
    pub Rip: u64,
    pub FltSave: [M128A; 10],
    pub Xmm: [M128A; 16],
    pub FltPad: [M128A; 6],
    pub VectorRegister: [M128A; 26],
    pub VectorControl: u64,
    pub DebugControl: u64,
    pub LastBranchToRip: u64,
    pub LastBranchFromRip: u64,
    pub LastExceptionToRip: u64,
    pub LastExceptionFromRip: u64,
}
assert_layout!(CONTEXT, 1232, 16, ContextFlags @ 48, EFlags @ 68, Dr @ 72, Rax @ 120, Rsp @ 152, R15 @ 240,
    Rip @ 248, FltSave @ 256, Xmm @ 416, VectorRegister @ 768, VectorControl @ 1184, LastExceptionFromRip @ 1224);

/// A time that is updated while it is read: `High2Time` is written first and `High1Time` last.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct KSYSTEM_TIME {
    pub LowPart: u32,
    pub High1Time: i32,
    pub High2Time: i32,
}
assert_layout!(KSYSTEM_TIME, 12, 4);
