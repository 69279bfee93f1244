//! `MmGetSystemRoutineAddress`: routines by name, behind a checking thunk as imported ones are.

use crate::check::calls::{CallRecord, THUNK, thunk};
use crate::exports::{Kind, Module};
use crate::kd::modules::{self, ModuleInfo};
use crate::machine::Protection;
use crate::nt::base::UNICODE_STRING;
use crate::nt::ke::PVOID;
use crate::sync::Lock;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use core::sync::atomic::AtomicU64;

/// Thunks made, by driver and name. They stay: a driver keeps what it was given.
static GIVEN: Lock<BTreeMap<(u32, &'static str), usize>> = Lock::new(BTreeMap::new());

fn make(target: usize, name: &'static str, driver: &ModuleInfo) -> Option<usize> {
    let at = super::image::allocate(THUNK)?;
    let file: &'static str = Box::leak(Box::<str>::from(driver.name()));
    let facts = lab_facts::function(name);
    let record = Box::leak(Box::new(CallRecord {
        target,
        driver: file,
        name,
        facts,
        count: AtomicU64::new(0),
    }));
    let code = thunk(record);
    // SAFETY: the memory was just allocated, writable, and holds a thunk.
    unsafe { core::ptr::copy_nonoverlapping(code.as_ptr(), at as *mut u8, THUNK) };
    super::image::protect(at, THUNK, Protection::ReadExecute).ok()?;
    modules::register(ModuleInfo {
        base: at,
        size: THUNK,
        pdata_rva: 0,
        pdata_len: 0,
        ..*driver
    });
    Some(at)
}

fn lookup(name: &str, caller: usize) -> Option<usize> {
    let export = crate::ldr::tables::find(None, name).filter(|e| e.module != Module::Storport)?;
    let target = export.addr as usize;
    let Some(driver) =
        modules::find(caller).filter(|m| m.driver != 0 && export.kind == Kind::Function)
    else {
        return Some(target);
    };
    let key = (driver.driver, export.name);
    let known = GIVEN.lock().get(&key).copied();
    if known.is_some() {
        return known;
    }
    let at = make(target, export.name, &driver)?;
    GIVEN.lock().insert(key, at);
    Some(at)
}

unsafe extern "win64" fn get(
    name: *mut UNICODE_STRING,
    _: usize,
    _: usize,
    _: usize,
    _: usize,
    _: usize,
    caller: usize,
) -> PVOID {
    let units = (*name).units();
    let text: String = char::decode_utf16(units.iter().copied())
        .map(|c| c.unwrap_or('?'))
        .collect();
    lookup(&text, caller).map_or(core::ptr::null_mut(), |a| a as PVOID)
}

crate::with_caller! {
    /// `MmGetSystemRoutineAddress`: null if neither ntoskrnl.exe nor HAL.dll exports the name. PASSIVE_LEVEL.
    fn MmGetSystemRoutineAddress(SystemRoutineName: *mut UNICODE_STRING) -> PVOID => get;
}

exports! { pub static EXPORTS; Ntoskrnl { MmGetSystemRoutineAddress } }
