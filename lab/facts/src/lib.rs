//! Facts about Windows that the lab and the tools check drivers against: which names the kernel, HAL, storport
//! and ndis export, since which Windows, and at which IRQL each may be called.
//!
//! The list is `data/kernel-exports.tsv`; its header says where every figure comes from. It is a `no_std` table that
//! `xtask check-sys` and the executive share.
#![no_std]
#![forbid(unsafe_code)]

mod contract;
mod export;
#[cfg(test)]
mod row;

#[cfg(test)]
extern crate std;

pub use contract::{
    APC_LEVEL, Condition, Contract, DISPATCH_LEVEL, HIGH_LEVEL, IrqlRange, PASSIVE_LEVEL,
};
pub use export::{Kind, Module, Windows};

/// The oldest Windows that this project's drivers load on.
pub const OLDEST_SUPPORTED: Windows = Windows::Windows10_1607;

/// One exported name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// The name, as it stands in the export directory.
    pub name: &'static str,
    /// Who exports it.
    pub module: Module,
    /// Routine or variable.
    pub kind: Kind,
    /// The first Windows whose headers declare it.
    pub since: Windows,
    /// At which IRQL it may be called.
    pub contract: Contract,
    /// The contract as the list writes it, for messages.
    pub irql: &'static str,
}

impl Module {
    /// The name by which import tables name the module.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::Ntoskrnl => "ntoskrnl.exe",
            Self::Hal => "HAL.dll",
            Self::Storport => "storport.sys",
            Self::Ndis => "NDIS.SYS",
        }
    }

    /// The module of that file name; case does not matter.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        [Self::Ntoskrnl, Self::Hal, Self::Storport, Self::Ndis]
            .into_iter()
            .find(|module| module.file_name().eq_ignore_ascii_case(name))
    }
}

impl Contract {
    /// The levels at which a call is allowed, or `None` where nothing is stated. `holds` says whether a condition
    /// on the call's arguments holds; it is asked only where the contract depends on one.
    pub fn levels(&self, holds: impl FnOnce(&Condition) -> bool) -> Option<IrqlRange> {
        match self {
            Self::Unstated => None,
            Self::Within(range) => Some(*range),
            Self::Depends {
                on,
                then,
                otherwise,
            } => Some(if holds(on) { *then } else { *otherwise }),
        }
    }
}

impl IrqlRange {
    /// Whether `irql` lies within the range.
    #[must_use]
    pub const fn contains(&self, irql: u8) -> bool {
        self.min <= irql && irql <= self.max
    }
}

static FUNCTIONS: &[Function] = include!(concat!(env!("OUT_DIR"), "/functions.rs"));

/// All rows, sorted by name.
#[must_use]
pub fn functions() -> &'static [Function] {
    FUNCTIONS
}

/// The row of `name`, found by binary search. Usable at any IRQL: the table is static and nothing is allocated.
#[must_use]
pub fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS
        .binary_search_by(|function| function.name.cmp(name))
        .ok()
        .and_then(|index| FUNCTIONS.get(index))
}

#[cfg(test)]
mod tests {
    use super::row::{RowError, parse};
    use super::*;

    fn row(name: &str) -> &'static Function {
        function(name).unwrap_or_else(|| panic!("{name} has no row"))
    }

    #[test]
    fn every_name_is_found_by_search() {
        for expected in functions() {
            assert_eq!(function(expected.name), Some(expected));
        }
        assert!(functions().len() > 1900);
    }

    #[test]
    fn names_that_nobody_exports_have_no_row() {
        for name in [
            "",
            "A",
            "zzz",
            "KeGetCurrentIrq",
            "printf",
            "AcceptSecurityContext",
        ] {
            assert_eq!(function(name), None, "{name}");
        }
    }

    #[test]
    fn ex_allocate_pool2_is_newer_than_the_oldest_supported_windows() {
        assert!(row("ExAllocatePool2").since > OLDEST_SUPPORTED);
        assert!(row("ExAllocatePoolWithTag").since <= OLDEST_SUPPORTED);
    }

    #[test]
    fn modules_are_those_of_the_import_tables() {
        assert_eq!(row("KeStallExecutionProcessor").module, Module::Hal);
        assert_eq!(row("KeQueryPerformanceCounter").module, Module::Hal);
        assert_eq!(row("StorPortInitialize").module, Module::Storport);
        assert_eq!(row("PsThreadType").kind, Kind::Data);
        assert_eq!(
            Module::from_file_name("NTOSKRNL.EXE"),
            Some(Module::Ntoskrnl)
        );
        assert_eq!(Module::from_file_name("ndis.sys"), Some(Module::Ndis));
        assert_eq!(row("NdisMRegisterMiniportDriver").module, Module::Ndis);
        assert_eq!(Module::from_file_name("netio.sys"), None);
    }

    #[test]
    fn a_wait_is_allowed_at_dispatch_level_only_without_waiting() {
        let contract = row("KeWaitForSingleObject").contract;
        let waits = contract.levels(|on| {
            assert_eq!(*on, Condition::Waits { arg: 4 });
            true
        });
        assert_eq!(
            waits,
            Some(IrqlRange {
                min: PASSIVE_LEVEL,
                max: APC_LEVEL
            })
        );
        let polls = contract.levels(|_| false);
        assert!(polls.is_some_and(|range| range.contains(DISPATCH_LEVEL) && !range.contains(3)));
    }

    #[test]
    fn paged_pool_ends_at_apc_level() {
        let contract = row("ExAllocatePoolWithTag").contract;
        let paged = contract.levels(|on| {
            assert_eq!(*on, Condition::AnyBit { arg: 0, mask: 1 });
            true
        });
        assert!(paged.is_some_and(|range| !range.contains(DISPATCH_LEVEL)));
    }

    #[test]
    fn a_row_is_read_column_by_column() {
        let row = parse("Name\thal\tdata\t1607\tAPC..12\tmingw");
        let row = row.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((row.name, row.irql), ("Name", "APC..12"));
        assert_eq!((row.module, row.kind), (Module::Hal, Kind::Data));
        assert_eq!(row.since, Windows::Windows10_1607);
        assert_eq!(
            row.contract,
            Contract::Within(IrqlRange { min: 1, max: 12 })
        );
    }

    #[test]
    fn rows_that_are_no_rows_are_refused_with_the_reason() {
        let error = |line| parse(line).err();
        assert_eq!(error("Name\tntoskrnl\tfn\t7\t-"), Some(RowError::Columns));
        assert_eq!(
            error("Name\tntoskrnl\tfn\t7\t-\twdk\tmore"),
            Some(RowError::Columns)
        );
        assert_eq!(
            error("Name\tnetio\tfn\t7\t-\twdk"),
            Some(RowError::Module("netio"))
        );
        assert_eq!(
            error("Name\thal\tclass\t7\t-\twdk"),
            Some(RowError::Kind("class"))
        );
        assert_eq!(
            error("Name\thal\tfn\t6\t-\twdk"),
            Some(RowError::Since("6"))
        );
        assert_eq!(
            error("Name\thal\tfn\t7\t-\thearsay"),
            Some(RowError::Source("hearsay"))
        );
        for irql in [
            "",
            "APC",
            "<=LOW",
            "<=16",
            "DISPATCH..APC",
            "arg0 ? <=APC",
            "argx ? <=APC : <=APC",
        ] {
            let line = ["Name\thal\tfn\t7\t", irql, "\twdk"].concat();
            assert_eq!(parse(&line).err(), Some(RowError::Irql(irql)));
        }
    }
}
