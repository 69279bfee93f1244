//! What the executive's modules export, by NT name.
//!
//! Each module has a `pub static EXPORTS: &[Export]` made with [`exports!`]; the loader binds a driver's imports from
//! them and `MmGetSystemRoutineAddress` looks names up in them.

/// The image of Windows that exports a routine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Module {
    /// ntoskrnl.exe
    Ntoskrnl,
    /// HAL.dll
    Hal,
    /// storport.sys
    Storport,
    /// NDIS.SYS
    Ndis,
    /// ksecdd.sys
    Ksecdd,
    /// netio.sys
    Netio,
}

impl Module {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Ntoskrnl,
        Self::Hal,
        Self::Storport,
        Self::Ndis,
        Self::Ksecdd,
        Self::Netio,
    ];

    /// The file name that import tables use.
    pub const fn file_name(self) -> &'static str {
        match self {
            Module::Ntoskrnl => "ntoskrnl.exe",
            Module::Hal => "HAL.dll",
            Module::Storport => "storport.sys",
            Module::Ndis => "NDIS.SYS",
            Module::Ksecdd => "ksecdd.sys",
            Module::Netio => "netio.sys",
        }
    }
}

/// What an export is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A routine; the loader puts a checking thunk before it.
    Function,
    /// A variable: the import slot gets its address.
    Data,
}

/// One exported name.
#[derive(Clone, Copy, Debug)]
pub struct Export {
    /// The image it belongs to.
    pub module: Module,
    /// Routine or variable.
    pub kind: Kind,
    /// The NT name.
    pub name: &'static str,
    /// Where it is.
    pub addr: *const (),
}

// SAFETY: an export is an address and a name; both are immutable for the executive's life.
unsafe impl Sync for Export {}

/// Makes a module's table:
/// `exports! { pub static EXPORTS; NTOSKRNL { KeSetEvent, KeClearEvent } HAL { KeStallExecutionProcessor } DATA { KiBugCheckData } }`.
/// `DATA` variables belong to ntoskrnl.exe and must be statics in scope. A name that Rust cannot spell is given as
/// `"name" => path`.
#[macro_export]
macro_rules! exports {
    (@fn $m:ident $n:ident) => {
        $crate::exports::Export {
            module: $crate::exports::Module::$m,
            kind: $crate::exports::Kind::Function,
            name: stringify!($n),
            addr: $n as *const (),
        }
    };
    ($vis:vis static $table:ident; $($(#[$a:meta])* $m:ident { $($n:ident),* $(,)? })* $(; data { $($d:ident),* $(,)? })?) => {
        /// What this module exports.
        $vis static $table: &[$crate::exports::Export] = &[
            $($($crate::exports!(@fn $m $n),)*)*
            $($($crate::exports::Export {
                module: $crate::exports::Module::Ntoskrnl,
                kind: $crate::exports::Kind::Data,
                name: stringify!($d),
                addr: (&raw const $d).cast::<()>(),
            },)*)?
        ];
    };
}

/// Puts tables behind each other; `N` must be their lengths' sum.
pub const fn join<const N: usize>(tables: &[&[Export]]) -> [Export; N] {
    let nothing = Export {
        module: Module::Ntoskrnl,
        kind: Kind::Data,
        name: "",
        addr: core::ptr::null(),
    };
    let mut all = [nothing; N];
    let (mut at, mut t) = (0, 0);
    while t < tables.len() {
        let mut i = 0;
        while i < tables[t].len() {
            all[at] = tables[t][i];
            at += 1;
            i += 1;
        }
        t += 1;
    }
    assert!(at == N);
    all
}

/// Makes a part's table of its modules' tables: `join_exports! { irql, event }`.
#[macro_export]
macro_rules! join_exports {
    ($($m:ident),* $(,)?) => {
        static JOINED: [$crate::exports::Export; 0 $(+ $m::EXPORTS.len())*] = $crate::exports::join(&[$($m::EXPORTS),*]);
        /// What this part exports.
        pub static EXPORTS: &[$crate::exports::Export] = &JOINED;
    };
}

/// Finds `name` among `tables`; of `module` only, if one is named.
pub fn find<'a>(tables: &[&'a [Export]], module: Option<Module>, name: &str) -> Option<&'a Export> {
    tables
        .iter()
        .flat_map(|t| t.iter())
        .find(|e| e.name == name && module.is_none_or(|m| m == e.module))
}

#[cfg(test)]
mod tests {
    use super::*;

    extern "win64" fn A() {}
    static B: u32 = 7;
    exports! { static TABLE; Ntoskrnl { A } ; data { B } }

    #[test]
    fn a_name_is_found_in_its_own_module_only() {
        let t: &[&[Export]] = &[TABLE];
        assert_eq!(
            find(t, Some(Module::Ntoskrnl), "A").map(|e| e.kind),
            Some(Kind::Function)
        );
        assert!(find(t, Some(Module::Hal), "A").is_none());
        assert_eq!(
            find(t, None, "B").map(|e| e.addr),
            Some((&raw const B).cast())
        );
    }
}
