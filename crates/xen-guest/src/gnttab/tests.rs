//! The table against a peer that maps pages, and callers that make mistakes.

use std::boxed::Box;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering::SeqCst;
use std::vec::Vec;

use proptest::prelude::*;
use xen_abi::grant_table::{
    ENTRIES_PER_FRAME, GTF_PERMIT_ACCESS, GTF_READING, GTF_READONLY, GTF_WRITING, GrantEntryV1,
};
use xen_abi::{DomId, Errno};

use super::*;

const BACKEND: DomId = DomId(0);

/// Xen's frames, which outlive any owner's table.
#[derive(Default)]
struct Frames {
    frames: Vec<Shared<GrantFrame>>,
    maps: u32,
    fail: bool,
}

impl Frames {
    fn entry(&self, reference: u32) -> &GrantEntryV1 {
        self.frames[(reference / ENTRIES_PER_FRAME) as usize].entry(reference)
    }

    fn peer_maps(&self, reference: Reference) {
        self.entry(reference.number())
            .flags
            .fetch_or(GTF_READING | GTF_WRITING, SeqCst);
    }

    fn peer_unmaps(&self, reference: Reference) {
        self.entry(reference.number())
            .flags
            .fetch_and(!(GTF_READING | GTF_WRITING), SeqCst);
    }

    /// What a migration does: new frames.
    fn migrate(&mut self) {
        self.frames.clear();
    }
}

impl FrameMapper for Frames {
    fn map(&mut self, index: u32) -> Result<Shared<GrantFrame>, XenError> {
        if self.fail {
            return Err(XenError::Hypercall {
                call: "XENMEM_add_to_physmap",
                errno: Errno::EINVAL,
            });
        }
        self.maps += 1;
        while self.frames.len() <= index as usize {
            self.frames
                .push(Shared::from_static(Box::leak(Box::default())));
        }
        Ok(self.frames[index as usize])
    }
}

fn granted(table: &mut GrantTable, xen: &mut Frames, gfn: u64) -> Reference {
    let reference = table.hold(xen).expect("a reference");
    table
        .permit(reference, BACKEND, gfn, false)
        .expect("grants");
    reference
}

#[test]
fn a_grant_is_written_as_xen_reads_it() {
    let (mut xen, mut table) = (Frames::default(), GrantTable::new(1).expect("memory"));
    let reference = table.hold(&mut xen).expect("a reference");
    assert_eq!(
        reference.number(),
        RESERVED,
        "the reserved references stay unused"
    );
    table
        .permit(reference, DomId(5), 0x1234, true)
        .expect("grants");
    let entry = xen.entry(RESERVED);
    assert_eq!(entry.flags.load(SeqCst), GTF_PERMIT_ACCESS | GTF_READONLY);
    assert_eq!(
        (entry.domid.load(SeqCst), entry.frame.load(SeqCst)),
        (5, 0x1234)
    );
    assert_eq!(
        table.query(RESERVED),
        Some(Grant {
            domain: DomId(5),
            gfn: 0x1234,
            readonly: true
        })
    );
}

#[test]
fn a_revoked_entry_grants_nothing() {
    let (mut xen, mut table) = (Frames::default(), GrantTable::new(1).expect("memory"));
    let reference = granted(&mut table, &mut xen, 7);
    table.revoke(reference).expect("revokes");
    assert_eq!(table.query(reference.number()), None);
    assert_eq!(xen.entry(reference.number()).frame.load(SeqCst), 0);
    table.give_back(reference).expect("gives back");
    assert_eq!(table.statistics().free, 512 - RESERVED);
}

