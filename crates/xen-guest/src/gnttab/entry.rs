//! One entry in memory shared with Xen.

use core::sync::atomic::Ordering::{Relaxed, Release, SeqCst};

use xen_abi::DomId;
use xen_abi::grant_table::{
    ENTRIES_PER_FRAME, GTF_PERMIT_ACCESS, GTF_READING, GTF_READONLY, GTF_TYPE_MASK, GTF_WRITING,
    GrantEntryV1,
};

use super::Grant;

/// How often an entry is tried to be cleared while Xen changes it.
const CLEAR_TRIES: u32 = 100;

/// A frame of the grant table.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct GrantFrame {
    entries: [GrantEntryV1; ENTRIES_PER_FRAME as usize],
}

impl Default for GrantFrame {
    fn default() -> Self {
        Self {
            entries: core::array::from_fn(|_| GrantEntryV1::default()),
        }
    }
}

const _: () = assert!(size_of::<GrantFrame>() == xen_abi::PAGE_SIZE);

impl GrantFrame {
    /// The entry of a reference, by its remainder.
    pub(super) fn entry(&self, reference: u32) -> &GrantEntryV1 {
        &self.entries[(reference % ENTRIES_PER_FRAME) as usize]
    }
}

/// Lets the domain in.
pub(super) fn permit(entry: &GrantEntryV1, grant: &Grant) {
    entry.domid.store(grant.domain.0, Relaxed);
    entry.frame.store(grant.gfn, Relaxed);
    let readonly = if grant.readonly { GTF_READONLY } else { 0 };
    // Release: Xen sees domain and frame before it sees that they are valid.
    entry.flags.store(GTF_PERMIT_ACCESS | readonly, Release);
}

/// Keeps everyone out. False: somebody has the page mapped; the entry is as before.
pub(super) fn revoke(entry: &GrantEntryV1) -> bool {
    for _ in 0..CLEAR_TRIES {
        let flags = entry.flags.load(SeqCst);
        if flags & (GTF_READING | GTF_WRITING) != 0 {
            return false;
        }
        // Fails when Xen has just set one of those bits.
        if entry
            .flags
            .compare_exchange(flags, 0, SeqCst, SeqCst)
            .is_ok()
        {
            entry.frame.store(0, Relaxed);
            entry.domid.store(0, Relaxed);
            return true;
        }
        core::hint::spin_loop();
    }
    false
}

/// What the entry grants, read once; `None`: nothing.
pub(super) fn read(entry: &GrantEntryV1) -> Option<Grant> {
    let flags = entry.flags.load(SeqCst);
    (flags & GTF_TYPE_MASK == GTF_PERMIT_ACCESS).then(|| Grant {
        domain: DomId(entry.domid.load(Relaxed)),
        gfn: entry.frame.load(Relaxed),
        readonly: flags & GTF_READONLY != 0,
    })
}
