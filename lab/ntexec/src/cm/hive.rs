//! The registry as a tree: keys, values, what survives a boot. No locks and no pointers; [`super::zw`] wraps it.
//!
//! Rules that callers rely on, with the page each comes from: names compare without regard to case ("Registry Keys" of
//! the driver docs), a volatile key has only volatile keys below it and a stable key may not be made below one
//! (ZwCreateKey: STATUS_CHILD_MUST_BE_VOLATILE), a key with keys below it cannot be deleted (ZwDeleteKey:
//! STATUS_CANNOT_DELETE), and a deleted key's handles answer STATUS_KEY_DELETED.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use lab_protocol::registry::{Change, Data};

use crate::nt::base::NTSTATUS;
use crate::nt::status::*;

/// REG_* value types (`winnt.h`).
pub mod reg {
    #![allow(missing_docs)]
    pub const NONE: u32 = 0;
    pub const SZ: u32 = 1;
    pub const EXPAND_SZ: u32 = 2;
    pub const BINARY: u32 = 3;
    pub const DWORD: u32 = 4;
    pub const MULTI_SZ: u32 = 7;
    pub const QWORD: u32 = 11;
}

/// A key's number; never reused.
pub type KeyId = usize;

/// A value's type and bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its name as first written
    pub name: String,
    /// REG_*
    pub kind: u32,
    /// Its bytes; strings are UTF-16 and end in a NUL
    pub data: Vec<u8>,
}

struct Key {
    name: String,
    parent: Option<KeyId>,
    children: BTreeMap<String, KeyId>,
    values: BTreeMap<String, Value>,
    volatile: bool,
    deleted: bool,
    written: i64,
}

/// The registry.
pub struct Hive {
    keys: Vec<Key>,
}

/// A fold that puts equal names together (upper case, as NT's).
pub fn fold(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).collect()
}

/// UTF-16 bytes of a string with its NUL.
pub fn sz(text: &str) -> Vec<u8> {
    text.encode_utf16()
        .chain(core::iter::once(0))
        .flat_map(u16::to_le_bytes)
        .collect()
}

/// UTF-16 bytes of a string list with both NULs.
pub fn multi_sz(list: &[String]) -> Vec<u8> {
    let mut out: Vec<u8> = list.iter().flat_map(|s| sz(s)).collect();
    out.extend_from_slice(&[0, 0]);
    out
}

fn units(bytes: &[u8]) -> Vec<u16> {
    bytes
        .chunks_exact(2)
        .map(|c| u16::from_le_bytes([c[0], c[1]]))
        .collect()
}

/// The string in a REG_SZ value's bytes, up to its NUL.
pub fn parse_sz(bytes: &[u8]) -> String {
    let u = units(bytes);
    let end = u.iter().position(|&c| c == 0).unwrap_or(u.len());
    String::from_utf16_lossy(&u[..end])
}

/// The strings in a REG_MULTI_SZ value's bytes.
pub fn parse_multi_sz(bytes: &[u8]) -> Vec<String> {
    units(bytes)
        .split(|&c| c == 0)
        .take_while(|s| !s.is_empty())
        .map(String::from_utf16_lossy)
        .collect()
}

