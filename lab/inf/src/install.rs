//! DDInstall sections: all that binding a device does.

use crate::document::{Document, Line};
use crate::error::{Error, Problem};
use crate::text::number32;
use crate::{network, registry, service};
use lab_protocol::bundle::Install;

/// The feature score of a driver that gives none.
const NO_FEATURE_SCORE: u8 = 0xFF;
/// How deep Needs directives may go.
const MAX_NEEDS: usize = 16;

/// What the section `name` and its `.HW` and `.Services` do.
pub(crate) fn install(document: &Document, name: &str, line: u32) -> Result<Install, Error> {
    let lines = with_needs(document, document.required(name, line)?, 0)?;
    let optional = |suffix: &str| {
        let lines = document
            .section(&format!("{name}{suffix}"))
            .unwrap_or_default();
        with_needs(document, lines, 0)
    };
    let mut software = network::directives(document, &lines)?;
    let written = registry::changes(document, &lines)?;
    let defaults = network::defaults(&written);
    software.extend(written);
    software.extend(defaults);
    Ok(Install {
        files: files(document, &lines)?,
        services: service::services(document, &optional(".Services")?)?,
        software,
        hardware: registry::changes(document, &optional(".HW")?)?,
        feature_score: feature_score(document, &lines)?,
    })
}

fn feature_score(document: &Document, lines: &[Line]) -> Result<u8, Error> {
    let Some(line) = lines.iter().find(|line| line.is("FeatureScore")) else {
        return Ok(NO_FEATURE_SCORE);
    };
    let text = line.value(0);
    let score = document.on(line, number32(text))?;
    u8::try_from(score).map_err(|_| document.error(line.number, Problem::Number(text.to_owned())))
}

/// The section's lines, behind those of the sections that its Needs directives name.
fn with_needs(document: &Document, lines: &[Line], depth: usize) -> Result<Vec<Line>, Error> {
    let mut all = Vec::new();
    for line in lines.iter().filter(|line| line.is("Needs")) {
        for name in line.values.iter().filter(|name| !name.is_empty()) {
            if depth == MAX_NEEDS {
                return Err(document.error(line.number, Problem::NeedsCircle(name.clone())));
            }
            let Some(needed) = document.section(name) else {
                let include = lines.iter().find(|line| line.is("Include"));
                let problem = include.map_or_else(
                    || Problem::Needs(name.clone()),
                    |include| Problem::Include(include.values.join(", ")),
                );
                return Err(document.error(line.number, problem));
            };
            all.extend(with_needs(document, needed, depth + 1)?);
        }
    }
    all.extend(
        lines
            .iter()
            .filter(|line| !line.is("Needs") && !line.is("Include"))
            .cloned(),
    );
    Ok(all)
}

/// The files that the CopyFiles directives name, each once.
fn files(document: &Document, lines: &[Line]) -> Result<Vec<String>, Error> {
    let mut files: Vec<String> = Vec::new();
    for line in lines.iter().filter(|line| line.is("CopyFiles")) {
        for value in line.values.iter().filter(|value| !value.is_empty()) {
            let copied = match value.strip_prefix('@') {
                Some(file) => vec![(line, file, file)],
                None => {
                    let entries = document.required(value, line.number)?;
                    entries
                        .iter()
                        .map(|line| (line, line.value(0), source(line)))
                        .collect()
                }
            };
            for (line, destination, source) in copied {
                check_source(document, line, source)?;
                if !files
                    .iter()
                    .any(|file| file.eq_ignore_ascii_case(destination))
                {
                    files.push(destination.to_owned());
                }
            }
        }
    }
    Ok(files)
}

/// A CopyFiles entry names its source only where it differs.
fn source(line: &Line) -> &str {
    match line.value(1) {
        "" => line.value(0),
        source => source,
    }
}

fn check_source(document: &Document, line: &Line, file: &str) -> Result<(), Error> {
    let listed = ["SourceDisksFiles", "SourceDisksFiles.amd64"]
        .iter()
        .filter_map(|section| document.section(section))
        .flatten()
        .any(|entry| entry.is(file));
    if listed {
        return Ok(());
    }
    Err(document.error(line.number, Problem::NotOnDisk(file.to_owned())))
}
