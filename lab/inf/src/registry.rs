//! AddReg and DelReg lines.

use crate::document::{Document, Line};
use crate::error::{Error, Problem};
use crate::text::{number, number32};
use lab_protocol::bundle::{Action, InfChange, Root};
use lab_protocol::registry::Data;

// Flags of an AddReg line (FLG_ADDREG_* of setupapi.h).
const NO_CLOBBER: u32 = 0x0000_0002;
const DELETE_VALUE: u32 = 0x0000_0004;
const APPEND: u32 = 0x0000_0008;
const KEY_ONLY: u32 = 0x0000_0010;
const KEY_64BIT: u32 = 0x0000_1000;
const KEY_ONLY_COMMON: u32 = 0x0000_2000;
/// The bits that make the value's type.
const TYPE: u32 = 0xFFFF_0001;
const TYPE_SZ: u32 = 0x0000_0000;
const TYPE_MULTI_SZ: u32 = 0x0001_0000;
const TYPE_EXPAND_SZ: u32 = 0x0002_0000;
const TYPE_BINARY: u32 = 0x0000_0001;
const TYPE_DWORD: u32 = 0x0001_0001;
const TYPE_NONE: u32 = 0x0002_0001;
const TYPE_QWORD: u32 = 0x000B_0001;
/// REG_NONE
const REG_NONE: u32 = 0;

/// What the AddReg and DelReg directives among `lines` do, in the order in which setup does it: deletions first.
pub(crate) fn changes(document: &Document, lines: &[Line]) -> Result<Vec<InfChange>, Error> {
    let mut changes = Vec::new();
    for (directive, parse) in [
        (
            "DelReg",
            deletion as fn(&Line) -> Result<InfChange, Problem>,
        ),
        ("AddReg", addition),
    ] {
        for line in lines.iter().filter(|line| line.is(directive)) {
            for section in line.values.iter().filter(|name| !name.is_empty()) {
                for entry in document.required(section, line.number)? {
                    changes.push(document.on(entry, parse(entry))?);
                }
            }
        }
    }
    Ok(changes)
}

/// `root[,subkey[,value name]]`
fn deletion(line: &Line) -> Result<InfChange, Problem> {
    let flags = flags(line)?;
    if flags & !KEY_64BIT != 0 {
        return Err(Problem::Flags(flags));
    }
    change(line, Action::Delete)
}

/// `root[,subkey[,value name[,flags[,value…]]]]`
fn addition(line: &Line) -> Result<InfChange, Problem> {
    let flags = flags(line)?;
    let known = NO_CLOBBER | DELETE_VALUE | APPEND | KEY_ONLY | KEY_ONLY_COMMON | KEY_64BIT | TYPE;
    if flags & !known != 0 {
        return Err(Problem::Flags(flags));
    }
    let nothing_more = line.values.iter().skip(2).all(String::is_empty);
    if flags & (KEY_ONLY | KEY_ONLY_COMMON) != 0 || nothing_more {
        return change(line, Action::CreateKey);
    }
    if flags & DELETE_VALUE != 0 {
        return change(line, Action::Delete);
    }
    let data = data(line, flags & TYPE)?;
    let action = match (flags & APPEND != 0, flags & NO_CLOBBER != 0, data) {
        (true, _, Data::MultiSz(strings)) => Action::Append(strings),
        (true, ..) => return Err(Problem::Flags(flags)),
        (false, true, data) => Action::SetIfAbsent(data),
        (false, false, data) => Action::Set(data),
    };
    change(line, action)
}

fn flags(line: &Line) -> Result<u32, Problem> {
    match line.value(3) {
        "" => Ok(0),
        text => number32(text),
    }
}

fn change(line: &Line, action: Action) -> Result<InfChange, Problem> {
    let root = line.value(0);
    let (root, prefix) = match root.to_ascii_uppercase().as_str() {
        "HKR" => (Root::Relative, ""),
        "HKLM" => (Root::LocalMachine, ""),
        "HKCR" => (Root::LocalMachine, "Software\\Classes"),
        _ => return Err(Problem::Root(root.to_owned())),
    };
    let subkey = line.value(1).trim_matches('\\');
    Ok(InfChange {
        root,
        subkey: [prefix, subkey]
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect::<Vec<_>>()
            .join("\\"),
        name: line.value(2).to_owned(),
        action,
    })
}

/// The value, whose fields begin behind the flags.
fn data(line: &Line, kind: u32) -> Result<Data, Problem> {
    let fields = line.values.get(4..).unwrap_or_default();
    let one = |kind, what| match fields {
        [one] => Ok(one.as_str()),
        _ => Err(Problem::Value { kind, what }),
    };
    // A string may be left out, and a comma in it may be unquoted only where it is a list.
    let string = |kind| match fields {
        [] => Ok(String::new()),
        _ => one(kind, "one string; quote it if it has a comma in it").map(str::to_owned),
    };
    Ok(match kind {
        TYPE_SZ => Data::Sz(string("REG_SZ")?),
        TYPE_EXPAND_SZ => Data::ExpandSz(string("REG_EXPAND_SZ")?),
        TYPE_MULTI_SZ => Data::MultiSz(
            fields
                .iter()
                .filter(|field| !field.is_empty())
                .cloned()
                .collect(),
        ),
        TYPE_DWORD => Data::Dword(number32(one("REG_DWORD", "one number")?)?),
        TYPE_QWORD => Data::Qword(number(one("REG_QWORD", "one number")?)?),
        TYPE_BINARY => Data::Binary(bytes(fields)?),
        TYPE_NONE => Data::Other(REG_NONE, bytes(fields)?),
        other => return Err(Problem::Flags(other)),
    })
}

