//! Files as the package has them: the list of hashes, and archives that are the same for the same files.

use anyhow::Context as _;
use lab_host::cache::hex;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// The list's name.
pub const SUMS: &str = "SHA256SUMS";

/// The names of a folder's files, in order.
///
/// # Errors
/// If the folder cannot be read.
pub fn files(folder: &Path) -> anyhow::Result<Vec<String>> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .collect::<Result<Vec<_>, _>>()?;
    let mut names: Vec<String> = entries
        .iter()
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// Writes the list of the hashes of all files of a folder, as `sha256sum` does.
///
/// # Errors
/// If a file cannot be read or the list not be written.
pub fn sums(folder: &Path) -> anyhow::Result<()> {
    let mut text = String::new();
    for name in files(folder)? {
        if name != SUMS {
            let bytes = fs::read(folder.join(&name))?;
            text += &format!("{}  {name}\n", hex(&Sha256::digest(bytes)));
        }
    }
    Ok(fs::write(folder.join(SUMS), text)?)
}

/// Writes an archive with a folder's files in it, below the folder's name and all of one time.
///
/// # Errors
/// If a file cannot be read or the archive not be written.
pub fn zip(folder: &Path, file: &Path, time: der::DateTime) -> anyhow::Result<()> {
    let name = folder.file_name().context("a folder has a name")?;
    let name = name.to_string_lossy();
    // An archive's times are since 1980, in steps of two seconds.
    let time = DateTime::from_date_and_time(
        time.year().clamp(1980, 2107),
        time.month(),
        time.day(),
        time.hour(),
        time.minutes(),
        time.seconds() & !1,
    )
    .map_err(|_| anyhow::anyhow!("an archive cannot be of this time"))?;
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(time)
        .unix_permissions(0o644);
    let mut archive = ZipWriter::new(fs::File::create(file)?);
    for entry in files(folder)? {
        archive.start_file(format!("{name}/{entry}"), options)?;
        archive.write_all(&fs::read(folder.join(&entry))?)?;
    }
    archive.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_in(parent: &Path, names: &[&str]) -> anyhow::Result<std::path::PathBuf> {
        let folder = parent.join("package");
        fs::create_dir(&folder)?;
        for name in names {
            fs::write(folder.join(name), format!("contents of {name}"))?;
        }
        Ok(folder)
    }

    #[test]
    fn an_archive_is_the_same_whenever_and_in_whatever_order_its_files_were_made()
    -> anyhow::Result<()> {
        let time = der::DateTime::new(2025, 11, 25, 1, 2, 3)?;
        let (one, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
        let first = folder_in(one.path(), &["a.sys", "b.inf", "c.cat"])?;
        std::thread::sleep(std::time::Duration::from_millis(20));
        let second = folder_in(other.path(), &["c.cat", "b.inf", "a.sys"])?;
        let (first_zip, second_zip) = (one.path().join("1.zip"), other.path().join("2.zip"));
        zip(&first, &first_zip, time)?;
        zip(&second, &second_zip, time)?;
        assert_eq!(fs::read(&first_zip)?, fs::read(&second_zip)?);
        let mut archive = zip::ZipArchive::new(fs::File::open(&first_zip)?)?;
        let text = std::io::read_to_string(archive.by_name("package/b.inf")?)?;
        assert_eq!(text, "contents of b.inf");
        assert_eq!(archive.len(), 3);
        Ok(())
    }

    #[test]
    fn the_list_of_hashes_names_every_file_but_itself() -> anyhow::Result<()> {
        let parent = tempfile::tempdir()?;
        let folder = folder_in(parent.path(), &["b", "a"])?;
        sums(&folder)?;
        sums(&folder)?;
        let text = fs::read_to_string(folder.join(SUMS))?;
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split("  ").nth(1))
            .collect();
        assert_eq!(names, ["a", "b"]);
        assert!(text.starts_with(&hex(&Sha256::digest("contents of a"))));
        Ok(())
    }
}
