//! Which children the bus should have, by what xenstore has below `device/`.

use alloc::vec::Vec;
use core::fmt;

use xenbus_interface::identity::{Child, Class};

/// Most classes of device that a bus has children for. Xen defines a dozen.
pub const MAX_CLASSES: usize = 16;
/// Most children of a bus.
pub const MAX_CHILDREN: usize = 64;

/// Whether users may take a class' children out (`AllowPdoRemove`, `AllowPdoEject`) where the registry does not say. The
/// disks are fixed ones: below a removable adapter Windows would offer each of them for safe removal.
pub fn may_be_taken_out(class: &Class) -> bool {
    class.as_str() != "VBD"
}

/// A small set of classes in the order of their arrival.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Classes {
    members: [Option<Class>; MAX_CLASSES],
}

impl fmt::Debug for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl Classes {
    /// The empty set.
    pub const fn new() -> Self {
        Self {
            members: [None; MAX_CLASSES],
        }
    }

    /// Adds a class; false if there is no room for it.
    pub fn insert(&mut self, class: Class) -> bool {
        if self.contains(&class) {
            return true;
        }
        match self.members.iter_mut().find(|member| member.is_none()) {
            Some(free) => {
                *free = Some(class);
                true
            }
            None => false,
        }
    }

    /// Whether a class is in the set.
    pub fn contains(&self, class: &Class) -> bool {
        self.iter().any(|member| member == *class)
    }

    /// The classes.
    pub fn iter(&self) -> impl Iterator<Item = Class> + '_ {
        self.members.iter().flatten().copied()
    }

    /// The classes named in a list such as `SupportedClasses` (names that no class may have are passed over).
    pub fn from_list<'a>(names: impl Iterator<Item = &'a [u16]>) -> Self {
        let mut classes = Self::new();
        for class in names.filter_map(Class::from_utf16) {
            classes.insert(class);
        }
        classes
    }
}

/// The classes among the names below `device/` that are in `supported`, by their whole name and each once.
pub fn classes<'a>(found: impl Iterator<Item = &'a [u8]>, supported: &Classes) -> Classes {
    let mut classes = Classes::new();
    for class in found
        .filter_map(Class::new)
        .filter(|class| supported.contains(class))
    {
        classes.insert(class);
    }
    classes
}

/// The children that xenstore asks for.
#[derive(Debug, Default)]
pub struct Wanted(Vec<Child>);

impl Wanted {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a child; false if there is no room for it.
    pub fn insert(&mut self, child: Child) -> bool {
        if self.contains(&child) {
            return true;
        }
        if self.0.len() >= MAX_CHILDREN || self.0.try_reserve(1).is_err() {
            return false;
        }
        self.0.push(child);
        true
    }

    /// Adds the devices of a class among the names in its directory, and says how many had no room. A name that is no
    /// device's number in its one spelling (no sign, no zeros in front) is passed over.
    pub fn insert_devices<'a>(
        &mut self,
        class: Class,
        found: impl Iterator<Item = &'a [u8]>,
    ) -> usize {
        found
            .filter_map(number)
            .filter_map(|number| Child::of_device(class, number))
            .filter(|child| !self.insert(*child))
            .count()
    }

    /// Whether a child is wanted.
    pub fn contains(&self, child: &Child) -> bool {
        self.0.contains(child)
    }

    /// The children.
    pub fn iter(&self) -> impl Iterator<Item = Child> + '_ {
        self.0.iter().copied()
    }
}

/// A number as xenstore spells it.
fn number(name: &[u8]) -> Option<u32> {
    let spelled =
        name.iter().all(u8::is_ascii_digit) && (name == b"0" || name.first() != Some(&b'0'));
    let text = core::str::from_utf8(name).ok()?;
    spelled.then(|| text.parse().ok()).flatten()
}

