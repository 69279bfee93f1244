//! What a row says of a name.

use core::fmt;

/// The image that exports a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// `ntoskrnl.exe`
    Ntoskrnl,
    /// `HAL.dll`
    Hal,
    /// `storport.sys`
    Storport,
    /// `NDIS.SYS`
    Ndis,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A routine.
    Function,
    /// A variable, reached through its import's address.
    Data,
}

/// A version of Windows, oldest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(
    clippy::enum_variant_names,
    reason = "a version's name starts with the product's"
)]
pub enum Windows {
    /// Windows 7.
    Windows7,
    /// Windows 8.
    Windows8,
    /// Windows 8.1.
    Windows8_1,
    /// Windows 10, version 1507.
    Windows10_1507,
    /// Windows 10, version 1511.
    Windows10_1511,
    /// Windows 10, version 1607 and Server 2016.
    Windows10_1607,
    /// Windows 10, version 1703.
    Windows10_1703,
    /// Windows 10, version 1709.
    Windows10_1709,
    /// Windows 10, version 1803.
    Windows10_1803,
    /// Windows 10, version 1809 and Server 2019.
    Windows10_1809,
    /// Windows 10, version 1903.
    Windows10_1903,
    /// Windows 10, version 2004.
    Windows10_2004,
    /// `NTDDI_WIN10_MN`, between 2004 and Server 2022.
    Manganese,
    /// `NTDDI_WIN10_FE`, Server 2022.
    Iron,
    /// Windows 11, version 21H2.
    Windows11_21H2,
    /// Windows 11, version 22H2.
    Windows11_22H2,
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Windows7 => "Windows 7",
            Self::Windows8 => "Windows 8",
            Self::Windows8_1 => "Windows 8.1",
            Self::Windows10_1507 => "Windows 10 1507",
            Self::Windows10_1511 => "Windows 10 1511",
            Self::Windows10_1607 => "Windows 10 1607",
            Self::Windows10_1703 => "Windows 10 1703",
            Self::Windows10_1709 => "Windows 10 1709",
            Self::Windows10_1803 => "Windows 10 1803",
            Self::Windows10_1809 => "Windows 10 1809",
            Self::Windows10_1903 => "Windows 10 1903",
            Self::Windows10_2004 => "Windows 10 2004",
            Self::Manganese => "Windows 10 MN (after 2004)",
            Self::Iron => "Windows Server 2022",
            Self::Windows11_21H2 => "Windows 11 21H2",
            Self::Windows11_22H2 => "Windows 11 22H2",
        })
    }
}
