//! Names for the addresses of a bug check's stack, by llvm-symbolizer.

use crate::command;
use lab_protocol::bundle::Image;
use lab_protocol::bundle::Package;
use lab_protocol::record::Frame;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// Where the guest's kernel begins; what lies below is heap, stacks and drivers.
const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;

/// Where names are looked up.
#[derive(Debug)]
pub struct Symbols {
    tool: Option<PathBuf>,
    guest: PathBuf,
    images: Vec<(String, PathBuf)>,
}

impl Symbols {
    /// The guest's kernel has its names in itself; a driver's PDB lies beside its image in one of the folders. Folders may have
    /// different images of one name: the one that the guest was given is the one with the same contents.
    pub fn new(guest: &Path, folders: &[PathBuf], packages: &[Package]) -> Self {
        let images = packages.iter().flat_map(|package| &package.images);
        Self {
            tool: tool(),
            guest: guest.to_owned(),
            images: images
                .filter_map(|image| Some((image.name.clone(), find(folders, image)?)))
                .collect(),
        }
    }

    /// The frame, with a name and a line if they are known.
    pub fn describe(&self, frame: &Frame) -> String {
        let place = match frame.image.as_str() {
            "" => format!("{:#x}", frame.offset),
            image => format!("{image}+{:#x}", frame.offset),
        };
        match self.look_up(frame) {
            Some(name) => format!("{place} {name}"),
            None => place,
        }
    }

    fn look_up(&self, frame: &Frame) -> Option<String> {
        // A return address lies behind the call, perhaps in the next line.
        let offset = format!("{:#x}", frame.offset.saturating_sub(1));
        let mut command = Command::new(self.tool.as_ref()?);
        match self.file(&frame.image) {
            Some(file) => command.arg("--relative-address").arg("--obj").arg(file),
            None if frame.image.is_empty() && frame.offset >= KERNEL_BASE => {
                command.arg("--obj").arg(&self.guest)
            }
            None => return None,
        };
        let text = command::output(command.args([
            "--output-style=GNU",
            "-p",
            "--basenames",
            "-C",
            &offset,
        ]));
        let text = String::from_utf8_lossy(&text.ok()?).into_owned();
        // The innermost of inlined functions comes first.
        let line = text.lines().next()?.trim();
        (!line.starts_with('?')).then(|| line.to_owned())
    }

    /// The first package that brings an image of the name is the one whose image is loaded.
    fn file(&self, image: &str) -> Option<&Path> {
        self.images
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(image))
            .map(|(_, file)| file.as_path())
    }
}

/// The file that an image was read from.
fn find(folders: &[PathBuf], image: &Image) -> Option<PathBuf> {
    folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .eq_ignore_ascii_case(&image.name)
        })
        .map(|entry| entry.path())
        .find(|file| fs::read(file).is_ok_and(|bytes| bytes == image.bytes))
}

/// llvm-symbolizer by its plain name, or the newest one that Debian numbers.
fn tool() -> Option<PathBuf> {
    let number = |folder: &Path| -> Option<u32> {
        folder
            .file_name()?
            .to_str()?
            .strip_prefix("llvm-")?
            .parse()
            .ok()
    };
    let newest = fs::read_dir("/usr/lib")
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .filter_map(|folder| Some((number(&folder)?, folder.join("bin/llvm-symbolizer"))))
        .filter(|(_, file)| file.is_file())
        .max();
    newest
        .map(|(_, file)| file)
        .or_else(|| command::find("llvm-symbolizer"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_images_of_one_name_the_file_is_the_one_that_the_guest_was_given() -> anyhow::Result<()>
    {
        let (ours, theirs) = (tempfile::tempdir()?, tempfile::tempdir()?);
        fs::write(ours.path().join("a.sys"), b"ours")?;
        fs::write(theirs.path().join("A.sys"), b"theirs")?;
        let image = Image {
            name: "a.sys".into(),
            bytes: b"theirs".to_vec(),
        };
        let folders = [ours.path().to_owned(), theirs.path().to_owned()];
        assert_eq!(find(&folders, &image), Some(theirs.path().join("A.sys")));
        Ok(())
    }

    #[test]
    fn a_frame_of_an_unknown_image_keeps_its_offset() {
        let symbols = Symbols::new(Path::new("/no/guest"), &[], &[]);
        let frame = Frame {
            image: "a.sys".into(),
            offset: 0x1234,
        };
        assert_eq!(symbols.describe(&frame), "a.sys+0x1234");
    }
}
