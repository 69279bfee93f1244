//! The disks that guests get: `--disk FILE[,format=…][,backend=…][,vdev=…][,sector=…][,readonly]`.

use crate::command;
use anyhow::Context;
use anyhow::bail;
use sha2::Digest;
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

mod contents;

/// The format of the file on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format(&'static str);

/// The formats, and what their files begin with.
const FORMATS: &[(&str, &[u8])] = &[
    ("raw", b""),
    ("qcow2", b"QFI\xfb"),
    ("vmdk", b"KDMV"),
    ("vhdx", b"vhdxfile"),
    ("vdi", b"<<< "),
];

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Which backend in dom0 serves a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Linux' xen-blkback
    Phy,
    /// The block backend of the device model, QEMU
    Qdisk,
}

impl Backend {
    /// What xl calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Phy => "phy",
            Self::Qdisk => "qdisk",
        }
    }
}

/// A disk option as the user gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskOption {
    /// The file
    pub file: PathBuf,
    /// `format=`
    pub format: Option<Format>,
    /// `backend=`
    pub backend: Backend,
    /// `vdev=`
    pub vdev: Option<String>,
    /// `sector=`
    pub sector: u32,
    /// `readonly`
    pub readonly: bool,
}

impl FromStr for DiskOption {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let mut parts = text.split(',');
        let file = parts.next().unwrap_or_default();
        if file.is_empty() {
            bail!("--disk {text}: no file is named");
        }
        let mut option = Self {
            file: file.into(),
            format: None,
            backend: Backend::Phy,
            vdev: None,
            sector: 512,
            readonly: false,
        };
        for part in parts {
            option.set(part).with_context(|| format!("--disk {text}"))?;
        }
        Ok(option)
    }
}

impl DiskOption {
    fn set(&mut self, part: &str) -> anyhow::Result<()> {
        match part.split_once('=') {
            Some(("format", value)) => self.format = Some(format(value)?),
            Some(("backend", "phy")) => self.backend = Backend::Phy,
            Some(("backend", "qdisk")) => self.backend = Backend::Qdisk,
            Some(("backend", value)) => {
                bail!("backend={value}: allowed are phy (Linux' blkback) and qdisk (QEMU's)")
            }
            Some(("vdev", value)) => {
                if !value.starts_with("xvd") || lab_protocol::plan::target_of(value).is_none() {
                    bail!("vdev={value}: allowed are xvda to xvdz and xvdaa to xvdzz");
                }
                self.vdev = Some(value.to_owned());
            }
            Some(("sector", "512")) => self.sector = 512,
            Some(("sector", "4096")) => self.sector = 4096,
            Some(("sector", value)) => bail!("sector={value}: allowed are 512 and 4096"),
            None if part == "readonly" => self.readonly = true,
            _ => bail!(
                "unknown option {part:?}: allowed are format=, backend=, vdev=, sector= and readonly"
            ),
        }
        Ok(())
    }
}

fn format(value: &str) -> anyhow::Result<Format> {
    match FORMATS.iter().find(|(name, _)| *name == value) {
        Some((name, _)) => Ok(Format(name)),
        None => {
            let names: Vec<_> = FORMATS.iter().map(|(name, _)| *name).collect();
            bail!("format={value}: allowed are {}", names.join(", "))
        }
    }
}

/// A disk that can be given to a guest: its file was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The file on the host, by its absolute path
    pub file: PathBuf,
    /// Its format
    pub format: Format,
    /// The backend
    pub backend: Backend,
    /// The guest's name for it
    pub vdev: String,
    /// Bytes a logical sector
    pub sector: u32,
    /// True if nothing may write to it
    pub readonly: bool,
    /// Bytes of the disk that the file holds
    pub size: u64,
    /// True if it held something else than zeros when it was looked at
    pub holds_data: bool,
}

/// The letters that disks get where nothing is said: those from xvde on have no emulated twin.
const DEFAULT_LETTERS: std::ops::RangeInclusive<u8> = b'e'..=b'z';

