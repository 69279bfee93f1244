//! Which children the bus should have.

use xenbus_interface::identity::Class;

/// Most classes of device that a bus has children for. Xen defines a dozen.
pub const MAX_CLASSES: usize = 16;

/// A small set of classes in the order of their arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes {
    members: [Option<Class>; MAX_CLASSES],
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

/// What a scan of xenstore changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Classes that get a child.
    pub arrived: Classes,
    /// Classes whose child is gone.
    pub gone: Classes,
}

impl Changes {
    /// Whether PnP has to ask again.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares what xenstore has below `device/` with the children that there are. Only classes in `supported`
/// count, by their whole name.
pub fn compare<'a>(
    found: impl Iterator<Item = &'a [u8]>,
    supported: &Classes,
    present: &Classes,
) -> Changes {
    let mut wanted = Classes::new();
    for class in found
        .filter_map(Class::new)
        .filter(|class| supported.contains(class))
    {
        wanted.insert(class);
    }
    let mut changes = Changes::default();
    for class in wanted.iter().filter(|class| !present.contains(class)) {
        changes.arrived.insert(class);
    }
    for class in present.iter().filter(|class| !wanted.contains(class)) {
        changes.gone.insert(class);
    }
    changes
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
    use std::vec::Vec;

    fn classes(text: &str) -> Classes {
        let units: Vec<Vec<u16>> = text
            .split_whitespace()
            .map(|name| name.encode_utf16().collect())
            .collect();
        Classes::from_list(units.iter().map(Vec::as_slice))
    }

    fn list(classes: &Classes) -> Vec<String> {
        classes.iter().map(|class| class.to_string()).collect()
    }

    fn scan(found: &str, supported: &str, present: &str) -> (Vec<String>, Vec<String>) {
        let found = found.split_whitespace().map(str::as_bytes);
        let changes = compare(found, &classes(supported), &classes(present));
        (list(&changes.arrived), list(&changes.gone))
    }

    #[test]
    fn only_supported_classes_get_a_child_and_by_their_whole_name() {
        let (arrived, gone) = scan("suspend vbd vif vbd2 vb", "VBD VKBD", "");
        assert_eq!(
            (arrived, gone.is_empty()),
            (std::vec!["VBD".to_string()], true)
        );
    }

    #[test]
    fn a_class_that_left_xenstore_is_gone_and_one_that_stays_is_untouched() {
        let (arrived, gone) = scan("vif vbd", "VBD VIF VKBD", "VKBD VBD");
        assert_eq!(arrived, ["VIF"]);
        assert_eq!(gone, ["VKBD"]);
        assert!(compare([&b"vbd"[..]].into_iter(), &classes("VBD"), &classes("VBD")).is_empty());
    }

    #[test]
    fn garbage_and_repetitions_in_xenstore_make_no_child() {
        let found = [&b"vbd"[..], b"VBD", b"", b"a,b", b"0123456789abcdefg"];
        let changes = compare(found.into_iter(), &classes("VBD"), &Classes::new());
        assert_eq!(list(&changes.arrived), ["VBD"]);
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
    fn a_directory_ends_at_its_empty_name() {
        assert_eq!(
            names(b"vbd\0vif\0\0junk").collect::<Vec<_>>(),
            [&b"vbd"[..], b"vif"]
        );
        assert_eq!(names(b"").count(), 0);
    }
}
