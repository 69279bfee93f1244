//! Chains of NET_BUFFER_LISTs, NET_BUFFERs and MDLs: walking them, and what they look like.

use alloc::vec::Vec;

use crate::nt::mm::MDL;
use crate::nt::ndis::*;

/// Links of one chain that are followed; a longer one is taken for a circle.
const MAX: usize = 1 << 16;

/// The links of a chain. The next one is read before a link is given out, so that it may be relinked.
fn follow<T>(first: *mut T, next: impl Fn(*mut T) -> *mut T) -> impl Iterator<Item = *mut T> {
    let mut at = first;
    core::iter::from_fn(move || {
        let here = at;
        if here.is_null() {
            return None;
        }
        at = next(here);
        Some(here)
    })
    .take(MAX)
}

/// The lists of a chain; each may be relinked once it was given out.
///
/// # Safety
/// `first` is null or begins a chain that stays valid as far as it is not given out.
pub(super) unsafe fn lists(
    first: *mut NET_BUFFER_LIST,
) -> impl Iterator<Item = *mut NET_BUFFER_LIST> {
    // SAFETY: by the caller's word.
    follow(first, |list| unsafe { (*list).Next })
}

/// The buffers of a list.
///
/// # Safety
/// As for [`lists`].
pub(super) unsafe fn buffers(list: *mut NET_BUFFER_LIST) -> impl Iterator<Item = *mut NET_BUFFER> {
    // SAFETY: by the caller's word.
    let first = unsafe { (*list).FirstNetBuffer };
    // SAFETY: by the caller's word.
    follow(first, |buffer| unsafe { (*buffer).Next })
}

/// The MDLs of a chain.
///
/// # Safety
/// As for [`lists`].
pub(super) unsafe fn mdls(first: *mut MDL) -> impl Iterator<Item = *mut MDL> {
    // SAFETY: by the caller's word.
    follow(first, |mdl| unsafe { (*mdl).Next })
}

/// What a NET_BUFFER and its MDLs must look like when they come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    buffer: usize,
    next: usize,
    current: (usize, u32),
    data: (u32, u32),
    /// MDLs and the bytes that they describe
    mdls: Vec<(usize, u32)>,
}

/// The shapes of a list's buffers.
///
/// # Safety
/// The list, its buffers and MDLs are valid.
pub(super) unsafe fn shape(list: *mut NET_BUFFER_LIST) -> Vec<Shape> {
    // SAFETY: by the caller's word.
    unsafe {
        buffers(list)
            .map(|nb| Shape {
                buffer: nb as usize,
                next: (*nb).Next as usize,
                current: ((*nb).CurrentMdl as usize, (*nb).CurrentMdlOffset),
                data: ((*nb).DataOffset, (*nb).DataLength),
                mdls: mdls((*nb).MdlChain)
                    .map(|m| (m as usize, (*m).ByteCount))
                    .collect(),
            })
            .collect()
    }
}

/// What is wrong with where a buffer's data is: the current MDL is not where DataOffset leads, or the chain is too short.
///
/// # Safety
/// The buffer and its MDLs are valid.
pub(super) unsafe fn data_faults(nb: *const NET_BUFFER) -> Option<&'static str> {
    // SAFETY: by the caller's word.
    unsafe {
        let offset = (*nb).DataOffset as usize;
        let mut before = 0usize;
        let mut found = false;
        let mut total = 0usize;
        for m in mdls((*nb).MdlChain) {
            let count = (*m).ByteCount as usize;
            if m == (*nb).CurrentMdl {
                found = true;
                if before + (*nb).CurrentMdlOffset as usize != offset {
                    return Some("CurrentMdl and CurrentMdlOffset are not where DataOffset leads");
                }
                if (*nb).CurrentMdlOffset as usize > count {
                    return Some("CurrentMdlOffset is behind its MDL's end");
                }
            }
            before += count;
            total += count;
        }
        if !found {
            return Some("CurrentMdl is not in MdlChain");
        }
        if total < offset + (*nb).DataLength as usize {
            return Some("the MDLs are shorter than DataOffset and DataLength");
        }
        None
    }
}