#[test]
fn a_mapped_page_cannot_be_revoked_until_it_is_unmapped() {
    let (mut xen, mut table) = (Frames::default(), GrantTable::new(1).expect("memory"));
    let reference = granted(&mut table, &mut xen, 7);
    xen.peer_maps(reference);
    assert_eq!(
        table.revoke(reference),
        Err(GrantError::InUse {
            reference: reference.number()
        })
    );
    assert_eq!(
        table.query(reference.number()).map(|grant| grant.gfn),
        Some(7),
        "the entry is as before"
    );
    assert!(
        table.give_back(reference).is_err(),
        "and cannot be recycled"
    );
    xen.peer_unmaps(reference);
    table.revoke(reference).expect("revokes");
}

#[test]
fn a_quarantined_reference_comes_back_only_when_unmapped() {
    let (mut xen, mut table) = (Frames::default(), GrantTable::new(1).expect("memory"));
    let reference = granted(&mut table, &mut xen, 7);
    xen.peer_maps(reference);
    table.quarantine(reference).expect("quarantines");
    assert_eq!(table.sweep(10_000), 0);
    let mut others = BTreeSet::new();
    while let Ok(other) = table.hold(&mut xen) {
        others.insert(other);
    }
    assert!(!others.contains(&reference));
    xen.peer_unmaps(reference);
    assert_eq!(table.sweep(10_000), 1);
    assert_eq!(table.hold(&mut xen), Ok(reference));
    assert_eq!(table.statistics().quarantined, 0);
}

#[test]
fn the_table_grows_to_its_limit_and_then_is_full() {
    let (mut xen, mut table) = (Frames::default(), GrantTable::new(3).expect("memory"));
    let mut all = BTreeSet::new();
    let error = loop {
        match table.hold(&mut xen) {
            Ok(reference) => assert!(all.insert(reference), "handed out twice"),
            Err(error) => break error,
        }
    };
    assert_eq!(
        error,
        GrantError::Full {
            references: 3 * 512
        }
    );
    assert_eq!(
        (all.len() as u32, table.frames(), xen.maps),
        (3 * 512 - RESERVED, 3, 3)
    );
}

#[test]
fn a_frame_that_cannot_be_mapped_leaves_the_table_as_it_was() {
    let (mut xen, mut table) = (Frames::default(), GrantTable::new(2).expect("memory"));
    xen.fail = true;
    assert!(matches!(table.hold(&mut xen), Err(GrantError::Xen(_))));
    assert_eq!(table.statistics(), Statistics::default());
    xen.fail = false;
    table.hold(&mut xen).expect("works later");
}

#[test]
fn what_an_earlier_owner_left_is_cleared_or_quarantined() {
    let mut xen = Frames::default();
    let (left, mapped) = {
        let mut table = GrantTable::new(1).expect("memory");
        let pair = (
            granted(&mut table, &mut xen, 1),
            granted(&mut table, &mut xen, 2),
        );
        xen.peer_maps(pair.1);
        pair
    };
    let mut table = GrantTable::new(1).expect("memory");
    table.grow(&mut xen).expect("grows");
    assert_eq!(table.query(left.number()), None);
    assert_eq!(table.query(mapped.number()).map(|grant| grant.gfn), Some(2));
    assert_eq!(table.statistics().quarantined, 1);
}

#[test]
fn the_toolstacks_entries_are_readable_and_never_touched() {
    let mut xen = Frames::default();
    xen.map(0).expect("maps");
    let entry = xen.entry(1);
    entry.frame.store(0xfeff, SeqCst);
    entry.flags.store(GTF_PERMIT_ACCESS, SeqCst);
    let mut table = GrantTable::new(1).expect("memory");
    table.grow(&mut xen).expect("grows");
    assert_eq!(table.query(1).map(|grant| grant.gfn), Some(0xfeff));
    assert_eq!(table.query(0), None);
    assert_eq!(table.query(512), None, "not in the mapped part");
    assert_eq!(table.query(u32::MAX), None);
}

