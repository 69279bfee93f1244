//! Xen's public ABI as an x86-64 HVM guest sees it: numbers, structs, ring and wire formats.
//!
//! One module a header of `xen/include/public`; each names its header. No behaviour lives here.
//!
//! * Numbers that the peer chooses (states, operations, statuses) are transparent newtypes with
//!   associated constants, never Rust enums: no value of theirs is invalid.
//! * Structs that are shared with Xen or a backend consist of atomics, so that a `&` to one is
//!   sound however the other side writes.
//! * Structs that are passed to Xen have their padding as named fields and derive
//!   [`zerocopy::IntoBytes`]: no stack byte leaves by accident.
//! * Every size and offset is asserted when the crate is compiled, and [`facts`] lists them all with
//!   their C names, so that `examples/abi_check.rs` can compare them with the C headers.

#![no_std]
#![forbid(unsafe_code)]

#[macro_use]
mod macros;

pub mod blkif;
pub mod console;
pub mod cpuid;
pub mod errno;
pub mod event_channel;
pub mod grant_table;
pub mod hvm;
pub mod hypercall;
pub mod memory;
pub mod netif;
pub mod pvdrivers;
pub mod ring;
pub mod sched;
pub mod shared_info;
pub mod vcpu;
pub mod version;
pub mod xenbus;
pub mod xs_wire;

#[cfg(test)]
mod tests;

pub use errno::Errno;
pub use hypercall::DomId;

/// Size in bytes of a page in every ring and hypercall (`XEN_PAGE_SHIFT` in `io/ring.h`).
pub const PAGE_SIZE: usize = 4096;

/// What a [`Fact`] claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A number: a size, an offset or a constant.
    Number(i64),
    /// A string constant.
    Text(&'static str),
}

/// One statement of this crate about the C headers: the C expression and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What kind of expression it is, and of which names.
    pub subject: Subject,
    /// The value that this crate uses.
    pub claim: Claim,
}

/// The C expression of a [`Fact`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// `sizeof(type)`.
    Size(&'static str),
    /// `offsetof(type, field)`.
    Offset(&'static str, &'static str),
    /// A constant expression.
    Value(&'static str),
}

/// Every size, offset and constant of this crate that a C header also states.
pub fn facts() -> impl Iterator<Item = Fact> {
    [
        blkif::FACTS,
        blkif::Operation::FACTS,
        blkif::Status::FACTS,
        console::FACTS,
        cpuid::FACTS,
        cpuid::HVM_FEATURE_FACTS,
        errno::Errno::FACTS,
        event_channel::FACTS,
        event_channel::ChannelStatus::FACTS,
        grant_table::FACTS,
        grant_table::GrantStatus::FACTS,
        hvm::FACTS,
        hypercall::FACTS,
        hypercall::DomId::FACTS,
        memory::FACTS,
        netif::FACTS,
        netif::FLAG_FACTS,
        netif::Status::FACTS,
        netif::ExtraType::FACTS,
        netif::GsoType::FACTS,
        netif::HashAlgorithm::FACTS,
        netif::HashKind::FACTS,
        netif::CtrlType::FACTS,
        netif::CtrlStatus::FACTS,
        ring::FACTS,
        sched::FACTS,
        shared_info::FACTS,
        vcpu::FACTS,
        version::FACTS,
        xenbus::XenbusState::FACTS,
        xs_wire::FACTS,
        xs_wire::MessageType::FACTS,
    ]
    .into_iter()
    .flatten()
    .copied()
}
