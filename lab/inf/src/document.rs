//! An INF file as sections of entries, its string tokens replaced.

use crate::error::{At, Error, Problem};
use crate::lexer::{self, Item};
use crate::text;
use std::collections::HashMap;

/// An entry: `key = values` or only values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The line it starts on, from 1.
    pub number: u32,
    /// What stands before `=`.
    pub key: Option<String>,
    /// What stands between commas. At least one.
    pub values: Vec<String>,
}

/// A section. Sections of one name are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Its name as it is written where it is first.
    pub name: String,
    /// The line of its first header, from 1.
    pub number: u32,
    /// Its entries.
    pub lines: Vec<Line>,
}

/// An INF file.
#[derive(Clone, Debug)]
pub struct Document {
    file: String,
    sections: HashMap<String, Section>,
}

impl Line {
    /// The value at a place, or an empty one.
    #[must_use]
    pub fn value(&self, index: usize) -> &str {
        self.values.get(index).map_or("", String::as_str)
    }

    /// Whether the entry's key is `key`; case does not matter.
    #[must_use]
    pub fn is(&self, key: &str) -> bool {
        self.key
            .as_deref()
            .is_some_and(|own| own.eq_ignore_ascii_case(key))
    }
}

impl Document {
    /// Parses a file's bytes. `file` is its name, for messages.
    ///
    /// # Errors
    /// A syntax error or an undefined string, with its line.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self, Error> {
        let text = text::decode(bytes).map_err(|problem| at(file, (0, problem)))?;
        let items = lexer::items(&text).map_err(|error| at(file, error))?;
        let mut sections = sections(items).map_err(|error| at(file, error))?;
        let strings = strings(&sections);
        for (name, section) in &mut sections {
            if !is_strings(name) {
                replace(section, &strings).map_err(|error| at(file, error))?;
            }
        }
        Ok(Self {
            file: file.to_owned(),
            sections,
        })
    }

    /// The file's name.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// A section's entries, if the section is there.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<&[Line]> {
        self.sections
            .get(&name.to_lowercase())
            .map(|section| section.lines.as_slice())
    }

    /// All sections, in the order of the file.
    #[must_use]
    pub fn sections(&self) -> Vec<&Section> {
        let mut sections: Vec<&Section> = self.sections.values().collect();
        sections.sort_by_key(|section| section.number);
        sections
    }

    /// A section's entries.
    pub(crate) fn required(&self, name: &str, from: u32) -> Result<&[Line], Error> {
        self.section(name)
            .ok_or_else(|| self.error(from, Problem::NoSection(name.to_owned())))
    }

    /// An error at a line of this file.
    pub(crate) fn error(&self, line: u32, problem: Problem) -> Error {
        at(&self.file, (line, problem))
    }

    /// Adds a line to a problem.
    pub(crate) fn on<T>(&self, line: &Line, result: Result<T, Problem>) -> Result<T, Error> {
        result.map_err(|problem| self.error(line.number, problem))
    }
}

fn at(file: &str, (line, problem): At) -> Error {
    Error {
        file: file.to_owned(),
        line,
        problem,
    }
}

fn sections(items: Vec<(u32, Item)>) -> Result<HashMap<String, Section>, At> {
    let mut sections: HashMap<String, Section> = HashMap::new();
    let mut current = None;
    for (number, item) in items {
        match item {
            Item::Section(name) => {
                let key = name.to_lowercase();
                sections.entry(key.clone()).or_insert_with(|| Section {
                    name,
                    number,
                    lines: Vec::new(),
                });
                current = Some(key);
            }
            Item::Entry { key, fields } => {
                let section = current
                    .as_ref()
                    .and_then(|key| sections.get_mut(key))
                    .ok_or((number, Problem::OutsideSection))?;
                let line = Line {
                    number,
                    key,
                    values: fields,
                };
                section.lines.push(line);
            }
        }
    }
    Ok(sections)
}

fn is_strings(section: &str) -> bool {
    section == "strings" || section.starts_with("strings.")
}

/// The strings by their lower-case names. A section for US English goes before the one for all languages.
fn strings(sections: &HashMap<String, Section>) -> HashMap<String, String> {
    let mut strings = HashMap::new();
    for name in ["strings.0409", "strings"] {
        for line in sections.get(name).map_or(&[][..], |section| &section.lines) {
            if let Some(key) = &line.key {
                strings
                    .entry(key.to_lowercase())
                    .or_insert_with(|| line.values.join(","));
            }
        }
    }
    strings
}

fn replace(section: &mut Section, strings: &HashMap<String, String>) -> Result<(), At> {
    for line in &mut section.lines {
        for text in line.key.iter_mut().chain(&mut line.values) {
            *text = substitute(text, strings).map_err(|problem| (line.number, problem))?;
        }
    }
    Ok(())
}

/// Replaces `%name%` by its string and `%%` by a percent sign. `%number%` is a folder's id (DIRID) and stays.
fn substitute(text: &str, strings: &HashMap<String, String>) -> Result<String, Problem> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('%') {
        result.push_str(before);
        let (name, after) = behind.split_once('%').ok_or(Problem::OpenToken)?;
        rest = after;
        if name.is_empty() {
            result.push('%');
        } else if let Some(string) = strings.get(&name.to_lowercase()) {
            result.push_str(string);
        } else if name.bytes().all(|byte| byte.is_ascii_digit()) {
            result.push('%');
            result.push_str(name);
            result.push('%');
        } else {
            return Err(Problem::UnknownString(name.to_owned()));
        }
    }
    result.push_str(rest);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Document, String> {
        Document::parse("x.inf", text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn sections_of_one_name_are_one_whatever_their_case() {
        let document = parse("[A]\nx=1\n[B]\ny=2\n[a]\nz=3\n").expect("a good file");
        let keys: Vec<_> = document
            .section("A")
            .expect("there")
            .iter()
            .map(|line| line.key.clone())
            .collect();
        assert_eq!(keys, [Some("x".into()), Some("z".into())]);
        assert!(document.section("C").is_none());
    }

    #[test]
    fn strings_are_replaced_everywhere_but_among_the_strings() {
        let document = parse("[A]\n%K%=\"%V% %%x%%\",%12%\\y\n[Strings]\nk=key\nV = \"a, %b%\"\n")
            .expect("a good file");
        let line = &document.section("a").expect("there")[0];
        assert_eq!(line.key.as_deref(), Some("key"));
        assert_eq!(line.values, ["a, %b% %x%", "%12%\\y"]);
    }

    #[test]
    fn a_string_for_us_english_goes_before_the_one_for_all() {
        let document = parse("[A]\nx=%s%\n[Strings]\ns=all\n[Strings.0409]\ns=english\n")
            .expect("a good file");
        assert_eq!(document.section("A").expect("there")[0].values, ["english"]);
    }

    #[test]
    fn mistakes_are_named_with_file_and_line() {
        for (text, message) in [
            ("x=1\n", "x.inf:1: an entry must stand in a section"),
            ("[A]\n\nx=%y%\n", "x.inf:3: %y% is not defined in [Strings]"),
            ("[A]\nx=50%\n", "x.inf:2: a '%' has no partner"),
            (
                "[A]\nx=\"y\n",
                "x.inf:2: the quoted string that starts here has no end",
            ),
            ("[A\n", "x.inf:1: the section's name has no ']'"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with(message), "{error}");
        }
    }
}