#[test]
fn mistakes_of_an_owner_are_errors() {
    let (mut xen, mut table) = (Frames::default(), GrantTable::new(1).expect("memory"));
    let reference = table.hold(&mut xen).expect("a reference");
    assert!(table.revoke(reference).is_err(), "not granted");
    assert!(matches!(
        table.permit(reference, DomId::SELF, 1, false),
        Err(GrantError::Domain(_))
    ));
    assert!(matches!(
        table.permit(reference, BACKEND, 1 << 32, false),
        Err(GrantError::Frame { .. })
    ));
    table.permit(reference, BACKEND, 1, false).expect("grants");
    assert!(
        table.permit(reference, BACKEND, 2, false).is_err(),
        "granted already"
    );
    assert!(table.give_back(reference).is_err(), "still granted");
    for foreign in [0, 1, RESERVED + 1, 511, 512, u32::MAX] {
        let foreign = Reference::from_number(foreign);
        assert!(table.permit(foreign, BACKEND, 1, false).is_err());
        assert!(table.revoke(foreign).is_err());
        assert!(table.quarantine(foreign).is_err());
        assert!(table.give_back(foreign).is_err());
    }
}

#[test]
fn after_a_migration_the_grants_stand_again() {
    let (mut xen, mut table) = (Frames::default(), GrantTable::new(2).expect("memory"));
    let kept = granted(&mut table, &mut xen, 7);
    let stuck = granted(&mut table, &mut xen, 8);
    xen.peer_maps(kept);
    xen.peer_maps(stuck);
    table.quarantine(stuck).expect("quarantines");
    xen.migrate();
    table.rebuild(&mut xen).expect("rebuilds");
    assert_eq!(
        table.query(kept.number()),
        Some(Grant {
            domain: BACKEND,
            gfn: 7,
            readonly: false
        })
    );
    assert_eq!(
        xen.entry(kept.number()).flags.load(SeqCst),
        GTF_PERMIT_ACCESS,
        "nobody maps it any more"
    );
    assert_eq!(table.query(stuck.number()), None);
    assert_eq!(table.statistics().quarantined, 0);
    table.revoke(kept).expect("revokes");
}

proptest! {
    #[test]
    fn no_reference_is_recycled_while_its_page_is_mapped(
        steps in proptest::collection::vec((0u8..6, 0usize..16), 0..300),
    ) {
        let (mut xen, mut table) = (Frames::default(), GrantTable::new(1).expect("memory"));
        let mut owned: Vec<Reference> = Vec::new();
        let mut mapped: BTreeSet<Reference> = BTreeSet::new();
        let mut gone: Vec<Reference> = Vec::new();
        for (step, which) in steps {
            let pick = owned.get(which % owned.len().max(1)).copied();
            match (step, pick) {
                (0, _) if owned.len() < 470 => {
                    let reference = granted(&mut table, &mut xen, 1);
                    prop_assert!(!mapped.contains(&reference), "recycled while mapped");
                    prop_assert!(!owned.contains(&reference), "handed out twice");
                    owned.push(reference);
                }
                (1, Some(reference)) => { xen.peer_maps(reference); mapped.insert(reference); }
                (2, Some(reference)) => { xen.peer_unmaps(reference); mapped.remove(&reference); }
                (3, Some(reference)) => {
                    let ended = table.revoke(reference).is_ok();
                    prop_assert_eq!(ended, !mapped.contains(&reference));
                    if ended {
                        table.give_back(reference).expect("gives back");
                        owned.retain(|other| *other != reference);
                    }
                }
                (4, Some(reference)) => {
                    table.quarantine(reference).expect("quarantines");
                    owned.retain(|other| *other != reference);
                    gone.push(reference);
                }
                (5, _) => {
                    if let Some(reference) = gone.pop() {
                        xen.peer_unmaps(reference);
                        mapped.remove(&reference);
                    }
                    table.sweep(512);
                }
                _ => {}
            }
            let counts = table.statistics();
            prop_assert_eq!(counts.granted as usize, owned.len());
            if counts.total > 0 {
                let sum = counts.free + counts.held + counts.granted + counts.quarantined + RESERVED;
                prop_assert_eq!(sum, counts.total);
            }
        }
    }
}
