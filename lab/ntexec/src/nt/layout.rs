/// Asserts a structure's size, alignment and field offsets at compile time.
#[macro_export]
macro_rules! assert_layout {
    ($t:ty, $size:expr, $align:expr $(, $($f:ident).+ @ $off:expr)* $(,)?) => {
        const _: () = {
            assert!(core::mem::size_of::<$t>() == $size);
            assert!(core::mem::align_of::<$t>() == $align);
            $(assert!(core::mem::offset_of!($t, $($f).+) == $off);)*
        };
    };
}
