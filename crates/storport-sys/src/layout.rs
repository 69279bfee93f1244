//! Compile-time layout assertions.

/// Fails the build unless a structure has this size, alignment and these field offsets (all in bytes).
macro_rules! assert_layout {
    ($ty:ident, size $size:literal, align $align:literal, { $($field:ident @ $offset:literal),* $(,)? }) => {
        const _: () = {
            assert!(core::mem::size_of::<$ty>() == $size);
            assert!(core::mem::align_of::<$ty>() == $align);
            $(assert!(core::mem::offset_of!($ty, $field) == $offset);)*
        };
    };
}
pub(crate) use assert_layout;
