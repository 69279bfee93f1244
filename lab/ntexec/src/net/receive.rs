//! Frames that an adapter indicated.

use alloc::vec::Vec;

use crate::mm::MmGetSystemAddressForMdlSafe;
use crate::nt::mm::MDL;
use crate::nt::ndis::*;

/// A received frame: where the adapter put it, or a copy.
pub enum Incoming {
    /// The adapter's memory, which goes back to it
    Held(Held),
    /// A copy
    Copied(Vec<u8>),
}

/// A list that is held, with its frame in one piece.
pub struct Held {
    list: *mut NET_BUFFER_LIST,
    data: *const u8,
    length: usize,
    /// The sum of the bytes as they came, if they are to be the same when the list goes back
    sum: Option<u16>,
}

// SAFETY: a list is one owner's, on any processor.
unsafe impl Send for Held {}

impl AsRef<[u8]> for Incoming {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Held(held) => held.bytes(),
            Self::Copied(bytes) => bytes,
        }
    }
}

impl Held {
    fn bytes(&self) -> &[u8] {
        // SAFETY: the list is held, so its memory stays.
        unsafe { core::slice::from_raw_parts(self.data, self.length) }
    }

    /// Notes the bytes, so that [`Self::release`] sees if they were changed.
    pub fn remember(&mut self) {
        self.sum = Some(super::checksum::sum(self.bytes()));
    }

    /// The list, to be given back, and whether its bytes are those that came.
    pub fn release(self) -> (*mut NET_BUFFER_LIST, bool) {
        let same = self
            .sum
            .is_none_or(|sum| sum == super::checksum::sum(self.bytes()));
        (self.list, same)
    }
}

/// What one list brought.
pub struct Brought {
    /// The frame, if it is one that can be read
    pub frame: Option<Incoming>,
    /// The list has been copied from and goes back at once
    pub returned: bool,
}

unsafe fn address(mdl: *mut MDL) -> Option<*const u8> {
    const NORMAL_PRIORITY: u32 = 16;
    let at = MmGetSystemAddressForMdlSafe(mdl, NORMAL_PRIORITY);
    (!at.is_null()).then_some(at.cast_const().cast())
}

/// The frame of a NET_BUFFER, if it lies in one piece.
unsafe fn in_one_piece(buffer: *const NET_BUFFER) -> Option<(*const u8, usize)> {
    let (mdl, offset) = ((*buffer).CurrentMdl, (*buffer).CurrentMdlOffset as usize);
    let length = (*buffer).DataLength as usize;
    if mdl.is_null() || offset + length > (*mdl).ByteCount as usize {
        return None;
    }
    Some((address(mdl)?.add(offset), length))
}

/// A copy of the frame of a NET_BUFFER. `None` if its chain is shorter than it says.
unsafe fn copy(buffer: *const NET_BUFFER) -> Option<Vec<u8>> {
    let (mut mdl, mut offset) = ((*buffer).CurrentMdl, (*buffer).CurrentMdlOffset as usize);
    let length = (*buffer).DataLength as usize;
    // A frame and its headers are below this, whatever the field says.
    const MOST: usize = 1 << 17;
    if length > MOST {
        return None;
    }
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        if mdl.is_null() {
            return None;
        }
        let here = ((*mdl).ByteCount as usize).checked_sub(offset)?;
        let count = here.min(length - bytes.len());
        if count > 0 {
            let from = address(mdl)?.add(offset);
            bytes.extend_from_slice(core::slice::from_raw_parts(from, count));
        }
        mdl = (*mdl).Next;
        offset = 0;
    }
    Some(bytes)
}