impl Disk {
    /// Looks at a disk's file.
    ///
    /// # Errors
    /// If it cannot be used.
    fn open(option: &DiskOption, vdev: String) -> anyhow::Result<Self> {
        let file = fs::canonicalize(&option.file).context("there is no such file")?;
        let kind = fs::metadata(&file)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            bail!("not a file and not a block device");
        }
        let mut access = fs::OpenOptions::new();
        let opened = access.read(true).write(!option.readonly).open(&file);
        let opened = opened.context("cannot be opened")?;
        let format = match option.format {
            Some(format) => format,
            None => guess(&opened)?,
        };
        let size = contents::size(&file, format)?;
        if size == 0 {
            bail!("the disk is empty");
        }
        if !size.is_multiple_of(u64::from(option.sector)) {
            bail!(
                "{size} bytes are not a multiple of the sector size, {}",
                option.sector
            );
        }
        let holds_data = contents::holds_data(&file, format)?;
        Ok(Self {
            file,
            format,
            backend: option.backend,
            vdev,
            sector: option.sector,
            readonly: option.readonly,
            size,
            holds_data,
        })
    }

    /// The SHA-256 of a range of what the disk holds now, in hexadecimal digits.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn sha256(&self, offset: u64, length: u64) -> anyhow::Result<String> {
        let mut hash = Sha256::new();
        contents::read(&self.file, self.format, offset, length, |bytes| {
            hash.update(bytes);
        })
        .with_context(|| format!("cannot read {}", self.file.display()))?;
        Ok(crate::cache::hex(&hash.finalize()))
    }
}

/// A file without a format given is raw; one that looks like another format is refused, since its guest might have written that.
fn guess(mut file: &File) -> anyhow::Result<Format> {
    let mut begin = Vec::new();
    Read::by_ref(&mut file).take(8).read_to_end(&mut begin)?;
    let other = FORMATS
        .iter()
        .find(|(_, magic)| !magic.is_empty() && begin.starts_with(magic));
    match other {
        Some((name, _)) => bail!("looks like {name}: say format={name} or format=raw"),
        None => format("raw"),
    }
}

/// Looks at all disks of a run. What holds data can only be read unless `overwrite` is set.
///
/// # Errors
/// If one cannot be used, or two are the same.
pub fn open_all(options: &[DiskOption], overwrite: bool) -> anyhow::Result<Vec<Disk>> {
    let mut disks: Vec<Disk> = Vec::new();
    let names = names(options)?;
    for (option, vdev) in options.iter().zip(names) {
        let mut disk = Disk::open(option, vdev)
            .with_context(|| format!("--disk {}", option.file.display()))?;
        if let Some(other) = disks.iter().find(|other| other.file == disk.file) {
            bail!(
                "--disk {}: given twice, as {} and {}",
                option.file.display(),
                other.vdev,
                disk.vdev
            );
        }
        if disk.holds_data && !overwrite {
            disk.readonly = true;
        }
        disks.push(disk);
    }
    Ok(disks)
}

fn names(options: &[DiskOption]) -> anyhow::Result<Vec<String>> {
    let mut taken = HashMap::new();
    for option in options {
        if let Some(vdev) = &option.vdev
            && let Some(other) = taken.insert(vdev.clone(), &option.file)
        {
            bail!(
                "vdev={vdev} is given to two disks, {} and {}",
                other.display(),
                option.file.display()
            );
        }
    }
    let mut free = DEFAULT_LETTERS
        .map(|letter| format!("xvd{}", char::from(letter)))
        .filter(|name| !taken.contains_key(name));
    options
        .iter()
        .map(|option| match &option.vdev {
            Some(vdev) => Ok(vdev.clone()),
            None => free.next().context("too many disks without a vdev="),
        })
        .collect()
}

