//! The archive that Linux unpacks into its first root file system: cpio "newc" (Linux, driver-api/early-userspace/buffer-format).

use std::collections::BTreeMap;
use std::io;
use std::io::Write;

/// A file in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A folder
    Folder,
    /// A file and its contents; the flag says that it can be run
    File(Vec<u8>, bool),
    /// A symbolic link and what it says
    Link(String),
}

/// A tree of files, by paths without a leading slash.
#[derive(Debug, Default)]
pub struct Tree(BTreeMap<String, Node>);

impl Tree {
    /// Adds a file, a link or a folder with the folders above it. What is there already under the name is replaced.
    pub fn add(&mut self, path: &str, node: Node) {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/') {
            self.0.entry(path[..at].to_owned()).or_insert(Node::Folder);
        }
        self.0.insert(path.to_owned(), node);
    }

    /// True if the name is taken.
    pub fn contains(&self, path: &str) -> bool {
        self.0.contains_key(path.trim_matches('/'))
    }

    /// Writes the archive. Everything belongs to root; times are 0, so that the same tree gives the same bytes.
    ///
    /// # Errors
    /// What the writer says, or if a file is 4 GiB or longer.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        // A folder sorts before what is in it, as the kernel needs it.
        for (number, (path, node)) in (1..).zip(&self.0) {
            entry(to, number, path, node)?;
        }
        entry(to, 0, "TRAILER!!!", &Node::File(Vec::new(), false))
    }
}

fn entry(to: &mut impl Write, number: u32, path: &str, node: &Node) -> io::Result<()> {
    let (mode, content): (u32, &[u8]) = match node {
        Node::Folder => (0o040_755, &[]),
        Node::File(content, true) => (0o100_755, content),
        Node::File(content, false) => (0o100_644, content),
        Node::Link(target) => (0o120_777, target.as_bytes()),
    };
    let size = u32::try_from(content.len())
        .map_err(|_| io::Error::other(format!("{path} is too long for cpio")))?;
    let fields = [
        number,
        mode,
        0,
        0,
        1,
        0,
        size,
        0,
        0,
        0,
        0,
        path.len() as u32 + 1,
        0,
    ];
    write!(to, "070701")?;
    for field in fields {
        write!(to, "{field:08x}")?;
    }
    to.write_all(path.as_bytes())?;
    // The header has 110 bytes; name and contents are padded to four.
    pad(to, 110 + path.len(), true)?;
    to.write_all(content)?;
    pad(to, content.len(), false)
}

fn pad(to: &mut impl Write, length: usize, terminator: bool) -> io::Result<()> {
    let length = length + usize::from(terminator);
    let zeros = length.next_multiple_of(4) - length + usize::from(terminator);
    to.write_all(&[0; 4][..zeros])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::process::Stdio;

    fn archive(tree: &Tree) -> Vec<u8> {
        let mut bytes = Vec::new();
        tree.write(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let mut tree = Tree::default();
        tree.add("/a/b/c", Node::File(b"x".to_vec(), false));
        let bytes = archive(&tree);
        let at = |name: &[u8]| bytes.windows(name.len()).position(|window| window == name);
        assert!(at(b"a\0") < at(b"a/b\0"));
        assert!(at(b"a/b\0") < at(b"a/b/c\0"));
    }

    #[test]
    fn every_part_begins_at_a_multiple_of_four() {
        for length in 0..9 {
            let mut tree = Tree::default();
            tree.add(&"n".repeat(length + 1), Node::File(vec![7; length], true));
            assert_eq!(archive(&tree).len() % 4, 0);
        }
    }

    #[test]
    fn cpio_unpacks_what_was_written() {
        if crate::command::find("cpio").is_none() {
            // The tests above do not need the tool.
            return;
        }
        let mut tree = Tree::default();
        tree.add("etc/hello", Node::File(b"world".to_vec(), false));
        tree.add("bin", Node::Link("usr/bin".into()));
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("cpio")
            .args(["--extract", "--make-directories", "--quiet"])
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        tree.write(&mut child.stdin.take().unwrap()).unwrap();
        assert!(child.wait().unwrap().success());
        let read = std::fs::read_to_string(folder.path().join("etc/hello")).unwrap();
        assert_eq!(read, "world");
        let link = std::fs::read_link(folder.path().join("bin")).unwrap();
        assert_eq!(link.to_str(), Some("usr/bin"));
    }
}
