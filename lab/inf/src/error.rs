//! What can be wrong with an INF.

use std::fmt;

/// An error in an INF file, with its place.
#[derive(Debug)]
pub struct Error {
    /// The file's path, as it was given.
    pub file: String,
    /// The line, from 1, or 0 where the error is of the file as a whole.
    pub line: u32,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The file or folder cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(std::io::Error),
    /// A folder without any INF.
    #[error("has no .inf file: a driver package is a folder of .inf and .sys files")]
    NoInf,
    /// UTF-16 with half a character.
    #[error(
        "is neither UTF-16 with a byte order mark nor UTF-8 nor an 8-bit text: save it as one of these"
    )]
    Encoding,
    /// A quoted string without its end.
    #[error("the quoted string that starts here has no end: add the closing '\"'")]
    OpenQuote,
    /// A section header without its end.
    #[error("the section's name has no ']' behind it")]
    OpenSection,
    /// Text behind a section header.
    #[error("there is text behind the section's name: {0:?} belongs on a line of its own")]
    BehindSection(String),
    /// An empty section name.
    #[error("the section has no name")]
    NamelessSection,
    /// An entry before the first section.
    #[error(
        "an entry must stand in a section; the first line that is no comment must be a [section]"
    )]
    OutsideSection,
    /// A `%` without its partner.
    #[error("a '%' has no partner: write '%%' for a percent sign")]
    OpenToken,
    /// A string that nobody defines.
    #[error("%{0}% is not defined in [Strings]")]
    UnknownString(String),
    /// A section that must be there is not.
    #[error("there is no section [{0}]")]
    NoSection(String),
    /// An entry that a section must have.
    #[error("[{section}] has no entry {entry}")]
    NoEntry {
        /// The section.
        section: String,
        /// The entry.
        entry: &'static str,
    },
    /// A value that an entry must have.
    #[error("{entry} needs {what}")]
    NoValue {
        /// The entry.
        entry: String,
        /// What is not there.
        what: &'static str,
    },
    /// A signature that is none.
    #[error("Signature is {0:?}; Windows accepts \"$Windows NT$\" and \"$Chicago$\"")]
    Signature(String),
    /// No models for the machine.
    #[error(
        "[Manufacturer] names no Models section for {0}: add a decoration as NTamd64.10.0...14393"
    )]
    NoModels(String),
    /// A decoration that is none.
    #[error("{0:?} is no target OS decoration: it looks like NTamd64 or NTamd64.10.0...14393")]
    Decoration(String),
    /// A number that is none.
    #[error("{0:?} is no number: write it in decimal digits or as 0x…")]
    Number(String),
    /// A value of a type that has another form.
    #[error("a value of type {kind} needs {what}")]
    Value {
        /// The registry type.
        kind: &'static str,
        /// What it needs.
        what: &'static str,
    },
    /// A registry root that a driver package cannot use here.
    #[error("{0:?} is no registry root that a driver package installs to: HKR, HKLM or HKCR")]
    Root(String),
    /// Flags that are not supported.
    #[error("flags 0x{0:08X} are not supported here")]
    Flags(u32),
    /// An INF of Windows itself.
    #[error("{0} is not in this folder: what Windows' own INF files install is not known here")]
    Include(String),
    /// Needs without Include and without a section.
    #[error("Needs names [{0}], which neither this file nor one that it includes has")]
    Needs(String),
    /// Needs that go round in circles.
    #[error("Needs goes round in circles through [{0}]")]
    NeedsCircle(String),
    /// A file that is copied and not listed.
    #[error("{0} is copied but not listed in [SourceDisksFiles]")]
    NotOnDisk(String),
    /// An image that the package lacks.
    #[error("{0} is copied but not in the package's folder")]
    NoImage(String),
    /// A service whose image nobody copies.
    #[error("the service's image {0} is not among the files that the package copies")]
    NotCopied(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.problem),
            line => write!(f, "{}:{line}: {}", self.file, self.problem),
        }
    }
}

impl std::error::Error for Error {}

/// A problem on a line; the document adds the file's name.
pub(crate) type At = (u32, Problem);
