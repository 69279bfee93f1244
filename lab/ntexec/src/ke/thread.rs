//! System threads.

use alloc::boxed::Box;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};

use super::dispatcher::{self, Locked};
use super::pcr::{self, MAX_CPUS};
use super::switch::{self, Saved};
use super::wait;
use crate::machine::machine;
use crate::mm;
use crate::nt::base::OBJECT_ATTRIBUTES;
use crate::nt::ke::{
    DISPATCH_LEVEL, DISPATCHER_HEADER, GROUP_AFFINITY, HANDLE, KAFFINITY, KPRIORITY, KTIMER,
    KWAIT_BLOCK, LIST_ENTRY, NTSTATUS, PASSIVE_LEVEL, PVOID, object_type,
};
use crate::nt::status::{STATUS_INSUFFICIENT_RESOURCES, STATUS_SUCCESS};
use crate::ob;

/// `KSTART_ROUTINE`.
pub type StartRoutine = unsafe extern "win64" fn(context: PVOID);

/// Wait blocks that a thread has of its own (`THREAD_WAIT_OBJECTS`).
pub const THREAD_WAIT_OBJECTS: usize = 3;
/// `MAXIMUM_WAIT_OBJECTS`.
pub const MAXIMUM_WAIT_OBJECTS: usize = 64;
/// A system thread's stack in bytes. Windows gives 24 KiB; interrupts and DPCs run on it here too.
const STACK_PAGES: usize = 20;
/// Priority of a system thread (Windows starts them at 8).
const NORMAL_PRIORITY: KPRIORITY = 8;

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Made, never run.
    Initialized,
    /// In a ready queue.
    Ready,
    /// On a processor.
    Running,
    /// In a wait.
    Waiting,
    /// Ended, perhaps still on its stack.
    Ended,
    /// Ended, and off its stack.
    Dead,
}

/// A thread. Drivers see an opaque object that begins with a dispatcher header.
#[repr(C)]
pub struct KTHREAD {
    /// Signalled when the thread has ended.
    pub header: DISPATCHER_HEADER,
    /// Where the stack was left.
    pub stack_pointer: u64,
    /// Lowest address of the stack.
    pub stack_base: usize,
    /// Highest address, exclusive.
    pub stack_limit: usize,
    /// In a ready queue, or among the dead.
    pub queue_link: LIST_ENTRY,
    /// Among all threads.
    pub list_link: LIST_ENTRY,
    /// What it does.
    pub state: State,
    /// 0 to 31.
    pub priority: KPRIORITY,
    /// Processors that it may run on.
    pub affinity: KAFFINITY,
    /// The processor that it ran on last.
    pub cpu: u32,
    /// How often it was switched to.
    pub switches: u64,
    /// How its wait ended.
    pub wait_status: NTSTATUS,
    /// The blocks of its wait.
    pub wait_blocks: *mut KWAIT_BLOCK,
    /// How many.
    pub wait_count: u32,
    /// All objects are needed.
    pub wait_all: bool,
    /// Blocks for small waits; the last is the timer's.
    pub own_blocks: [KWAIT_BLOCK; THREAD_WAIT_OBJECTS + 1],
    /// The time limit of its wait.
    pub timer: KTIMER,
    /// Thread id: a multiple of 4.
    pub id: u32,
    /// Where it starts.
    pub start: Option<StartRoutine>,
    /// With what.
    pub context: PVOID,
    /// What it ended with.
    pub exit_status: NTSTATUS,
    /// Mutexes that it owns.
    pub mutants: u32,
    /// Depth of critical regions.
    pub apc_disable: i32,
    /// What it waits for, for reports.
    pub wait_object: PVOID,
    /// What it printed last.
    pub said: crate::kd::Line,
    /// An executive's own function to run instead of `start`.
    pub own: Option<Box<dyn FnOnce() + Send>>,
}

static NEXT_ID: AtomicU32 = AtomicU32::new(8);

impl KTHREAD {
    /// The thread that `link` (its `queue_link`) belongs to.
    ///
    /// # Safety
    /// `link` is a thread's `queue_link`.
    pub unsafe fn from_queue_link(link: *mut LIST_ENTRY) -> *mut Self {
        link.byte_sub(core::mem::offset_of!(KTHREAD, queue_link))
            .cast()
    }

    /// The thread that `link` (its `list_link`) belongs to.
    ///
    /// # Safety
    /// `link` is a thread's `list_link`.
    pub unsafe fn from_list_link(link: *mut LIST_ENTRY) -> *mut Self {
        link.byte_sub(core::mem::offset_of!(KTHREAD, list_link))
            .cast()
    }

