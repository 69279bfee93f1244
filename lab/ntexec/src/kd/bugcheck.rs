//! Bug checks: the other processors stop, the drivers' callbacks run, a record goes to the host, the machine ends.
//! <https://learn.microsoft.com/windows-hardware/drivers/debugger/bug-check-code-reference2>

use super::modules;
use super::unwind::{self, RtlCaptureContext};
use crate::check;
use crate::ke::pcr;
use crate::ke::thread;
use crate::machine::{TrapFrame, machine};
use crate::nt::ke::{
    BOOLEAN, CONTEXT, HIGH_LEVEL, KBUGCHECK_CALLBACK_RECORD, KBUGCHECK_REASON_CALLBACK_RECORD,
    LIST_ENTRY, PVOID,
};
use crate::sync::Lock;
use alloc::vec::Vec;
use core::cell::UnsafeCell;
use core::fmt::Write;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU32, Ordering};
use lab_protocol::record::{Frame, Record};

#[allow(missing_docs)]
mod codes {
    pub const IRQL_NOT_GREATER_OR_EQUAL: u32 = 0x09;
    pub const IRQL_NOT_LESS_OR_EQUAL: u32 = 0x0A;
    pub const MAXIMUM_WAIT_OBJECTS_EXCEEDED: u32 = 0x0C;
    pub const SPIN_LOCK_ALREADY_OWNED: u32 = 0x0F;
    pub const SPIN_LOCK_NOT_OWNED: u32 = 0x10;
    pub const BAD_POOL_HEADER: u32 = 0x19;
    pub const KMODE_EXCEPTION_NOT_HANDLED: u32 = 0x1E;
    pub const PFN_LIST_CORRUPT: u32 = 0x4E;
    pub const PAGE_FAULT_IN_NONPAGED_AREA: u32 = 0x50;
    pub const UNEXPECTED_KERNEL_MODE_TRAP: u32 = 0x7F;
    pub const BAD_POOL_CALLER: u32 = 0xC2;
    pub const SYSTEM_SERVICE_EXCEPTION: u32 = 0x3B;
    pub const KERNEL_SECURITY_CHECK_FAILURE: u32 = 0x139;
    pub const THREAD_TERMINATE_HELD_MUTEX: u32 = 0x4000_008A;
    /// The executive's own code failed: not a driver's fault.
    pub const EXECUTIVE_PANIC: u32 = 0xE2;
}
pub use codes::*;

/// `BufferInserted`, `BufferEmpty` (`KBUGCHECK_BUFFER_DUMP_STATE`).
const BUFFER_EMPTY: u8 = 0;
const BUFFER_INSERTED: u8 = 1;
const BUFFER_STARTED: u8 = 2;
const BUFFER_FINISHED: u8 = 3;

struct Callbacks {
    plain: LIST_ENTRY,
    reason: LIST_ENTRY,
}

// SAFETY: the lists are used under their lock only.
unsafe impl Send for Callbacks {}

static CALLBACKS: Lock<Callbacks> = Lock::new(Callbacks {
    plain: LIST_ENTRY::NULL,
    reason: LIST_ENTRY::NULL,
});

/// `KiBugCheckData`: the code and its parameters, for callbacks.
#[repr(transparent)]
pub struct BugCheckData(UnsafeCell<[usize; 5]>);
// SAFETY: written once, by the processor that stops the others.
unsafe impl Sync for BugCheckData {}
/// The exported variable.
pub static KiBugCheckData: BugCheckData = BugCheckData(UnsafeCell::new([0; 5]));

/// The processor that has begun a bug check, plus 1.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Bug check `code`, at the caller.
pub fn raise(code: u32, parameters: [usize; 4]) -> ! {
    raise_with(code, parameters, "")
}

/// Bug check `code`, with what else is known.
pub fn raise_with(code: u32, parameters: [usize; 4], detail: &str) -> ! {
    let mut context = MaybeUninit::<CONTEXT>::uninit();
    // SAFETY: the context is written whole, as far as it is used.
    unsafe {
        RtlCaptureContext(context.as_mut_ptr());
        end(code, parameters, context.assume_init_ref(), detail)
    }
}

/// A bug check at the registers of an exception.
pub fn raise_at(frame: &TrapFrame, code: u32, parameters: [usize; 4], detail: &str) -> ! {
    let mut context = MaybeUninit::<CONTEXT>::zeroed();
    // SAFETY: zeroes are a valid context.
    let c = unsafe { context.assume_init_mut() };
    for (to, from) in [
        (&mut c.Rax, frame.rax),
        (&mut c.Rbx, frame.rbx),
        (&mut c.Rcx, frame.rcx),
        (&mut c.Rdx, frame.rdx),
        (&mut c.Rsi, frame.rsi),
        (&mut c.Rdi, frame.rdi),
        (&mut c.Rbp, frame.rbp),
        (&mut c.Rsp, frame.rsp),
        (&mut c.R8, frame.r8),
        (&mut c.R9, frame.r9),
        (&mut c.R10, frame.r10),
        (&mut c.R11, frame.r11),
        (&mut c.R12, frame.r12),
        (&mut c.R13, frame.r13),
        (&mut c.R14, frame.r14),
        (&mut c.R15, frame.r15),
        (&mut c.Rip, frame.rip),
    ] {
        *to = from;
    }
    c.EFlags = frame.rflags as u32;
    end(code, parameters, c, detail)
}

