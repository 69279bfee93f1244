//! Xenstore's wire protocol (`io/xs_wire.h`).

use core::sync::atomic::{AtomicU8, AtomicU32};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

open_enum! {
    /// Kind of message (`enum xsd_sockmsg_type`).
    MessageType(u32) {
        /// Server control.
        CONTROL = 0 => "XS_CONTROL";
        /// List children.
        DIRECTORY = 1 => "XS_DIRECTORY";
        /// Read a value.
        READ = 2 => "XS_READ";
        /// Get permissions.
        GET_PERMS = 3 => "XS_GET_PERMS";
        /// Add a watch.
        WATCH = 4 => "XS_WATCH";
        /// Remove a watch.
        UNWATCH = 5 => "XS_UNWATCH";
        /// Start a transaction.
        TRANSACTION_START = 6 => "XS_TRANSACTION_START";
        /// End a transaction.
        TRANSACTION_END = 7 => "XS_TRANSACTION_END";
        /// Toolstack only.
        INTRODUCE = 8 => "XS_INTRODUCE";
        /// Toolstack only.
        RELEASE = 9 => "XS_RELEASE";
        /// Path of a domain.
        GET_DOMAIN_PATH = 10 => "XS_GET_DOMAIN_PATH";
        /// Write a value.
        WRITE = 11 => "XS_WRITE";
        /// Create a node.
        MKDIR = 12 => "XS_MKDIR";
        /// Remove a node and all below.
        RM = 13 => "XS_RM";
        /// Set permissions.
        SET_PERMS = 14 => "XS_SET_PERMS";
        /// A watch fired: the only message that is no reply.
        WATCH_EVENT = 15 => "XS_WATCH_EVENT";
        /// The request failed; the payload is the error's name.
        ERROR = 16 => "XS_ERROR";
        /// Toolstack only.
        IS_DOMAIN_INTRODUCED = 17 => "XS_IS_DOMAIN_INTRODUCED";
        /// Toolstack only.
        RESUME = 18 => "XS_RESUME";
        /// Toolstack only.
        SET_TARGET = 19 => "XS_SET_TARGET";
        /// Remove all watches of this domain (and end its transactions).
        RESET_WATCHES = 21 => "XS_RESET_WATCHES";
        /// List children from an offset on.
        DIRECTORY_PART = 22 => "XS_DIRECTORY_PART";
        /// Never a valid type.
        INVALID = 0xffff => "XS_INVALID";
    }
}

/// Header of each message (`struct xsd_sockmsg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// What it is.
    pub kind: MessageType,
    /// Chosen by the requester, echoed in the reply.
    pub req_id: u32,
    /// Transaction, or zero.
    pub tx_id: u32,
    /// Bytes that follow.
    pub len: u32,
}

/// The ring page (`struct xenstore_domain_interface`).
#[derive(Debug)]
#[repr(C)]
pub struct DomainInterface {
    /// Requests.
    pub req: [AtomicU8; RING_SIZE],
    /// Replies and watch events.
    pub rsp: [AtomicU8; RING_SIZE],
    /// Requests: written by the server.
    pub req_cons: AtomicU32,
    /// Requests: written by us.
    pub req_prod: AtomicU32,
    /// Replies: written by us.
    pub rsp_cons: AtomicU32,
    /// Replies: written by the server.
    pub rsp_prod: AtomicU32,
    /// `SERVER_FEATURE_*`.
    pub server_features: AtomicU32,
    /// [`CONNECTED`] or [`RECONNECT`].
    pub connection: AtomicU32,
    /// `ERROR_*`.
    pub error: AtomicU32,
}

impl Default for DomainInterface {
    fn default() -> Self {
        Self {
            req: [const { AtomicU8::new(0) }; RING_SIZE],
            rsp: [const { AtomicU8::new(0) }; RING_SIZE],
            req_cons: AtomicU32::new(0),
            req_prod: AtomicU32::new(0),
            rsp_cons: AtomicU32::new(0),
            rsp_prod: AtomicU32::new(0),
            server_features: AtomicU32::new(0),
            connection: AtomicU32::new(0),
            error: AtomicU32::new(0),
        }
    }
}

/// The names by which replies of type [`MessageType::ERROR`] tell what went wrong (`xsd_errors`), with
/// their numbers as [`crate::Errno`].
pub const ERRORS: &[(&str, crate::Errno)] = &[
    ("EINVAL", crate::Errno::EINVAL),
    ("EACCES", crate::Errno::EACCES),
    ("EEXIST", crate::Errno::EEXIST),
    ("EISDIR", crate::Errno::EISDIR),
    ("ENOENT", crate::Errno::ENOENT),
    ("ENOMEM", crate::Errno::ENOMEM),
    ("ENOSPC", crate::Errno::ENOSPC),
    ("EIO", crate::Errno::EIO),
    ("ENOTEMPTY", crate::Errno::ENOTEMPTY),
    ("ENOSYS", crate::Errno::ENOSYS),
    ("EROFS", crate::Errno::EROFS),
    ("EBUSY", crate::Errno::EBUSY),
    ("EAGAIN", crate::Errno::EAGAIN),
    ("EISCONN", crate::Errno::EISCONN),
    ("E2BIG", crate::Errno::E2BIG),
    ("EPERM", crate::Errno::EPERM),
];

abi! {
    constants {
        /// Bytes of each ring.
        RING_SIZE: usize = 1024 => "XENSTORE_RING_SIZE";
        /// Bytes of a message without its header, at most.
        PAYLOAD_MAX: usize = 4096 => "XENSTORE_PAYLOAD_MAX";
        /// Bytes of an absolute path, at most.
        ABS_PATH_MAX: usize = 3072 => "XENSTORE_ABS_PATH_MAX";
        /// Bytes of a relative path, at most.
        REL_PATH_MAX: usize = 2048 => "XENSTORE_REL_PATH_MAX";
        /// The server can restart a ring.
        SERVER_FEATURE_RECONNECTION: u32 = 1 => "XENSTORE_SERVER_FEATURE_RECONNECTION";
        /// The server tells errors in the ring page.
        SERVER_FEATURE_ERROR: u32 = 2 => "XENSTORE_SERVER_FEATURE_ERROR";
        /// Connection: in use.
        CONNECTED: u32 = 0 => "XENSTORE_CONNECTED";
        /// Connection: the guest asks for, or the server does, a restart.
        RECONNECT: u32 = 1 => "XENSTORE_RECONNECT";
        /// Error: none.
        ERROR_NONE: u32 = 0 => "XENSTORE_ERROR_NONE";
        /// Error: communication.
        ERROR_COMM: u32 = 1 => "XENSTORE_ERROR_COMM";
        /// Error: bad ring index.
        ERROR_RINGIDX: u32 = 2 => "XENSTORE_ERROR_RINGIDX";
        /// Error: payload too long.
        ERROR_PROTO: u32 = 3 => "XENSTORE_ERROR_PROTO";
    }
    layouts {
        Header = "struct xsd_sockmsg", 16 { kind as "type" @ 0, req_id @ 4, tx_id @ 8, len @ 12 }
        DomainInterface = "struct xenstore_domain_interface", 2076 {
            req @ 0, rsp @ 1024, req_cons @ 2048, req_prod @ 2052, rsp_cons @ 2056, rsp_prod @ 2060,
            server_features @ 2064, connection @ 2068, error @ 2072,
        }
    }
}
