//! What takes long to make is kept: in `$XDG_CACHE_HOME` (else `~/.cache`, on Windows `%LOCALAPPDATA%`), by the hash of what it is made of.

use anyhow::Context;
use anyhow::bail;
use sha2::Digest;
use sha2::Sha256;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The project's folder in the cache.
const FOLDER: &str = "xen-windows-drivers";

/// The variable that names the user's own folder, and where caches are in it.
#[cfg(not(windows))]
const HOME: &str = "HOME";
#[cfg(windows)]
const HOME: &str = "LOCALAPPDATA";
const BELOW_HOME: &str = if cfg!(windows) { "" } else { ".cache" };

/// The project's folder in the user's cache.
///
/// # Errors
/// If none of the variables is set.
pub fn folder() -> anyhow::Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME").filter(|path| Path::new(path).is_absolute())
    {
        Some(path) => PathBuf::from(path),
        None => match std::env::var_os(HOME) {
            Some(home) => PathBuf::from(home).join(BELOW_HOME),
            None => {
                bail!("neither XDG_CACHE_HOME nor {HOME} is set: there is no place for a cache")
            }
        },
    };
    Ok(base.join(FOLDER))
}

/// The key of something that is made of these inputs: 16 hexadecimal digits.
pub fn key<'a>(inputs: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for input in inputs {
        hash.update((input.len() as u64).to_le_bytes());
        hash.update(input);
    }
    hex(&hash.finalize()[..8])
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The folder `kind/key` of the cache, made by `make` in a folder of another name if it is not there yet: it is there as
/// a whole or not at all. Other keys of the kind are stale and go.
///
/// # Errors
/// What `make` says, or if the cache cannot be written.
pub fn entry(
    kind: &str,
    key: &str,
    make: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    entry_in(&folder()?.join(kind), key, make)
}

fn entry_in(
    parent: &Path,
    key: &str,
    make: impl FnOnce(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<PathBuf> {
    let path = parent.join(key);
    if path.is_dir() {
        return Ok(path);
    }
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    let new = tempfile::Builder::new()
        .prefix(".new-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot write to {}", parent.display()))?;
    let content = new.path().join("content");
    fs::create_dir(&content)?;
    make(&content)?;
    remove_others(parent, key)?;
    match fs::rename(&content, &path) {
        Ok(()) => Ok(path),
        // Another process was faster: its work is as good as ours.
        Err(_) if path.is_dir() => Ok(path),
        Err(error) => Err(error).with_context(|| format!("cannot make {}", path.display())),
    }
}

fn remove_others(parent: &Path, key: &str) -> anyhow::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with('.') && name != key {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_made_once_and_replaces_stale_ones() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &'static str| move |path: &Path| Ok(fs::write(path.join("f"), text)?);
        let old = entry_in(folder.path(), "old", write("1")).unwrap();
        let new = entry_in(folder.path(), "new", write("2")).unwrap();
        let again = entry_in(folder.path(), "new", |_| bail!("made twice")).unwrap();
        assert!(!old.exists());
        assert_eq!(again, new);
        assert_eq!(fs::read_to_string(new.join("f")).unwrap(), "2");
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let outcome = entry_in(folder.path(), "key", |path| {
            fs::write(path.join("half"), "x")?;
            bail!("no")
        });
        assert!(outcome.is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_key_tells_where_inputs_are_cut() {
        assert_ne!(key([b"ab".as_slice(), b"c"]), key([b"a".as_slice(), b"bc"]));
    }
}
