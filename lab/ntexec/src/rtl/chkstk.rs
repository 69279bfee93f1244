//! `__chkstk`, which a compiler calls before a function with more than a page of locals.

use crate::exports::{Export, Kind, Module};

/// Touches the pages of a stack frame (its size is in RAX) so that a guard page among them is met in order; every register
/// keeps its value ("Prolog and epilog" of the x64 conventions). Stacks here are resident as a whole: there is nothing to
/// touch. Any IRQL.
#[unsafe(naked)]
extern "win64" fn __chkstk() {
    core::arch::naked_asm!("ret")
}

/// Bound to the routine itself: what stands before other imports would change RAX.
pub static EXPORTS: &[Export] = &[Export {
    module: Module::Ntoskrnl,
    kind: Kind::Data,
    name: "__chkstk",
    addr: __chkstk as *const (),
}];
