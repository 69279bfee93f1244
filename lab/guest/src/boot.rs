//! From the boot loader's 32-bit entry to `kernel_main` in long mode.
//!
//! Multiboot (version 0.6.96, section 3.1.3): with bit 16 of the flags set the loader takes the addresses below and not
//! the ELF header, so that it does not mind that the image is an ELF64. First page tables, in 2 MiB pages: the first
//! 4 GiB at 0 (for this code), at [`crate::paging::DIRECT_MAP`], and the image's GiB at 0xFFFFFFFF80000000.

use core::arch::global_asm;

global_asm!(
    r#"
    .section .boot.header, "ax"
    .p2align 4
multiboot_header:
    .long 0x1BADB002
    .long 0x00010003
    .long -(0x1BADB002 + 0x00010003)
    .long multiboot_header
    .long image_start
    .long load_end_physical
    .long image_end_physical
    .long boot_entry

    .section .boot, "awx"
    .code32
    .globl boot_entry
boot_entry:
    cli
    cld
    movl $boot_stack_top, %esp
    movl %eax, %esi                 /* magic and information stay in esi, ebx */
    /* 2048 large pages of the first 4 GiB */
    xorl %ecx, %ecx
1:  movl %ecx, %eax
    shll $21, %eax
    orl  $0x83, %eax
    movl %eax, boot_pd(,%ecx,8)
    incl %ecx
    cmpl $2048, %ecx
    jne  1b
    movl $boot_pd + 0x0003, boot_pdpt
    movl $boot_pd + 0x1003, boot_pdpt + 8
    movl $boot_pd + 0x2003, boot_pdpt + 16
    movl $boot_pd + 0x3003, boot_pdpt + 24
    movl $boot_pd + 0x0003, boot_pdpt_kernel + 510 * 8
    movl $boot_pdpt + 3, boot_pml4
    movl $boot_pdpt + 3, boot_pml4 + 256 * 8
    movl $boot_pdpt_kernel + 3, boot_pml4 + 511 * 8
    movl $boot_pml4, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl  $0x6A0, %eax               /* PAE, PGE, OSFXSR, OSXMMEXCPT */
    movl %eax, %cr4
    movl $0xC0000080, %ecx          /* EFER: LME, NXE */
    rdmsr
    orl  $0x900, %eax
    wrmsr
    movl $0x80010023, %eax          /* PG, WP, NE, MP, PE: no EM, no TS */
    movl %eax, %cr0
    lgdt boot_gdt_pointer
    ljmp $8, $2f
    .code64
2:  movl $16, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl %esi, %edi
    movl %ebx, %esi
    movabsq $boot_cpu_stack_top, %rsp
    xorl %ebp, %ebp
    movabsq $kernel_main, %rax
    callq *%rax
3:  hlt
    jmp 3b

    .p2align 3
boot_gdt:
    .quad 0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF
boot_gdt_pointer:
    .word 23
    .quad boot_gdt

    .p2align 12
    .globl boot_pml4
boot_pml4: .skip 4096
boot_pdpt: .skip 4096
boot_pdpt_kernel: .skip 4096
boot_pd: .skip 16384
    .skip 1024
boot_stack_top:

    .section .bss.boot_cpu_stack, "aw", @nobits
    .p2align 12
    .skip 65536
boot_cpu_stack_top:

    /* What an application processor runs first: copied to a page below 1 MiB, entered in real mode at its start. */
    .section .rodata.trampoline, "a"
    .p2align 4
    .globl trampoline_start, trampoline_end, trampoline_args
    .code16
trampoline_start:
    cli
    cld
    xorl %eax, %eax
    movw %cs, %ax
    movw %ax, %ds
    shll $4, %eax
    movl %eax, %ebx                 /* where the copy lies */
    leal (trampoline_32 - trampoline_start)(%ebx), %eax
    movl %eax, trampoline_far32 - trampoline_start
    leal (trampoline_gdt - trampoline_start)(%ebx), %eax
    movl %eax, trampoline_gdt_pointer - trampoline_start + 2
    lgdtl trampoline_gdt_pointer - trampoline_start
    movl %cr0, %eax
    orl  $1, %eax
    movl %eax, %cr0
    ljmpl *(trampoline_far32 - trampoline_start)
    .p2align 2
trampoline_far32:
    .long 0
    .word 8
    .p2align 3
trampoline_gdt:
    .quad 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x00AF9B000000FFFF
trampoline_gdt_pointer:
    .word 31
    .long 0
    .code32
trampoline_32:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl %cr4, %eax
    orl  $0x6A0, %eax
    movl %eax, %cr4
    movl (trampoline_args - trampoline_start)(%ebx), %eax
    movl %eax, %cr3
    movl $0xC0000080, %ecx
    rdmsr
    orl  $0x900, %eax
    wrmsr
    movl $0x80010023, %eax
    movl %eax, %cr0
    leal (trampoline_64 - trampoline_start)(%ebx), %eax
    movl %eax, (trampoline_far64 - trampoline_start)(%ebx)
    ljmpl *(trampoline_far64 - trampoline_start)(%ebx)
    .p2align 2
trampoline_far64:
    .long 0
    .word 24
    .code64
trampoline_64:
    movl %ebx, %ebx
    movq (trampoline_args - trampoline_start + 8)(%rbx), %rsp
    movq (trampoline_args - trampoline_start + 16)(%rbx), %rdi
    movq (trampoline_args - trampoline_start + 24)(%rbx), %rax
    xorl %ebp, %ebp
    callq *%rax
4:  hlt
    jmp 4b
    .p2align 3
trampoline_args:
    .quad 0, 0, 0, 0                /* CR3, stack, argument, entry */
trampoline_end:
    .text
"#,
    options(att_syntax)
);

unsafe extern "C" {
    /// First byte of the application processors' start code.
    pub static trampoline_start: u8;
    /// Its end.
    pub static trampoline_end: u8;
    /// Its arguments: CR3, stack, argument, entry.
    pub static trampoline_args: u8;
    /// First byte of the kernel's code.
    pub static text_start: u8;
    /// End of the code.
    pub static text_end: u8;
    /// End of constant data.
    pub static rodata_end: u8;
    /// End of the image with its zeroed data.
    pub static image_end: u8;
}

/// Where the image's code runs, above where it lies.
pub const KERNEL: usize = 0xFFFF_FFFF_8000_0000;
/// Where it lies.
pub const IMAGE_PHYSICAL: u64 = 0x40_0000;
