//! TCP/IP on the executive's NDIS: what tcpip.sys is to a miniport, with smoltcp as the stack.

pub mod checksum;
pub mod device;
pub mod headers;
pub mod join;
pub mod offload;
pub mod segment;
pub mod stack;
pub mod toeplitz;