    unsafe fn initialize(this: *mut Self, priority: KPRIORITY, affinity: KAFFINITY) {
        let header = &raw mut (*this).header;
        (*header).Type = object_type::THREAD;
        (*header).SignalState = 0;
        LIST_ENTRY::initialize(&raw mut (*header).WaitListHead);
        super::timer::initialize(&raw mut (*this).timer, false);
        (*this).priority = priority;
        (*this).affinity = affinity;
        (*this).id = NEXT_ID.fetch_add(4, Ordering::Relaxed);
        (&raw mut (*this).own).write(None);
    }
}

/// The mask of all processors.
pub fn all_processors() -> KAFFINITY {
    (1usize << machine().cpu_count().min(MAX_CPUS)) - 1
}

/// Makes the idle thread of a processor, which is what runs there already.
pub fn new_idle(cpu: usize) -> *mut KTHREAD {
    // SAFETY: zeroes are a valid thread (`None`, null, `Initialized`), which `initialize` completes.
    unsafe {
        let thread = Box::leak(Box::<KTHREAD>::new_zeroed().assume_init());
        KTHREAD::initialize(thread, 0, 1 << cpu);
        thread.state = State::Running;
        thread
    }
}

unsafe fn destroy(body: *mut c_void) {
    let thread = body.cast::<KTHREAD>();
    let mut locked = dispatcher::lock();
    if !(*thread).list_link.Flink.is_null() {
        LIST_ENTRY::remove(&raw mut (*thread).list_link);
    }
    locked.state();
    locked.unlock();
    if (*thread).stack_base != 0 {
        mm::va::free_stack((*thread).stack_base);
    }
    (&raw mut (*thread).own).drop_in_place();
}

/// Makes a thread, not yet started. `None` without memory. The object has two references: the caller's, and the thread's
/// own, which ends with it.
unsafe fn create() -> Option<*mut KTHREAD> {
    bury_dead();
    let stack = mm::va::allocate_stack(STACK_PAGES)?;
    let thread =
        ob::create(ob::ObjectKind::Thread, size_of::<KTHREAD>(), destroy).cast::<KTHREAD>();
    if thread.is_null() {
        mm::va::free_stack(stack.start);
        return None;
    }
    KTHREAD::initialize(thread, NORMAL_PRIORITY, usize::MAX);
    (*thread).stack_base = stack.start;
    (*thread).stack_limit = stack.end;
    let saved = ((stack.end - size_of::<Saved>() - 64) & !15) as *mut Saved;
    saved.write(Saved::begin(
        switch::begin as *const () as u64,
        thread as u64,
    ));
    (*thread).stack_pointer = saved as u64;
    ob::ObfReferenceObject(thread.cast());
    Some(thread)
}

unsafe fn start(thread: *mut KTHREAD) {
    let mut locked = dispatcher::lock();
    LIST_ENTRY::insert_tail(
        &raw mut locked.state().threads,
        &raw mut (*thread).list_link,
    );
    dispatcher::make_ready(&mut locked, thread);
    locked.unlock();
    reschedule_if_wanted();
}

/// If this processor was asked to choose anew, and may, it does.
pub(super) fn reschedule_if_wanted() {
    if pcr::irql() < DISPATCH_LEVEL {
        let level = pcr::irql();
        super::KeLowerIrql(level);
    }
}

/// What a new thread runs, on its own stack, with the dispatcher's lock held and interrupts off.
pub(super) unsafe extern "sysv64" fn thread_main(thread: *mut KTHREAD) -> ! {
    dispatcher::unlock_after_switch();
    pcr::set_irql(PASSIVE_LEVEL);
    machine().enable_interrupts();
    super::KeLowerIrql(PASSIVE_LEVEL);
    if let Some(own) = (*thread).own.take() {
        own();
    } else if let Some(routine) = (*thread).start {
        routine((*thread).context);
    }
    end(STATUS_SUCCESS)
}

/// Ends the current thread.
unsafe fn end(status: NTSTATUS) -> ! {
    let level = pcr::irql();
    if level > PASSIVE_LEVEL {
        crate::kd::bugcheck::raise(
            crate::kd::bugcheck::IRQL_NOT_LESS_OR_EQUAL,
            [usize::from(level), 0, 0, 0],
        );
    }
    let owned = (*KeGetCurrentThread()).mutants;
    if owned != 0 {
        crate::kd::bugcheck::raise(
            crate::kd::bugcheck::THREAD_TERMINATE_HELD_MUTEX,
            [KeGetCurrentThread() as usize, owned as usize, 0, 0],
        );
    }
    super::KfRaiseIrql(DISPATCH_LEVEL);
    let thread = KeGetCurrentThread();
    let mut locked = dispatcher::lock();
    (*thread).exit_status = status;
    (*thread).header.SignalState = 1;
    wait::satisfy(&mut locked, &raw mut (*thread).header);
    (*thread).state = State::Ended;
    dispatcher::swap_out(&mut locked);
    unreachable!("an ended thread runs")
}

