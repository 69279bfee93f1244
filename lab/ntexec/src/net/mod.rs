//! TCP/IP on the executive's NDIS: what tcpip.sys is to a miniport, with smoltcp as the stack.
//!
//! [`bind`] is the protocol, an [`endpoint`] its end of one binding, with a [`stack`] over a [`device`] of two queues. What
//! goes down is made into lists by [`transmit`], in shapes that [`shape`] chooses; what comes up is taken by
//! [`receive`] and compared by [`verify`] with what the adapter says of it.

pub mod checksum;
pub mod device;
pub mod headers;
pub mod join;
pub mod offload;
pub mod oob;
pub mod segment;
pub mod shape;
pub mod stack;
pub mod toeplitz;
pub mod verify;
pub mod waiters;

pub mod bind;
pub mod buffer;
pub mod counts;
pub mod endpoint;
pub mod event;
pub mod facts;
pub mod lock;
pub mod receive;
pub mod rss;
pub mod seen;
pub mod transmit;
