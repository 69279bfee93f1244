//! NET_BUFFER_LISTs of frames that are sent.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, Ordering};

use super::buffer::{Buffer, MOST_BEFORE, Memory};
use super::device::{Frame, Ready};
use super::headers::{ETHERNET, Headers, Transport, be16};
use super::offload::Work;
use super::oob;
use super::shape::{PIECES, Shape, Subject};
use crate::ndis::pool::{
    NdisAllocateNetBufferAndNetBufferList, NdisAllocateNetBufferListPool, NdisFreeNetBufferList,
};
use crate::nt::ke::PVOID;
use crate::nt::mm::MDL;
use crate::nt::ndis::*;
use crate::run::pattern::Random;

const TAG: u32 = u32::from_le_bytes(*b"TcpL");
/// Frames of one connection that one list carries, at most.
const FRAMES_OF_A_LIST: usize = 4;
/// The word of a NET_BUFFER's ProtocolReserved that holds its memory.
const MEMORY: usize = 0;

static POOL: AtomicPtr<core::ffi::c_void> = AtomicPtr::new(core::ptr::null_mut());

/// Makes the pool of lists. PASSIVE_LEVEL, once.
pub fn make_pool() -> bool {
    let parameters = NET_BUFFER_LIST_POOL_PARAMETERS {
        Header: NDIS_OBJECT_HEADER::new(
            NDIS_OBJECT_TYPE_DEFAULT,
            1,
            NDIS_SIZEOF_NET_BUFFER_LIST_POOL_PARAMETERS_REVISION_1,
        ),
        ProtocolId: 0,
        fAllocateNetBuffer: 1,
        ContextSize: 0,
        PoolTag: TAG,
        DataSize: 0,
        Flags: 0,
    };
    // SAFETY: the parameters are as NDIS wants them.
    let pool = unsafe { NdisAllocateNetBufferListPool(core::ptr::null_mut(), &parameters) };
    POOL.store(pool, Ordering::Release);
    !pool.is_null()
}

/// Frees a list that a frame's memory kept.
pub(super) fn free_list(list: *mut NET_BUFFER_LIST) {
    if !list.is_null() {
        // SAFETY: a list from our pool that nobody uses.
        unsafe { NdisFreeNetBufferList(list) };
    }
}

/// Gives a frame's memory a list with one NET_BUFFER, if it has none yet.
unsafe fn list_of(memory: *mut Memory) -> *mut NET_BUFFER_LIST {
    if (*memory).list.is_null() {
        (*memory).list = NdisAllocateNetBufferAndNetBufferList(
            POOL.load(Ordering::Acquire),
            0,
            0,
            core::ptr::null_mut(),
            0,
            0,
        );
    }
    (*memory).list
}

fn subject(frame: &[u8], work: &Work, backfill: usize) -> Subject {
    let headers = Headers::parse(frame);
    Subject {
        length: frame.len(),
        ip: headers.map_or(ETHERNET, |h| h.ip),
        transport: headers.map(|h| h.transport),
        payload: headers.map_or(ETHERNET, |h| h.payload()),
        together: work.segment.is_some(),
        backfill: backfill.min(MOST_BEFORE - 64),
    }
}

/// The MDL chain of a frame: its first MDL, and the frame's offset in it.
fn chain(memory: &mut Memory, shape: &Shape) -> (*mut MDL, usize) {
    let used = shape.pieces.iter().take_while(|&&piece| piece > 0).count();
    let mut at = shape.head + shape.pieces.iter().sum::<usize>();
    let mut next = core::ptr::null_mut();
    for index in (0..used).rev() {
        let piece = shape.pieces[index];
        at -= piece;
        let last = index + 1 == used;
        let first = index == 0 && shape.head == 0;
        let before = if first { shape.lead } else { 0 };
        let behind = if last { shape.tail } else { 0 };
        let address = memory.address(at) - before;
        next = memory.describe(index, address, before + piece + behind, next);
    }
    if shape.head > 0 {
        let address = memory.copy_head(shape.head) - shape.lead;
        let behind = if used == 0 { shape.tail } else { 0 };
        next = memory.describe(PIECES, address, shape.lead + shape.head + behind, next);
    }
    (next, shape.lead)
}

/// How frames are made into lists.
pub struct Builder {
    random: Random,
    /// Bytes that the adapter wants before a frame
    pub backfill: usize,
    /// The key and types of RSS, if it is on
    pub hash: Option<super::rss::Hashing>,
    /// The tag that goes beside each frame; 0 for none
    pub tag: u16,
}

/// A chain of lists, to be sent.
pub struct Chain {
    /// The first one
    pub first: *mut NET_BUFFER_LIST,
    last: *mut NET_BUFFER_LIST,
}

