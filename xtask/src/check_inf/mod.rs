//! `cargo xtask check-inf`: whether an INF file is one that Windows 10 1607 and later install from, by the rules of
//! Microsoft's InfVerif (universal, DCH: `/w`, `/h`) that matter for drivers of this kind, and whether it binds ids that
//! xenbus-interface makes.

mod ids;
mod install;
mod models;
mod network;
mod registry;
mod service;
#[cfg(test)]
mod tests;
mod version;

use anyhow::{Context as _, bail};
use lab_inf::{Document, Line, Windows};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Versions of Windows that what the INF says is read for: those at which decorations or directives change their meaning.
const BUILDS: &[u32] = &[14393, 16299, 17763, 20348, 22631, 25398, 26100];

/// Which files to check.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// INF files
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Checks each file and prints a line for each, and one for each broken rule.
///
/// # Errors
/// If a file cannot be read or breaks a rule.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let mut broken = 0;
    for file in &args.files {
        let findings = check_file(file)?;
        if findings.is_empty() {
            println!("{}: nothing found", file.display());
        }
        for finding in &findings {
            println!("{finding}");
        }
        broken += findings.len();
    }
    if broken > 0 {
        bail!("{broken} findings: Windows or InfVerif may refuse this");
    }
    Ok(())
}

/// The findings in a file, each with the file's name and line.
///
/// # Errors
/// If it cannot be read.
pub fn check_file(file: &Path) -> anyhow::Result<Vec<String>> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(check(&file.display().to_string(), &bytes))
}

/// The findings in an INF's bytes.
pub fn check(file: &str, bytes: &[u8]) -> Vec<String> {
    let document = match Document::parse(file, bytes) {
        Ok(document) => document,
        Err(error) => return vec![error.to_string()],
    };
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    let mut inf = Inf::new(&document);
    version::check(&mut inf);
    models::check(&mut inf);
    install::lists(&mut inf);
    inf.strings(&text);
    inf.leftovers();
    for build in BUILDS {
        let windows = Windows {
            major: 10,
            minor: 0,
            build: *build,
        };
        if let Err(error) = lab_inf::describe(&document, inf.name.clone(), windows) {
            inf.add(error.line, error.problem.to_string());
        }
    }
    inf.findings
        .into_iter()
        .map(|(line, text)| match line {
            0 => format!("{file}: {text}"),
            line => format!("{file}:{line}: {text}"),
        })
        .collect()
}

/// An INF and what was found in it.
struct Inf<'a> {
    document: &'a Document,
    /// The file's name.
    name: String,
    /// The device class.
    class: String,
    /// Sections that something refers to, in lower case.
    used: BTreeSet<String>,
    /// Files that something copies, in lower case.
    copied: BTreeSet<String>,
    /// Line and text; a line may break a rule in several ways, but the same one only once.
    findings: BTreeSet<(u32, String)>,
}

impl<'a> Inf<'a> {
    fn new(document: &'a Document) -> Self {
        let name = document.file().rsplit(['/', '\\']).next();
        Self {
            document,
            name: name.unwrap_or_default().to_owned(),
            class: String::new(),
            used: BTreeSet::new(),
            copied: BTreeSet::new(),
            findings: BTreeSet::new(),
        }
    }

    /// The part of the file's name before `.inf`.
    fn stem(&self) -> &str {
        self.name
            .rsplit_once('.')
            .map_or(&*self.name, |(stem, _)| stem)
    }

    /// Adds a finding; line 0 is the file as a whole.
    fn add(&mut self, line: u32, text: impl Into<String>) {
        self.findings.insert((line, text.into()));
    }

    /// A section that a line refers to; without it, a finding.
    fn follow(&mut self, name: &str, from: u32) -> &'a [Line] {
        self.used.insert(name.to_lowercase());
        match self.document.section(name) {
            Some(lines) => lines,
            None => {
                self.add(from, format!("there is no section [{name}]"));
                &[]
            }
        }
    }

    /// A section that may be there.
    fn optional(&mut self, name: &str) -> Option<&'a [Line]> {
        let lines = self.document.section(name)?;
        self.used.insert(name.to_lowercase());
        Some(lines)
    }

    /// Whether this is an INF for network adapters.
    fn is_network(&self) -> bool {
        self.class.eq_ignore_ascii_case("Net")
    }

    /// Finds lines whose key is none of `allowed`. `why` says what is wrong with some that are known.
    fn only(&mut self, section: &str, lines: &[Line], allowed: &[&str], why: &[(&str, &str)]) {
        for line in lines {
            let key = line.key.clone().unwrap_or_else(|| line.value(0).to_owned());
            if line.key.is_some() && allowed.iter().any(|known| line.is(known)) {
                continue;
            }
            let reason = why
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(&key));
            let reason = reason.map_or("no directive that belongs here", |(_, why)| why);
            self.add(line.number, format!("{key} in [{section}]: {reason}"));
        }
    }

    /// Strings that are defined twice or not used.
    fn strings(&mut self, text: &str) {
        for section in self.document.sections() {
            let name = section.name.to_lowercase();
            if name != "strings" && !name.starts_with("strings.") {
                continue;
            }
            self.used.insert(name);
            let mut seen = BTreeSet::new();
            for line in &section.lines {
                let Some(key) = &line.key else {
                    self.add(
                        line.number,
                        "an entry of a strings section is name = \"text\"",
                    );
                    continue;
                };
                let key = key.to_lowercase();
                if !text.contains(&format!("%{key}%")) {
                    self.add(line.number, format!("the string {key} is not used"));
                }
                if !seen.insert(key.clone()) {
                    self.add(line.number, format!("the string {key} is defined twice"));
                }
            }
        }
    }

    /// Sections that nothing refers to.
    fn leftovers(&mut self) {
        for section in self.document.sections() {
            if !self.used.contains(&section.name.to_lowercase()) {
                let text = format!("nothing refers to section [{}]", section.name);
                self.add(section.number, text);
            }
        }
    }
}

/// A number as INF files write it.
fn number(text: &str) -> Option<u32> {
    let lower = text.trim().to_ascii_lowercase();
    match lower.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => lower.parse().ok(),
    }
}
