//! Kernel modules: those asked for with those that they depend on, and the list that modprobe reads.

use crate::command;
use anyhow::Context;
use anyhow::bail;
use object::Object;
use object::ObjectSection;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// A module, unpacked.
#[derive(Debug)]
pub struct Module {
    /// Its path below the folder of the kernel's version, without the ending of a compression
    pub path: String,
    /// The module
    pub bytes: Vec<u8>,
    /// The names of the modules that it needs
    pub needs: Vec<String>,
}

/// The modules of these names with all that they need, by name. A name that the kernel has built in is passed over.
///
/// # Errors
/// If a module is not there or cannot be read.
pub fn closure(folder: &Path, names: &[&str]) -> anyhow::Result<BTreeMap<String, Module>> {
    let mut files = BTreeMap::new();
    list(&folder.join("kernel"), &mut files)?;
    let built_in = fs::read_to_string(folder.join("modules.builtin"))
        .context("the kernel's package has no modules.builtin")?;
    let built_in: Vec<_> = built_in.lines().filter_map(name_of).collect();
    let mut modules = BTreeMap::new();
    let mut rest: Vec<String> = names.iter().map(|name| name.replace('-', "_")).collect();
    while let Some(name) = rest.pop() {
        if modules.contains_key(&name) || built_in.contains(&name) {
            continue;
        }
        let Some(file) = files.get(&name) else {
            bail!("the kernel has no module {name}");
        };
        let module = read(folder, file)?;
        rest.extend(module.needs.iter().cloned());
        modules.insert(name, module);
    }
    Ok(modules)
}

/// modules.dep as depmod(8) would write it: each module with all that must be there before it, the nearest first.
pub fn dependencies(modules: &BTreeMap<String, Module>) -> String {
    let mut text = String::new();
    for module in modules.values() {
        let mut needed = Vec::new();
        collect(modules, module, &mut needed);
        let paths: Vec<_> = needed.iter().rev().map(|path| format!(" {path}")).collect();
        text += &format!("{}:{}\n", module.path, paths.concat());
    }
    text
}

/// Depth first: what comes later in the list needs what comes before it.
fn collect<'a>(modules: &'a BTreeMap<String, Module>, module: &'a Module, list: &mut Vec<&'a str>) {
    for need in module.needs.iter().filter_map(|name| modules.get(name)) {
        collect(modules, need, list);
        if !list.contains(&need.path.as_str()) {
            list.push(&need.path);
        }
    }
}

fn list(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> anyhow::Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?
    {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if let Some(name) = path.to_str().and_then(name_of) {
            files.insert(name, path);
        }
    }
    Ok(())
}

/// `kernel/a/b-c.ko.xz` is the module b_c.
fn name_of(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, _) = file.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

fn read(folder: &Path, file: &Path) -> anyhow::Result<Module> {
    let within = file
        .strip_prefix(folder)?
        .to_str()
        .context("a module's name is no UTF-8")?;
    let (bytes, path) = match within.rsplit_once('.') {
        Some((path, "xz")) => (unpack("xz", file)?, path),
        Some((path, "zst")) => (unpack("zstd", file)?, path),
        Some((path, "gz")) => (unpack("gzip", file)?, path),
        _ => (fs::read(file)?, within),
    };
    let needs = needs(&bytes).with_context(|| format!("{within} is no module"))?;
    Ok(Module {
        path: path.to_owned(),
        bytes,
        needs,
    })
}

fn unpack(tool: &str, file: &Path) -> anyhow::Result<Vec<u8>> {
    command::output(Command::new(tool).args(["-dc"]).arg(file))
}

/// `depends=` of the section .modinfo, a list of strings that end with a zero.
fn needs(bytes: &[u8]) -> anyhow::Result<Vec<String>> {
    let file = object::File::parse(bytes)?;
    let section = file
        .section_by_name(".modinfo")
        .context("no section .modinfo")?;
    let mut needs = Vec::new();
    for entry in section.data()?.split(|byte| *byte == 0) {
        if let Some(list) = entry.strip_prefix(b"depends=") {
            let list = std::str::from_utf8(list)?;
            needs.extend(
                list.split(',')
                    .filter(|name| !name.is_empty())
                    .map(|name| name.replace('-', "_")),
            );
        }
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(path: &str, needs: &[&str]) -> Module {
        Module {
            path: path.into(),
            bytes: Vec::new(),
            needs: needs.iter().map(|&name| name.into()).collect(),
        }
    }

    #[test]
    fn names_are_file_names_with_underscores() {
        assert_eq!(name_of("kernel/net/9p/9pnet.ko.xz").unwrap(), "9pnet");
        assert_eq!(name_of("xen-blkback.ko").unwrap(), "xen_blkback");
        assert_eq!(name_of("modules.order"), None);
    }

    #[test]
    fn the_list_has_the_deepest_dependency_last() {
        let modules = BTreeMap::from([
            ("a".into(), module("a.ko", &["b"])),
            ("b".into(), module("b.ko", &["c"])),
            ("c".into(), module("c.ko", &[])),
        ]);
        let text = dependencies(&modules);
        assert_eq!(text, "a.ko: b.ko c.ko\nb.ko: c.ko\nc.ko:\n");
    }
}