/// Takes the frame out of a list: with `keep` the list is held if its frame lies in one piece, else it is copied.
///
/// # Safety
/// The list was indicated and not given back.
pub unsafe fn take(list: *mut NET_BUFFER_LIST, keep: bool) -> Brought {
    let buffer = (*list).FirstNetBuffer;
    if buffer.is_null() {
        return Brought {
            frame: None,
            returned: true,
        };
    }
    if let (true, Some((data, length))) = (keep, in_one_piece(buffer)) {
        return Brought {
            frame: Some(Incoming::Held(Held {
                list,
                data,
                length,
                sum: None,
            })),
            returned: false,
        };
    }
    Brought {
        frame: copy(buffer).map(Incoming::Copied),
        returned: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes behind an MDL that says that they are mapped.
    struct Mapped {
        mdl: std::boxed::Box<MDL>,
        _bytes: Vec<u8>,
    }

    fn mapped(bytes: &[u8]) -> Mapped {
        let bytes = bytes.to_vec();
        // SAFETY: an MDL is plain data.
        let mut mdl: std::boxed::Box<MDL> = std::boxed::Box::new(unsafe { core::mem::zeroed() });
        mdl.MdlFlags = MDL::SOURCE_IS_NONPAGED_POOL;
        mdl.MappedSystemVa = bytes.as_ptr().cast_mut().cast();
        mdl.ByteCount = bytes.len() as u32;
        Mapped { mdl, _bytes: bytes }
    }

    fn list(
        pieces: &mut [Mapped],
        offset: u32,
        length: u32,
        check: impl FnOnce(*mut NET_BUFFER_LIST),
    ) {
        for index in (1..pieces.len()).rev() {
            let (before, behind) = pieces.split_at_mut(index);
            before[index - 1].mdl.Next = &raw mut *behind[0].mdl;
        }
        // SAFETY: plain data.
        let mut buffer: NET_BUFFER = unsafe { core::mem::zeroed() };
        buffer.CurrentMdl = &raw mut *pieces[0].mdl;
        buffer.CurrentMdlOffset = offset;
        buffer.DataLength = length;
        // SAFETY: plain data.
        let mut list: NET_BUFFER_LIST = unsafe { core::mem::zeroed() };
        list.FirstNetBuffer = &raw mut buffer;
        check(&raw mut list);
    }

    #[test]
    fn a_frame_in_one_piece_is_held_and_one_in_several_copied() {
        let mut one = [mapped(b"..frame..")];
        list(&mut one, 2, 5, |list| {
            // SAFETY: a list as an adapter indicates it.
            let brought = unsafe { take(list, true) };
            assert!(!brought.returned);
            assert_eq!(brought.frame.unwrap().as_ref(), b"frame");
        });
        let mut three = [mapped(b".fr"), mapped(b""), mapped(b"ame..")];
        list(&mut three, 1, 5, |list| {
            // SAFETY: as above.
            let brought = unsafe { take(list, true) };
            assert!(brought.returned);
            assert_eq!(brought.frame.unwrap().as_ref(), b"frame");
        });
    }

    #[test]
    fn a_chain_that_is_too_short_is_no_frame() {
        let mut two = [mapped(b"fr"), mapped(b"am")];
        list(&mut two, 0, 5, |list| {
            // SAFETY: as above.
            assert!(unsafe { take(list, true) }.frame.is_none());
        });
        let mut one = [mapped(b"frame")];
        list(&mut one, 9, 1, |list| {
            // SAFETY: as above.
            assert!(unsafe { take(list, false) }.frame.is_none());
        });
    }

    #[test]
    fn bytes_that_change_while_a_list_is_held_are_seen() {
        let mut one = [mapped(b"frame")];
        let at = one[0].mdl.MappedSystemVa.cast::<u8>();
        list(&mut one, 0, 5, |list| {
            // SAFETY: as above.
            let Some(Incoming::Held(mut held)) = unsafe { take(list, true) }.frame else {
                panic!("not held")
            };
            held.remember();
            // SAFETY: the bytes live as long as `one`.
            unsafe { *at = b'g' };
            assert!(!held.release().1);
        });
    }
}
