//! What the machine calls: start, interrupts, exceptions.

use crate::kd::bugcheck;
use crate::ke::{KeQueryPerformanceCounter, KeStallExecutionProcessor};
use crate::ke::{dispatcher, interrupt, irql, pcr, thread, time};
use crate::machine::{self, Caching, Machine, Protection, TrapFrame, machine};
use crate::nt::ke::DISPATCH_LEVEL;
use crate::{kd_log, mm};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The clock interrupt: CLOCK_LEVEL (13).
pub const CLOCK_VECTOR: u8 = 0xD1;
/// What one processor sends another: IPI_LEVEL (14).
pub const IPI_VECTOR: u8 = 0xE1;
/// Above: spurious, or for the machine itself.
const SPURIOUS_VECTOR: u8 = 0xFF;

/// `int 29h`: `__fastfail`, the code in rcx.
const FAST_FAIL: u8 = 0x29;
/// `int 2Ch`: `__int2c`, what `NT_ASSERT` and drivers' own assertions run into.
const ASSERTION: u8 = 0x2C;
/// `int 2Dh`: the debug service (`DbgPrint`, `DbgPrompt`, symbols) of a debugger that is not there.
const DEBUG_SERVICE: u8 = 0x2D;

const NMI: u64 = 2;
const BREAKPOINT: u64 = 3;
const DOUBLE_FAULT: u64 = 8;
const PAGE_FAULT: u64 = 14;

exports! { pub static EXPORTS; Hal { KeQueryPerformanceCounter, KeStallExecutionProcessor } }

static STARTED: AtomicBool = AtomicBool::new(false);

/// Takes the machine and makes the boot processor one that the executive's routines can run on. Its heap works; memory is
/// initialised ([`crate::mm::phys::initialize`]); interrupts are off.
pub fn prepare(machine: &'static &'static dyn Machine) {
    let boot_idle = thread::new_idle(0);
    let pcr = pcr::block(0);
    pcr.initialize(0, boot_idle);
    machine.set_pcr(core::ptr::from_ref(pcr).cast_mut().cast());
    machine::install(machine);
    dispatcher::initialize();
    share_time();
}

/// Makes KUSER_SHARED_DATA: drivers read it at its address, the executive writes it through the direct map.
fn share_time() {
    let Some(page) = mm::phys::allocate_page() else {
        return;
    };
    let view = (machine().direct_map() + page as usize) as *mut u8;
    // SAFETY: a fresh page, in the direct map.
    unsafe {
        view.write_bytes(0, machine::PAGE_SIZE);
        time::initialize(view);
    }
    if machine()
        .map_page(
            time::shared::ADDRESS,
            page,
            Protection::Read,
            Caching::Cached,
        )
        .is_err()
    {
        kd_log!("hal: no page tables for KUSER_SHARED_DATA");
    }
}

/// Joins the executive with processor `index`, whose thread becomes its idle thread. The first one starts the system
/// thread, which runs `main`.
pub fn run_cpu(index: usize, main: fn()) -> ! {
    let pcr = pcr::block(index);
    if index != 0 {
        pcr.initialize(index, thread::new_idle(index));
        machine().set_pcr(core::ptr::from_ref(pcr).cast_mut().cast());
    }
    machine().start_tick(CLOCK_VECTOR, time::TIME_INCREMENT);
    pcr.online.store(true, Ordering::Release);
    if index == 0 {
        time::set_processor_count(machine().cpu_count() as u32);
        if !thread::spawn(main) {
            bugcheck::raise_with(
                bugcheck::EXECUTIVE_PANIC,
                [0; 4],
                "no memory for the first thread",
            );
        }
        STARTED.store(true, Ordering::Release);
    }
    dispatcher::idle()
}

/// The interrupts that code raises by an instruction. False if `vector` is none of them.
fn is_software_interrupt(vector: u8, frame: &TrapFrame) -> bool {
    let at = frame.rip as usize;
    match vector {
        FAST_FAIL => {
            let p = [frame.rcx as usize, frame.rsp as usize, at, 0];
            bugcheck::raise_at(
                frame,
                bugcheck::KERNEL_SECURITY_CHECK_FAILURE,
                p,
                "fast fail",
            )
        }
        ASSERTION => crate::kd::assertion::failed(frame),
        DEBUG_SERVICE => true,
        _ => false,
    }
}

