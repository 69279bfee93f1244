//! Requests, and what replies say.

use core::fmt::{self, Write};

use xen_abi::xs_wire::{ABS_PATH_MAX, ERRORS, MessageType, PAYLOAD_MAX, REL_PATH_MAX};
use xen_abi::{DomId, Errno};

use super::StoreError;

/// A path, optionally in two parts that are joined by a slash.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    prefix: &'a [u8],
    node: &'a [u8],
}

impl<'a> Path<'a> {
    /// A whole path, absolute or relative to `/local/domain/<own id>`.
    pub const fn new(node: &'a str) -> Self {
        Self {
            prefix: &[],
            node: node.as_bytes(),
        }
    }

    /// `prefix/node`; an empty prefix is none.
    pub const fn join(prefix: &'a str, node: &'a str) -> Self {
        Self {
            prefix: prefix.as_bytes(),
            node: node.as_bytes(),
        }
    }

    /// The same from C strings' bytes, which need not be UTF-8.
    pub const fn from_bytes(prefix: &'a [u8], node: &'a [u8]) -> Self {
        Self { prefix, node }
    }

    fn separator(&self) -> &'static [u8] {
        if self.prefix.is_empty() || self.node.is_empty() {
            b""
        } else {
            b"/"
        }
    }

    /// The parts that make up the path.
    pub(super) fn parts(&self) -> [&[u8]; 3] {
        [self.prefix, self.separator(), self.node]
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.prefix.len() + self.separator().len() + self.node.len()
    }

    /// True for the empty path, which no request accepts.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn check(&self) -> Result<(), StoreError> {
        let first = self.prefix.first().or(self.node.first());
        let limit = if first == Some(&b'/') {
            ABS_PATH_MAX
        } else {
            REL_PATH_MAX
        };
        let nul = self.prefix.contains(&0) || self.node.contains(&0);
        if first.is_none() || self.len() >= limit || nul {
            return Err(StoreError::Path(self.len()));
        }
        Ok(())
    }
}

impl<'a> From<&'a str> for Path<'a> {
    fn from(node: &'a str) -> Self {
        Self::new(node)
    }
}

/// Who may do what with a node (`XS_SET_PERMS`). The first of a list is the owner, and what all others may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permission {
    /// Of whom.
    pub domain: DomId,
    /// May read.
    pub read: bool,
    /// May write.
    pub write: bool,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub enum Request<'a> {
    /// A node's value.
    Read(Path<'a>),
    /// A node's children, NUL separated.
    Directory(Path<'a>),
    /// Set a node's value; creates it.
    Write(Path<'a>, &'a [u8]),
    /// Create a node without a value.
    Mkdir(Path<'a>),
    /// Remove a node and all below it.
    Remove(Path<'a>),
    /// Set a node's permissions.
    SetPermissions(Path<'a>, &'a [Permission]),
    /// Start a transaction; the reply is its number.
    TransactionStart,
    /// End one: commit or not.
    TransactionEnd(bool),
    /// Watch a path, with this token.
    Watch(Path<'a>, u32),
    /// Stop watching.
    Unwatch(Path<'a>, u32),
    /// Stop watching everything, end all transactions.
    ResetWatches,
}

impl Request<'_> {
    /// The message's type.
    pub fn kind(&self) -> MessageType {
        match self {
            Self::Read(_) => MessageType::READ,
            Self::Directory(_) => MessageType::DIRECTORY,
            Self::Write(..) => MessageType::WRITE,
            Self::Mkdir(_) => MessageType::MKDIR,
            Self::Remove(_) => MessageType::RM,
            Self::SetPermissions(..) => MessageType::SET_PERMS,
            Self::TransactionStart => MessageType::TRANSACTION_START,
            Self::TransactionEnd(_) => MessageType::TRANSACTION_END,
            Self::Watch(..) => MessageType::WATCH,
            Self::Unwatch(..) => MessageType::UNWATCH,
            Self::ResetWatches => MessageType::RESET_WATCHES,
        }
    }

    /// Writes the payload. Returns its length.
    pub(super) fn encode(&self, payload: &mut [u8; PAYLOAD_MAX]) -> Result<usize, StoreError> {
        let mut out = Payload {
            buffer: payload,
            len: 0,
        };
        match self {
            Self::Read(path) | Self::Directory(path) | Self::Mkdir(path) | Self::Remove(path) => {
                out.path(path)?
            }
            Self::Write(path, value) => {
                out.path(path)?;
                out.bytes(value);
            }
            Self::SetPermissions(path, permissions) => {
                out.path(path)?;
                permissions
                    .iter()
                    .for_each(|permission| out.permission(permission));
            }
            Self::TransactionStart | Self::ResetWatches => out.bytes(b"\0"),
            Self::TransactionEnd(commit) => out.bytes(if *commit { b"T\0" } else { b"F\0" }),
            Self::Watch(path, token) | Self::Unwatch(path, token) => {
                out.path(path)?;
                out.number(*token);
            }
        }
        if out.len > PAYLOAD_MAX {
            Err(StoreError::TooLong(out.len))
        } else {
            Ok(out.len)
        }
    }
}

/// Collects a payload; counts on beyond its end.
struct Payload<'a> {
    buffer: &'a mut [u8; PAYLOAD_MAX],
    len: usize,
}

impl Payload<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(place) = self.buffer.get_mut(self.len..self.len + bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.len += bytes.len();
    }

    fn path(&mut self, path: &Path<'_>) -> Result<(), StoreError> {
        path.check()?;
        path.parts().into_iter().for_each(|part| self.bytes(part));
        self.bytes(b"\0");
        Ok(())
    }

    fn number(&mut self, number: u32) {
        // Writing to a counting buffer cannot fail.
        let _ = write!(self, "{number}\0");
    }

    fn permission(&mut self, permission: &Permission) {
        let letter = match (permission.read, permission.write) {
            (false, false) => "n",
            (true, false) => "r",
            (false, true) => "w",
            (true, true) => "b",
        };
        self.bytes(letter.as_bytes());
        self.number(permission.domain.0.into());
    }
}

impl fmt::Write for Payload<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// What a reply of type `ERROR` says.
pub(super) fn error(body: &[u8]) -> StoreError {
    let name = body.split(|byte| *byte == 0).next().unwrap_or_default();
    match ERRORS.iter().find(|(known, _)| known.as_bytes() == name) {
        Some((_, errno)) => StoreError::Server(*errno),
        None => StoreError::UnknownError,
    }
}

/// A decimal number, ended by a NUL or the end.
pub(super) fn number(body: &[u8]) -> Option<u32> {
    let digits = body.split(|byte| *byte == 0).next()?;
    let text = core::str::from_utf8(digits)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

/// The token of a watch event: its second string.
pub(super) fn token(body: &[u8]) -> Option<u32> {
    body.split(|byte| *byte == 0).nth(1).and_then(number)
}

/// True for the error by which the server asks to try a transaction again.
pub(super) fn is_again(error: &StoreError) -> bool {
    matches!(error, StoreError::Server(Errno::EAGAIN))
}
