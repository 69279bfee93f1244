//! The shared ring, with `io/blkif.h`'s entries.

use xen_abi::blkif::{RING_ENTRY_SIZE, Response};
use zerocopy::{FromBytes, IntoBytes};

pub use xen_front::{RingError, RingMemory};

/// Words of an entry.
const ENTRY: usize = RING_ENTRY_SIZE / 4;

/// The frontend's end of a ring.
pub type FrontRing<M> = xen_front::FrontRing<M, ENTRY>;

/// The response in an entry.
pub(crate) fn response(taken: &xen_front::Taken<ENTRY>) -> Option<Response> {
    Response::read_from_prefix(taken.words.as_bytes())
        .ok()
        .map(|(response, _)| response)
}

/// A request as an entry.
pub(crate) fn request<T: IntoBytes + zerocopy::Immutable>(request: &T) -> [u32; ENTRY] {
    let mut entry = [0; ENTRY];
    for (to, from) in entry.as_mut_bytes().iter_mut().zip(request.as_bytes()) {
        *to = *from;
    }
    entry
}