/// Bytes, each a field of two hexadecimal digits.
fn bytes(fields: &[String]) -> Result<Vec<u8>, Problem> {
    let byte = |field: &String| {
        let digits = field.trim_start_matches("0x").trim_start_matches("0X");
        u8::from_str_radix(digits, 16).map_err(|_| Problem::Number(field.clone()))
    };
    fields
        .iter()
        .filter(|field| !field.is_empty())
        .map(byte)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(line: &str) -> Result<InfChange, String> {
        let text = format!("[I]\nAddReg=R\n[R]\n{line}\n");
        let document =
            Document::parse("x.inf", text.as_bytes()).map_err(|error| error.to_string())?;
        let lines = document.section("I").expect("there");
        let mut all = changes(&document, lines).map_err(|error| error.to_string())?;
        Ok(all.pop().expect("one line"))
    }

    fn set(data: Data) -> Action {
        Action::Set(data)
    }

    #[test]
    fn every_type_of_value_is_read() {
        for (line, action) in [
            ("HKR,,n,,text", set(Data::Sz("text".into()))),
            ("HKR,,n,0,", set(Data::Sz(String::new()))),
            (
                "HKR,,n,0x00020000,\"%%x%%\\y\"",
                set(Data::ExpandSz("%x%\\y".into())),
            ),
            (
                "HKR,,n,0x00010000,\"a\",\"b\"",
                set(Data::MultiSz(vec!["a".into(), "b".into()])),
            ),
            ("HKR,,n,0x00010001,0x81", set(Data::Dword(0x81))),
            ("HKR,,n,65537,-1", set(Data::Dword(u32::MAX))),
            ("HKR,,n,0x000B0001,0x100000000", set(Data::Qword(1 << 32))),
            (
                "HKR,,n,1,01,fe,0xFF",
                set(Data::Binary(vec![1, 0xFE, 0xFF])),
            ),
            ("HKR,,n,0x00020001", set(Data::Other(0, vec![]))),
            ("HKR,,n,0x00010003,1", Action::SetIfAbsent(Data::Dword(1))),
            ("HKR,,n,0x00010008,\"f\"", Action::Append(vec!["f".into()])),
            ("HKR,k,,0x00000010", Action::CreateKey),
            ("HKR,k", Action::CreateKey),
            ("HKR,k,n,4", Action::Delete),
        ] {
            assert_eq!(add(line).map(|change| change.action), Ok(action), "{line}");
        }
    }

    #[test]
    fn roots_lead_to_keys() {
        let change = add("HKCR,\\CLSID\\,n,,v").expect("a good line");
        assert_eq!(
            (change.root, change.subkey.as_str()),
            (Root::LocalMachine, "Software\\Classes\\CLSID")
        );
        let change = add("hklm,SYSTEM\\X,n,,v").expect("a good line");
        assert_eq!(
            (change.root, change.subkey.as_str()),
            (Root::LocalMachine, "SYSTEM\\X")
        );
        assert_eq!(add("HKR,,n,,v").expect("a good line").root, Root::Relative);
    }

    #[test]
    fn deletions_come_before_additions() {
        let text = "[I]\nAddReg=A\nDelReg=D\n[A]\nHKR,,a,,1\n[D]\nHKR,k\nHKR,,d\n";
        let document = Document::parse("x.inf", text.as_bytes()).expect("a good file");
        let all = changes(&document, document.section("I").expect("there")).expect("good lines");
        let actions: Vec<_> = all
            .iter()
            .map(|change| (change.name.as_str(), &change.action))
            .collect();
        assert_eq!(
            actions,
            [
                ("", &Action::Delete),
                ("d", &Action::Delete),
                ("a", &Action::Set(Data::Sz("1".into())))
            ]
        );
    }

    #[test]
    fn what_cannot_be_written_is_refused_on_its_line() {
        for line in [
            "HKCU,,n,,v",
            "HKR,,n,0x00010001,ten",
            "HKR,,n,0x00010001",
            "HKR,,n,0x00010001,0x100000000",
            "HKR,,n,0x00000020,v",
            "HKR,,n,0x00000008,v",
            "HKR,,n,0x00050000,v",
            "HKR,,n,1,100",
            "HKR,,n,0,a,b",
            "HKR,,n,flags,v",
        ] {
            let error = add(line).expect_err(line);
            assert!(error.starts_with("x.inf:4: "), "{error}");
        }
    }
}
