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

/// Declares the size of a structure's revision (`NDIS_SIZEOF_…`, `RTL_SIZEOF_THROUGH_FIELD`): up to and with its last field.
/// Fails the build unless it is the WDK's figure.
macro_rules! revision_size {
    ($(#[$meta:meta])* $name:ident = $size:literal, $ty:ident up to $field:ident: $field_ty:ty) => {
        $(#[$meta])*
        pub const $name: u16 = $size;
        const _: () = assert!(
            core::mem::offset_of!($ty, $field) + core::mem::size_of::<$field_ty>() == $size
        );
    };
}
pub(crate) use revision_size;