/// Is a bug check under way?
pub fn in_progress() -> bool {
    OWNER.load(Ordering::Acquire) != 0
}

/// What a processor does that is told to stop.
pub fn freeze() -> ! {
    loop {
        machine().disable_interrupts();
        machine().relax(1023);
    }
}

fn end(code: u32, parameters: [usize; 4], context: &CONTEXT, detail: &str) -> ! {
    machine().disable_interrupts();
    let me = machine().current_cpu() as u32 + 1;
    if let Err(owner) = OWNER.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire) {
        if owner == me {
            // A bug check within a bug check (a callback's, or the report's): what is known goes out, and that is all.
            super::log(format_args!(
                "bug check {code:#x} {parameters:x?} at {:#x} within a bug check {detail}",
                context.Rip
            ));
            machine().crash();
        }
        freeze();
    }
    let level = pcr::irql();
    pcr::set_irql(HIGH_LEVEL);
    machine().stop_others();
    super::write_alone();
    // SAFETY: only this processor runs.
    unsafe {
        *KiBugCheckData.0.get() = [
            code as usize,
            parameters[0],
            parameters[1],
            parameters[2],
            parameters[3],
        ];
    }
    report(code, parameters, context, level, detail);
    // SAFETY: only this processor runs.
    unsafe { run_callbacks() };
    machine().crash()
}

fn report(code: u32, parameters: [usize; 4], c: &CONTEXT, level: u8, detail: &str) {
    super::log(format_args!(
        "bug check {code:#x} ({:#x}, {:#x}, {:#x}, {:#x}) irql {level} cpu {} {detail}",
        parameters[0],
        parameters[1],
        parameters[2],
        parameters[3],
        machine().current_cpu()
    ));
    super::log(format_args!(
        "rip {:016x} rsp {:016x} rflags {:08x} rbp {:016x}",
        c.Rip, c.Rsp, c.EFlags, c.Rbp
    ));
    super::log(format_args!(
        "rax {:016x} rbx {:016x} rcx {:016x} rdx {:016x}",
        c.Rax, c.Rbx, c.Rcx, c.Rdx
    ));
    super::log(format_args!(
        "rsi {:016x} rdi {:016x} r8  {:016x} r9  {:016x}",
        c.Rsi, c.Rdi, c.R8, c.R9
    ));
    super::log(format_args!(
        "r10 {:016x} r11 {:016x} r12 {:016x} r13 {:016x}",
        c.R10, c.R11, c.R12, c.R13
    ));
    super::log(format_args!(
        "r14 {:016x} r15 {:016x} thread {:p}",
        c.R14,
        c.R15,
        thread::KeGetCurrentThread()
    ));
    let mut frames = [0u64; 32];
    let count = unwind::walk(c, &mut frames);
    for &f in &frames[..count] {
        match modules::find(f as usize) {
            Some(m) => super::log(format_args!("  {}+{:#x}", m.name(), f as usize - m.base)),
            None => super::log(format_args!("  {f:#x}")),
        }
    }
    let mut text = super::Line::new();
    let _ = write!(text, "irql {level} {detail}");
    check::emit(&Record::BugCheck {
        code,
        parameters: parameters.map(|p| p as u64),
        stack: frames[..count]
            .iter()
            .map(|&f| frame(f))
            .collect::<Vec<_>>(),
        detail: super::owned(text.as_str()),
    });
}

/// A frame for the record: of a driver's image by offset, of the executive by address (its image runs where it is linked).
fn frame(address: u64) -> Frame {
    match modules::find(address as usize).filter(|m| m.driver != 0) {
        Some(m) => Frame {
            image: super::owned(m.name()),
            offset: address - m.base as u64,
        },
        None => Frame {
            image: super::owned(""),
            offset: address,
        },
    }
}

unsafe fn run_callbacks() {
    let lists = CALLBACKS.steal();
    let head = &raw mut lists.plain;
    while !(*head).Flink.is_null() {
        let Some(link) = LIST_ENTRY::remove_head(head) else {
            break;
        };
        let record = link.cast::<KBUGCHECK_CALLBACK_RECORD>();
        (*record).State = BUFFER_STARTED;
        if let Some(routine) = (*record).CallbackRoutine {
            routine((*record).Buffer, (*record).Length);
        }
        (*record).State = BUFFER_FINISHED;
    }
}

