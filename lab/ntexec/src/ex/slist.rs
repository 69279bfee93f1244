//! Interlocked lists. All of them are kept consistent by one spin lock of the executive, which any IRQL can take.

use crate::nt::ke::{KSPIN_LOCK, LIST_ENTRY, SINGLE_LIST_ENTRY};
use crate::nt::mm::SLIST_HEADER;
use crate::sync::Lock;
use core::sync::atomic::{AtomicI64, Ordering};

static SLISTS: Lock<()> = Lock::new(());

const DEPTH: u64 = 0xFFFF;

unsafe fn first(head: *mut SLIST_HEADER) -> *mut SINGLE_LIST_ENTRY {
    ((*head).Region & !15) as *mut SINGLE_LIST_ENTRY
}

/// Depth in the low 16 bits of the first half, a sequence number above; the entry in the second, whose entries are 16
/// byte aligned.
unsafe fn set(head: *mut SLIST_HEADER, entry: *mut SINGLE_LIST_ENTRY, depth: u64) {
    let sequence = ((*head).Alignment >> 16).wrapping_add(1);
    (*head).Alignment = depth & DEPTH | sequence << 16;
    (*head).Region = entry as u64 | (*head).Region & 15;
}

/// `InitializeSListHead`.
pub unsafe extern "win64" fn InitializeSListHead(ListHead: *mut SLIST_HEADER) {
    ListHead.write(SLIST_HEADER {
        Alignment: 0,
        Region: 0,
    });
}

/// `ExpInterlockedPushEntrySList` (`ExInterlockedPushEntrySList`): gives the earlier first entry. Any IRQL.
pub unsafe extern "win64" fn ExpInterlockedPushEntrySList(
    ListHead: *mut SLIST_HEADER,
    ListEntry: *mut SINGLE_LIST_ENTRY,
) -> *mut SINGLE_LIST_ENTRY {
    let _guard = SLISTS.lock();
    let old = first(ListHead);
    (*ListEntry).Next = old;
    set(ListHead, ListEntry, ((*ListHead).Alignment & DEPTH) + 1);
    old
}

/// `ExpInterlockedPopEntrySList`: null if empty.
pub unsafe extern "win64" fn ExpInterlockedPopEntrySList(
    ListHead: *mut SLIST_HEADER,
) -> *mut SINGLE_LIST_ENTRY {
    let _guard = SLISTS.lock();
    let entry = first(ListHead);
    if !entry.is_null() {
        set(ListHead, (*entry).Next, ((*ListHead).Alignment & DEPTH) - 1);
    }
    entry
}

/// `ExpInterlockedFlushSList`: gives the whole list.
pub unsafe extern "win64" fn ExpInterlockedFlushSList(
    ListHead: *mut SLIST_HEADER,
) -> *mut SINGLE_LIST_ENTRY {
    let _guard = SLISTS.lock();
    let entry = first(ListHead);
    set(ListHead, core::ptr::null_mut(), 0);
    entry
}

/// `ExQueryDepthSList`.
pub unsafe extern "win64" fn ExQueryDepthSList(ListHead: *mut SLIST_HEADER) -> u16 {
    ((*ListHead).Alignment & DEPTH) as u16
}

fn some(entry: *mut LIST_ENTRY, head: *mut LIST_ENTRY) -> *mut LIST_ENTRY {
    if entry == head {
        core::ptr::null_mut()
    } else {
        entry
    }
}

/// `ExInterlockedInsertTailList`: gives the earlier last entry, or null. Any IRQL.
pub unsafe extern "win64" fn ExInterlockedInsertTailList(
    ListHead: *mut LIST_ENTRY,
    ListEntry: *mut LIST_ENTRY,
    _Lock: *mut KSPIN_LOCK,
) -> *mut LIST_ENTRY {
    let _guard = SLISTS.lock();
    let old = some((*ListHead).Blink, ListHead);
    LIST_ENTRY::insert_tail(ListHead, ListEntry);
    old
}

/// `ExInterlockedInsertHeadList`: gives the earlier first entry, or null.
pub unsafe extern "win64" fn ExInterlockedInsertHeadList(
    ListHead: *mut LIST_ENTRY,
    ListEntry: *mut LIST_ENTRY,
    _Lock: *mut KSPIN_LOCK,
) -> *mut LIST_ENTRY {
    let _guard = SLISTS.lock();
    let old = some((*ListHead).Flink, ListHead);
    LIST_ENTRY::insert_head(ListHead, ListEntry);
    old
}

/// `ExInterlockedRemoveHeadList`: null if empty.
pub unsafe extern "win64" fn ExInterlockedRemoveHeadList(
    ListHead: *mut LIST_ENTRY,
    _Lock: *mut KSPIN_LOCK,
) -> *mut LIST_ENTRY {
    let _guard = SLISTS.lock();
    LIST_ENTRY::remove_head(ListHead).unwrap_or(core::ptr::null_mut())
}

/// `ExInterlockedAddLargeStatistic`.
pub unsafe extern "win64" fn ExInterlockedAddLargeStatistic(Addend: *mut i64, Increment: u32) {
    AtomicI64::from_ptr(Addend).fetch_add(i64::from(Increment), Ordering::Relaxed);
}

exports! { pub static EXPORTS;
    Ntoskrnl {
        InitializeSListHead, ExpInterlockedPushEntrySList, ExpInterlockedPopEntrySList, ExpInterlockedFlushSList,
        ExQueryDepthSList, ExInterlockedInsertTailList, ExInterlockedInsertHeadList, ExInterlockedRemoveHeadList,
        ExInterlockedAddLargeStatistic,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(16))]
    struct Entry(SINGLE_LIST_ENTRY);

    #[test]
    fn an_slist_is_a_stack_that_counts() {
        let mut a = Entry(SINGLE_LIST_ENTRY {
            Next: core::ptr::null_mut(),
        });
        let mut b = Entry(SINGLE_LIST_ENTRY {
            Next: core::ptr::null_mut(),
        });
        let mut head = SLIST_HEADER {
            Alignment: 0,
            Region: 0,
        };
        let (h, a, b) = (&raw mut head, &raw mut a.0, &raw mut b.0);
        // SAFETY: head and entries are ours.
        unsafe {
            InitializeSListHead(h);
            assert!(ExpInterlockedPushEntrySList(h, a).is_null());
            assert_eq!(ExpInterlockedPushEntrySList(h, b), a);
            assert_eq!(ExQueryDepthSList(h), 2);
            assert_eq!(ExpInterlockedPopEntrySList(h), b);
            assert_eq!(ExpInterlockedPopEntrySList(h), a);
            assert!(ExpInterlockedPopEntrySList(h).is_null());
        }
    }
}
