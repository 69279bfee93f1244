//! Grant table, version 1: which of our pages other domains may use.
//!
//! A reference goes `Free → Held → Granted → Held → Free`. A grant that is still mapped when its owner wants
//! it back cannot be ended: it stays `Granted`, or goes into quarantine when the owner has to leave, and its
//! reference and page are not used again until Xen says that nobody maps it any more.

mod entry;
mod table;

pub use entry::GrantFrame;
pub use table::{GrantTable, Statistics};

#[cfg(test)]
mod tests;

use xen_abi::DomId;

use crate::{Shared, XenError};

/// References that the table never hands out: Xen's toolstack fills 0 to 7, and 8 to 31 are kept free for code that
/// runs in a crash, as the C drivers do.
pub const RESERVED: u32 = 32;

/// A grant reference that its holder owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference(u32);

impl Reference {
    /// The number that is told to the peer.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// A reference from a number that may come from anywhere: every use is checked against the table.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// What is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// To whom.
    pub domain: DomId,
    /// The page.
    pub gfn: u32,
    /// Reading only.
    pub readonly: bool,
}

/// Brings frames of the table into the guest's memory.
pub trait FrameMapper {
    /// Places frame `index` of Xen's grant table into the guest and maps it; an index that is mapped already is
    /// placed again (after a resume). <= DISPATCH_LEVEL.
    fn map(&mut self, index: u32) -> Result<Shared<GrantFrame>, XenError>;
}

/// A grant operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// All references of the largest table are in use.
    #[error("the grant table is full: {references} references")]
    Full {
        /// How many it has.
        references: u32,
    },
    /// The page's frame number does not fit into an entry.
    #[error("page frame {gfn:#x} does not fit into a grant entry")]
    Frame {
        /// The frame.
        gfn: u64,
    },
    /// Not an ordinary domain's id.
    #[error("grant to the reserved domain id {0:?}")]
    Domain(DomId),
    /// The peer still maps the page.
    #[error("grant {reference} is still mapped by its peer")]
    InUse {
        /// The reference.
        reference: u32,
    },
    /// The reference is not in the state that the operation needs: its owner's mistake.
    #[error("grant reference {reference} is not {expected}")]
    State {
        /// The reference.
        reference: u32,
        /// The state that it should be in.
        expected: &'static str,
    },
    /// The table could not be enlarged.
    #[error(transparent)]
    Xen(#[from] XenError),
}
