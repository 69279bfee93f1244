//! A check of the kernel on the machine: what the host's unit tests cannot see. It runs when no bundle is given.

use alloc::boxed::Box;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, Ordering};
use ntexec::kd_log;
use ntexec::ke::*;
use ntexec::machine::machine;
use ntexec::nt::ke::{KDPC, KEVENT, KMUTANT, KTIMER, PROCESSOR_NUMBER, PVOID};
use ntexec::{ex, mm};

const ROUNDS: u32 = 200;

fn check(what: &str, ok: bool) {
    kd_log!("selftest: {} {what}", if ok { "ok  " } else { "FAIL" });
    if !ok {
        FAILED.fetch_add(1, Ordering::Relaxed);
    }
}

static FAILED: AtomicU32 = AtomicU32::new(0);
static COUNT: AtomicU32 = AtomicU32::new(0);

fn event() -> *mut KEVENT {
    // SAFETY: zeroes are an event that `KeInitializeEvent` overwrites.
    let e = Box::leak(unsafe { Box::<KEVENT>::new_zeroed().assume_init() });
    // SAFETY: the memory is the event's.
    unsafe { KeInitializeEvent(e, 1, 0) };
    e
}

fn wait(e: *mut KEVENT, timeout: Option<i64>) -> i32 {
    let t = timeout
        .as_ref()
        .map_or(core::ptr::null(), core::ptr::from_ref);
    // SAFETY: an initialised event.
    unsafe { KeWaitForSingleObject(e.cast(), 0, 0, 0, t) }
}

/// Two threads hand an event back and forth.
fn ping_pong() {
    let (a, b, done) = (event() as usize, event() as usize, event() as usize);
    ntexec::ke::thread::spawn(move || {
        for _ in 0..ROUNDS {
            wait(a as _, None);
            COUNT.fetch_add(1, Ordering::Relaxed);
            // SAFETY: an initialised event.
            unsafe { KeSetEvent(b as _, 0, 0) };
        }
        // SAFETY: an initialised event.
        unsafe { KeSetEvent(done as _, 0, 0) };
    });
    let start = machine().tsc();
    for _ in 0..ROUNDS {
        // SAFETY: an initialised event.
        unsafe { KeSetEvent(a as _, 0, 0) };
        wait(b as _, None);
    }
    let us = (machine().tsc() - start) * 1_000_000 / machine().tsc_frequency();
    check(
        "a thread is woken each time",
        wait(done as _, None) == 0 && COUNT.load(Ordering::Relaxed) == ROUNDS,
    );
    kd_log!("selftest: {} us a round trip", us / u64::from(ROUNDS));
}

unsafe extern "win64" fn dpc_routine(_dpc: *mut KDPC, context: PVOID, cpu: PVOID, _: PVOID) {
    // SAFETY: the number may be left out.
    let here = unsafe { KeGetCurrentProcessorNumberEx(null_mut()) };
    if here as usize == cpu as usize && KeGetCurrentIrql() == 2 {
        COUNT.fetch_add(1000, Ordering::Relaxed);
    }
    // SAFETY: the context is the test's event.
    unsafe { KeSetEvent(context.cast(), 0, 0) };
}

fn dpcs() {
    let e = event();
    for cpu in 0..machine().cpu_count() {
        COUNT.store(0, Ordering::Relaxed);
        // SAFETY: zeroes, then initialised; never freed.
        unsafe {
            let dpc = Box::leak(Box::<KDPC>::new_zeroed().assume_init());
            KeInitializeDpc(dpc, Some(dpc_routine), e.cast());
            let mut number = PROCESSOR_NUMBER {
                Group: 0,
                Number: cpu as u8,
                Reserved: 0,
            };
            KeSetTargetProcessorDpcEx(dpc, &raw mut number);
            KeInsertQueueDpc(dpc, cpu as PVOID, null_mut());
        }
        let came = wait(e, Some(-10_000_000)) == 0;
        check(
            "a DPC runs on its processor at DISPATCH_LEVEL",
            came && COUNT.load(Ordering::Relaxed) == 1000,
        );
    }
    // SAFETY: PASSIVE_LEVEL.
    unsafe { KeFlushQueuedDpcs() };
}

