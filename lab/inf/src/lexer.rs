//! Lines and fields: comments, continuation, quotes.

use crate::error::{At, Problem};

/// What stands on a logical line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// `[name]`
    Section(String),
    /// `key = field, field…` or `field, field…`
    Entry {
        /// What stands before the first `=` outside of quotes.
        key: Option<String>,
        /// What stands between commas.
        fields: Vec<String>,
    },
}

/// The items of a text with the lines they start on, from 1.
pub(crate) fn items(text: &str) -> Result<Vec<(u32, Item)>, At> {
    let mut items = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, first)) = lines.next() {
        let mut scanner = Scanner::default();
        let mut line = first;
        let mut at = number;
        // A backslash that ends a line joins it with the next one.
        while scanner.line(line).map_err(|problem| (at, problem))? {
            let Some(next) = lines.next() else { break };
            (at, line) = next;
        }
        if let Some(item) = scanner.finish().map_err(|problem| (number, problem))? {
            items.push((number, item));
        }
    }
    Ok(items)
}

/// Collects the fields of one logical line.
#[derive(Default)]
struct Scanner {
    key: Option<String>,
    fields: Vec<String>,
    field: Field,
    section: Option<String>,
    started: bool,
}

/// A field under way. Blanks at the ends do not count unless they are quoted.
#[derive(Default)]
struct Field {
    text: String,
    /// How much of the text must stay, whatever follows.
    kept: usize,
}

impl Field {
    fn plain(&mut self, c: char) {
        if c.is_whitespace() && self.text.is_empty() {
            return;
        }
        self.text.push(c);
        if !c.is_whitespace() {
            self.kept = self.text.len();
        }
    }

    fn quoted(&mut self, c: char) {
        self.text.push(c);
        self.kept = self.text.len();
    }

    fn take(&mut self) -> String {
        self.text.truncate(self.kept);
        self.kept = 0;
        std::mem::take(&mut self.text)
    }
}

impl Scanner {
    /// Takes a physical line; true if the next one belongs to it.
    fn line(&mut self, line: &str) -> Result<bool, Problem> {
        if !self.started && line.trim_start().starts_with('[') {
            self.started = true;
            self.section = Some(section(line.trim_start())?);
            return Ok(false);
        }
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            rest = &rest[c.len_utf8()..];
            match c {
                ';' => return Ok(false),
                '"' => rest = self.quoted(rest)?,
                ',' => {
                    self.started = true;
                    let field = self.field.take();
                    self.fields.push(field);
                }
                '=' if self.key.is_none() && self.fields.is_empty() => {
                    self.started = true;
                    self.key = Some(self.field.take());
                }
                '\\' if is_blank(rest) => return Ok(true),
                c => {
                    self.started |= !c.is_whitespace();
                    self.field.plain(c);
                }
            }
        }
        Ok(false)
    }

    /// Takes a quoted string, whose opening quote is gone; returns what follows it.
    fn quoted<'a>(&mut self, mut rest: &'a str) -> Result<&'a str, Problem> {
        self.started = true;
        loop {
            let end = rest.find('"').ok_or(Problem::OpenQuote)?;
            rest[..end].chars().for_each(|c| self.field.quoted(c));
            rest = &rest[end + 1..];
            // Two quotes within a quoted string are one.
            let Some(more) = rest.strip_prefix('"') else {
                return Ok(rest);
            };
            self.field.quoted('"');
            rest = more;
        }
    }

    fn finish(mut self) -> Result<Option<Item>, Problem> {
        if let Some(name) = self.section {
            return Ok(Some(Item::Section(name)));
        }
        if !self.started {
            return Ok(None);
        }
        let last = self.field.take();
        self.fields.push(last);
        Ok(Some(Item::Entry {
            key: self.key,
            fields: self.fields,
        }))
    }
}

