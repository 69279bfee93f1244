//! Xen and the kernel in the form in which QEMU and Xen load them: ELF files, not compressed.

use crate::command;
use anyhow::Context;
use anyhow::bail;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

const ELF: &[u8] = b"\x7fELF";

/// What a compressed kernel begins with, and the tool that unpacks it.
const FORMATS: &[(&[u8], &[&str])] = &[
    (b"\x28\xb5\x2f\xfd", &["zstd", "-dcq"]),
    (b"\xfd7zXZ\0", &["xz", "-dcq", "--single-stream"]),
    (b"\x1f\x8b\x08", &["gzip", "-dcq"]),
];

/// Xen's ELF file out of the compressed one.
///
/// # Errors
/// If it cannot be unpacked.
pub fn unpack_xen(file: &Path) -> anyhow::Result<Vec<u8>> {
    let xen = command::output(Command::new("gzip").arg("-dc").arg(file))?;
    if !xen.starts_with(ELF) {
        bail!("{} holds no ELF file", file.display());
    }
    Ok(xen)
}

/// The kernel's ELF file out of a bzImage (Linux, scripts/extract-vmlinux says how it is hidden in there).
///
/// # Errors
/// If nothing in it unpacks to an ELF file.
pub fn unpack_linux(file: &Path) -> anyhow::Result<Vec<u8>> {
    let image = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    for (magic, tool) in FORMATS {
        let places = image
            .windows(magic.len())
            .enumerate()
            .filter(|(_, window)| window == magic);
        for (at, _) in places {
            let kernel = unpack(tool, &image[at..])?;
            if kernel.starts_with(ELF) {
                return Ok(kernel);
            }
        }
    }
    bail!("{}: no compressed kernel in it", file.display())
}

/// What the tool makes of the bytes; it complains about what comes behind the kernel, and that is of no interest.
fn unpack(tool: &[&str], bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut child = Command::new(tool[0])
        .args(&tool[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {}", tool[0]))?;
    let mut input = child.stdin.take().context("no pipe")?;
    std::thread::scope(|scope| {
        // A tool that has seen enough closes its end: not an error.
        scope.spawn(move || input.write_all(bytes));
        Ok(child.wait_with_output()?.stdout)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_found_behind_its_loader() {
        let mut child = Command::new("gzip")
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let kernel = [ELF, &[7; 5000]].concat();
        child.stdin.take().unwrap().write_all(&kernel).unwrap();
        let packed = child.wait_with_output().unwrap().stdout;
        let image = [b"loader \x1f\x8b\x08 not this".as_slice(), &packed, b"rest"].concat();
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), image).unwrap();
        assert_eq!(unpack_linux(file.path()).unwrap(), kernel);
    }

    #[test]
    fn no_kernel_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "nothing").unwrap();
        assert!(unpack_linux(file.path()).is_err());
    }
}