/// The names in what STORE.Directory returns: NUL-separated, ended by an empty one.
pub fn names(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == 0)
        .take_while(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::{String, ToString};

    fn set(text: &str) -> Classes {
        let units: Vec<Vec<u16>> = text
            .split_whitespace()
            .map(|name| name.encode_utf16().collect())
            .collect();
        Classes::from_list(units.iter().map(Vec::as_slice))
    }

    fn list(classes: &Classes) -> Vec<String> {
        classes.iter().map(|class| class.to_string()).collect()
    }

    #[test]
    fn only_supported_classes_count_and_by_their_whole_name() {
        let found = "suspend vbd vif vbd2 vb".split_whitespace();
        let found = classes(found.map(str::as_bytes), &set("VBD VKBD"));
        assert_eq!(list(&found), ["VBD"]);
    }

    #[test]
    fn garbage_and_repetitions_in_xenstore_make_no_class() {
        let found = [&b"vbd"[..], b"VBD", b"", b"a,b", b"0123456789abcdefg"];
        assert_eq!(list(&classes(found.into_iter(), &set("VBD"))), ["VBD"]);
    }

    #[test]
    fn a_set_takes_no_more_than_it_has_room_for() {
        let mut set = Classes::new();
        for index in 0..MAX_CLASSES + 1 {
            let name = std::format!("c{index}");
            assert_eq!(
                set.insert(Class::new(name.as_bytes()).unwrap()),
                index < MAX_CLASSES
            );
        }
        assert!(set.insert(Class::new(b"c3").unwrap()));
    }

    #[test]
    fn devices_are_what_has_a_number_in_its_one_spelling() {
        let vif = Class::new(b"vif").unwrap();
        let table = [
            ("0", Some(0)),
            ("7", Some(7)),
            ("10", Some(10)),
            ("4294967294", Some(4_294_967_294)),
            ("4294967295", None),
            ("4294967296", None),
            ("99999999999999999999", None),
            ("00", None),
            ("07", None),
            ("+1", None),
            ("-1", None),
            ("1a", None),
            ("x", None),
        ];
        for (name, expected) in table {
            let mut wanted = Wanted::new();
            wanted.insert_devices(vif, [name.as_bytes()].into_iter());
            let numbers: Vec<_> = wanted.iter().map(|child| child.number()).collect();
            assert_eq!(
                numbers,
                expected.map(Some).into_iter().collect::<Vec<_>>(),
                "{name}"
            );
        }
        let mut wanted = Wanted::new();
        wanted.insert_devices(vif, [&b"\xff"[..], b"", b"3", b"3"].into_iter());
        assert_eq!(wanted.iter().count(), 1);
    }

    #[test]
    fn a_class_without_devices_of_its_own_gets_none() {
        let mut wanted = Wanted::new();
        let vbd = Class::new(b"vbd").unwrap();
        assert_eq!(wanted.insert_devices(vbd, [&b"51712"[..]].into_iter()), 0);
        assert_eq!(wanted.iter().count(), 0);
    }

    #[test]
    fn there_are_no_more_children_than_there_is_room_for_and_the_rest_is_counted() {
        let names: Vec<_> = (0..100).map(|number| std::format!("{number}")).collect();
        let mut wanted = Wanted::new();
        let vif = Class::new(b"vif").unwrap();
        let left_out = wanted.insert_devices(vif, names.iter().map(|name| name.as_bytes()));
        assert_eq!(
            (wanted.iter().count(), left_out),
            (MAX_CHILDREN, 100 - MAX_CHILDREN)
        );
    }

    #[test]
    fn disks_are_fixed_and_adapters_may_be_taken_out() {
        assert!(!may_be_taken_out(&Class::new(b"vbd").unwrap()));
        assert!(may_be_taken_out(&Class::new(b"vif").unwrap()));
    }

    #[test]
    fn a_directory_ends_at_its_empty_name() {
        assert_eq!(
            names(b"vbd\0vif\0\0junk").collect::<Vec<_>>(),
            [&b"vbd"[..], b"vif"]
        );
        assert_eq!(names(b"").count(), 0);
    }
}