fn timers() {
    let e = event();
    let start = time::interrupt_time();
    check("a wait times out", wait(e, Some(-500_000)) == 0x102);
    let took = time::interrupt_time() - start;
    check(
        "after its time and soon",
        (500_000..3_000_000).contains(&took),
    );
    // SAFETY: zeroes, then initialised; never freed.
    unsafe {
        let timer = Box::leak(Box::<KTIMER>::new_zeroed().assume_init());
        KeInitializeTimerEx(timer, 1);
        KeSetTimerEx(timer, -200_000, 20, null_mut());
        let object: *mut KTIMER = timer;
        let limit = -20_000_000i64;
        let ok =
            (0..3).all(|_| KeWaitForSingleObject(object.cast(), 0, 0, 0, &raw const limit) == 0);
        check("a periodic timer fires again and again", ok);
        check(
            "and runs until it is cancelled",
            KeCancelTimer(timer) == 1 && KeCancelTimer(timer) == 0,
        );
    }
    let shared = (time::shared::ADDRESS + time::shared::INTERRUPT_TIME) as *const u32;
    // SAFETY: the page is mapped.
    let low = unsafe { shared.read_volatile() };
    check(
        "KUSER_SHARED_DATA is kept current",
        u64::from(low).abs_diff(time::interrupt_time() & 0xFFFF_FFFF) < 1_000_000,
    );
}

/// Many threads add under a mutex; a spinning one shows that the tick preempts.
fn preemption() {
    COUNT.store(0, Ordering::Relaxed);
    let done = event() as usize;
    // SAFETY: zeroes, then initialised; never freed.
    let mutex = unsafe {
        let m = Box::leak(Box::<KMUTANT>::new_zeroed().assume_init());
        KeInitializeMutex(m, 0);
        core::ptr::from_mut(m) as usize
    };
    const THREADS: u32 = 6;
    for _ in 0..THREADS {
        ntexec::ke::thread::spawn(move || {
            for _ in 0..50 {
                // SAFETY: an initialised mutex.
                unsafe { KeWaitForSingleObject(mutex as PVOID, 0, 0, 0, core::ptr::null()) };
                let n = COUNT.load(Ordering::Relaxed);
                KeStallExecutionProcessor(100);
                COUNT.store(n + 1, Ordering::Relaxed);
                // SAFETY: owned.
                unsafe { KeReleaseMutex(mutex as *mut KMUTANT, 0) };
            }
            if COUNT.load(Ordering::Relaxed) == THREADS * 50 {
                // SAFETY: an initialised event.
                unsafe { KeSetEvent(done as _, 0, 0) };
            }
        });
    }
    check(
        "a mutex keeps threads apart",
        wait(done as _, Some(-100_000_000)) == 0,
    );
    let stop = Box::leak(Box::new(AtomicU32::new(0)));
    for _ in 0..machine().cpu_count() {
        ntexec::ke::thread::spawn(|| while stop.load(Ordering::Relaxed) == 0 {});
    }
    check(
        "a thread gets its turn among spinning ones",
        wait(event(), Some(-1_000_000)) == 0x102,
    );
    stop.store(1, Ordering::Relaxed);
}

