//! Changing stacks. What a thread keeps while it does not run: the callee-saved registers of both ABIs and its x87 and SSE
//! state (of xmm6 to xmm15 the Windows ABI says that a call keeps them).

/// What lies at a thread's saved stack pointer, lowest address first.
#[repr(C, align(16))]
pub struct Saved {
    fx: [u8; 512],
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    flags_pad: u64,
    /// Where it goes on.
    pub rip: u64,
}

const _: () = assert!(core::mem::size_of::<Saved>() == 592);

impl Saved {
    /// A thread that begins at `entry` with `argument` in rbx and a fresh floating point state.
    pub fn begin(entry: u64, argument: u64) -> Self {
        let mut fx = [0; 512];
        fx[0..2].copy_from_slice(&0x037Fu16.to_le_bytes());
        fx[24..28].copy_from_slice(&0x1F80u32.to_le_bytes());
        Self {
            fx,
            r15: 0,
            r14: 0,
            r13: 0,
            r12: 0,
            rdi: 0,
            rsi: 0,
            rbp: 0,
            rbx: argument,
            flags_pad: 0,
            rip: entry,
        }
    }
}

/// Saves this thread, leaves its stack pointer in `*from`, and goes on where `to` was saved. Interrupts are off.
///
/// # Safety
/// `to` must be what an earlier call saved, or a [`Saved`] at a multiple of 16.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub unsafe extern "sysv64" fn switch(from: *mut u64, to: u64) {
    core::arch::naked_asm!(
        "push rax", // keeps the frame a multiple of 16
        "push rbx",
        "push rbp",
        "push rsi",
        "push rdi",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 512",
        "fxsave64 [rsp]",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "fxrstor64 [rsp]",
        "add rsp, 512",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rdi",
        "pop rsi",
        "pop rbp",
        "pop rbx",
        "pop rax",
        "ret",
    )
}

/// Where a new thread begins: the thread in rbx, interrupts off, the dispatcher's lock held.
#[cfg(target_arch = "x86_64")]
#[unsafe(naked)]
pub unsafe extern "sysv64" fn begin() {
    core::arch::naked_asm!(
        "xor ebp, ebp",
        "mov rdi, rbx",
        "and rsp, -16",
        "call {main}",
        "ud2",
        main = sym super::thread::thread_main,
    )
}
