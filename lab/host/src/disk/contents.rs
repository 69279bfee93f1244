//! What a disk's file holds, whatever its format. `qemu-img` reads the formats; holes of files are passed over.

use super::Format;
use crate::command;
use anyhow::Context;
use anyhow::bail;
use rustix::fs::SeekFrom;
use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::path::Path;
use std::process::Command;

const CHUNK: usize = 1 << 20;

/// Bytes of the disk.
pub fn size(file: &Path, format: Format) -> anyhow::Result<u64> {
    if format.0 == "raw" {
        return Ok(File::open(file)?.seek(std::io::SeekFrom::End(0))?);
    }
    let info = command::output(
        Command::new("qemu-img")
            .args(["info", "--output=json", "-f", format.0])
            .arg(file),
    )?;
    let info: serde_json::Value = serde_json::from_slice(&info)?;
    info["virtual-size"]
        .as_u64()
        .with_context(|| format!("qemu-img does not say how long the {format} disk is"))
}

/// True if any byte is not zero.
pub fn holds_data(file: &Path, format: Format) -> anyhow::Result<bool> {
    as_raw(file, format, |mut file| {
        let mut buffer = vec![0; CHUNK];
        let mut at = 0;
        while let Some(data) = next_data(&file, at)? {
            file.seek(std::io::SeekFrom::Start(data))?;
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            if buffer[..count].iter().any(|byte| *byte != 0) {
                return Ok(true);
            }
            at = data + count as u64;
        }
        Ok(false)
    })
}

/// Where the next data of a file begins, at or behind `at`; `None` if there is only a hole up to its end.
fn next_data(file: &File, at: u64) -> anyhow::Result<Option<u64>> {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(data) => Ok(Some(data)),
        Err(rustix::io::Errno::NXIO) => Ok(None),
        // Block devices know no holes.
        Err(rustix::io::Errno::INVAL) => Ok(Some(at)),
        Err(error) => Err(error.into()),
    }
}

/// Hands a range of the disk to `each`, a piece at a time.
pub fn read(
    file: &Path,
    format: Format,
    offset: u64,
    length: u64,
    mut each: impl FnMut(&[u8]),
) -> anyhow::Result<()> {
    as_raw(file, format, |mut file| {
        file.seek(std::io::SeekFrom::Start(offset))?;
        let mut rest = file.take(length);
        let mut buffer = vec![0; CHUNK];
        loop {
            match rest.read(&mut buffer)? {
                0 => break,
                count => each(&buffer[..count]),
            }
        }
        match rest.limit() {
            0 => Ok(()),
            missing => bail!("the disk ends {missing} bytes too early"),
        }
    })
}

/// Opens the disk's contents as a plain file. QEMU may have the disk open: what it has flushed is what is seen.
fn as_raw<T>(
    file: &Path,
    format: Format,
    look: impl FnOnce(File) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    if format.0 == "raw" {
        return look(File::open(file)?);
    }
    let raw = tempfile::NamedTempFile::new()?;
    command::output(
        Command::new("qemu-img")
            .args(["convert", "-U", "-f", format.0, "-O", "raw"])
            .arg(file)
            .arg(raw.path()),
    )?;
    look(File::open(raw.path())?)
}
