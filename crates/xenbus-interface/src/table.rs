//! What all interfaces share: the header, GUIDs, and the macro that declares a version's table.

use core::ffi::c_void;

/// `NTSTATUS`: negative values are errors.
pub type NtStatus = i32;

/// `BOOLEAN`: 0 is false, anything else is true. A plain byte, since a C peer may put any value in it.
pub type Boolean = u8;

/// `PFN_NUMBER`: the number of a 4 KiB guest page frame.
pub type Pfn = usize;

/// `GUID`, in the layout of Windows.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guid {
    /// First group of the textual form.
    pub data1: u32,
    /// Second group.
    pub data2: u16,
    /// Third group.
    pub data3: u16,
    /// The remaining eight bytes in textual order.
    pub data4: [u8; 8],
}

impl Guid {
    /// A GUID from its textual form's number, `0x0554F2AF_B510_4C71_AC03_1C503E394238`.
    pub const fn from_u128(value: u128) -> Self {
        Self {
            data1: (value >> 96) as u32,
            data2: (value >> 80) as u16,
            data3: (value >> 64) as u16,
            data4: (value as u64).to_be_bytes(),
        }
    }
}

const _: () = assert!(size_of::<Guid>() == 16 && align_of::<Guid>() == 4);

/// `INTERFACE`: the header of every table (`wdm.h`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Interface {
    /// Size of the whole table in bytes, filled in by the provider.
    pub size: u16,
    /// Version of the table.
    pub version: u16,
    /// The provider's state.
    pub context: *mut c_void,
    /// Windows' reference function: null in all interfaces of this crate.
    pub interface_reference: Option<unsafe extern "system" fn(context: *mut c_void)>,
    /// Windows' dereference function: null in all interfaces of this crate.
    pub interface_dereference: Option<unsafe extern "system" fn(context: *mut c_void)>,
}

const _: () = assert!(size_of::<Interface>() == 32 && align_of::<Interface>() == 8);

/// A function table of one version of one interface.
///
/// # Safety
/// The type is `repr(C)`, begins with an [`Interface`] and consists from byte 32 on of function
/// pointers that may not be null. (A consumer that got a table from another driver checks the
/// slots before it makes a value of this type of them.)
pub unsafe trait InterfaceVersion: Copy + 'static {
    /// The interface's GUID, the same for all its versions.
    const GUID: Guid;
    /// The version asked for in a query.
    const VERSION: u16;
    /// The interface's name, for log lines.
    const NAME: &'static str;
    /// Names of the methods in slot order.
    const SLOTS: &'static [&'static str];

    /// The table's header, which is what methods take as their first argument.
    fn header(&self) -> &Interface;
}

/// Declares the function table of one version: layout, size and slot order are asserted.
macro_rules! interface {
    (
        $(#[$meta:meta])*
        $name:ident = $guid:ident, $text:literal, version $version:literal, size $size:literal {
            $($(#[$slot_meta:meta])* $slot:ident: $ty:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct $name {
            /// Size, version and the provider's context.
            pub interface: $crate::Interface,
            $($(#[$slot_meta])* pub $slot: $ty,)*
        }

        const _: () = {
            assert!(size_of::<$name>() == $size && align_of::<$name>() == 8);
            assert!(core::mem::offset_of!($name, interface) == 0);
            let offsets = [$(core::mem::offset_of!($name, $slot)),*];
            let sizes = [$(size_of::<$ty>()),*];
            let mut slot = 0;
            while slot < offsets.len() {
                assert!(offsets[slot] == size_of::<$crate::Interface>() + 8 * slot);
                assert!(sizes[slot] == 8);
                slot += 1;
            }
        };

        // SAFETY: repr(C) with the header first and non-null function pointers after it, as
        // asserted above.
        unsafe impl $crate::InterfaceVersion for $name {
            const GUID: $crate::Guid = $guid;
            const VERSION: u16 = $version;
            const NAME: &'static str = $text;
            const SLOTS: &'static [&'static str] = &[$(stringify!($slot)),*];

            fn header(&self) -> &$crate::Interface {
                &self.interface
            }
        }
    };
}

/// Declares an object that only its provider can look into.
macro_rules! opaque {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[repr(C)]
        #[derive(Debug)]
        pub struct $name {
            opaque: [u8; 0],
            not_send: core::marker::PhantomData<(*mut u8, core::marker::PhantomPinned)>,
        }
    };
}

/// `Acquire` of every interface: takes a reference and makes the other methods usable.
///
/// IRQL <= DISPATCH_LEVEL (UNPLUG: PASSIVE_LEVEL).
pub type Acquire = unsafe extern "system" fn(interface: *mut Interface) -> NtStatus;

/// `Release` of every interface: gives the reference back.
///
/// IRQL <= DISPATCH_LEVEL (UNPLUG: PASSIVE_LEVEL).
pub type Release = unsafe extern "system" fn(interface: *mut Interface);
