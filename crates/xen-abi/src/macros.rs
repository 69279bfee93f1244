//! The tables from which constants, assertions and [`Fact`](crate::Fact)s are made.

/// Constants of one header, and the layouts of its structs, as one table.
///
/// ```text
/// abi! {
///     constants { /// Doc. NAME: u32 = 1 => "C_NAME"; }
///     layouts { Struct = "struct c_struct", 16 { field @ 0, other as "c_other" @ 8 } }
/// }
/// ```
///
/// Emits the constants, one compile-time assertion a size and an offset, and `FACTS`.
macro_rules! abi {
    (
        constants { $( $(#[$meta:meta])* $name:ident : $ty:ty = $value:expr => $c:literal; )* }
        $( text { $( $(#[$tmeta:meta])* $tname:ident = $tvalue:literal => $tc:literal; )* } )?
        layouts { $( $strukt:ty = $cstruct:literal, $size:literal {
            $( $field:ident $( . $sub:ident )* $( as $cfield:literal )? @ $offset:literal ),* $(,)?
        } )* }
    ) => {
        $( $(#[$meta])* pub const $name: $ty = $value; )*
        $($( $(#[$tmeta])* pub const $tname: &str = $tvalue; )*)?
        $(
            const _: () = assert!(core::mem::size_of::<$strukt>() == $size);
            $( const _: () = assert!(core::mem::offset_of!($strukt, $field $( . $sub )*) == $offset); )*
        )*
        /// What this module states about its C header.
        pub const FACTS: &[crate::Fact] = &[
            $( crate::Fact {
                subject: crate::Subject::Value($c),
                claim: crate::Claim::Number($name as i64),
            }, )*
            $($( crate::Fact {
                subject: crate::Subject::Value($tc),
                claim: crate::Claim::Text($tname),
            }, )*)?
            $(
                crate::Fact {
                    subject: crate::Subject::Size($cstruct),
                    claim: crate::Claim::Number(core::mem::size_of::<$strukt>() as i64),
                },
                $( crate::Fact {
                    subject: crate::Subject::Offset($cstruct, c_name!($field $($cfield)?)),
                    claim: crate::Claim::Number(core::mem::offset_of!($strukt, $field $( . $sub )*) as i64),
                }, )*
            )*
        ];
    };
}

/// The C name of a field: the given one, else the Rust field's own.
macro_rules! c_name {
    ($field:ident $cfield:literal) => {
        $cfield
    };
    ($field:ident) => {
        stringify!($field)
    };
}

/// A transparent number that someone else may choose, with names for the known values.
macro_rules! open_enum {
    (
        $(#[$meta:meta])*
        $name:ident($ty:ty) {
            $( $(#[$vmeta:meta])* $variant:ident = $value:expr => $c:literal; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout,
        )]
        #[repr(transparent)]
        pub struct $name(pub $ty);

        impl $name {
            $( $(#[$vmeta])* pub const $variant: Self = Self($value); )*

            /// What this type states about its C header.
            pub const FACTS: &'static [crate::Fact] = &[
                $( crate::Fact {
                    subject: crate::Subject::Value($c),
                    claim: crate::Claim::Number(Self::$variant.0 as i64),
                }, )*
            ];

            /// The header's name of this value, if it has one.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $( Self::$variant => Some($c), )*
                    _ => None,
                }
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, concat!(stringify!($name), "({})"), self.0),
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Debug::fmt(self, f)
            }
        }
    };
}