fn memory() {
    const TAG: u32 = u32::from_le_bytes(*b"Test");
    let before = (mm::phys::free_pages(), ex::usage(0));
    // SAFETY: what is allocated is used within its size and freed.
    unsafe {
        for size in [1, 16, 100, 2040, 4000, 4096, 70_000] {
            let p = ex::ExAllocatePoolWithTag(0x200, size, TAG);
            let aligned = if size >= 4096 {
                (p as usize).is_multiple_of(4096)
            } else {
                (p as usize).is_multiple_of(16)
            };
            check("pool is aligned", !p.is_null() && aligned);
            p.cast::<u8>().write_bytes(7, size);
            ex::ExFreePoolWithTag(p, TAG);
        }
        let mdl = mm::MmAllocatePagesForMdlEx(0, -1, 0, 5 * 4096, 1, 4);
        let va = mm::MmMapLockedPagesSpecifyCache(mdl, 0, 1, null_mut(), 0, 0);
        check(
            "pages of an MDL are mapped and zero",
            !va.is_null() && *va.cast::<u8>().add(4 * 4096 + 5) == 0,
        );
        let pfn = *ntexec::nt::mm::MDL::pfns(mdl).add(3);
        let pa = mm::MmGetPhysicalAddress(va.byte_add(3 * 4096));
        check(
            "at the addresses that the MDL says",
            pa as usize == pfn * 4096,
        );
        mm::MmUnmapLockedPages(va, mdl);
        mm::MmFreePagesFromMdl(mdl);
        ex::ExFreePoolWithTag(mdl.cast(), 0);
    }
    check("and nothing is left", ex::usage(0) == before.1);
    kd_log!(
        "selftest: free pages {} -> {}",
        before.0,
        mm::phys::free_pages()
    );
}

/// Uses up the stack.
fn recurse(depth: u64) -> u64 {
    let fill = core::hint::black_box([depth; 64]);
    if depth == u64::MAX {
        0
    } else {
        recurse(depth + 1) + fill[(depth % 64) as usize]
    }
}

/// Breaks something, to see that it is reported: `crash=` on the command line.
fn crash(how: &str) {
    kd_log!("selftest: crash={how}");
    match how {
        // SAFETY: unsound on purpose: nothing is mapped at 8.
        "page-fault" => unsafe { (8 as *mut u32).write_volatile(1) },
        "stack" => kd_log!("{}", recurse(0)),
        "panic" => panic!("asked for"),
        "irql" => KeLowerIrql(2),
        "spin-lock" => {
            let mut lock = 0;
            // SAFETY: the lock is ours; that it is taken twice is the point.
            unsafe {
                KeAcquireSpinLockRaiseToDpc(&raw mut lock);
                KeAcquireSpinLockAtDpcLevel(&raw mut lock);
            }
        }
        "double-free" => {
            // SAFETY: unsound on a kernel that does not check.
            unsafe {
                let p = ex::ExAllocatePoolWithTag(0x200, 10, 1);
                ex::ExFreePoolWithTag(p, 1);
                ex::ExFreePoolWithTag(p, 1);
            }
        }
        _ => kd_log!("selftest: no such crash"),
    }
}

/// What a line of the log costs: it decides how much drivers can be let say.
fn log_speed() {
    const LINES: u64 = 20;
    let start = machine().tsc();
    for _ in 0..LINES {
        kd_log!(
            "selftest: a line of one hundred characters, to see how long it takes until the hypervisor has taken it"
        );
    }
    let us = (machine().tsc() - start) * 1_000_000 / machine().tsc_frequency();
    kd_log!("selftest: {} us a line of 100 characters", us / LINES);
}

/// Runs everything, says how it went, and powers off.
pub fn run(guest: *const crate::machine::Guest) {
    // SAFETY: null, or the machine, which stays.
    if let Some(how) = unsafe { guest.as_ref() }.and_then(|g| g.boot().option("crash")) {
        crash(how);
        machine().power_off();
    }
    kd_log!(
        "selftest: {} processors, {} free pages",
        machine().cpu_count(),
        mm::phys::free_pages()
    );
    ping_pong();
    dpcs();
    timers();
    preemption();
    memory();
    log_speed();
    kd_log!("selftest: done, {} failed", FAILED.load(Ordering::Relaxed));
    machine().power_off();
}
