//! The shared libraries that programs need, found as the dynamic loader finds them (ld.so(8)), without running it.

use super::root;
use anyhow::Context;
use object::Endianness;
use object::elf;
use object::read::elf::Dyn;
use object::read::elf::FileHeader;
use object::read::elf::ProgramHeader;
use object::read::elf::SectionHeader;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Where Debian's loader looks by itself.
const FOLDERS: &[&str] = &["/usr/lib/x86_64-linux-gnu", "/usr/lib"];

/// The paths of all libraries that the programs need, and the loader's.
///
/// # Errors
/// If a program or library cannot be read or is not in the root.
pub fn closure(root: &Path, programs: &[String]) -> anyhow::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut rest: Vec<String> = programs.to_vec();
    while let Some(path) = rest.pop() {
        let file = root::resolve(root, &path)?;
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let Some(needs) = needs(&bytes).with_context(|| format!("{path} is no ELF file"))? else {
            continue;
        };
        for name in &needs.libraries {
            let library = locate(root, name, &needs.run_path)
                .with_context(|| format!("{path} needs {name}"))?;
            if found.insert(library.clone()) {
                rest.push(library);
            }
        }
        found.extend(needs.interpreter);
    }
    Ok(found)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Needs {
    libraries: Vec<String>,
    run_path: Vec<String>,
    interpreter: Option<String>,
}

/// What an ELF file names in its dynamic section; nothing for a script.
fn needs(bytes: &[u8]) -> anyhow::Result<Option<Needs>> {
    if bytes.starts_with(b"#!") {
        return Ok(None);
    }
    let header = elf::FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let mut needs = Needs::default();
    for segment in header.program_headers(endian, bytes)? {
        if let Some(path) = segment.interpreter(endian, bytes)? {
            needs.interpreter = Some(String::from_utf8(path.to_vec())?);
        }
    }
    let sections = header.sections(endian, bytes)?;
    let Some((entries, link)) = sections.dynamic(endian, bytes)? else {
        return Ok(Some(needs));
    };
    let strings = sections.section(link)?.data(endian, bytes)?;
    let strings = object::StringTable::new(strings, 0, strings.len() as u64);
    for entry in entries {
        let text = || -> anyhow::Result<String> {
            Ok(String::from_utf8(entry.string(endian, strings)?.to_vec())?)
        };
        match entry.tag32(endian) {
            Some(elf::DT_NEEDED) => needs.libraries.push(text()?),
            Some(elf::DT_RUNPATH | elf::DT_RPATH) => {
                needs.run_path.extend(text()?.split(':').map(str::to_owned));
            }
            _ => {}
        }
    }
    Ok(Some(needs))
}

fn locate(root: &Path, name: &str, run_path: &[String]) -> anyhow::Result<String> {
    run_path
        .iter()
        .map(String::as_str)
        .chain(FOLDERS.iter().copied())
        .map(|folder| format!("{folder}/{name}"))
        .find(|path| root::resolve(root, path).is_ok())
        .with_context(|| format!("{name} is in none of {run_path:?} and {FOLDERS:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_program_needs_the_c_library_and_a_loader() {
        let bytes = fs::read(std::env::current_exe().unwrap()).unwrap();
        let needs = needs(&bytes).unwrap().unwrap();
        assert!(
            needs
                .libraries
                .iter()
                .any(|name| name.starts_with("libc.so"))
        );
        assert!(needs.interpreter.unwrap().contains("ld-linux"));
    }

    #[test]
    fn a_script_needs_no_library_and_rubbish_is_an_error() {
        assert_eq!(needs(b"#!/bin/sh\n").unwrap(), None);
        assert!(needs(b"rubbish").is_err());
    }
}