/// Drops the own references of threads that have ended. At most APC_LEVEL.
pub fn bury_dead() {
    while let Some(thread) = dispatcher::take_dead() {
        // SAFETY: the thread's own reference, which nothing uses any more.
        unsafe { ob::ObfDereferenceObject(thread.cast()) };
    }
}

/// Starts a thread of the executive's own. False without memory.
pub fn spawn(f: impl FnOnce() + Send + 'static) -> bool {
    // SAFETY: the thread was just made and not started.
    unsafe {
        let Some(thread) = create() else { return false };
        (*thread).own = Some(Box::new(f));
        start(thread);
        ob::ObfDereferenceObject(thread.cast());
    }
    true
}

/// `KeGetCurrentThread`.
pub extern "win64" fn KeGetCurrentThread() -> *mut KTHREAD {
    #[cfg(target_os = "none")]
    {
        let thread: *mut KTHREAD;
        // SAFETY: GS points at a KPCR with the current thread at 0x188.
        unsafe {
            core::arch::asm!("mov {}, gs:[0x188]", out(reg) thread, options(nostack, readonly, preserves_flags));
        }
        thread
    }
    #[cfg(not(target_os = "none"))]
    pcr::this().current()
}

/// `PsGetCurrentThread`.
pub extern "win64" fn PsGetCurrentThread() -> *mut KTHREAD {
    KeGetCurrentThread()
}

/// [PsCreateSystemThread](https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-pscreatesystemthread).
/// PASSIVE_LEVEL. The process, access and client id arguments matter to nothing here.
pub unsafe extern "win64" fn PsCreateSystemThread(
    ThreadHandle: *mut HANDLE,
    _DesiredAccess: u32,
    _ObjectAttributes: *mut OBJECT_ATTRIBUTES,
    _ProcessHandle: HANDLE,
    ClientId: *mut [usize; 2],
    StartRoutine: Option<StartRoutine>,
    StartContext: PVOID,
) -> NTSTATUS {
    let Some(thread) = create() else {
        return STATUS_INSUFFICIENT_RESOURCES;
    };
    (*thread).start = StartRoutine;
    (*thread).context = StartContext;
    *ThreadHandle = ob::open_handle(thread.cast());
    if !ClientId.is_null() {
        *ClientId = [4, (*thread).id as usize];
    }
    start(thread);
    ob::ObfDereferenceObject(thread.cast());
    STATUS_SUCCESS
}

/// `PsTerminateSystemThread`: ends the calling thread. PASSIVE_LEVEL.
pub unsafe extern "win64" fn PsTerminateSystemThread(ExitStatus: NTSTATUS) -> NTSTATUS {
    end(ExitStatus)
}

/// `PsGetCurrentThreadId`.
pub unsafe extern "win64" fn PsGetCurrentThreadId() -> HANDLE {
    (*KeGetCurrentThread()).id as usize as HANDLE
}

/// `PsGetCurrentProcessId`: all run in the system process.
pub extern "win64" fn PsGetCurrentProcessId() -> HANDLE {
    4 as HANDLE
}

/// `KeSetPriorityThread`: gives the old priority.
pub unsafe extern "win64" fn KeSetPriorityThread(
    Thread: *mut KTHREAD,
    Priority: KPRIORITY,
) -> KPRIORITY {
    let mut locked = dispatcher::lock();
    let old = (*Thread).priority;
    with_queue(&mut locked, Thread, |t| {
        (*t).priority = Priority.clamp(1, 31)
    });
    locked.unlock();
    old
}

/// `KeQueryPriorityThread`.
pub unsafe extern "win64" fn KeQueryPriorityThread(Thread: *mut KTHREAD) -> KPRIORITY {
    (*Thread).priority
}

/// Changes a thread that may be in a ready queue.
unsafe fn with_queue(locked: &mut Locked, thread: *mut KTHREAD, change: impl FnOnce(*mut KTHREAD)) {
    let queued = (*thread).state == State::Ready;
    if queued {
        LIST_ENTRY::remove(&raw mut (*thread).queue_link);
    }
    change(thread);
    if queued {
        dispatcher::make_ready(locked, thread);
    }
}

