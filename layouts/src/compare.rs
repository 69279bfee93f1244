//! What differs between the declarations and the headers.

use crate::abi::{Abi, Signature};
use crate::headers::{Headers, Layout};
use crate::ours::{Declarations, Figure, Place};
use std::fmt;

/// Something that is not as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is about: `NAME` or `NAME.Field`
    pub subject: String,
    /// What the crate declares
    pub ours: String,
    /// What the headers say
    pub theirs: String,
    /// Where it is declared
    pub place: Place,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} declared, {} in the headers ({}, line {})",
            self.subject, self.ours, self.theirs, self.place.file, self.place.line
        )
    }
}

/// The outcome of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many figures, constants and prototypes agree
    pub agree: usize,
    /// Those that do not
    pub differences: Vec<Difference>,
    /// Names that the headers do not have
    pub absent: Vec<String>,
}

impl Report {
    fn note<T: PartialEq + fmt::Display>(
        &mut self,
        subject: String,
        what: &str,
        ours: &T,
        theirs: &T,
        place: &Place,
    ) {
        if ours == theirs {
            self.agree += 1;
            return;
        }
        self.differences.push(Difference {
            subject,
            ours: format!("{what}{ours}"),
            theirs: format!("{what}{theirs}"),
            place: place.clone(),
        });
    }

    fn lacks(&mut self, name: &str) {
        if !self.absent.iter().any(|absent| absent == name) {
            self.absent.push(name.to_owned());
        }
    }
}

/// Compares.
pub fn compare(ours: &Declarations, headers: &Headers) -> Report {
    let mut report = Report::default();
    for (name, figure, place) in &ours.figures {
        match headers.layouts.get(name) {
            Some(layout) => figure_of(&mut report, name, figure, layout, place),
            None => report.lacks(name),
        }
    }
    for (name, value, place) in &ours.constants {
        match headers.constants.get(name) {
            Some(theirs) if same_bits(*value, *theirs) => report.agree += 1,
            Some(theirs) => report.note(name.clone(), "", value, theirs, place),
            None => report.lacks(name),
        }
    }
    for (name, signature, place) in &ours.functions {
        match headers.functions.get(name) {
            Some(theirs) if compatible(signature, theirs) => report.agree += 1,
            Some(theirs) => report.note(name.clone(), "", signature, theirs, place),
            None => report.lacks(name),
        }
    }
    report
}

fn figure_of(report: &mut Report, name: &str, figure: &Figure, layout: &Layout, place: &Place) {
    match figure {
        Figure::Size(bytes) => report.note(name.to_owned(), "size ", bytes, &layout.size, place),
        Figure::Align(bytes) => {
            report.note(name.to_owned(), "alignment ", bytes, &layout.align, place);
        }
        Figure::Offset(field, offset) => {
            let subject = format!("{name}.{field}");
            match layout.offsets.get(field) {
                Some(theirs) => report.note(subject, "offset ", offset, theirs, place),
                None => report.lacks(&subject),
            }
        }
        Figure::Through(field, bytes) => {
            let subject = format!("{name} up to {field}");
            match (layout.offsets.get(field), layout.field_sizes.get(field)) {
                (Some(offset), Some(size)) => {
                    report.note(subject, "size ", bytes, &(offset + size), place);
                }
                _ => report.lacks(&subject),
            }
        }
    }
}

/// A header's constant may be signed where ours is not: what counts is the bits in as many bytes as it has.
fn same_bits(ours: i128, theirs: i128) -> bool {
    let mask = match ours.unsigned_abs().max(theirs.unsigned_abs()) {
        0..=0xFFFF_FFFF => 0xFFFF_FFFF,
        _ => i128::from(u64::MAX),
    };
    ours & mask == theirs & mask
}

/// What the declarations do not resolve is not compared; a pointer-sized integer may stand for a pointer.
fn compatible(ours: &Signature, theirs: &Signature) -> bool {
    let same = |ours: &Abi, theirs: &Abi| {
        let pointer_sized = |abi: &Abi| matches!(abi, Abi::Pointer | Abi::Register(8));
        ours == theirs
            || (pointer_sized(ours) && pointer_sized(theirs))
            || *ours == Abi::Unknown
            || *theirs == Abi::Unknown
    };
    ours.variadic == theirs.variadic
        && ours.parameters.len() == theirs.parameters.len()
        && ours
            .parameters
            .iter()
            .zip(&theirs.parameters)
            .all(|(ours, theirs)| same(ours, theirs))
        && same(&ours.result, &theirs.result)
}
