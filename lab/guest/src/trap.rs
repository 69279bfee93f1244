//! Interrupt and exception entry.
//!
//! Each of the 256 vectors has a stub that makes the stack alike, saves the registers as an
//! [`ntexec::machine::TrapFrame`] and the x87 and SSE state (drivers use SSE, and an interrupt may end in another
//! thread), and calls [`trap`].

use core::arch::global_asm;
use ntexec::machine::TrapFrame;

global_asm!(
    r#"
    .text
    .p2align 4
    .globl trap_stubs
trap_stubs:
    .set vector, 0
    .rept 256
    .p2align 4
    .if (vector == 8) || (vector == 10) || (vector == 11) || (vector == 12) || (vector == 13) || (vector == 14) || (vector == 17) || (vector == 21)
    .else
    pushq $0
    .endif
    pushq $vector
    jmp trap_common
    .set vector, vector + 1
    .endr

trap_common:
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %rbp
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    movq %rsp, %rbp
    subq $512, %rsp
    andq $-16, %rsp
    fxsaveq (%rsp)
    callq {trap}
    fxrstorq (%rsp)
    movq %rbp, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rbp
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
    addq $16, %rsp
    iretq
"#,
    trap = sym trap,
    options(att_syntax)
);

unsafe extern "C" {
    static trap_stubs: u8;
}

/// Where the stub of `vector` is.
pub fn stub(vector: u8) -> u64 {
    (&raw const trap_stubs) as u64 + u64::from(vector) * 16
}

const PAGE_FAULT: u64 = 14;

unsafe extern "C" fn trap(frame: *mut TrapFrame) {
    // SAFETY: the entry code passes the frame that it pushed.
    let frame = unsafe { &mut *frame };
    if frame.vector >= 32 {
        ntexec::hal::on_interrupt(frame.vector as u8, frame);
        return;
    }
    let cr2 = x86_64::registers::control::Cr2::read_raw();
    if frame.vector == PAGE_FAULT && crate::paging::fault_is_stale(cr2, frame.error) {
        return;
    }
    ntexec::hal::on_exception(frame, cr2);
}
