use super::*;
use alloc::string::ToString;
use alloc::vec;

const KEY: &str = r"\Registry\Machine\SYSTEM\CurrentControlSet\Services\sample";

fn hive() -> Hive {
    let mut h = Hive::new();
    h.create(Hive::ROOT, KEY, false, 1).unwrap();
    h
}

#[test]
fn names_compare_without_regard_to_case_and_keep_their_spelling() {
    let mut h = hive();
    let id = h.open(Hive::ROOT, &KEY.to_uppercase()).unwrap();
    h.set(id, "Start", reg::DWORD, &3u32.to_le_bytes(), 2)
        .unwrap();
    assert_eq!(h.value(id, "sTART").unwrap().name, "Start");
    assert_eq!(h.path(id), KEY);
    assert_eq!(h.dword(KEY, "START"), Some(3));
}

#[test]
fn a_missing_key_and_a_missing_path_are_told_apart() {
    let h = hive();
    let below = |p: &str| h.open(Hive::ROOT, &(KEY.to_string() + p));
    assert_eq!(below(r"\Parameters"), Err(STATUS_OBJECT_NAME_NOT_FOUND));
    assert_eq!(
        below(r"\Parameters\Deep"),
        Err(STATUS_OBJECT_PATH_NOT_FOUND)
    );
}

#[test]
fn a_stable_key_cannot_be_made_below_a_volatile_one() {
    let mut h = hive();
    let id = h.open(Hive::ROOT, KEY).unwrap();
    let (v, new) = h.create_last(id, "Memory", true, 1).unwrap();
    assert!(new && h.is_volatile(v));
    assert_eq!(
        h.create_last(v, "x", false, 1),
        Err(STATUS_CHILD_MUST_BE_VOLATILE)
    );
    assert!(h.create_last(v, "x", true, 1).unwrap().1);
}

#[test]
fn create_makes_one_level_only_when_asked_for_the_last_part() {
    let mut h = hive();
    let id = h.open(Hive::ROOT, KEY).unwrap();
    assert_eq!(
        h.create_last(id, r"a\b", false, 1),
        Err(STATUS_OBJECT_NAME_NOT_FOUND)
    );
    assert!(h.create(id, r"a\b", false, 1).unwrap().1);
    assert!(!h.create_last(id, r"A\B", false, 1).unwrap().1);
}

#[test]
fn a_key_with_keys_below_it_is_not_deleted_and_a_deleted_one_says_so() {
    let mut h = hive();
    let id = h.open(Hive::ROOT, KEY).unwrap();
    let (sub, _) = h.create(id, "sub", false, 1).unwrap();
    assert_eq!(h.delete(id), Err(STATUS_CANNOT_DELETE));
    h.delete(sub).unwrap();
    assert_eq!(h.value(sub, ""), Err(STATUS_KEY_DELETED));
    h.delete(id).unwrap();
    assert_eq!(h.open(Hive::ROOT, KEY), Err(STATUS_OBJECT_NAME_NOT_FOUND));
}

#[test]
fn values_keep_their_bytes_through_the_protocol() {
    let cases: Vec<(u32, Vec<u8>)> = vec![
        (reg::SZ, sz("text")),
        (reg::SZ, vec![65, 0]),
        (reg::MULTI_SZ, multi_sz(&["a".into(), "b".into()])),
        (reg::MULTI_SZ, multi_sz(&[])),
        (reg::DWORD, vec![1, 2, 3, 4]),
        (reg::DWORD, vec![1, 2]),
        (reg::QWORD, vec![1, 2, 3, 4, 5, 6, 7, 8]),
        (reg::BINARY, vec![9]),
        (reg::NONE, vec![]),
    ];
    for (kind, bytes) in cases {
        assert_eq!(from_data(&to_data(kind, &bytes)), (kind, bytes));
    }
}

#[test]
fn appending_adds_only_what_is_not_there() {
    let mut h = hive();
    let add = |s: &str| Change::AppendValue {
        key: KEY.into(),
        name: "L".into(),
        strings: vec![s.into()],
    };
    for s in ["one", "two", "ONE"] {
        h.apply(&add(s), 1).unwrap();
    }
    assert_eq!(h.strings(KEY, "L"), ["one", "two"]);
}
