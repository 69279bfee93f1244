//! What the network class' installer writes besides the AddReg lines: directives of the DDInstall section that are values of
//! the adapter's software key, and the defaults of the keywords that the INF shows on the Advanced page.
//!
//! <https://learn.microsoft.com/windows-hardware/drivers/network/ddinstall-section-in-a-network-inf-file>,
//! <https://learn.microsoft.com/windows-hardware/drivers/network/specifying-configuration-parameters-for-the-advanced-properties-page>

use crate::document::{Document, Line};
use crate::error::Error;
use crate::text::number32;
use lab_protocol::bundle::{Action, InfChange, Root};
use lab_protocol::registry::Data;

/// Directives that become values; those with a star are numbers of NDIS'.
const NUMBERS: [&str; 4] = [
    "Characteristics",
    "*IfType",
    "*MediaType",
    "*PhysicalMediaType",
];
/// A directive that becomes a string.
const BUS_TYPE: &str = "BusType";
/// Below it a key for each keyword.
const PARAMETERS: &str = "Ndi\\params\\";

fn set(name: &str, data: Data) -> InfChange {
    InfChange {
        root: Root::Relative,
        subkey: String::new(),
        name: name.to_owned(),
        action: Action::Set(data),
    }
}

/// The values that directives among `lines` make.
pub(crate) fn directives(document: &Document, lines: &[Line]) -> Result<Vec<InfChange>, Error> {
    let mut changes = Vec::new();
    for line in lines {
        if let Some(name) = NUMBERS.iter().find(|name| line.is(name)) {
            let number = document.on(line, number32(line.value(0)))?;
            changes.push(set(name, Data::Dword(number)));
        } else if line.is(BUS_TYPE) {
            // A number, which the class' installer keeps as text.
            document.on(line, number32(line.value(0)))?;
            changes.push(set(BUS_TYPE, Data::Sz(line.value(0).to_owned())));
        }
    }
    Ok(changes)
}

/// The values that keywords begin with: what `Default` below `Ndi\params\<keyword>` says, unless something is there.
pub(crate) fn defaults(software: &[InfChange]) -> Vec<InfChange> {
    software
        .iter()
        .filter(|change| {
            change.root == Root::Relative && change.name.eq_ignore_ascii_case("Default")
        })
        .filter_map(|change| {
            let prefix = change.subkey.get(..PARAMETERS.len())?;
            let keyword = &change.subkey[PARAMETERS.len()..];
            let Action::Set(Data::Sz(value)) = &change.action else {
                return None;
            };
            (prefix.eq_ignore_ascii_case(PARAMETERS) && !keyword.contains('\\')).then(|| {
                InfChange {
                    root: Root::Relative,
                    subkey: String::new(),
                    name: keyword.to_owned(),
                    action: Action::SetIfAbsent(Data::Sz(value.clone())),
                }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry;

    fn read(text: &str) -> Result<(Vec<InfChange>, Vec<InfChange>), Error> {
        let document = Document::parse("x.inf", text.as_bytes())?;
        let lines = document.section("I").expect("there");
        let written = registry::changes(&document, lines)?;
        Ok((directives(&document, lines)?, defaults(&written)))
    }

    #[test]
    fn directives_become_values_of_the_software_key() {
        let text = "[I]\nCharacteristics=0x84\nBusType=15\n*IfType=6\n*mediatype=0\n*PhysicalMediaType=14 ; Ethernet\n";
        let (directives, _) = read(text).expect("a good file");
        let values: Vec<_> = directives
            .into_iter()
            .map(|change| (change.name, change.action))
            .collect();
        assert_eq!(
            values,
            [
                ("Characteristics".to_owned(), Action::Set(Data::Dword(0x84))),
                ("BusType".to_owned(), Action::Set(Data::Sz("15".into()))),
                ("*IfType".to_owned(), Action::Set(Data::Dword(6))),
                ("*MediaType".to_owned(), Action::Set(Data::Dword(0))),
                (
                    "*PhysicalMediaType".to_owned(),
                    Action::Set(Data::Dword(14))
                ),
            ]
        );
    }

    #[test]
    fn keywords_begin_with_their_defaults() {
        let text = "[I]\nAddReg=R\n[R]\nHKR,Ndi\\params\\*RSS,Default,0,\"1\"\nHKR,Ndi\\params\\*RSS\\enum,Default,0,\"x\"\nHKR,Ndi,Default,0,\"y\"\nHKR,Ndi\\params\\*RSS,Type,0,\"enum\"\n";
        let (_, defaults) = read(text).expect("a good file");
        assert_eq!(defaults.len(), 1);
        assert_eq!(
            (defaults[0].name.as_str(), &defaults[0].action),
            ("*RSS", &Action::SetIfAbsent(Data::Sz("1".into())))
        );
        assert_eq!(defaults[0].subkey, "");
    }

    #[test]
    fn a_directive_that_is_no_number_is_refused_on_its_line() {
        let error = read("[I]\n*IfType=six\n")
            .expect_err("no number")
            .to_string();
        assert!(error.starts_with("x.inf:2: "), "{error}");
    }
}
