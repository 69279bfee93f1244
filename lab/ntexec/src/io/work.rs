//! Work items: a driver's routine in a system thread at PASSIVE_LEVEL, with its device object kept alive.
//!
//! Pages: IoAllocateWorkItem, IoInitializeWorkItem, IoQueueWorkItem, IoQueueWorkItemEx, IoFreeWorkItem.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::check::{violation, violation_by};
use crate::ke::{KeInitializeSemaphore, KeReleaseSemaphore, KeWaitForSingleObject};
use crate::nt::io::DEVICE_OBJECT;
use crate::nt::ke::KSEMAPHORE;
use crate::ob;
use crate::sync::Lock;

/// Threads that run work.
const THREADS: usize = 4;

type Work = Box<dyn FnOnce() + Send>;
static QUEUE: Lock<VecDeque<Work>> = Lock::new(VecDeque::new());
static BUSY: AtomicU32 = AtomicU32::new(0);

struct Semaphore(UnsafeCell<core::mem::MaybeUninit<KSEMAPHORE>>);
// SAFETY: the dispatcher serialises all use of its objects.
unsafe impl Sync for Semaphore {}
static COUNT: Semaphore = Semaphore(UnsafeCell::new(core::mem::MaybeUninit::uninit()));

fn count() -> *mut KSEMAPHORE {
    COUNT.0.get().cast()
}

/// Starts the worker threads. Once, before anything is queued.
///
/// # Safety
/// PASSIVE_LEVEL.
pub unsafe fn start() {
    KeInitializeSemaphore(count(), 0, i32::MAX);
    for _ in 0..THREADS {
        if !crate::ke::thread::spawn(worker) {
            crate::kd::text("no memory for a worker thread");
        }
    }
}

fn worker() {
    loop {
        // SAFETY: the semaphore was initialised before the thread began.
        unsafe { KeWaitForSingleObject(count().cast(), 0, 0, 0, null_mut()) };
        let work = QUEUE.lock().pop_front();
        if let Some(work) = work {
            work();
            let irql = crate::ke::KeGetCurrentIrql();
            if irql != 0 {
                violation("IRQL", format_args!("a work item returned at IRQL {irql}"));
                crate::ke::KeLowerIrql(0);
            }
            BUSY.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Runs `work` in a worker thread. `<= DISPATCH_LEVEL`.
pub fn queue(work: impl FnOnce() + Send + 'static) {
    BUSY.fetch_add(1, Ordering::AcqRel);
    QUEUE.lock().push_back(Box::new(work));
    // SAFETY: initialised by `start`.
    unsafe { KeReleaseSemaphore(count(), 0, 1, 0) };
}

/// True if nothing is queued or running.
pub fn idle() -> bool {
    BUSY.load(Ordering::Acquire) == 0
}

type Routine = unsafe extern "win64" fn(*mut c_void, *mut c_void);
type RoutineEx = unsafe extern "win64" fn(*mut c_void, *mut c_void, *mut IO_WORKITEM);

/// A work item; opaque to drivers, which allocate [`IoSizeofWorkItem`] bytes or let the I/O manager.
#[repr(C)]
pub struct IO_WORKITEM {
    object: *mut c_void,
    queued: AtomicBool,
    allocated: bool,
    reserved: [usize; 6],
}

/// IoSizeofWorkItem.
///
/// # Safety
/// None needed.
pub unsafe extern "win64" fn IoSizeofWorkItem() -> u32 {
    size_of::<IO_WORKITEM>() as u32
}

/// IoInitializeWorkItem.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoInitializeWorkItem(object: *mut c_void, item: *mut IO_WORKITEM) {
    item.write(IO_WORKITEM {
        object,
        queued: AtomicBool::new(false),
        allocated: false,
        reserved: [0; 6],
    });
}

/// IoUninitializeWorkItem.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoUninitializeWorkItem(item: *mut IO_WORKITEM) {
    if (*item).queued.load(Ordering::Acquire) {
        violation("work item in use", format_args!("{item:p} is still queued"));
    }
}

/// IoAllocateWorkItem: `<= DISPATCH_LEVEL`.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoAllocateWorkItem(device: *mut DEVICE_OBJECT) -> *mut IO_WORKITEM {
    Box::into_raw(Box::new(IO_WORKITEM {
        object: device.cast(),
        queued: AtomicBool::new(false),
        allocated: true,
        reserved: [0; 6],
    }))
}

/// IoFreeWorkItem: `<= DISPATCH_LEVEL`. A routine may free the item that it runs for.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoFreeWorkItem(item: *mut IO_WORKITEM) {
    if (*item).queued.load(Ordering::Acquire) {
        violation(
            "work item in use",
            format_args!("{item:p} was freed while queued"),
        );
        return;
    }
    if !(*item).allocated {
        violation(
            "work item",
            format_args!("{item:p} does not come from IoAllocateWorkItem"),
        );
        return;
    }
    drop(Box::from_raw(item));
}

struct Call {
    object: usize,
    item: usize,
    routine: usize,
    context: usize,
    extended: bool,
}

unsafe fn submit(item: *mut IO_WORKITEM, routine: usize, context: *mut c_void, extended: bool) {
    if (*item).queued.swap(true, Ordering::AcqRel) {
        violation("work item queued twice", format_args!("{item:p}"));
        return;
    }
    let object = (*item).object;
    ob::ObfReferenceObject(object);
    let call = Call {
        object: object as usize,
        item: item as usize,
        routine,
        context: context as usize,
        extended,
    };
    queue(move || run(&call));
}

fn run(call: &Call) {
    let (object, context) = (call.object as *mut c_void, call.context as *mut c_void);
    let item = call.item as *mut IO_WORKITEM;
    // SAFETY: the item was queued by its owner, who keeps it until its routine runs; the object is referenced.
    unsafe {
        (*item).queued.store(false, Ordering::Release);
        if call.extended {
            core::mem::transmute::<usize, RoutineEx>(call.routine)(object, context, item);
        } else {
            core::mem::transmute::<usize, Routine>(call.routine)(object, context);
        }
        if crate::ke::KeGetCurrentIrql() != 0 && ob::kind_of(object) == Some(ob::ObjectKind::Device)
        {
            let name = crate::ldr::driver_name((*object.cast::<DEVICE_OBJECT>()).DriverObject);
            violation_by(
                &name,
                "work item",
                "irql",
                format_args!("returned above PASSIVE_LEVEL"),
            );
            crate::ke::KeLowerIrql(0);
        }
        ob::ObfDereferenceObject(object);
    }
}

/// IoQueueWorkItem: `<= DISPATCH_LEVEL`. All queues are one here.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoQueueWorkItem(
    item: *mut IO_WORKITEM,
    routine: Routine,
    _queue: u32,
    context: *mut c_void,
) {
    submit(item, routine as usize, context, false);
}

/// IoQueueWorkItemEx: `<= DISPATCH_LEVEL`.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn IoQueueWorkItemEx(
    item: *mut IO_WORKITEM,
    routine: RoutineEx,
    _queue: u32,
    context: *mut c_void,
) {
    submit(item, routine as usize, context, true);
}

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl {
        IoSizeofWorkItem, IoInitializeWorkItem, IoUninitializeWorkItem, IoAllocateWorkItem, IoFreeWorkItem,
        IoQueueWorkItem, IoQueueWorkItemEx,
    }
}
