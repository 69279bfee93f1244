//! The version resource (VS_VERSIONINFO): what an administrator sees of a file whose name says little.

use super::image::Image;
use anyhow::Context as _;
use object::LittleEndian as LE;
use object::pe;
use object::read::pe::{ResourceDirectory, ResourceDirectoryEntryData};
use std::collections::BTreeMap;

/// What must be said.
const STRINGS: &[&str] = &[
    "CompanyName",
    "FileDescription",
    "FileVersion",
    "LegalCopyright",
    "OriginalFilename",
    "ProductName",
    "ProductVersion",
];
/// Types, names, languages: the levels of tables.
const LEVELS: usize = 3;
/// How deep blocks lie in each other: the whole, StringFileInfo, a language, a string.
const DEPTH: usize = 4;

/// The rule.
pub fn rule(image: &Image<'_>, findings: &mut Vec<String>) -> anyhow::Result<()> {
    let Some(resource) = find(image)? else {
        findings
            .push("has no version resource: nobody can tell what it is, and of whom".to_owned());
        return Ok(());
    };
    let mut strings = BTreeMap::new();
    blocks(resource, DEPTH, &mut strings).context("the version resource is damaged")?;
    for name in STRINGS {
        if strings.get(*name).is_none_or(String::is_empty) {
            findings.push(format!("its version resource does not say {name}"));
        }
    }
    Ok(())
}

/// The bytes of the first version resource in the first language.
fn find<'a>(image: &Image<'a>) -> anyhow::Result<Option<&'a [u8]>> {
    let bytes = image.directory_bytes(pe::IMAGE_DIRECTORY_ENTRY_RESOURCE)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let directory = ResourceDirectory::new(bytes);
    let root = directory.root().context("the resources")?;
    let versions = root
        .entries
        .iter()
        .find(|entry| entry.name_or_id().id() == Some(pe::RT_VERSION));
    let Some(versions) = versions else {
        return Ok(None);
    };
    let mut entry = versions;
    let mut data = None;
    for _ in 0..LEVELS {
        match entry.data(directory)? {
            ResourceDirectoryEntryData::Table(table) => {
                let first = table.entries.first();
                entry = first.context("an empty table of resources")?;
            }
            ResourceDirectoryEntryData::Data(found) => {
                data = Some(found);
                break;
            }
        }
    }
    let entry = data.context("the version resource has no data")?;
    let size = entry.size.get(LE) as usize;
    let bytes = image
        .at(entry.offset_to_data.get(LE))
        .and_then(|bytes| bytes.get(..size))
        .context("the version resource lies in no section")?;
    Ok(Some(bytes))
}

/// Walks the blocks: length, length of the value, type, a name in UTF-16, the value, more blocks; each at a multiple of four
/// bytes. Collects those whose value is text.
fn blocks(mut bytes: &[u8], depth: usize, strings: &mut BTreeMap<String, String>) -> Option<()> {
    while bytes.len() >= 6 && depth > 0 {
        let number = |at: usize| {
            Some(usize::from(u16::from_le_bytes(
                bytes.get(at..at + 2)?.try_into().ok()?,
            )))
        };
        let (length, value_length, is_text) = (number(0)?, number(2)?, number(4)? == 1);
        let block = bytes.get(..length).filter(|_| length >= 6)?;
        let (name, after) = text(block, 6)?;
        let value = after.next_multiple_of(4);
        let value_bytes = if is_text {
            value_length * 2
        } else {
            value_length
        };
        if is_text && value_length > 0 {
            strings.insert(name, text(block, value)?.0);
        }
        let children = (value + value_bytes).next_multiple_of(4);
        if let Some(children) = block.get(children..) {
            blocks(children, depth - 1, strings)?;
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(())
}

/// UTF-16 up to a NUL or the end, and where the bytes behind it begin.
fn text(bytes: &[u8], start: usize) -> Option<(String, usize)> {
    let (units, _) = bytes.get(start..)?.as_chunks::<2>();
    let units: Vec<u16> = units
        .iter()
        .map(|unit| u16::from_le_bytes(*unit))
        .take_while(|unit| *unit != 0)
        .collect();
    let end = start + (units.len() + 1) * 2;
    Some((String::from_utf16(&units).ok()?, end))
}
