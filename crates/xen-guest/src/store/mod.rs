//! Xenstore: a protocol engine without waits ([`Engine`]) and calls that wait by the caller's means ([`Client`]).
//!
//! Requests are matched with replies by ids of ours: a slot's number and how often it was used. A reply that
//! belongs to nobody (a predecessor's, say) is swallowed and counted; one that breaks the framing ends the
//! connection, for nothing after it can be trusted. Watches have small numbers of ours as tokens.

mod client;
mod engine;
mod message;
mod ring;
mod watch;

pub use client::{Client, Link, Patience};
pub use engine::{Counters, Engine, Pumped, Ticket, Transaction};
pub use message::{Path, Permission, Request};
pub use watch::WatchId;

#[cfg(test)]
mod tests;

use xen_abi::Errno;

/// A request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The server refused.
    #[error("xenstore: {0}")]
    Server(Errno),
    /// The server refused by a name that the protocol does not list.
    #[error("xenstore: unknown error")]
    UnknownError,
    /// The reply is not what the request asks for.
    #[error("xenstore: unexpected reply")]
    Reply,
    /// A path is empty, too long, or contains a NUL.
    #[error("xenstore: invalid path of {0} bytes")]
    Path(usize),
    /// The message would be longer than the protocol allows.
    #[error("xenstore: message of {0} bytes")]
    TooLong(usize),
    /// All request slots are in use.
    #[error("xenstore: all request slots are busy")]
    Busy,
    /// No reply came in time.
    #[error("xenstore: no reply in time")]
    Timeout,
    /// The connection was made anew meanwhile: the request or transaction is void.
    #[error("xenstore: connection was reset")]
    Reset,
    /// The server broke the protocol; nothing works until the connection is made anew.
    #[error("xenstore: connection is broken ({0})")]
    Broken(Breach),
    /// No memory.
    #[error("xenstore: out of memory")]
    OutOfMemory,
}

/// How the server broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// More requests consumed than produced.
    #[error("req_cons {cons:#x} with req_prod {prod:#x}")]
    RequestIndex {
        /// Theirs.
        cons: u32,
        /// Ours.
        prod: u32,
    },
    /// More bytes of replies produced than the ring holds.
    #[error("rsp_prod {prod:#x} with rsp_cons {cons:#x}")]
    ReplyIndex {
        /// Ours.
        cons: u32,
        /// Theirs.
        prod: u32,
    },
    /// A message longer than the protocol allows.
    #[error("message of {0} bytes")]
    Length(u32),
}
