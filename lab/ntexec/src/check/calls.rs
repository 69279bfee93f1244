//! Every call that a driver makes into the executive passes [`stub`]: it is counted, remembered, and its IRQL is checked
//! against [`lab_facts`], the contracts that the WDK's headers state.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use lab_facts::{Condition, DISPATCH_LEVEL, Function, HIGH_LEVEL, IrqlRange};

use crate::machine::try_machine;

/// Processors whose calls are remembered.
const CPUS: usize = 32;
/// Calls that are remembered, a processor.
const RING: usize = 32;

/// One import of one driver. The first field's place is known to [`stub`].
#[repr(C)]
pub struct CallRecord {
    /// The routine.
    pub target: usize,
    /// The importing driver's file name.
    pub driver: &'static str,
    /// The routine's name.
    pub name: &'static str,
    /// What the WDK says of it; `None` for what another driver exports.
    pub facts: Option<&'static Function>,
    /// How often it was called.
    pub count: AtomicU64,
}

struct PerCpu {
    current: AtomicPtr<CallRecord>,
    next: AtomicU32,
    ring: [(AtomicPtr<CallRecord>, AtomicUsize); RING],
}

static PER_CPU: [PerCpu; CPUS] = [const {
    PerCpu {
        current: AtomicPtr::new(core::ptr::null_mut()),
        next: AtomicU32::new(0),
        ring: [const { (AtomicPtr::new(core::ptr::null_mut()), AtomicUsize::new(0)) }; RING],
    }
}; CPUS];

fn per_cpu() -> Option<&'static PerCpu> {
    PER_CPU.get(try_machine()?.current_cpu())
}

/// Driver and routine of the last call on this processor.
pub fn current() -> (String, String) {
    let record = per_cpu().map_or(core::ptr::null_mut(), |c| c.current.load(Ordering::Acquire));
    // SAFETY: records live for ever: the loader never frees them.
    match unsafe { record.as_ref() } {
        Some(r) => (r.driver.to_string(), r.name.to_string()),
        None => (String::new(), String::new()),
    }
}

/// The last calls on a processor, newest first: driver, routine, return address.
pub fn last(cpu: usize) -> Vec<(&'static str, &'static str, usize)> {
    let Some(c) = PER_CPU.get(cpu) else {
        return Vec::new();
    };
    let next = c.next.load(Ordering::Acquire) as usize;
    (1..=RING)
        .filter_map(|back| {
            let (record, ret) = &c.ring[next.wrapping_sub(back) % RING];
            // SAFETY: as in `current`.
            let r = unsafe { record.load(Ordering::Acquire).as_ref() }?;
            Some((r.driver, r.name, ret.load(Ordering::Acquire)))
        })
        .collect()
}

/// Whether the contract's condition holds for the call's arguments.
///
/// # Safety
/// `args` are the call's arguments as the caller left them, stack ones included.
unsafe fn holds(condition: &Condition, args: *const u64) -> bool {
    match *condition {
        Condition::NonZero { arg } => *args.add(usize::from(arg)) != 0,
        Condition::AnyBit { arg, mask } => *args.add(usize::from(arg)) & mask != 0,
        Condition::Waits { arg } => {
            let timeout = *args.add(usize::from(arg)) as *const i64;
            timeout.is_null() || timeout.read_unaligned() != 0
        }
    }
}

/// Whether a level is in a range. Annotations cannot name a device's own level: where they say HIGH_LEVEL and nothing else,
/// any level above DISPATCH_LEVEL is meant (KeReleaseInterruptSpinLock).
fn allowed(range: IrqlRange, irql: u8) -> bool {
    let device_level = range.min == HIGH_LEVEL && irql > DISPATCH_LEVEL;
    device_level || (range.min..=range.max).contains(&irql)
}

