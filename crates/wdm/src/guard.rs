//! Control-flow guard: what a C runtime's objects bring into an image elsewhere, and a driver has to bring itself.
//!
//! The compiler makes each indirect call through the pointer `__guard_dispatch_icall_fptr`, with the target in RAX; the
//! linker lists the addresses that may be called so. The load configuration directory tells Windows where both are.
//! A kernel with memory integrity (HVCI) replaces the pointers, when it loads the image, by routines of its own that
//! look the target up; any other leaves them, and the defaults below simply go there.
//!
//! All of it is assembler, so that no optimisation across crates sees what the pointers hold and calls it directly.

use core::arch::global_asm;

// The linker puts .00cfg into .rdata: read-only, and so with memory integrity out of a driver's reach.
global_asm!(
    ".section .00cfg,\"dr\"",
    ".balign 8",
    ".globl __guard_check_icall_fptr",
    "__guard_check_icall_fptr: .quad _guard_check_icall_nop",
    ".globl __guard_dispatch_icall_fptr",
    "__guard_dispatch_icall_fptr: .quad _guard_dispatch_icall_nop",
    ".text",
);

// The target to check is in RCX, and all registers stay; the target to go to is in RAX.
global_asm!(
    ".section .text$guard,\"xr\"",
    ".balign 16",
    "_guard_check_icall_nop: ret",
    ".balign 16",
    "_guard_dispatch_icall_nop: jmp rax",
    ".text",
);

// IMAGE_LOAD_CONFIG_DIRECTORY64 (winnt.h) up to GuardEHContinuationCount. Names with two underscores are the linker's.
// There is no security cookie: the compiler makes none.
global_asm!(
    ".section .rdata$loadcfg,\"dr\"",
    ".balign 8",
    ".globl _load_config_used",
    "_load_config_used:",
    ".long 0x118", // Size
    ".zero 0x6C",  // up to GuardCFCheckFunctionPointer
    ".quad __guard_check_icall_fptr",
    ".quad __guard_dispatch_icall_fptr",
    ".quad __guard_fids_table",
    ".quad __guard_fids_count",
    ".long __guard_flags",
    ".zero 12", // CodeIntegrity
    ".quad __guard_iat_table",
    ".quad __guard_iat_count",
    ".quad __guard_longjmp_table",
    ".quad __guard_longjmp_count",
    ".zero 0x48", // up to GuardEHContinuationTable
    ".quad __guard_eh_cont_table",
    ".quad __guard_eh_cont_count",
    // All assembler of a driver is one file once crates are optimised together: others start in the section of code.
    ".text",
);