/// A value as the lab's protocol carries it.
pub fn to_data(kind: u32, bytes: &[u8]) -> Data {
    let exact = |d: Data| {
        let (k, b) = from_data(&d);
        if k == kind && b == bytes {
            d
        } else {
            Data::Other(kind, bytes.to_vec())
        }
    };
    match (kind, bytes.len()) {
        (reg::SZ, _) => exact(Data::Sz(parse_sz(bytes))),
        (reg::EXPAND_SZ, _) => exact(Data::ExpandSz(parse_sz(bytes))),
        (reg::MULTI_SZ, _) => exact(Data::MultiSz(parse_multi_sz(bytes))),
        (reg::DWORD, 4) => {
            Data::Dword(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        }
        (reg::QWORD, 8) => {
            let mut b = [0; 8];
            b.copy_from_slice(bytes);
            Data::Qword(u64::from_le_bytes(b))
        }
        (reg::BINARY, _) => Data::Binary(bytes.to_vec()),
        _ => Data::Other(kind, bytes.to_vec()),
    }
}

/// The protocol's value as type and bytes.
pub fn from_data(data: &Data) -> (u32, Vec<u8>) {
    match data {
        Data::Sz(s) => (reg::SZ, sz(s)),
        Data::ExpandSz(s) => (reg::EXPAND_SZ, sz(s)),
        Data::MultiSz(l) => (reg::MULTI_SZ, multi_sz(l)),
        Data::Dword(n) => (reg::DWORD, n.to_le_bytes().to_vec()),
        Data::Qword(n) => (reg::QWORD, n.to_le_bytes().to_vec()),
        Data::Binary(b) => (reg::BINARY, b.clone()),
        Data::Other(k, b) => (*k, b.clone()),
    }
}

impl Default for Hive {
    fn default() -> Self {
        Self::new()
    }
}

impl Hive {
    /// The root `\` with `\Registry\Machine` and `\Registry\User` below it.
    pub fn new() -> Self {
        let mut hive = Self { keys: Vec::new() };
        hive.push(String::new(), None, false);
        for name in ["Machine", "User"] {
            // These names are legal, and the root is no volatile key.
            let _ = hive.create(Self::ROOT, &alloc::format!("\\Registry\\{name}"), false, 0);
        }
        hive
    }

    /// The root of all names.
    pub const ROOT: KeyId = 0;

    fn push(&mut self, name: String, parent: Option<KeyId>, volatile: bool) -> KeyId {
        self.keys.push(Key {
            name,
            parent,
            children: BTreeMap::new(),
            values: BTreeMap::new(),
            volatile,
            deleted: false,
            written: 0,
        });
        self.keys.len() - 1
    }

    fn live(&self, id: KeyId) -> Result<&Key, NTSTATUS> {
        let key = self.keys.get(id).ok_or(STATUS_INVALID_HANDLE)?;
        if key.deleted {
            Err(STATUS_KEY_DELETED)
        } else {
            Ok(key)
        }
    }

    fn live_mut(&mut self, id: KeyId) -> Result<&mut Key, NTSTATUS> {
        let key = self.keys.get_mut(id).ok_or(STATUS_INVALID_HANDLE)?;
        if key.deleted {
            Err(STATUS_KEY_DELETED)
        } else {
            Ok(key)
        }
    }

    fn parts(path: &str) -> impl Iterator<Item = &str> {
        path.split('\\').filter(|p| !p.is_empty())
    }

    /// `CurrentControlSet` is a link in Windows; here the tree has only that one set, so `ControlSet001` leads there.
    fn link(name: &str) -> &str {
        if name.eq_ignore_ascii_case("ControlSet001") {
            "CurrentControlSet"
        } else {
            name
        }
    }

    fn child(&self, id: KeyId, name: &str) -> Option<KeyId> {
        self.keys
            .get(id)?
            .children
            .get(&fold(Self::link(name)))
            .copied()
    }

    /// Opens `path` below `from`.
    ///
    /// # Errors
    /// STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_PATH_NOT_FOUND, STATUS_KEY_DELETED.
    pub fn open(&self, from: KeyId, path: &str) -> Result<KeyId, NTSTATUS> {
        self.live(from)?;
        let mut at = from;
        let mut rest = Self::parts(path).peekable();
        while let Some(part) = rest.next() {
            at = self.child(at, part).ok_or(if rest.peek().is_some() {
                STATUS_OBJECT_PATH_NOT_FOUND
            } else {
                STATUS_OBJECT_NAME_NOT_FOUND
            })?;
        }
        Ok(at)
    }

    /// Opens or makes `path` below `from`, with every key on the way; true if the last one is new.
    ///
    /// # Errors
    /// STATUS_CHILD_MUST_BE_VOLATILE, STATUS_OBJECT_NAME_INVALID, STATUS_KEY_DELETED.
    pub fn create(
        &mut self,
        from: KeyId,
        path: &str,
        volatile: bool,
        now: i64,
    ) -> Result<(KeyId, bool), NTSTATUS> {
        self.live(from)?;
        let (mut at, mut new) = (from, false);
        for part in Self::parts(path) {
            if let Some(next) = self.child(at, part) {
                (at, new) = (next, false);
                continue;
            }
            if part.encode_utf16().count() > 255 {
                return Err(STATUS_OBJECT_NAME_INVALID);
            }
            if self.live(at)?.volatile && !volatile {
                return Err(STATUS_CHILD_MUST_BE_VOLATILE);
            }
            let id = self.push(String::from(Self::link(part)), Some(at), volatile);
            if let Some(k) = self.keys.get_mut(id) {
                k.written = now;
            }
            self.live_mut(at)?
                .children
                .insert(fold(Self::link(part)), id);
            (at, new) = (id, true);
        }
        Ok((at, new))
    }

    /// Makes `path` only if all but its last part are there, as ZwCreateKey does.
    ///
    /// # Errors
    /// Those of [`Hive::create`], and STATUS_OBJECT_NAME_NOT_FOUND.
    pub fn create_last(
        &mut self,
        from: KeyId,
        path: &str,
        volatile: bool,
        now: i64,
    ) -> Result<(KeyId, bool), NTSTATUS> {
        let trimmed = path.trim_end_matches('\\');
        if let Some((parent, last)) = trimmed.rsplit_once('\\') {
            let at = self.open(from, parent).map_err(|s| {
                if s == STATUS_OBJECT_PATH_NOT_FOUND {
                    STATUS_OBJECT_NAME_NOT_FOUND
                } else {
                    s
                }
            })?;
            return self.create(at, last, volatile, now);
        }
        self.create(from, trimmed, volatile, now)
    }

    /// The key's full path.
    pub fn path(&self, id: KeyId) -> String {
        let mut parts = Vec::new();
        let mut at = Some(id);
        while let Some(key) = at.and_then(|i| self.keys.get(i)) {
            if key.parent.is_some() {
                parts.push(key.name.as_str());
            }
            at = key.parent;
        }
        parts.iter().rev().fold(String::new(), |mut p, n| {
            p.push('\\');
            p.push_str(n);
            p
        })
    }

    /// The key's own name.
    ///
    /// # Errors
    /// STATUS_KEY_DELETED.
    pub fn name(&self, id: KeyId) -> Result<&str, NTSTATUS> {
        Ok(&self.live(id)?.name)
    }

    /// When the key was last written, in 100 ns since 1601.
    ///
    /// # Errors
    /// STATUS_KEY_DELETED.
    pub fn written(&self, id: KeyId) -> Result<i64, NTSTATUS> {
        Ok(self.live(id)?.written)
    }

    /// True if nothing of the key survives a boot.
    pub fn is_volatile(&self, id: KeyId) -> bool {
        self.keys.get(id).is_none_or(|k| k.volatile)
    }

    /// The names of the keys below.
    ///
    /// # Errors
    /// STATUS_KEY_DELETED.
    pub fn subkeys(&self, id: KeyId) -> Result<Vec<KeyId>, NTSTATUS> {
        Ok(self.live(id)?.children.values().copied().collect())
    }

    /// The key's values in order of their names.
    ///
    /// # Errors
    /// STATUS_KEY_DELETED.
    pub fn values(&self, id: KeyId) -> Result<impl ExactSizeIterator<Item = &Value>, NTSTATUS> {
        Ok(self.live(id)?.values.values())
    }

    /// A value.
    ///
    /// # Errors
    /// STATUS_OBJECT_NAME_NOT_FOUND, STATUS_KEY_DELETED.
    pub fn value(&self, id: KeyId, name: &str) -> Result<&Value, NTSTATUS> {
        self.live(id)?
            .values
            .get(&fold(name))
            .ok_or(STATUS_OBJECT_NAME_NOT_FOUND)
    }

    /// Sets a value; true if it changed.
    ///
    /// # Errors
    /// STATUS_KEY_DELETED.
    pub fn set(
        &mut self,
        id: KeyId,
        name: &str,
        kind: u32,
        data: &[u8],
        now: i64,
    ) -> Result<bool, NTSTATUS> {
        let key = self.live_mut(id)?;
        key.written = now;
        let slot = key.values.entry(fold(name)).or_insert_with(|| Value {
            name: String::from(name),
            kind: u32::MAX,
            data: Vec::new(),
        });
        let changed = slot.kind != kind || slot.data != data;
        slot.kind = kind;
        slot.data = data.to_vec();
        Ok(changed)
    }

    /// Deletes a value.
    ///
    /// # Errors
    /// STATUS_OBJECT_NAME_NOT_FOUND, STATUS_KEY_DELETED.
    pub fn delete_value(&mut self, id: KeyId, name: &str) -> Result<(), NTSTATUS> {
        let key = self.live_mut(id)?;
        key.values
            .remove(&fold(name))
            .map(|_| ())
            .ok_or(STATUS_OBJECT_NAME_NOT_FOUND)
    }

    /// Deletes a key that has none below it.
    ///
    /// # Errors
    /// STATUS_CANNOT_DELETE, STATUS_KEY_DELETED.
    pub fn delete(&mut self, id: KeyId) -> Result<(), NTSTATUS> {
        let key = self.live(id)?;
        if !key.children.is_empty() {
            return Err(STATUS_CANNOT_DELETE);
        }
        let (Some(parent), name) = (key.parent, fold(&key.name)) else {
            return Err(STATUS_CANNOT_DELETE);
        };
        let key = self.live_mut(id)?;
        key.deleted = true;
        key.values.clear();
        if let Some(p) = self.keys.get_mut(parent) {
            p.children.remove(&name);
        }
        Ok(())
    }

    /// Deletes a key with all below it.
    ///
    /// # Errors
    /// STATUS_CANNOT_DELETE for the root.
    pub fn delete_tree(&mut self, id: KeyId) -> Result<(), NTSTATUS> {
        for child in self.subkeys(id)? {
            self.delete_tree(child)?;
        }
        self.delete(id)
    }

    /// A value by the path of its key.
    pub fn get(&self, key: &str, name: &str) -> Option<&Value> {
        self.value(self.open(Self::ROOT, key).ok()?, name).ok()
    }

    /// A REG_DWORD by the path of its key.
    pub fn dword(&self, key: &str, name: &str) -> Option<u32> {
        let v = self.get(key, name)?;
        let bytes: [u8; 4] = v.data.get(..4)?.try_into().ok()?;
        (v.kind == reg::DWORD).then(|| u32::from_le_bytes(bytes))
    }

    /// A string by the path of its key.
    pub fn string(&self, key: &str, name: &str) -> Option<String> {
        let v = self.get(key, name)?;
        matches!(v.kind, reg::SZ | reg::EXPAND_SZ).then(|| parse_sz(&v.data))
    }

    /// A REG_MULTI_SZ by the path of its key; a REG_SZ counts as a list of one.
    pub fn strings(&self, key: &str, name: &str) -> Vec<String> {
        match self.get(key, name) {
            Some(v) if v.kind == reg::MULTI_SZ => parse_multi_sz(&v.data),
            Some(v) if v.kind == reg::SZ => [parse_sz(&v.data)]
                .into_iter()
                .filter(|s| !s.is_empty())
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Does what a [`Change`] says.
    ///
    /// # Errors
    /// Those of what it does; deleting what is not there is none.
    pub fn apply(&mut self, change: &Change, now: i64) -> Result<(), NTSTATUS> {
        match change {
            Change::CreateKey { key } => self.create(Self::ROOT, key, false, now).map(|_| ()),
            Change::SetValue { key, name, data } => {
                let (id, _) = self.create(Self::ROOT, key, false, now)?;
                let (kind, bytes) = from_data(data);
                self.set(id, name, kind, &bytes, now).map(|_| ())
            }
            Change::AppendValue { key, name, strings } => {
                let (id, _) = self.create(Self::ROOT, key, false, now)?;
                let mut list = self.strings(key, name);
                for s in strings {
                    if !list.iter().any(|l| fold(l) == fold(s)) {
                        list.push(s.clone());
                    }
                }
                self.set(id, name, reg::MULTI_SZ, &multi_sz(&list), now)
                    .map(|_| ())
            }
            Change::DeleteValue { key, name } => {
                if let Ok(id) = self.open(Self::ROOT, key) {
                    let _ = self.delete_value(id, name);
                }
                Ok(())
            }
            Change::DeleteKey { key } => match self.open(Self::ROOT, key) {
                Ok(id) => self.delete_tree(id),
                Err(_) => Ok(()),
            },
        }
    }
}

#[cfg(test)]
mod tests;
