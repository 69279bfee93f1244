//! Routines that must know who called them, so that what they give out counts for the driver.

/// Defines an NT routine of at most six arguments (each in a register or one stack slot) that calls `imp` with six
/// arguments and its caller's return address as the seventh. The loader's thunks jump, so that the return address is the
/// driver's.
#[macro_export]
macro_rules! with_caller {
    ($($(#[$m:meta])* fn $name:ident($($a:ident: $t:ty),* $(,)?) -> $r:ty => $imp:path;)*) => { $(
        $(#[$m])*
        #[unsafe(naked)]
        pub unsafe extern "win64" fn $name($($a: $t),*) -> $r {
            core::arch::naked_asm!(
                "mov rax, [rsp]",
                "mov r10, [rsp + 0x28]",
                "mov r11, [rsp + 0x30]",
                "sub rsp, 0x48",
                "mov [rsp + 0x20], r10",
                "mov [rsp + 0x28], r11",
                "mov [rsp + 0x30], rax",
                "call {imp}",
                "add rsp, 0x48",
                "ret",
                imp = sym $imp,
            )
        }
    )* };
}
