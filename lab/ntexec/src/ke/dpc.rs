//! Deferred procedure calls: a queue a processor, run at DISPATCH_LEVEL when the level falls below it.
//! <https://learn.microsoft.com/windows-hardware/drivers/kernel/introduction-to-dpc-objects>
//!
//! Threaded DPCs run as ordinary ones do, which Windows does too where they are switched off
//! (<https://learn.microsoft.com/windows-hardware/drivers/kernel/introduction-to-threaded-dpcs>): a driver must be
//! written for both.

use super::event::{KeInitializeEvent, KeSetEvent};
use super::pcr::{self, MAX_CPUS};
use super::thread::reschedule_if_wanted;
use super::wait::KeWaitForSingleObject;
use crate::check;
use crate::hal;
use crate::machine::machine;
use crate::nt::ke::{
    BOOLEAN, DISPATCH_LEVEL, DeferredRoutine, KDPC, KEVENT, NTSTATUS, PROCESSOR_NUMBER, PVOID,
    SINGLE_LIST_ENTRY, event_type, object_type,
};
use crate::nt::status::{STATUS_INVALID_PARAMETER, STATUS_SUCCESS};
use crate::sync::Lock;
use core::sync::atomic::Ordering;

/// `KDPC.Importance`: goes to the front of the queue.
pub const HighImportance: u8 = 2;
/// `KDPC.Number` of a DPC that runs where it is queued.
const NO_TARGET: u16 = 0;

struct Queue {
    head: *mut KDPC,
    tail: *mut KDPC,
}

// SAFETY: the lock around the queues gives access to one processor at a time.
unsafe impl Send for Queue {}

static QUEUES: [Lock<Queue>; MAX_CPUS] = [const {
    Lock::new(Queue {
        head: core::ptr::null_mut(),
        tail: core::ptr::null_mut(),
    })
}; MAX_CPUS];

/// The lock under which `DpcData` (not null: queued, and where) changes.
static INSERTION: Lock<()> = Lock::new(());

unsafe fn next(dpc: *mut KDPC) -> *mut KDPC {
    (*dpc).DpcListEntry.Next.cast()
}

unsafe fn set_next(dpc: *mut KDPC, to: *mut KDPC) {
    (*dpc).DpcListEntry = SINGLE_LIST_ENTRY { Next: to.cast() };
}

impl Queue {
    unsafe fn push(&mut self, dpc: *mut KDPC, front: bool) {
        set_next(
            dpc,
            if front {
                self.head
            } else {
                core::ptr::null_mut()
            },
        );
        if self.head.is_null() {
            self.tail = dpc;
        }
        if front || self.head.is_null() {
            self.head = dpc;
        } else {
            set_next(self.tail, dpc);
            self.tail = dpc;
        }
    }

    unsafe fn pop(&mut self) -> Option<*mut KDPC> {
        let dpc = self.head;
        if dpc.is_null() {
            return None;
        }
        self.head = next(dpc);
        Some(dpc)
    }

    unsafe fn remove(&mut self, dpc: *mut KDPC) {
        let mut before = core::ptr::null_mut::<KDPC>();
        let mut at = self.head;
        while !at.is_null() && at != dpc {
            before = at;
            at = next(at);
        }
        if at.is_null() {
            return;
        }
        if before.is_null() {
            self.head = next(dpc);
        } else {
            set_next(before, next(dpc));
        }
        if self.tail == dpc {
            self.tail = before;
        }
    }
}

unsafe fn initialize(dpc: *mut KDPC, kind: u8, routine: Option<DeferredRoutine>, context: PVOID) {
    dpc.write(KDPC {
        Type: kind,
        Importance: 1,
        Number: NO_TARGET,
        DpcListEntry: SINGLE_LIST_ENTRY {
            Next: core::ptr::null_mut(),
        },
        ProcessorHistory: 0,
        DeferredRoutine: routine,
        DeferredContext: context,
        SystemArgument1: core::ptr::null_mut(),
        SystemArgument2: core::ptr::null_mut(),
        DpcData: core::ptr::null_mut(),
    });
}

