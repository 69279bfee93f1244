//! The parser of the export list, used by the build script.

use super::contract::{
    APC_LEVEL, Condition, Contract, DISPATCH_LEVEL, HIGH_LEVEL, IrqlRange, PASSIVE_LEVEL,
};
use super::export::{Kind, Module, Windows};
use core::fmt;

/// A row, its text borrowed from the list.
pub(crate) struct Row<'a> {
    pub name: &'a str,
    pub module: Module,
    pub kind: Kind,
    pub since: Windows,
    pub contract: Contract,
    pub irql: &'a str,
}

/// What is wrong with a row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RowError<'a> {
    Columns,
    Module(&'a str),
    Kind(&'a str),
    Since(&'a str),
    Irql(&'a str),
    Source(&'a str),
}

impl fmt::Display for RowError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns => f.write_str("a row has six columns, separated by tabs"),
            Self::Module(text) => write!(f, "unknown module {text:?}"),
            Self::Kind(text) => write!(f, "unknown kind {text:?}"),
            Self::Since(text) => write!(f, "unknown Windows {text:?}"),
            Self::Irql(text) => write!(f, "unknown IRQL contract {text:?}"),
            Self::Source(text) => write!(f, "unknown source {text:?}"),
        }
    }
}

/// Reads one line.
pub(crate) fn parse(line: &str) -> Result<Row<'_>, RowError<'_>> {
    let mut columns = line.split('\t');
    let mut next = || columns.next().ok_or(RowError::Columns);
    let (name, module, kind, since, irql, source) =
        (next()?, next()?, next()?, next()?, next()?, next()?);
    if columns.next().is_some() || name.is_empty() {
        return Err(RowError::Columns);
    }
    if !matches!(source, "wdk" | "mingw" | "learn") {
        return Err(RowError::Source(source));
    }
    Ok(Row {
        name,
        module: match module {
            "ntoskrnl" => Module::Ntoskrnl,
            "hal" => Module::Hal,
            "storport" => Module::Storport,
            "ndis" => Module::Ndis,
            other => return Err(RowError::Module(other)),
        },
        kind: match kind {
            "fn" => Kind::Function,
            "data" => Kind::Data,
            other => return Err(RowError::Kind(other)),
        },
        since: windows(since).ok_or(RowError::Since(since))?,
        contract: contract(irql).ok_or(RowError::Irql(irql))?,
        irql,
    })
}

fn windows(text: &str) -> Option<Windows> {
    Some(match text {
        "7" => Windows::Windows7,
        "8" => Windows::Windows8,
        "8.1" => Windows::Windows8_1,
        "1507" => Windows::Windows10_1507,
        "1511" => Windows::Windows10_1511,
        "1607" => Windows::Windows10_1607,
        "1703" => Windows::Windows10_1703,
        "1709" => Windows::Windows10_1709,
        "1803" => Windows::Windows10_1803,
        "1809" => Windows::Windows10_1809,
        "1903" => Windows::Windows10_1903,
        "2004" => Windows::Windows10_2004,
        "mn" => Windows::Manganese,
        "fe" => Windows::Iron,
        "11-21H2" => Windows::Windows11_21H2,
        "11-22H2" => Windows::Windows11_22H2,
        _ => return None,
    })
}

fn contract(text: &str) -> Option<Contract> {
    if text == "-" {
        return Some(Contract::Unstated);
    }
    let Some((on, ranges)) = text.split_once(" ? ") else {
        return range(text).map(Contract::Within);
    };
    let (then, otherwise) = ranges.split_once(" : ")?;
    Some(Contract::Depends {
        on: condition(on)?,
        then: range(then)?,
        otherwise: range(otherwise)?,
    })
}

fn condition(text: &str) -> Option<Condition> {
    let argument = |text: &str| text.strip_prefix("arg")?.parse::<u8>().ok();
    if let Some(inner) = text.strip_prefix("waits(") {
        let arg = argument(inner.strip_suffix(')')?)?;
        return Some(Condition::Waits { arg });
    }
    let Some((arg, mask)) = text.split_once('&') else {
        return Some(Condition::NonZero {
            arg: argument(text)?,
        });
    };
    let mask = u64::from_str_radix(mask.strip_prefix("0x")?, 16).ok()?;
    Some(Condition::AnyBit {
        arg: argument(arg)?,
        mask,
    })
}

fn range(text: &str) -> Option<IrqlRange> {
    let (min, max) = if let Some(max) = text.strip_prefix("<=") {
        (PASSIVE_LEVEL, level(max)?)
    } else if let Some(min) = text.strip_prefix(">=") {
        (level(min)?, HIGH_LEVEL)
    } else if let Some(only) = text.strip_prefix('=') {
        (level(only)?, level(only)?)
    } else {
        let (min, max) = text.split_once("..")?;
        (level(min)?, level(max)?)
    };
    (min <= max).then_some(IrqlRange { min, max })
}

fn level(text: &str) -> Option<u8> {
    Some(match text {
        "PASSIVE" => PASSIVE_LEVEL,
        "APC" => APC_LEVEL,
        "DISPATCH" => DISPATCH_LEVEL,
        "HIGH" => HIGH_LEVEL,
        number => number.parse().ok().filter(|level| *level <= HIGH_LEVEL)?,
    })
}
