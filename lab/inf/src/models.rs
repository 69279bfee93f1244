//! Which of the decorated sections are meant for a Windows.

use crate::document::{Document, Line};
use crate::error::{Error, Problem};
use crate::text::number32;

/// A version of Windows on x64, as INF decorations tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Windows {
    /// `OSMajorVersion`
    pub major: u32,
    /// `OSMinorVersion`
    pub minor: u32,
    /// `BuildNumber`
    pub build: u32,
}

impl std::fmt::Display for Windows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NTamd64 {}.{}.{}", self.major, self.minor, self.build)
    }
}

/// The Models sections that fit this Windows: for each vendor the one with the highest version that is not newer,
/// by name and with its entries.
pub(crate) fn sections(
    document: &Document,
    windows: Windows,
) -> Result<Vec<(String, &[Line])>, Error> {
    let mut sections = Vec::new();
    for vendor in document.required("Manufacturer", 0)? {
        let base = vendor.value(0);
        let mut best: Option<(Windows, &str)> = None;
        for decoration in &vendor.values[1..] {
            let decoration = decoration.as_str();
            let Some(version) = document.on(vendor, parse(decoration))? else {
                continue;
            };
            if version <= windows && best.is_none_or(|(other, _)| other <= version) {
                best = Some((version, decoration));
            }
        }
        if let Some((_, decoration)) = best {
            let name = format!("{base}.{decoration}");
            let lines = document.required(&name, vendor.number)?;
            sections.push((name, lines));
        }
    }
    if sections.is_empty() {
        return Err(document.error(0, Problem::NoModels(windows.to_string())));
    }
    Ok(sections)
}

/// `NT[architecture][.[major][.[minor][.[product][.[suite][.[build]]]]]]`: the lowest Windows that it fits, or `None` if it
/// is for another architecture. Windows on x64 takes none that names no architecture.
fn parse(decoration: &str) -> Result<Option<Windows>, Problem> {
    let error = || Problem::Decoration(decoration.to_owned());
    let mut parts = decoration.split('.').map(str::trim);
    let architecture = parts.next().unwrap_or_default().to_ascii_lowercase();
    let architecture = architecture.strip_prefix("nt").ok_or_else(error)?;
    let mut next = || match parts.next() {
        None | Some("") => Ok(0),
        Some(number) => number32(number).map_err(|_| error()),
    };
    let (major, minor, _product, _suite, build) = (next()?, next()?, next()?, next()?, next()?);
    match architecture {
        "amd64" => Ok(Some(Windows {
            major,
            minor,
            build,
        })),
        "" | "x86" | "arm" | "arm64" | "ia64" => Ok(None),
        _ => Err(error()),
    }
}

/// The name of the DDInstall section that holds for x64: decorated by architecture, by NT, or plain.
pub(crate) fn install_section(document: &Document, name: &str, line: u32) -> Result<String, Error> {
    [".ntamd64", ".nt", ""]
        .iter()
        .map(|suffix| format!("{name}{suffix}"))
        .find(|name| document.section(name).is_some())
        .ok_or_else(|| document.error(line, Problem::NoSection(name.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Windows = Windows {
        major: 10,
        minor: 0,
        build: 20348,
    };

    fn chosen(manufacturer: &str) -> Result<Vec<String>, String> {
        let text = format!(
            "[Manufacturer]\n{manufacturer}\n[M.NTamd64]\na=b\n[M.NTamd64.10.0...14393]\na=b\n[M.NTamd64.10.0...25398]\na=b\n"
        );
        let document =
            Document::parse("x.inf", text.as_bytes()).map_err(|error| error.to_string())?;
        sections(&document, NOW)
            .map(|sections| sections.into_iter().map(|(name, _)| name).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_highest_version_that_is_not_newer_is_chosen() {
        let all = "V=M,NTamd64,NTamd64.10.0...14393,NTamd64.10.0...25398";
        assert_eq!(chosen(all), Ok(vec!["M.NTamd64.10.0...14393".into()]));
        assert_eq!(chosen("V=M,NTamd64,NTx86"), Ok(vec!["M.NTamd64".into()]));
    }

    #[test]
    fn without_a_section_for_x64_there_are_no_models() {
        for line in ["V=M", "V=M,NTx86", "V=M,NT", "V=M,NTamd64.10.0...25398"] {
            let error = chosen(line).expect_err(line);
            assert!(error.contains("names no Models section"), "{error}");
        }
    }

    #[test]
    fn a_decoration_must_be_one_and_have_its_section() {
        assert!(
            chosen("V=M,amd64")
                .expect_err("no NT")
                .starts_with("x.inf:2: \"amd64\" is no target OS decoration")
        );
        assert!(chosen("V=M,NTamd64.ten").is_err());
        assert!(
            chosen("V=N,NTamd64")
                .expect_err("no section")
                .starts_with("x.inf:2: there is no section [N.NTamd64]")
        );
    }
}
