//! LLVM: the linker, the archiver and the libclang that bindgen loads, all of one version.

use super::apt;
use anyhow::bail;
use std::fs;
use std::path::{Path, PathBuf};

/// The oldest LLVM that is tried: lld-link understands `/CETCOMPAT` and `/Brepro` since long before, Rust's own LLVM is
/// what sets the floor for link-time optimised objects, and bindgen's is lower.
const OLDEST: u32 = 16;

/// One version of LLVM.
#[derive(Clone, Debug)]
pub struct Llvm {
    /// The major version.
    pub version: u32,
    /// The folder that Debian puts this version under.
    pub prefix: PathBuf,
}

impl Llvm {
    /// The newest version that is installed with all its parts.
    pub fn find() -> anyhow::Result<Option<Self>> {
        Ok(versions_in(Path::new("/usr/lib"))
            .into_iter()
            .rev()
            .map(Self::at)
            .find(Self::is_complete))
    }

    fn at(version: u32) -> Self {
        Self {
            version,
            prefix: PathBuf::from(format!("/usr/lib/llvm-{version}")),
        }
    }

    /// The packages of a version.
    pub fn packages(version: u32) -> Vec<String> {
        vec![
            format!("lld-{version}"),
            format!("llvm-{version}"),
            format!("libclang1-{version}"),
            format!("libclang-common-{version}-dev"),
        ]
    }

    /// The packages of the newest version that apt has in full.
    ///
    /// # Errors
    /// If apt has none that is new enough.
    pub fn installable() -> anyhow::Result<Vec<String>> {
        let mut versions: Vec<u32> = apt::known("lld-")?
            .iter()
            .filter_map(|name| name.strip_prefix("lld-")?.parse().ok())
            .filter(|version| *version >= OLDEST)
            .collect();
        versions.sort_unstable();
        for version in versions.into_iter().rev() {
            let packages = Self::packages(version);
            if apt::all_installable(&packages)? {
                return Ok(packages);
            }
        }
        bail!(
            "apt knows no complete LLVM of version {OLDEST} or newer (lld-N, llvm-N, libclang1-N, libclang-common-N-dev). \
             Its lists may be empty or old: run `sudo apt-get update`, then this command again"
        )
    }

    /// A program of this version.
    pub fn program(&self, name: &str) -> PathBuf {
        self.prefix.join("bin").join(name)
    }

    /// Where bindgen finds libclang.
    pub fn libclang(&self) -> PathBuf {
        self.prefix.join("lib")
    }

    /// The compiler's own headers.
    pub fn resources(&self) -> PathBuf {
        self.prefix.join("lib/clang").join(self.version.to_string())
    }

    fn is_complete(&self) -> bool {
        let libclang = || {
            let files = fs::read_dir(self.libclang())
                .into_iter()
                .flatten()
                .flatten();
            files
                .into_iter()
                .any(|file| file.file_name().to_string_lossy().starts_with("libclang-"))
        };
        ["lld-link", "ld.lld", "llvm-lib", "llvm-objcopy", "llvm-rc"]
            .iter()
            .all(|name| self.program(name).is_file())
            && self.resources().join("include/stddef.h").is_file()
            && libclang()
    }
}

/// The versions that have a folder, oldest first.
fn versions_in(folder: &Path) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut versions: Vec<u32> = entries
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_prefix("llvm-")?
                .parse()
                .ok()
        })
        .filter(|version| *version >= OLDEST)
        .collect();
    versions.sort_unstable();
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_and_not_text() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        for name in [
            "llvm-9", "llvm-22", "llvm-100", "llvm-16", "llvm-x", "gcc-20",
        ] {
            fs::create_dir(folder.path().join(name))?;
        }
        assert_eq!(versions_in(folder.path()), [16, 22, 100]);
        Ok(())
    }
}