/// The name in a line that starts with `[`.
fn section(line: &str) -> Result<String, Problem> {
    let (name, behind) = line[1..].split_once(']').ok_or(Problem::OpenSection)?;
    if !is_blank(behind) {
        return Err(Problem::BehindSection(behind.trim().to_owned()));
    }
    let name = name.trim().trim_matches('"');
    if name.is_empty() {
        return Err(Problem::NamelessSection);
    }
    Ok(name.to_owned())
}

/// Whether nothing or only a comment follows.
fn is_blank(text: &str) -> bool {
    let text = text.trim_start();
    text.is_empty() || text.starts_with(';')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(line: &str) -> (Option<String>, Vec<String>) {
        match items(line).expect("a good line").pop() {
            Some((_, Item::Entry { key, fields })) => (key, fields),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn comments_end_a_line_unless_they_are_quoted() {
        assert_eq!(entry("a = b ; c, d"), (Some("a".into()), vec!["b".into()]));
        assert_eq!(
            entry("a = \"b ; c\", d"),
            (Some("a".into()), vec!["b ; c".into(), "d".into()])
        );
        assert_eq!(items("  ; nothing\n\n").expect("blank lines"), []);
    }

    #[test]
    fn a_backslash_at_the_end_of_a_line_joins_it_with_the_next() {
        let text = "x = one,\\\ntwo,\\ ; why\n  three\ny=1";
        let items = items(text).expect("good lines");
        let fields = |fields: &[&str]| fields.iter().map(|field| (*field).to_owned()).collect();
        assert_eq!(
            items,
            [
                (
                    1,
                    Item::Entry {
                        key: Some("x".into()),
                        fields: fields(&["one", "two", "three"])
                    }
                ),
                (
                    4,
                    Item::Entry {
                        key: Some("y".into()),
                        fields: fields(&["1"])
                    }
                ),
            ]
        );
    }

    #[test]
    fn a_backslash_within_a_line_is_a_backslash() {
        assert_eq!(
            entry(r"PCI\VEN_5853&DEV_0001").1,
            [r"PCI\VEN_5853&DEV_0001"]
        );
        assert_eq!(entry("x=\"a\\\"").1, ["a\\"]);
    }

    #[test]
    fn quotes_keep_blanks_commas_and_equal_signs() {
        assert_eq!(
            entry(r#"HKR,"a, b=c"," d ""e"" " "#).1,
            ["HKR", "a, b=c", " d \"e\" "]
        );
        assert_eq!(entry("a,,").1, ["a", "", ""]);
        assert_eq!(entry(r#""a b" c"#).1, ["a b c"]);
    }

    #[test]
    fn sections_are_named_by_what_stands_in_brackets() {
        assert_eq!(
            items(" [ Name.NT ] ; x").expect("a section"),
            [(1, Item::Section("Name.NT".into()))]
        );
        assert!(matches!(items("\n[Name"), Err((2, Problem::OpenSection))));
        assert!(matches!(
            items("[Name] x"),
            Err((1, Problem::BehindSection(_)))
        ));
        assert!(matches!(items("[ ]"), Err((1, Problem::NamelessSection))));
    }

    #[test]
    fn an_open_quote_is_found_on_its_line() {
        assert!(matches!(
            items("a=1\nb=\\\n\"x\nc=2"),
            Err((3, Problem::OpenQuote))
        ));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,300}", lines in prop::collection::vec("[\\[\\]=,;%\"\\\\ a]{0,12}", 0..8)) {
            let _ = items(&text);
            let _ = items(&lines.join("\n"));
        }

        #[test]
        fn what_is_quoted_comes_back(fields in prop::collection::vec("[^\r\n]{0,20}", 1..6)) {
            let line: Vec<String> = fields.iter().map(|field| format!("\"{}\"", field.replace('"', "\"\""))).collect();
            prop_assert_eq!(entry(&format!("k={}", line.join(" , "))).1, fields);
        }
    }
}
