//! `NTSTATUS` values that are errors.

use core::fmt;

use wdk_sys::NTSTATUS;

/// An `NTSTATUS` for which `NT_SUCCESS` does not hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Status(pub NTSTATUS);

/// The result of a call into the kernel.
pub type Result<T = ()> = core::result::Result<T, Status>;

macro_rules! statuses {
    ($($(#[$meta:meta])* $name:ident = $value:literal;)*) => {
        impl Status {
            $($(#[$meta])* pub const $name: Self = Self($value as NTSTATUS);)*

            /// The constant's name, where this layer has one.
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    /// `STATUS_UNSUCCESSFUL`.
    UNSUCCESSFUL = 0xC000_0001_u32;
    /// `STATUS_NOT_IMPLEMENTED`.
    NOT_IMPLEMENTED = 0xC000_0002_u32;
    /// `STATUS_INFO_LENGTH_MISMATCH`.
    INFO_LENGTH_MISMATCH = 0xC000_0004_u32;
    /// `STATUS_INVALID_PARAMETER`.
    INVALID_PARAMETER = 0xC000_000D_u32;
    /// `STATUS_NO_SUCH_DEVICE`.
    NO_SUCH_DEVICE = 0xC000_000E_u32;
    /// `STATUS_INVALID_DEVICE_REQUEST`.
    INVALID_DEVICE_REQUEST = 0xC000_0010_u32;
    /// `STATUS_NO_MEMORY`.
    NO_MEMORY = 0xC000_0017_u32;
    /// `STATUS_ACCESS_DENIED`.
    ACCESS_DENIED = 0xC000_0022_u32;
    /// `STATUS_BUFFER_TOO_SMALL`.
    BUFFER_TOO_SMALL = 0xC000_0023_u32;
    /// `STATUS_OBJECT_TYPE_MISMATCH`.
    OBJECT_TYPE_MISMATCH = 0xC000_0024_u32;
    /// `STATUS_OBJECT_NAME_NOT_FOUND`.
    OBJECT_NAME_NOT_FOUND = 0xC000_0034_u32;
    /// `STATUS_OBJECT_PATH_NOT_FOUND`.
    OBJECT_PATH_NOT_FOUND = 0xC000_003A_u32;
    /// `STATUS_DELETE_PENDING`.
    DELETE_PENDING = 0xC000_0056_u32;
    /// `STATUS_INSUFFICIENT_RESOURCES`.
    INSUFFICIENT_RESOURCES = 0xC000_009A_u32;
    /// `STATUS_DEVICE_NOT_READY`.
    DEVICE_NOT_READY = 0xC000_00A3_u32;
    /// `STATUS_IO_TIMEOUT`.
    IO_TIMEOUT = 0xC000_00B5_u32;
    /// `STATUS_NOT_SUPPORTED`.
    NOT_SUPPORTED = 0xC000_00BB_u32;
    /// `STATUS_INTERNAL_ERROR`.
    INTERNAL_ERROR = 0xC000_00E5_u32;
    /// `STATUS_CANCELLED`.
    CANCELLED = 0xC000_0120_u32;
    /// `STATUS_INVALID_DEVICE_STATE`.
    INVALID_DEVICE_STATE = 0xC000_0184_u32;
    /// `STATUS_DEVICE_PROTOCOL_ERROR`.
    DEVICE_PROTOCOL_ERROR = 0xC000_0186_u32;
    /// `STATUS_RETRY`.
    RETRY = 0xC000_022D_u32;
    /// `STATUS_NOT_FOUND`.
    NOT_FOUND = 0xC000_0225_u32;
    /// `STATUS_DEVICE_REMOVED`.
    DEVICE_REMOVED = 0xC000_02B6_u32;
    /// `STATUS_BUFFER_OVERFLOW`, a warning.
    BUFFER_OVERFLOW = 0x8000_0005_u32;
    /// `STATUS_DEVICE_BUSY`, a warning.
    DEVICE_BUSY = 0x8000_0011_u32;
}

impl Status {
    /// `Ok` for success and informational values (`NT_SUCCESS`).
    ///
    /// # Errors
    /// The value itself if it is a warning or an error.
    pub const fn check(value: NTSTATUS) -> Result {
        if value >= 0 { Ok(()) } else { Err(Self(value)) }
    }

    /// The `NTSTATUS` of a result.
    pub const fn of(result: Result) -> NTSTATUS {
        match result {
            Ok(()) => 0,
            Err(Self(value)) => value,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{:#010x}", self.0),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