/// Queues a DPC. False if it was queued already. Any IRQL.
pub(super) unsafe fn insert(dpc: *mut KDPC, argument1: PVOID, argument2: PVOID) -> bool {
    let guard = INSERTION.lock();
    if !(*dpc).DpcData.is_null() {
        return false;
    }
    let this = pcr::this().number();
    let cpu = match (*dpc).Number {
        NO_TARGET => this,
        target => usize::from(target - 1),
    };
    let Some(queue) = QUEUES.get(cpu) else {
        return false;
    };
    (*dpc).SystemArgument1 = argument1;
    (*dpc).SystemArgument2 = argument2;
    (*dpc).DpcData = core::ptr::from_ref(queue).cast_mut().cast();
    queue.lock().push(dpc, (*dpc).Importance == HighImportance);
    let pcr = pcr::block(cpu);
    pcr.software_pending.store(true, Ordering::Release);
    drop(guard);
    if cpu != this {
        machine().send_ipi(cpu, hal::IPI_VECTOR);
    }
    true
}

/// Runs what is queued on this processor. At DISPATCH_LEVEL with interrupts off, before and after.
pub(super) fn run_queue() {
    let cpu = pcr::this().number();
    while let Some(dpc) = take(cpu) {
        // SAFETY: a queued DPC is valid; its routine is its driver's.
        unsafe { run(dpc) };
    }
}

struct Call {
    dpc: *mut KDPC,
    routine: Option<DeferredRoutine>,
    context: PVOID,
    argument1: PVOID,
    argument2: PVOID,
}

/// What the first DPC in the queue calls: it may be queued again, or freed, from here on.
fn take(cpu: usize) -> Option<Call> {
    let _guard = INSERTION.lock();
    // SAFETY: what is queued is valid.
    unsafe {
        let dpc = QUEUES.get(cpu)?.lock().pop()?;
        (*dpc).DpcData = core::ptr::null_mut();
        Some(Call {
            dpc,
            routine: (*dpc).DeferredRoutine,
            context: (*dpc).DeferredContext,
            argument1: (*dpc).SystemArgument1,
            argument2: (*dpc).SystemArgument2,
        })
    }
}

unsafe fn run(call: Call) {
    let Some(routine) = call.routine else { return };
    let pcr = pcr::this();
    pcr.in_dpc.store(true, Ordering::Relaxed);
    pcr.dpcs.fetch_add(1, Ordering::Relaxed);
    machine().enable_interrupts();
    routine(call.dpc, call.context, call.argument1, call.argument2);
    let level = pcr::irql();
    machine().disable_interrupts();
    pcr.in_dpc.store(false, Ordering::Relaxed);
    if level != DISPATCH_LEVEL {
        check::violation(
            "a DPC routine returns at DISPATCH_LEVEL",
            format_args!("routine {:#x} left IRQL {level}", routine as usize),
        );
        pcr::set_irql(DISPATCH_LEVEL);
    }
}

/// `KeInitializeDpc`. Any IRQL.
pub unsafe extern "win64" fn KeInitializeDpc(
    Dpc: *mut KDPC,
    DeferredRoutine: Option<DeferredRoutine>,
    DeferredContext: PVOID,
) {
    initialize(Dpc, object_type::DPC, DeferredRoutine, DeferredContext);
}

/// `KeInitializeThreadedDpc`. Any IRQL.
pub unsafe extern "win64" fn KeInitializeThreadedDpc(
    Dpc: *mut KDPC,
    DeferredRoutine: Option<DeferredRoutine>,
    DeferredContext: PVOID,
) {
    initialize(
        Dpc,
        object_type::THREADED_DPC,
        DeferredRoutine,
        DeferredContext,
    );
}

/// `KeInsertQueueDpc`: FALSE if it was queued already. Any IRQL.
pub unsafe extern "win64" fn KeInsertQueueDpc(
    Dpc: *mut KDPC,
    SystemArgument1: PVOID,
    SystemArgument2: PVOID,
) -> BOOLEAN {
    let inserted = insert(Dpc, SystemArgument1, SystemArgument2);
    reschedule_if_wanted();
    BOOLEAN::from(inserted)
}

/// `KeRemoveQueueDpc`: TRUE if it was queued. It may run still. Any IRQL.
pub unsafe extern "win64" fn KeRemoveQueueDpc(Dpc: *mut KDPC) -> BOOLEAN {
    let _guard = INSERTION.lock();
    let queue = (*Dpc).DpcData.cast::<Lock<Queue>>();
    if queue.is_null() {
        return 0;
    }
    (*queue).lock().remove(Dpc);
    (*Dpc).DpcData = core::ptr::null_mut();
    1
}