impl Builder {
    /// A builder whose choices depend on `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            backfill: 0,
            hash: None,
            tag: 0,
        }
    }

    /// Makes a chain of lists of frames, in their order. Frames without memory for a list are dropped and counted.
    pub fn build(&mut self, frames: &mut Vec<Ready<Buffer>>) -> (Chain, usize) {
        let mut chain = Chain {
            first: core::ptr::null_mut(),
            last: core::ptr::null_mut(),
        };
        let mut dropped = 0;
        let mut before: Option<Before> = None;
        for Ready { frame, work } in frames.drain(..) {
            let flow = Flow::of(frame.bytes());
            let hash = match (&mut self.hash, &flow) {
                (Some(hashing), Some(flow)) => hashing.of_sent(frame.bytes(), flow),
                _ => None,
            };
            // SAFETY: the frame's memory is this function's until it is in the chain, and the chain's afterwards.
            unsafe {
                let memory = frame.into_raw();
                let list = list_of(memory);
                if list.is_null() {
                    drop(Buffer::from_raw(memory));
                    dropped += 1;
                    continue;
                }
                let buffer = (*list).FirstNetBuffer;
                self.fill(buffer, memory, &work);
                let together = before.as_ref().is_some_and(|b| {
                    b.frames < FRAMES_OF_A_LIST
                        && work.segment.is_none()
                        && b.work == work
                        && flow.is_some()
                        && b.flow == flow
                });
                if let (Some(b), true) = (&mut before, together && self.random.below(2) == 0) {
                    (*b.last).Next = buffer;
                    b.last = buffer;
                    b.frames += 1;
                    continue;
                }
                set_information(list, &work, hash, self.tag);
                chain.add(list);
                before = Some(Before {
                    work,
                    flow,
                    last: buffer,
                    frames: 1,
                });
            }
        }
        (chain, dropped)
    }

    unsafe fn fill(&mut self, buffer: *mut NET_BUFFER, memory: *mut Memory, work: &Work) {
        let frame = (*memory).bytes();
        let (length, subject) = (frame.len(), subject(frame, work, self.backfill));
        let shape = Shape::choose(&mut self.random, &subject);
        let (mdl, offset) = chain(&mut *memory, &shape);
        (*buffer).Next = core::ptr::null_mut();
        (*buffer).MdlChain = mdl;
        (*buffer).CurrentMdl = mdl;
        (*buffer).DataOffset = offset as u32;
        (*buffer).CurrentMdlOffset = offset as u32;
        (*buffer).DataLength = length as u32;
        (*buffer).ProtocolReserved[MEMORY] = memory.cast();
    }
}

/// The frame that was put into the chain last.
struct Before {
    work: Work,
    flow: Option<Flow>,
    last: *mut NET_BUFFER,
    frames: usize,
}

impl Chain {
    unsafe fn add(&mut self, list: *mut NET_BUFFER_LIST) {
        if self.first.is_null() {
            self.first = list;
        } else {
            (*self.last).Next = list;
        }
        self.last = list;
    }
}

unsafe fn set_information(
    list: *mut NET_BUFFER_LIST,
    work: &Work,
    hash: Option<(u32, u32)>,
    tag: u16,
) {
    (*list).Next = core::ptr::null_mut();
    (*list).Flags = 0;
    (*list).NblFlags = 0;
    (*list).Status = NDIS_STATUS_SUCCESS;
    let slots = &mut (*list).NetBufferListInfo;
    slots.fill(core::ptr::null_mut());
    slots[TcpIpChecksumNetBufferListInfo] = oob::checksum(work) as PVOID;
    slots[TcpLargeSendNetBufferListInfo] = oob::large_send(work) as PVOID;
    slots[Ieee8021QNetBufferListInfo] = oob::tag(tag) as PVOID;
    if let Some((value, information)) = hash {
        slots[NetBufferListHashValue] = value as usize as PVOID;
        slots[NetBufferListHashInfo] = information as usize as PVOID;
    }
}

/// A TCP or UDP connection, by what its frames have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    addresses: [u8; 32],
    ports: u32,
    macs: [u8; 14],
    tcp: bool,
}

impl Flow {
    /// The connection of a frame; `None` if it is of none.
    pub fn of(frame: &[u8]) -> Option<Self> {
        let headers = Headers::parse(frame)?;
        let tcp = match headers.kind {
            Transport::Tcp { .. } => true,
            Transport::Udp => false,
            Transport::Other => return None,
        };
        let mut addresses = [0; 32];
        let (at, count) = headers.addresses();
        addresses
            .get_mut(..count)?
            .copy_from_slice(frame.get(at..at + count)?);
        let port = |at: usize| be16(frame, at).map(u32::from);
        Some(Self {
            addresses,
            ports: port(headers.transport)? << 16 | port(headers.transport + 2)?,
            macs: *frame.first_chunk()?,
            tcp,
        })
    }
}

/// What came back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Returned {
    /// Frames
    pub frames: usize,
    /// Of them in lists that did not succeed
    pub failed: usize,
    /// The last status that was not success
    pub status: NDIS_STATUS,
}

/// Takes lists back that were sent: their memory is used again.
///
/// # Safety
/// They were made by a [`Builder`], and NDIS is through with them.
pub unsafe fn take_back(mut list: *mut NET_BUFFER_LIST) -> Returned {
    let mut returned = Returned::default();
    while !list.is_null() {
        let next = (*list).Next;
        (*list).Next = core::ptr::null_mut();
        let status = (*list).Status;
        let mut buffer = (*list).FirstNetBuffer;
        while !buffer.is_null() {
            let behind = (*buffer).Next;
            (*buffer).Next = core::ptr::null_mut();
            let memory = (*buffer).ProtocolReserved[MEMORY].cast::<Memory>();
            drop(Buffer::from_raw(memory));
            returned.frames += 1;
            if status != NDIS_STATUS_SUCCESS {
                returned.failed += 1;
                returned.status = status;
            }
            buffer = behind;
        }
        list = next;
    }
    returned
}

#[cfg(test)]
mod tests;
