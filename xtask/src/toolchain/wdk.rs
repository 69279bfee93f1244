//! Headers of a WDK that the user has copied from an installation.

use anyhow::{Context as _, bail, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

/// The folders that wdk-build looks for. Only the last may be missing.
const FOLDERS: &[&str] = &["km", "shared", "um"];
const OPTIONAL: &str = "um";
/// What the kernel's folder must have to be one.
const HEADER: &str = "ntddk.h";
/// How deep folders lie in each other: a link that goes in circles ends here.
const DEPTH: usize = 16;
/// In the laid-out tree: tells clang that names know no case.
const OVERLAY: &str = "overlay.json";

/// A WDK's folder of headers, `Include/<version>`.
#[derive(Clone, Debug)]
pub struct Wdk {
    folder: PathBuf,
}

impl Wdk {
    /// Looks for the newest version below `folder/Include`.
    ///
    /// # Errors
    /// If there is none with kernel headers in it: with what was looked for, and where.
    pub fn find(folder: &Path) -> anyhow::Result<Self> {
        let folder = fs::canonicalize(folder)
            .with_context(|| format!("{} is no WDK: there is no such folder", folder.display()))?;
        let include = entry_named(&folder, "Include").with_context(|| {
            format!(
                "{} is no WDK: it has no folder Include; copy Include\\<version> with km, shared and um from an installation",
                folder.display()
            )
        })?;
        let mut versions = Vec::new();
        for entry in fs::read_dir(&include)? {
            let path = entry?.path();
            if let Some(version) = version(&path)
                && has_kernel_headers(&path)
            {
                versions.push((version, path));
            }
        }
        versions.sort();
        let Some((_, folder)) = versions.pop() else {
            bail!(
                "{} has no folder <version>, as 10.0.26100.0, with km/{HEADER} and shared in it; copy them from an \
                 installation of the WDK",
                include.display()
            );
        };
        Ok(Self { folder })
    }

    /// `Include/<version>`
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the headers are mingw-w64's, laid out as a WDK's.
    pub fn is_mingw(&self) -> bool {
        FOLDERS
            .iter()
            .filter_map(|name| entry_named(&self.folder, name))
            .any(|folder| folder.join("_mingw.h").exists())
    }

    /// Text that changes when a header does.
    pub fn files(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        for name in FOLDERS {
            if let Some(folder) = entry_named(&self.folder, name) {
                walk(&folder, DEPTH, &mut |path, _| {
                    let data = fs::metadata(path)?;
                    let (size, time, part) = (data.len(), data.mtime(), data.mtime_nsec());
                    writeln!(text, "{} {size} {time} {part}", path.display())?;
                    Ok(())
                })?;
            }
        }
        Ok(text)
    }

    /// Lays the headers out as wdk-build looks for them: folders, and links to the files.
    pub fn lay_out(&self, to: &Path) -> anyhow::Result<()> {
        for name in FOLDERS {
            let target = to.join(name);
            fs::create_dir_all(&target)?;
            let Some(folder) = entry_named(&self.folder, name) else {
                ensure!(*name == OPTIONAL, "{} has no {name}", self.folder.display());
                continue;
            };
            walk(&folder, DEPTH, &mut |path, relative| {
                let link = target.join(relative);
                if let Some(parent) = link.parent() {
                    fs::create_dir_all(parent)?;
                }
                Ok(symlink(fs::canonicalize(path)?, link)?)
            })?;
        }
        Ok(())
    }
}

/// clang's arguments for headers that Microsoft wrote, laid out in a content root: a file by which they find each other
/// though Windows' file names know no case.
pub fn dialect(root: &Path) -> anyhow::Result<String> {
    let overlay = root.join(OVERLAY);
    let mut folders: BTreeMap<PathBuf, Vec<serde_json::Value>> = BTreeMap::new();
    walk(&root.join("Include"), DEPTH, &mut |path, _| {
        let (folder, name) = (path.parent(), path.file_name());
        let (folder, name) = folder.zip(name).context("a file lies in a folder")?;
        let file =
            json!({ "type": "file", "name": name.to_string_lossy(), "external-contents": path });
        folders.entry(folder.to_owned()).or_default().push(file);
        Ok(())
    })?;
    let roots: Vec<_> = folders
        .into_iter()
        .map(|(name, contents)| json!({ "type": "directory", "name": name, "contents": contents }))
        .collect();
    let text = json!({ "version": 0, "case-sensitive": false, "roots": roots });
    crate::drivers::write(&overlay, &serde_json::to_vec(&text)?)?;
    let option = format!("-ivfsoverlay{}", overlay.display());
    Ok(lab_host::command::quote(&option))
}

fn version(folder: &Path) -> Option<Vec<u32>> {
    let name = folder.file_name()?.to_str()?;
    name.split('.').map(|part| part.parse().ok()).collect()
}

fn has_kernel_headers(folder: &Path) -> bool {
    let km = entry_named(folder, "km");
    km.is_some_and(|km| entry_named(&km, HEADER).is_some())
        && entry_named(folder, "shared").is_some()
}

/// An entry by its name in any case.
fn entry_named(folder: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.find_map(|entry| {
        let path = entry.ok()?.path();
        let own = path.file_name()?.to_str()?;
        own.eq_ignore_ascii_case(name).then_some(path)
    })
}

/// Calls `each` with every file below a folder and its path from there, in the order of their names.
fn walk(
    folder: &Path,
    depth: usize,
    each: &mut dyn FnMut(&Path, &Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut folders = vec![(folder.to_owned(), depth)];
    while let Some((current, depth)) = folders.pop() {
        ensure!(depth > 0, "{} goes round in circles", folder.display());
        let entries = fs::read_dir(&current)
            .with_context(|| format!("cannot read {}", current.display()))?
            .collect::<Result<Vec<_>, _>>()?;
        let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push((path, depth - 1));
            } else {
                each(&path, path.strip_prefix(folder)?)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> anyhow::Result<tempfile::TempDir> {
        let folder = tempfile::tempdir()?;
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().context("a folder")?)?;
            fs::write(&path, file)?;
        }
        Ok(folder)
    }

    #[test]
    fn a_folder_that_is_no_wdk_is_refused_with_what_is_missing() -> anyhow::Result<()> {
        let error = |path: &Path| Wdk::find(path).expect_err("no WDK").to_string();
        assert!(error(Path::new("/no/such/folder")).contains("there is no such folder"));
        assert!(error(tree(&["x"])?.path()).contains("has no folder Include"));
        for files in [
            &["Include/x"][..],
            &["Include/10.0.26100.0/km/ntddk.h"],
            &[
                "Include/10.0.26100.0/km/x.h",
                "Include/10.0.26100.0/shared/y.h",
            ],
            &["Include/wdf/km/ntddk.h", "Include/wdf/shared/y.h"],
        ] {
            assert!(error(tree(files)?.path()).contains("has no folder <version>"));
        }
        Ok(())
    }

    #[test]
    fn headers_find_each_other_whatever_the_case_of_their_names() -> anyhow::Result<()> {
        let root = tree(&["Include/1.0/km/NtDdk.h"])?;
        let option = dialect(root.path())?;
        let file = option.strip_prefix("-ivfsoverlay").context("an option")?;
        let text: serde_json::Value = serde_json::from_slice(&fs::read(file)?)?;
        assert_eq!(text["case-sensitive"], false);
        assert_eq!(text["roots"][0]["contents"][0]["name"], "NtDdk.h");
        Ok(())
    }

    #[test]
    fn the_newest_version_s_headers_are_laid_out_whatever_their_case() -> anyhow::Result<()> {
        let wdk = tree(&[
            "include/10.0.9.0/km/ntddk.h",
            "include/10.0.9.0/shared/old.h",
            "include/10.0.26100.0/KM/NtDdk.h",
            "include/10.0.26100.0/KM/crt/sal.h",
            "include/10.0.26100.0/Shared/ntdef.h",
        ])?;
        let found = Wdk::find(wdk.path())?;
        assert!(!found.is_mingw());
        let to = tempfile::tempdir()?;
        found.lay_out(to.path())?;
        let text = fs::read_to_string(to.path().join("km/crt/sal.h"))?;
        assert_eq!(text, "include/10.0.26100.0/KM/crt/sal.h");
        assert!(to.path().join("shared/ntdef.h").exists());
        assert!(to.path().join("um").is_dir());
        let before = found.files()?;
        fs::write(
            wdk.path().join("include/10.0.26100.0/KM/NtDdk.h"),
            "changed",
        )?;
        assert_ne!(found.files()?, before);
        Ok(())
    }
}