unsafe fn set_affinity(mask: KAFFINITY) -> KAFFINITY {
    let thread = KeGetCurrentThread();
    let mask = if mask & all_processors() == 0 {
        usize::MAX
    } else {
        mask
    };
    let mut locked = dispatcher::lock();
    let old = (*thread).affinity;
    (*thread).affinity = mask;
    let this = pcr::this();
    if mask >> this.number() & 1 == 0 {
        dispatcher::request_reschedule(this);
    }
    locked.state();
    locked.unlock();
    reschedule_if_wanted();
    old
}

/// `KeSetSystemGroupAffinityThread`: the calling thread runs on those processors from now on. At most APC_LEVEL; at a
/// higher level the change takes effect when the level falls.
pub unsafe extern "win64" fn KeSetSystemGroupAffinityThread(
    Affinity: *mut GROUP_AFFINITY,
    PreviousAffinity: *mut GROUP_AFFINITY,
) {
    let old = set_affinity((*Affinity).Mask);
    if !PreviousAffinity.is_null() {
        // "No earlier affinity" is said by zeroes.
        let mask = if old == usize::MAX { 0 } else { old };
        *PreviousAffinity = GROUP_AFFINITY {
            Mask: mask,
            Group: 0,
            Reserved: [0; 3],
        };
    }
}

/// `KeRevertToUserGroupAffinityThread`.
pub unsafe extern "win64" fn KeRevertToUserGroupAffinityThread(
    PreviousAffinity: *mut GROUP_AFFINITY,
) {
    set_affinity((*PreviousAffinity).Mask);
}

/// `KeSetSystemAffinityThreadEx`: gives the earlier system affinity, or 0.
pub unsafe extern "win64" fn KeSetSystemAffinityThreadEx(Affinity: KAFFINITY) -> KAFFINITY {
    let old = set_affinity(Affinity);
    if old == usize::MAX { 0 } else { old }
}

/// `KeRevertToUserAffinityThreadEx`.
pub unsafe extern "win64" fn KeRevertToUserAffinityThreadEx(Affinity: KAFFINITY) {
    set_affinity(Affinity);
}

/// `KeSetSystemAffinityThread`.
pub unsafe extern "win64" fn KeSetSystemAffinityThread(Affinity: KAFFINITY) {
    set_affinity(Affinity);
}

/// `KeRevertToUserAffinityThread`.
pub unsafe extern "win64" fn KeRevertToUserAffinityThread() {
    set_affinity(0);
}

/// `KeEnterCriticalRegion`: normal kernel APCs are off. There are no APCs here; the depth is kept.
pub unsafe extern "win64" fn KeEnterCriticalRegion() {
    (*KeGetCurrentThread()).apc_disable -= 1;
}

/// `KeLeaveCriticalRegion`.
pub unsafe extern "win64" fn KeLeaveCriticalRegion() {
    (*KeGetCurrentThread()).apc_disable += 1;
}

/// `KeAreApcsDisabled`.
pub unsafe extern "win64" fn KeAreApcsDisabled() -> u8 {
    u8::from((*KeGetCurrentThread()).apc_disable != 0)
}

/// Calls `f` with every thread, for reports. Stops the dispatcher for that long.
pub fn for_each(mut f: impl FnMut(&KTHREAD)) {
    let mut locked = dispatcher::lock();
    // SAFETY: the lock is held.
    unsafe {
        let head = &raw mut locked.state().threads;
        let mut link = (*head).Flink;
        while !link.is_null() && link != head {
            f(&*KTHREAD::from_list_link(link));
            link = (*link).Flink;
        }
    }
    locked.unlock();
}

/// How many threads that began in a range of code have not ended.
pub fn begun_in(code: core::ops::Range<usize>) -> usize {
    let mut count = 0;
    for_each(|t| {
        let begun = t
            .start
            .is_some_and(|start| code.contains(&(start as usize)));
        count += usize::from(begun && !matches!(t.state, State::Ended | State::Dead));
    });
    count
}

exports! { pub static EXPORTS;
    Ntoskrnl {
        KeGetCurrentThread, PsGetCurrentThread, PsCreateSystemThread, PsTerminateSystemThread, PsGetCurrentThreadId,
        PsGetCurrentProcessId, KeSetPriorityThread, KeQueryPriorityThread, KeSetSystemGroupAffinityThread,
        KeRevertToUserGroupAffinityThread, KeSetSystemAffinityThreadEx, KeRevertToUserAffinityThreadEx,
        KeSetSystemAffinityThread, KeRevertToUserAffinityThread, KeEnterCriticalRegion, KeLeaveCriticalRegion,
        KeAreApcsDisabled,
    }
}