/// Makes a disk that holds zeros only and takes no room yet.
///
/// # Errors
/// If the file cannot be made.
pub fn create(file: &Path, format: &str, size: u64) -> anyhow::Result<()> {
    command::output(
        Command::new("qemu-img")
            .args(["create", "-q", "-f", format])
            .arg(file)
            .arg(size.to_string()),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        format!("{:#}", text.parse::<DiskOption>().unwrap_err())
    }

    #[test]
    fn every_option_is_understood() {
        let option: DiskOption = "a.img,format=qcow2,backend=qdisk,vdev=xvdf,sector=4096,readonly"
            .parse()
            .unwrap();
        assert_eq!(
            option,
            DiskOption {
                file: "a.img".into(),
                format: Some(Format("qcow2")),
                backend: Backend::Qdisk,
                vdev: Some("xvdf".into()),
                sector: 4096,
                readonly: true,
            }
        );
    }

    #[test]
    fn a_wrong_option_or_value_is_named_with_what_is_allowed() {
        assert!(error("a,colour=red").contains("colour=red"));
        assert!(error("a,colour=red").contains("readonly"));
        assert!(error("a,format=tar").contains("qcow2"));
        assert!(error("a,backend=tap").contains("qdisk"));
        assert!(error("a,vdev=sda").contains("xvda"));
        assert!(error("a,vdev=xvd1").contains("xvda"));
        assert!(error("a,sector=513").contains("4096"));
        assert!(error(",readonly").contains("no file"));
        assert!(error("a,readonly=yes").contains("readonly=yes"));
    }

    #[test]
    fn disks_without_a_name_get_the_first_free_one_from_xvde_on() {
        let options: Vec<DiskOption> = ["a", "b,vdev=xvde", "c,vdev=xvda", "d"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        assert_eq!(names(&options).unwrap(), ["xvdf", "xvde", "xvda", "xvdg"]);
    }

    #[test]
    fn a_name_given_twice_is_an_error() {
        let options: Vec<DiskOption> = ["a,vdev=xvde", "b,vdev=xvde"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        assert!(names(&options).is_err());
    }

    fn open(content: &[u8], rest: &str) -> anyhow::Result<Vec<Disk>> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("disk");
        fs::write(&file, content).unwrap();
        let option = format!("{}{rest}", file.display());
        open_all(&[option.parse().unwrap()], false)
    }

    #[test]
    fn files_that_are_no_disk_are_refused() {
        let error = |content: &[u8], rest| format!("{:#}", open(content, rest).unwrap_err());
        assert!(error(b"", "").contains("empty"));
        assert!(error(&[0; 513], "").contains("multiple"));
        assert!(error(&[0; 512], ",sector=4096").contains("multiple"));
        assert!(error(b"QFI\xfb....", "").contains("format=qcow2"));
        let missing = open_all(&["/no/such/file".parse().unwrap()], false).unwrap_err();
        assert!(format!("{missing:#}").contains("no such file"));
        let folder = open_all(&["/tmp".parse().unwrap()], false).unwrap_err();
        assert!(format!("{folder:#}").contains("not a file"));
    }

    #[test]
    fn the_same_file_twice_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(512).unwrap();
        let option: DiskOption = file.path().to_str().unwrap().parse().unwrap();
        assert!(open_all(&[option.clone(), option], false).is_err());
    }

    #[test]
    fn data_is_only_read_unless_overwriting_is_asked_for() {
        let mut content = [0; 1024];
        assert!(!open(&content, "").unwrap()[0].readonly);
        content[1023] = 1;
        assert!(open(&content, "").unwrap()[0].readonly);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        let option: DiskOption = file.path().to_str().unwrap().parse().unwrap();
        assert!(!open_all(&[option], true).unwrap()[0].readonly);
    }

    #[test]
    fn the_hash_is_that_of_the_range() {
        let mut content = vec![0; 4096];
        content[1000..1100].fill(7);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &content).unwrap();
        let option: DiskOption = file.path().to_str().unwrap().parse().unwrap();
        let disk = &open_all(&[option], false).unwrap()[0];
        let expected = crate::cache::hex(&Sha256::digest(&content[512..2048]));
        assert_eq!(disk.sha256(512, 1536).unwrap(), expected);
        assert!(disk.sha256(0, 4097).is_err());
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC*") {
            // An error or an option, and no panic.
            let _outcome = text.parse::<DiskOption>();
        }
    }
}
