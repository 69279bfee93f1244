//! How a call to Xen fails.

use xen_abi::Errno;
use xen_abi::grant_table::GrantStatus;

/// A call to Xen failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XenError {
    /// The hypercall returned an error number.
    #[error("{call} failed: {errno}")]
    Hypercall {
        /// Xen's name of the operation.
        call: &'static str,
        /// What it returned, negated.
        errno: Errno,
    },
    /// The hypercall succeeded, the grant operation did not.
    #[error("{call} failed: {status}")]
    Grant {
        /// Xen's name of the operation.
        call: &'static str,
        /// What it stored.
        status: GrantStatus,
    },
    /// The hypercall returned something that it cannot return.
    #[error("{call} returned the impossible value {value}")]
    Answer {
        /// Xen's name of the operation.
        call: &'static str,
        /// What it returned.
        value: i64,
    },
    /// There is no memory for a table.
    #[error("out of memory for {what}")]
    OutOfMemory {
        /// The table.
        what: &'static str,
    },
    /// An argument is outside of what this Xen or ABI can express.
    #[error("{what} {value} is out of range")]
    OutOfRange {
        /// The argument.
        what: &'static str,
        /// Its value.
        value: u64,
    },
}

impl XenError {
    /// The error number, when Xen gave one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Hypercall { errno, .. } => Some(*errno),
            _ => None,
        }
    }
}
