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
    KTHREAD, KeEnterCriticalRegion, KeGetCurrentThread, KeLeaveCriticalRegion, KeRevertToUserGroupAffinityThread,
    KeSetPriorityThread, KeSetSystemGroupAffinityThread, PsCreateSystemThread, PsGetCurrentThread, PsTerminateSystemThread,
};
pub use time::*;
pub use timer::*;
pub use wait::*;

/// What the kernel exports.
pub const EXPORTS: &[&[crate::exports::Export]] = &[
    irql::EXPORTS,
    spinlock::EXPORTS,
    thread::EXPORTS,
    wait::EXPORTS,
    event::EXPORTS,
    semaphore::EXPORTS,
    mutant::EXPORTS,
    timer::EXPORTS,
    time::EXPORTS,
    dpc::EXPORTS,
    processor::EXPORTS,
    interrupt::EXPORTS,
];
