//! Registry keys and values as data.

use alloc::string::String;
use alloc::vec::Vec;
use serde::Deserialize;
use serde::Serialize;

/// The type and contents of a registry value (REG_* of winnt.h). Numbers without a variant of their own travel as [`Data::Other`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Data {
    /// REG_SZ
    Sz(String),
    /// REG_EXPAND_SZ
    ExpandSz(String),
    /// REG_MULTI_SZ, without the terminating empty string
    MultiSz(Vec<String>),
    /// REG_DWORD
    Dword(u32),
    /// REG_QWORD
    Qword(u64),
    /// REG_BINARY
    Binary(Vec<u8>),
    /// Any other type, with its raw bytes
    Other(u32, Vec<u8>),
}

/// One change to the registry. Paths are absolute and begin with `\Registry\Machine\`; they compare without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The key and all keys above it come to be.
    CreateKey {
        /// The key
        key: String,
    },
    /// The value is set; its key comes to be if it is not there.
    SetValue {
        /// The key
        key: String,
        /// The value's name; empty for the default value
        name: String,
        /// The new contents
        data: Data,
    },
    /// Strings are added to a REG_MULTI_SZ value unless they are in it (FLG_ADDREG_APPEND).
    AppendValue {
        /// The key
        key: String,
        /// The value's name
        name: String,
        /// What is added
        strings: Vec<String>,
    },
    /// The value goes, if it is there.
    DeleteValue {
        /// The key
        key: String,
        /// The value's name
        name: String,
    },
    /// The key goes with all below it, if it is there.
    DeleteKey {
        /// The key
        key: String,
    },
}