/// Builds a chain.
pub(super) struct Builder {
    first: *mut NET_BUFFER_LIST,
    last: *mut NET_BUFFER_LIST,
    count: u32,
}

impl Builder {
    /// An empty chain.
    pub(super) fn new() -> Self {
        Self {
            first: core::ptr::null_mut(),
            last: core::ptr::null_mut(),
            count: 0,
        }
    }

    /// Appends a list.
    ///
    /// # Safety
    /// The list is valid, in no chain that is still needed.
    pub(super) unsafe fn push(&mut self, list: *mut NET_BUFFER_LIST) {
        // SAFETY: by the caller's word.
        unsafe { (*list).Next = core::ptr::null_mut() };
        if self.last.is_null() {
            self.first = list;
        } else {
            // SAFETY: pushed before.
            unsafe { (*self.last).Next = list };
        }
        self.last = list;
        self.count += 1;
    }

    /// The chain's head and length.
    pub(super) fn finish(self) -> (*mut NET_BUFFER_LIST, u32) {
        (self.first, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeroed<T>() -> T {
        // SAFETY: used for plain structures of numbers and pointers only.
        unsafe { core::mem::zeroed() }
    }

    fn mdl(count: u32) -> MDL {
        MDL {
            ByteCount: count,
            ..zeroed()
        }
    }

    #[test]
    fn a_chain_is_walked_and_rebuilt_in_order() {
        let mut a: NET_BUFFER_LIST = zeroed();
        let mut b: NET_BUFFER_LIST = zeroed();
        // SAFETY: both lists live here.
        unsafe {
            let mut chain = Builder::new();
            chain.push(&mut a);
            chain.push(&mut b);
            let (first, count) = chain.finish();
            assert_eq!(count, 2);
            let walked: Vec<_> = lists(first).collect();
            assert_eq!(walked, [&raw mut a, &raw mut b]);
            let (none, zero) = Builder::new().finish();
            assert!(none.is_null() && zero == 0);
        }
    }

    #[test]
    fn data_lies_where_both_descriptions_say() {
        let (mut first, mut second) = (mdl(10), mdl(20));
        first.Next = &mut second;
        let mut nb: NET_BUFFER = zeroed();
        nb.MdlChain = &mut first;
        nb.CurrentMdl = &mut second;
        nb.CurrentMdlOffset = 2;
        nb.DataOffset = 12;
        nb.DataLength = 18;
        // SAFETY: all of it lives here.
        unsafe {
            assert_eq!(data_faults(&nb), None);
            nb.DataLength = 19;
            assert!(data_faults(&nb).is_some_and(|w| w.contains("shorter")));
            nb.DataLength = 18;
            nb.CurrentMdlOffset = 3;
            assert!(data_faults(&nb).is_some_and(|w| w.contains("DataOffset leads")));
            nb.CurrentMdl = core::ptr::null_mut();
            assert!(data_faults(&nb).is_some_and(|w| w.contains("not in MdlChain")));
        }
    }

    #[test]
    fn a_link_that_changes_is_seen() {
        let (mut first, mut second) = (mdl(10), mdl(20));
        first.Next = &mut second;
        let mut nb: NET_BUFFER = zeroed();
        nb.MdlChain = &mut first;
        nb.CurrentMdl = &mut first;
        nb.DataLength = 30;
        let mut list: NET_BUFFER_LIST = zeroed();
        list.FirstNetBuffer = &mut nb;
        // SAFETY: all of it lives here.
        unsafe {
            let before = shape(&mut list);
            assert_eq!(shape(&mut list), before);
            (&raw mut first.Next).write(core::ptr::null_mut());
            assert_ne!(shape(&mut list), before);
        }
    }
}
