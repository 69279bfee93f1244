//! The UNMAP parameter list (SBC-3 5.28.2).

use crate::bytes::{be16, be32, be64};
use crate::command::{Extent, within};
use crate::sense::Sense;

const HEADER: usize = 8;
const DESCRIPTOR: usize = 16;

/// What a list is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Blocks of the disk.
    pub blocks: u64,
    /// Most descriptors, as the block limits page says.
    pub maximum_descriptors: u32,
}

/// A checked parameter list: every extent lies on the disk.
#[derive(Clone, Copy, Debug)]
pub struct List<'a> {
    descriptors: &'a [u8],
}

impl<'a> List<'a> {
    /// Checks the first `length` bytes of `data`, which the command says are the list.
    ///
    /// # Errors
    /// PARAMETER LIST LENGTH ERROR where the list is shorter than its header says or than `length`; INVALID FIELD IN
    /// PARAMETER LIST for more descriptors than the block limits page allows; LBA OUT OF RANGE for blocks beyond the end.
    pub fn parse(bounds: Bounds, data: &'a [u8], length: u16) -> Result<Self, Sense> {
        let list = data
            .get(..usize::from(length))
            .ok_or(Sense::PARAMETER_LIST_LENGTH)?;
        if list.len() < HEADER {
            return Err(Sense::PARAMETER_LIST_LENGTH);
        }
        // UNMAP DATA LENGTH counts what follows it; a partial last descriptor is ignored (SBC-3 5.28.2).
        if usize::from(be16(list, 0)) + 2 > list.len() {
            return Err(Sense::PARAMETER_LIST_LENGTH);
        }
        let bytes = usize::from(be16(list, 2)) / DESCRIPTOR * DESCRIPTOR;
        let descriptors = list
            .get(HEADER..HEADER + bytes)
            .ok_or(Sense::PARAMETER_LIST_LENGTH)?;
        let list = Self { descriptors };
        if list.len() > usize::try_from(bounds.maximum_descriptors).unwrap_or(usize::MAX) {
            return Err(Sense::INVALID_PARAMETER);
        }
        list.extents()
            .try_for_each(|e| within(bounds.blocks, e.lba, e.blocks).map(|_| ()))?;
        Ok(list)
    }

    /// Descriptors in the list.
    pub fn len(&self) -> usize {
        self.descriptors.len() / DESCRIPTOR
    }

    /// The list has no descriptor, which is no error.
    pub fn is_empty(&self) -> bool {
        self.descriptors.is_empty()
    }

    /// The extents to unmap, those of no block among them.
    pub fn extents(&self) -> impl Iterator<Item = Extent> + use<'a> {
        let descriptors = self.descriptors;
        descriptors.chunks_exact(DESCRIPTOR).map(|d| Extent {
            lba: be64(d, 0),
            blocks: be32(d, 8),
        })
    }
}