unsafe fn checksum(record: *mut KBUGCHECK_CALLBACK_RECORD) -> usize {
    let r = &*record;
    (r.CallbackRoutine.map_or(0, |f| f as usize))
        .wrapping_add(r.Buffer as usize)
        .wrapping_add(r.Length as usize)
        .wrapping_add(r.Component as usize)
}

fn head(list: &mut LIST_ENTRY) -> *mut LIST_ENTRY {
    if list.Flink.is_null() {
        // SAFETY: the head lies in a static.
        unsafe { LIST_ENTRY::initialize(list) };
    }
    list
}

/// `KeRegisterBugCheckCallback`: FALSE if the record is registered already. Any IRQL.
pub unsafe extern "win64" fn KeRegisterBugCheckCallback(
    CallbackRecord: *mut KBUGCHECK_CALLBACK_RECORD,
    CallbackRoutine: Option<unsafe extern "win64" fn(PVOID, u32)>,
    Buffer: PVOID,
    Length: u32,
    Component: *mut u8,
) -> BOOLEAN {
    let mut lists = CALLBACKS.lock();
    if (*CallbackRecord).State != BUFFER_EMPTY {
        return 0;
    }
    (*CallbackRecord).CallbackRoutine = CallbackRoutine;
    (*CallbackRecord).Buffer = Buffer;
    (*CallbackRecord).Length = Length;
    (*CallbackRecord).Component = Component;
    (*CallbackRecord).Checksum = checksum(CallbackRecord);
    (*CallbackRecord).State = BUFFER_INSERTED;
    LIST_ENTRY::insert_tail(head(&mut lists.plain), &raw mut (*CallbackRecord).Entry);
    1
}

/// `KeDeregisterBugCheckCallback`: FALSE if it is not registered. Any IRQL.
pub unsafe extern "win64" fn KeDeregisterBugCheckCallback(
    CallbackRecord: *mut KBUGCHECK_CALLBACK_RECORD,
) -> BOOLEAN {
    take_out(
        &raw mut (*CallbackRecord).State,
        &raw mut (*CallbackRecord).Entry,
    )
}

/// Takes a record out of its list; FALSE if it is in none.
unsafe fn take_out(state: *mut u8, entry: *mut LIST_ENTRY) -> BOOLEAN {
    let _lists = CALLBACKS.lock();
    if *state != BUFFER_INSERTED {
        return 0;
    }
    *state = BUFFER_EMPTY;
    LIST_ENTRY::remove(entry);
    1
}

/// `KeRegisterBugCheckReasonCallback`. No reason that these callbacks are for (dump data, dump I/O) comes up here: they are
/// kept, and not called.
pub unsafe extern "win64" fn KeRegisterBugCheckReasonCallback(
    CallbackRecord: *mut KBUGCHECK_REASON_CALLBACK_RECORD,
    CallbackRoutine: Option<
        unsafe extern "win64" fn(i32, *mut KBUGCHECK_REASON_CALLBACK_RECORD, PVOID, u32),
    >,
    Reason: i32,
    Component: *mut u8,
) -> BOOLEAN {
    let mut lists = CALLBACKS.lock();
    if (*CallbackRecord).State != BUFFER_EMPTY {
        return 0;
    }
    (*CallbackRecord).CallbackRoutine = CallbackRoutine;
    (*CallbackRecord).Reason = Reason;
    (*CallbackRecord).Component = Component;
    (*CallbackRecord).State = BUFFER_INSERTED;
    LIST_ENTRY::insert_tail(head(&mut lists.reason), &raw mut (*CallbackRecord).Entry);
    1
}

/// `KeDeregisterBugCheckReasonCallback`.
pub unsafe extern "win64" fn KeDeregisterBugCheckReasonCallback(
    CallbackRecord: *mut KBUGCHECK_REASON_CALLBACK_RECORD,
) -> BOOLEAN {
    take_out(
        &raw mut (*CallbackRecord).State,
        &raw mut (*CallbackRecord).Entry,
    )
}

/// `KeBugCheckEx`. Any IRQL.
pub unsafe extern "win64" fn KeBugCheckEx(
    Code: u32,
    P1: usize,
    P2: usize,
    P3: usize,
    P4: usize,
) -> ! {
    raise(Code, [P1, P2, P3, P4])
}

/// `KeBugCheck`.
pub unsafe extern "win64" fn KeBugCheck(Code: u32) -> ! {
    raise(Code, [0; 4])
}

exports! { pub static EXPORTS;
    Ntoskrnl {
        KeBugCheckEx, KeBugCheck, KeRegisterBugCheckCallback, KeDeregisterBugCheckCallback,
        KeRegisterBugCheckReasonCallback, KeDeregisterBugCheckReasonCallback,
    }
    ; data { KiBugCheckData }
}