/// Notes a call and checks its IRQL.
///
/// # Safety
/// Called by [`stub`] only: `args` points to the call's arguments, the return address below them.
unsafe extern "win64" fn on_call(record: *const CallRecord, args: *const u64) {
    let r = &*record;
    r.count.fetch_add(1, Ordering::Relaxed);
    if let Some(c) = per_cpu() {
        c.current.store(record.cast_mut(), Ordering::Release);
        let slot = c.next.fetch_add(1, Ordering::AcqRel) as usize % RING;
        c.ring[slot].0.store(record.cast_mut(), Ordering::Release);
        c.ring[slot]
            .1
            .store(*args.sub(1) as usize, Ordering::Release);
    }
    let Some(facts) = r.facts else { return };
    let irql = crate::ke::KeGetCurrentIrql();
    if let Some(range) = facts.contract.levels(|c| holds(c, args))
        && !allowed(range, irql)
    {
        super::violation_by(
            r.driver,
            r.name,
            "irql",
            format_args!(
                "called at IRQL {irql}, allowed is {} (from {:#x})",
                facts.irql,
                *args.sub(1)
            ),
        );
    }
}

/// What every import's thunk jumps to, with the [`CallRecord`] in r10: saves the register arguments in the caller's home
/// area, where they lie before the stack arguments, notes the call, and goes on to the routine.
///
/// # Safety
/// For thunks only.
#[unsafe(naked)]
pub unsafe extern "win64" fn stub() {
    core::arch::naked_asm!(
        "mov [rsp + 8], rcx",
        "mov [rsp + 16], rdx",
        "mov [rsp + 24], r8",
        "mov [rsp + 32], r9",
        "lea rdx, [rsp + 8]",
        "mov rcx, r10",
        "push rax",
        "push r10",
        "sub rsp, 40",
        "call {on_call}",
        "add rsp, 40",
        "pop r10",
        "pop rax",
        "mov rcx, [rsp + 8]",
        "mov rdx, [rsp + 16]",
        "mov r8, [rsp + 24]",
        "mov r9, [rsp + 32]",
        "jmp qword ptr [r10]",
        on_call = sym on_call,
    )
}

/// Bytes of one thunk.
pub const THUNK: usize = 32;

/// A thunk's code: `mov r10, record; mov r11, stub; jmp r11`.
pub fn thunk(record: *const CallRecord) -> [u8; THUNK] {
    let mut code = [0xcc; THUNK];
    code[..2].copy_from_slice(&[0x49, 0xba]);
    code[2..10].copy_from_slice(&(record as u64).to_le_bytes());
    code[10..12].copy_from_slice(&[0x49, 0xbb]);
    code[12..20].copy_from_slice(&(stub as *const () as u64).to_le_bytes());
    code[20..23].copy_from_slice(&[0x41, 0xff, 0xe3]);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    extern "win64" fn six(a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> u64 {
        a + 10 * b + 100 * c + 1000 * d + 10_000 * e + 100_000 * f
    }

    #[test]
    fn a_call_through_a_stub_keeps_register_and_stack_arguments_and_is_counted() {
        let record = CallRecord {
            target: six as *const () as usize,
            driver: "test.sys",
            name: "six",
            facts: None,
            count: AtomicU64::new(0),
        };
        let result: u64;
        // SAFETY: a win64 call with home area and two stack arguments; all volatile registers are declared lost.
        unsafe {
            core::arch::asm!(
                "sub rsp, 64",
                "mov qword ptr [rsp + 32], 5",
                "mov qword ptr [rsp + 40], 6",
                "call {stub}",
                "add rsp, 64",
                stub = sym stub,
                in("r10") &raw const record,
                in("rcx") 1u64, in("rdx") 2u64, in("r8") 3u64, in("r9") 4u64,
                lateout("rax") result,
                clobber_abi("win64"),
            );
        }
        assert_eq!(result, 654_321);
        assert_eq!(record.count.load(Ordering::SeqCst), 1);
    }
}
