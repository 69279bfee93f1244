//! The kernel: IRQL, locks, threads, waits, DPCs, timers, interrupts, processors.
//!
//! All of the dispatcher's state (objects, threads, timers) is behind one lock, [`dispatcher::Locked`]; DPC queues have
//! another. Both keep interrupts off while they are held.

pub mod dispatcher;
pub mod dpc;
pub mod event;
pub mod interrupt;
pub mod irql;
pub mod mutant;
pub mod pcr;
pub mod processor;
pub mod semaphore;
pub mod spinlock;
pub mod switch;
pub mod thread;
pub mod time;
pub mod timer;
pub mod wait;

pub use dpc::*;
pub use event::*;
pub use irql::*;
pub use mutant::*;
pub use processor::*;
pub use semaphore::*;
pub use spinlock::*;
pub use thread::{
    KTHREAD, KeEnterCriticalRegion, KeGetCurrentThread, KeLeaveCriticalRegion,
    KeRevertToUserGroupAffinityThread, KeSetPriorityThread, KeSetSystemGroupAffinityThread,
    PsCreateSystemThread, PsGetCurrentThread, PsTerminateSystemThread,
};
pub use time::{
    ExLocalTimeToSystemTime, ExSystemTimeToLocalTime, KeQueryInterruptTime,
    KeQueryInterruptTimePrecise, KeQueryPerformanceCounter, KeQuerySystemTimePrecise,
    KeQueryTimeIncrement, KeQueryUnbiasedInterruptTime, KeStallExecutionProcessor, interrupt_time,
    system_time,
};
pub use timer::{
    KeCancelTimer, KeInitializeTimer, KeInitializeTimerEx, KeReadStateTimer, KeSetCoalescableTimer,
    KeSetTimer, KeSetTimerEx,
};
pub use wait::*;

join_exports! { irql, spinlock, thread, wait, event, semaphore, mutant, timer, time, dpc, processor, interrupt }