/// An interrupt, vectors 32 to 255; interrupts are off. May return on another thread's behalf much later.
pub fn on_interrupt(vector: u8, frame: &TrapFrame) {
    if vector == SPURIOUS_VECTOR || is_software_interrupt(vector, frame) {
        return;
    }
    let pcr = pcr::this();
    let old = pcr::irql();
    let level = interrupt::irql_of(vector);
    if level <= old {
        bugcheck::raise_with(
            bugcheck::IRQL_NOT_GREATER_OR_EQUAL,
            [usize::from(vector), usize::from(old), 0, 0],
            "an interrupt came that the level masks: a driver has set IF",
        );
    }
    pcr::set_irql(level);
    pcr.in_isr.fetch_add(1, Ordering::Relaxed);
    match vector {
        CLOCK_VECTOR => time::tick(),
        IPI_VECTOR => {
            pcr.ipis.fetch_add(1, Ordering::Relaxed);
        }
        _ => {
            pcr.device_interrupts.fetch_add(1, Ordering::Relaxed);
            interrupt::dispatch(vector);
        }
    }
    pcr.in_isr.fetch_sub(1, Ordering::Relaxed);
    machine().end_of_interrupt();
    pcr::set_irql(old);
    if old < DISPATCH_LEVEL {
        irql::deliver(old);
    }
}

/// Logs what each processor did so far.
pub fn log_counters() {
    for cpu in 0..machine().cpu_count() {
        let p = pcr::block(cpu);
        let n = |c: &AtomicU64| c.load(Ordering::Relaxed);
        kd_log!(
            "cpu {cpu}: {} ticks ({} idle), {} device interrupts, {} ipis, {} dpcs, {} switches",
            n(&p.ticks),
            n(&p.idle_ticks),
            n(&p.device_interrupts),
            n(&p.ipis),
            n(&p.dpcs),
            n(&p.switches)
        );
    }
}

/// An exception. Returns only where the code that caused it can go on.
pub fn on_exception(frame: &mut TrapFrame, cr2: u64) {
    if frame.vector == NMI && bugcheck::in_progress() {
        bugcheck::freeze();
    }
    if frame.vector == BREAKPOINT {
        // DbgBreakPoint and __debugbreak: with no debugger, Windows bug checks; so it does here.
        bugcheck::raise_at(
            frame,
            bugcheck::KMODE_EXCEPTION_NOT_HANDLED,
            [0x8000_0003, frame.rip as usize - 1, 0, 0],
            "breakpoint",
        );
    }
    let p = [
        frame.vector as usize,
        frame.error as usize,
        frame.rip as usize,
        0,
    ];
    match frame.vector {
        PAGE_FAULT => {
            let access = if frame.error & 16 != 0 {
                8
            } else {
                usize::from(frame.error & 2 != 0)
            };
            let level = pcr::irql();
            let p = [cr2 as usize, access, frame.rip as usize, usize::from(level)];
            bugcheck::raise_at(
                frame,
                bugcheck::PAGE_FAULT_IN_NONPAGED_AREA,
                p,
                "page fault",
            );
        }
        DOUBLE_FAULT => bugcheck::raise_at(
            frame,
            bugcheck::UNEXPECTED_KERNEL_MODE_TRAP,
            p,
            "double fault: the stack overflowed?",
        ),
        _ => bugcheck::raise_at(frame, bugcheck::UNEXPECTED_KERNEL_MODE_TRAP, p, "exception"),
    }
}

/// The executive's own panic.
pub fn on_panic(info: &PanicInfo<'_>) -> ! {
    let mut line = crate::kd::Line::new();
    let _ = core::fmt::Write::write_fmt(&mut line, format_args!("{info}"));
    if machine::try_machine().is_none() {
        loop {
            core::hint::spin_loop();
        }
    }
    bugcheck::raise_with(bugcheck::EXECUTIVE_PANIC, [0; 4], line.as_str())
}
