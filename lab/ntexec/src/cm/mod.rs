//! The configuration manager: the registry, as drivers see it through `Zw*Key` and `Rtl*Registry*`.
//!
//! What is not volatile is told to the host before a restart, change by change, and the host puts it into the next boot's
//! bundle.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lab_protocol::record::Record;
use lab_protocol::registry::{Change, Data};

use crate::nt::base::NTSTATUS;
use crate::sync::Lock;

pub mod hive;
pub mod setup;
pub mod zw;

use hive::{Hive, KeyId};

/// Where services live.
pub const SERVICES: &str = r"\Registry\Machine\System\CurrentControlSet\Services";
/// Where device instances live.
pub const ENUM: &str = r"\Registry\Machine\System\CurrentControlSet\Enum";
/// Where device classes live.
pub const CLASS: &str = r"\Registry\Machine\System\CurrentControlSet\Control\Class";
/// Where settings of the system live.
pub const CONTROL: &str = r"\Registry\Machine\System\CurrentControlSet\Control";

static HIVE: Lock<Option<Hive>> = Lock::new(None);

/// Puts the registry in place at start.
pub fn install(hive: Hive) {
    *HIVE.lock() = Some(hive);
}

fn now() -> i64 {
    i64::try_from(crate::ke::system_time()).unwrap_or(i64::MAX)
}

/// Looks something up.
pub fn read<R>(f: impl FnOnce(&Hive) -> R) -> R {
    f(HIVE.lock().get_or_insert_with(Hive::new))
}

/// Changes something; what survives a boot is reported as `f` returns it.
fn write<R>(f: impl FnOnce(&mut Hive) -> (R, Option<Change>)) -> R {
    let (result, change) = f(HIVE.lock().get_or_insert_with(Hive::new));
    if let Some(change) = change {
        note(&mut CHANGES.lock(), change);
    }
    result
}

/// What changed since the boot, in order.
static CHANGES: Lock<Vec<Change>> = Lock::new(Vec::new());

/// Adds a change; one to the same value before it no longer counts.
fn note(changes: &mut Vec<Change>, change: Change) {
    let of = |c: &Change| match c {
        Change::SetValue { key, name, .. } | Change::DeleteValue { key, name } => {
            Some((hive::fold(key), hive::fold(name)))
        }
        _ => None,
    };
    if let Some(value) = of(&change) {
        changes.retain(|c| of(c).as_ref() != Some(&value));
    }
    changes.push(change);
}

/// Tells the host what changed. Before the last words of a boot, also in a bug check: if another processor was stopped while
/// it noted a change, nothing is told.
pub fn tell_changes() {
    let changes = CHANGES
        .try_lock()
        .map(|mut c| core::mem::take(&mut *c))
        .unwrap_or_default();
    for change in changes {
        crate::check::emit(&Record::Registry(change));
    }
}

/// Creates a key; true if it is new.
///
/// # Errors
/// Those of [`Hive::create_last`].
pub fn create_key(from: KeyId, path: &str, volatile: bool) -> Result<(KeyId, bool), NTSTATUS> {
    let now = now();
    write(|h| {
        let result = h.create_last(from, path, volatile, now);
        let change = match result {
            Ok((id, true)) if !h.is_volatile(id) => Some(Change::CreateKey { key: h.path(id) }),
            _ => None,
        };
        (result, change)
    })
}

/// Creates a key with all those above it.
///
/// # Errors
/// Those of [`Hive::create`].
pub fn ensure_key(path: &str) -> Result<KeyId, NTSTATUS> {
    let now = now();
    write(|h| match h.create(Hive::ROOT, path, false, now) {
        Ok((id, new)) => (Ok(id), new.then(|| Change::CreateKey { key: h.path(id) })),
        Err(status) => (Err(status), None),
    })
}

/// Sets a value.
///
/// # Errors
/// STATUS_KEY_DELETED.
pub fn set_value(key: KeyId, name: &str, kind: u32, data: &[u8]) -> Result<(), NTSTATUS> {
    let now = now();
    write(|h| match h.set(key, name, kind, data, now) {
        Ok(changed) => {
            let change = (changed && !h.is_volatile(key)).then(|| Change::SetValue {
                key: h.path(key),
                name: name.into(),
                data: hive::to_data(kind, data),
            });
            (Ok(()), change)
        }
        Err(status) => (Err(status), None),
    })
}

/// Deletes a value.
///
/// # Errors
/// STATUS_OBJECT_NAME_NOT_FOUND, STATUS_KEY_DELETED.
pub fn delete_value(key: KeyId, name: &str) -> Result<(), NTSTATUS> {
    write(|h| match h.delete_value(key, name) {
        Ok(()) => {
            let change = (!h.is_volatile(key)).then(|| Change::DeleteValue {
                key: h.path(key),
                name: name.into(),
            });
            (Ok(()), change)
        }
        Err(status) => (Err(status), None),
    })
}

/// Deletes a key.
///
/// # Errors
/// Those of [`Hive::delete`].
pub fn delete_key(key: KeyId) -> Result<(), NTSTATUS> {
    write(|h| {
        let (path, volatile) = (h.path(key), h.is_volatile(key));
        match h.delete(key) {
            Ok(()) => (
                Ok(()),
                (!volatile).then_some(Change::DeleteKey { key: path }),
            ),
            Err(status) => (Err(status), None),
        }
    })
}

/// Sets a value below a path, with the keys on the way.
pub fn put(key: &str, name: &str, data: &Data) {
    let (kind, bytes) = hive::from_data(data);
    if let Ok(id) = ensure_key(key) {
        // The key was just made; only a driver that deletes it meanwhile could make this fail, and then it is gone.
        let _ = set_value(id, name, kind, &bytes);
    }
}

/// Does a change that an INF or a plan asks for, and reports it.
pub fn apply(change: &Change) {
    let now = now();
    write(|h| ((), h.apply(change, now).is_ok().then(|| change.clone())));
}

/// The path of a service's key.
pub fn service_key(service: &str) -> String {
    format!("{SERVICES}\\{service}")
}

/// The names of the keys below a path.
pub fn subkey_names(path: &str) -> Vec<String> {
    read(|h| {
        let Ok(id) = h.open(Hive::ROOT, path) else {
            return Vec::new();
        };
        let ids = h.subkeys(id).unwrap_or_default();
        ids.into_iter()
            .filter_map(|k| h.name(k).ok().map(String::from))
            .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_change_of_a_value_takes_the_place_of_an_earlier_one() {
        let set = |n: u32| Change::SetValue {
            key: "K".into(),
            name: "v".into(),
            data: Data::Dword(n),
        };
        let make = Change::CreateKey { key: "K".into() };
        let mut list = Vec::new();
        for c in [
            make.clone(),
            set(1),
            Change::DeleteValue {
                key: "k".into(),
                name: "V".into(),
            },
            set(2),
        ] {
            note(&mut list, c);
        }
        assert_eq!(list, [make, set(2)]);
    }
}