/// `KeSetImportanceDpc`: 0 low, 1 medium, 2 high, 3 medium-high.
pub unsafe extern "win64" fn KeSetImportanceDpc(Dpc: *mut KDPC, Importance: i32) {
    (*Dpc).Importance = Importance as u8;
}

/// `KeSetTargetProcessorDpc`.
pub unsafe extern "win64" fn KeSetTargetProcessorDpc(Dpc: *mut KDPC, Number: i8) {
    (*Dpc).Number = Number as u8 as u16 + 1;
}

/// `KeSetTargetProcessorDpcEx`.
pub unsafe extern "win64" fn KeSetTargetProcessorDpcEx(
    Dpc: *mut KDPC,
    ProcNumber: *mut PROCESSOR_NUMBER,
) -> NTSTATUS {
    let number = *ProcNumber;
    if number.Group != 0 || usize::from(number.Number) >= machine().cpu_count() {
        return STATUS_INVALID_PARAMETER;
    }
    (*Dpc).Number = u16::from(number.Number) + 1;
    STATUS_SUCCESS
}

unsafe extern "win64" fn flushed(_dpc: *mut KDPC, _context: PVOID, event: PVOID, _argument: PVOID) {
    KeSetEvent(event.cast(), 0, 0);
}

/// `KeFlushQueuedDpcs`: returns when all DPCs that were queued before, on all processors, have run. At most APC_LEVEL.
pub unsafe extern "win64" fn KeFlushQueuedDpcs() {
    for cpu in 0..machine().cpu_count() {
        let mut event = core::mem::MaybeUninit::<KEVENT>::uninit();
        let mut dpc = core::mem::MaybeUninit::<KDPC>::uninit();
        KeInitializeEvent(event.as_mut_ptr(), event_type::NotificationEvent, 0);
        KeInitializeDpc(dpc.as_mut_ptr(), Some(flushed), core::ptr::null_mut());
        (*dpc.as_mut_ptr()).Number = cpu as u16 + 1;
        KeInsertQueueDpc(
            dpc.as_mut_ptr(),
            event.as_mut_ptr().cast(),
            core::ptr::null_mut(),
        );
        KeWaitForSingleObject(event.as_mut_ptr().cast(), 0, 0, 0, core::ptr::null());
    }
}

exports! { pub static EXPORTS;
    Ntoskrnl {
        KeInitializeDpc, KeInitializeThreadedDpc, KeInsertQueueDpc, KeRemoveQueueDpc, KeSetImportanceDpc,
        KeSetTargetProcessorDpc, KeSetTargetProcessorDpcEx, KeFlushQueuedDpcs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dpc() -> KDPC {
        let mut d = core::mem::MaybeUninit::uninit();
        // SAFETY: the memory is the DPC's.
        unsafe {
            KeInitializeDpc(d.as_mut_ptr(), None, core::ptr::null_mut());
            d.assume_init()
        }
    }

    #[test]
    fn high_importance_goes_first_and_the_rest_keep_their_order() {
        let (mut a, mut b, mut c) = (dpc(), dpc(), dpc());
        let mut q = Queue {
            head: core::ptr::null_mut(),
            tail: core::ptr::null_mut(),
        };
        // SAFETY: the DPCs outlive the queue.
        unsafe {
            q.push(&raw mut a, false);
            q.push(&raw mut b, false);
            q.push(&raw mut c, true);
            assert_eq!(q.pop(), Some(&raw mut c));
            assert_eq!(q.pop(), Some(&raw mut a));
            assert_eq!(q.pop(), Some(&raw mut b));
            assert_eq!(q.pop(), None);
        }
    }

    #[test]
    fn a_removed_dpc_does_not_run_and_the_queue_goes_on() {
        let (mut a, mut b, mut c) = (dpc(), dpc(), dpc());
        let mut q = Queue {
            head: core::ptr::null_mut(),
            tail: core::ptr::null_mut(),
        };
        // SAFETY: the DPCs outlive the queue.
        unsafe {
            q.push(&raw mut a, false);
            q.push(&raw mut b, false);
            q.remove(&raw mut b);
            q.push(&raw mut c, false);
            assert_eq!(q.pop(), Some(&raw mut a));
            assert_eq!(q.pop(), Some(&raw mut c));
            assert_eq!(q.pop(), None);
            q.push(&raw mut a, false);
            q.remove(&raw mut a);
            assert_eq!(q.pop(), None);
        }
    }
}
