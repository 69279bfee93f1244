//! IRQL: kept in memory, a processor each. Above DISPATCH_LEVEL interrupts are off; at and below it they are on.
//!
//! On hardware an NT kernel keeps the level in CR8; drivers cannot tell, since raising and lowering are calls. What is
//! masked by levels 1 and 2 (the scheduler, DPCs, timer expiry) is noted and done when the level falls.

use super::pcr;
use super::{dispatcher, dpc, timer};
use crate::kd::bugcheck::{self, IRQL_NOT_GREATER_OR_EQUAL, IRQL_NOT_LESS_OR_EQUAL};
use crate::machine::machine;
use crate::nt::ke::{DISPATCH_LEVEL, KIRQL};
use core::sync::atomic::Ordering;

/// [KeGetCurrentIrql](https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kegetcurrentirql).
/// Any IRQL.
pub extern "win64" fn KeGetCurrentIrql() -> KIRQL {
    pcr::irql()
}

/// [KfRaiseIrql](https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kfraiseirql): gives the old level.
/// Bug check 9 if the new one is lower.
pub extern "win64" fn KfRaiseIrql(NewIrql: KIRQL) -> KIRQL {
    let old = pcr::irql();
    if NewIrql < old {
        bugcheck::raise(
            IRQL_NOT_GREATER_OR_EQUAL,
            [usize::from(NewIrql), usize::from(old), 0, 0],
        );
    }
    if NewIrql > DISPATCH_LEVEL && old <= DISPATCH_LEVEL {
        machine().disable_interrupts();
    }
    pcr::set_irql(NewIrql);
    old
}

/// [KeLowerIrql](https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-kelowerirql). What was held back is
/// done before it returns. Bug check 0xA if the new level is higher.
pub extern "win64" fn KeLowerIrql(NewIrql: KIRQL) {
    let old = pcr::irql();
    if NewIrql > old {
        bugcheck::raise(
            IRQL_NOT_LESS_OR_EQUAL,
            [usize::from(NewIrql), usize::from(old), 0, 0],
        );
    }
    pcr::set_irql(NewIrql);
    if NewIrql < DISPATCH_LEVEL && pcr::this().software_pending.load(Ordering::Relaxed) {
        machine().disable_interrupts();
        deliver(NewIrql);
        machine().enable_interrupts();
    } else if old > DISPATCH_LEVEL && NewIrql <= DISPATCH_LEVEL {
        machine().enable_interrupts();
    }
}

/// `KeRaiseIrqlToDpcLevel`.
pub extern "win64" fn KeRaiseIrqlToDpcLevel() -> KIRQL {
    KfRaiseIrql(DISPATCH_LEVEL)
}

/// Does what the levels below DISPATCH_LEVEL let through. Interrupts are off, before and after; `level` is the IRQL that
/// is returned to. The processor may be another one afterwards.
pub fn deliver(level: KIRQL) {
    loop {
        let pcr = pcr::this();
        if !pcr.software_pending.swap(false, Ordering::Relaxed) {
            break;
        }
        pcr::set_irql(DISPATCH_LEVEL);
        if pcr.timers_due.swap(false, Ordering::Relaxed) {
            timer::expire();
        }
        dpc::run_queue();
        if pcr.reschedule.swap(false, Ordering::Relaxed) {
            dispatcher::yield_current();
        }
        pcr::set_irql(level);
    }
}

/// Notes that there is something for [`deliver`] on this processor. Interrupts off.
pub fn request_software() {
    pcr::this().software_pending.store(true, Ordering::Relaxed);
}

exports! { pub static EXPORTS;
    Ntoskrnl { KeGetCurrentIrql, KfRaiseIrql, KeLowerIrql, KeRaiseIrqlToDpcLevel }
}
