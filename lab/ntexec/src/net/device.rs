//! The network device as the TCP/IP stack sees it: two queues of frames.
//!
//! What is received is handed to the stack as it lies, and given back once the stack is through with it. What the stack
//! sends waits in a queue, so that segments can be joined; [`Sending::take`] makes it ready for the adapter.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::num::NonZeroUsize;

use smoltcp::phy::{
    Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, PacketMeta, RxToken,
    TxToken,
};
use smoltcp::time::Instant;

use super::headers::{ETHERNET, Headers};
use super::join::{Growing, join};
use super::offload::{Offloads, Work, prepare};
use super::segment::segments;

/// A frame that is sent.
pub trait Frame: Sized {
    /// Memory for a frame of `length` bytes. `None` if there is none.
    fn new(length: usize) -> Option<Self>;
    /// Its bytes
    fn bytes(&self) -> &[u8];
    /// The same, to be changed
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Puts bytes at its end; false if it has no room.
    fn append(&mut self, more: &[u8]) -> bool;
}

/// A frame that waits to be sent.
struct Waiting<F> {
    frame: F,
    segment: Option<usize>,
}

impl<F: Frame> Growing for Waiting<F> {
    fn bytes(&self) -> &[u8] {
        self.frame.bytes()
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.frame.bytes_mut()
    }
    fn append(&mut self, more: &[u8]) -> bool {
        self.frame.append(more)
    }
    fn segment(&self) -> Option<usize> {
        self.segment
    }
    fn set_segment(&mut self, size: usize) {
        self.segment = Some(size);
    }
}

/// A frame with what the adapter is to do with it.
#[derive(Debug)]
pub struct Ready<F> {
    /// The frame
    pub frame: F,
    /// What the adapter does
    pub work: Work,
}

/// What became of frames on their way to the adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames that found no memory
    pub no_memory: u64,
    /// Large frames that were cut here, because the adapter takes no such
    pub cut_here: u64,
}

/// The sending half.
pub struct Sending<F> {
    queue: VecDeque<Waiting<F>>,
    offloads: Offloads,
    mtu: usize,
    /// Frames that the adapter has
    in_flight: usize,
    counts: Counts,
}

/// Frames that may be with the adapter or wait for it before the stack is asked to stop.
const MOST_WAITING: usize = 256;

impl<F: Frame> Sending<F> {
    /// The stack may send more; if not, it is to wait until frames come back.
    pub fn has_room(&self) -> bool {
        self.queue.len() + self.in_flight < MOST_WAITING
    }

    fn push(&mut self, frame: F, segment: Option<usize>) {
        if let (Some(limits), None) = (self.offloads.large6, segment)
            && let Some(last) = self.queue.back_mut()
            && is_v6(last.frame.bytes())
            && is_v6(frame.bytes())
            && join(last, frame.bytes(), limits)
        {
            return;
        }
        self.queue.push_back(Waiting { frame, segment });
    }

    /// The frames that wait, ready for the adapter, which has them from now on: [`Self::completed`] counts them back.
    pub fn take(&mut self, into: &mut Vec<Ready<F>>) {
        let before = into.len();
        while let Some(mut waiting) = self.queue.pop_front() {
            let Some(size) = waiting.segment else {
                let work = prepare(waiting.frame.bytes_mut(), &self.offloads, None);
                into.push(Ready {
                    frame: waiting.frame,
                    work,
                });
                continue;
            };
            if self.is_within_limits(waiting.frame.bytes(), size) {
                let work = prepare(waiting.frame.bytes_mut(), &self.offloads, Some(size));
                into.push(Ready {
                    frame: waiting.frame,
                    work,
                });
                continue;
            }
            self.counts.cut_here += 1;
            for segment in segments(waiting.frame.bytes(), size) {
                let Some(mut frame) = F::new(segment.len()) else {
                    self.counts.no_memory += 1;
                    continue;
                };
                frame.bytes_mut().copy_from_slice(&segment);
                let work = prepare(frame.bytes_mut(), &self.offloads, None);
                into.push(Ready { frame, work });
            }
        }
        self.in_flight += into.len() - before;
    }

    fn is_within_limits(&self, frame: &[u8], size: usize) -> bool {
        let Some(headers) = Headers::parse(frame) else {
            return false;
        };
        let payload = headers.end - headers.payload();
        self.offloads.large(headers.v6).is_some_and(|limits| {
            payload <= limits.payload(headers.payload() - headers.ip)
                && payload.div_ceil(size.max(1)) >= limits.segments
        })
    }

    /// The adapter is through with so many frames.
    pub fn completed(&mut self, count: usize) {
        self.in_flight = self.in_flight.saturating_sub(count);
    }

    /// Nothing waits, and the adapter has nothing.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.in_flight == 0
    }

    /// What became of frames.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

fn is_v6(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&[0x86, 0xdd])
}

/// The receiving half.
pub struct Receiving<R> {
    queue: VecDeque<R>,
    done: Vec<R>,
}

impl<R> Receiving<R> {
    /// A frame came.
    pub fn push(&mut self, frame: R) {
        self.queue.push_back(frame);
    }

    /// Frames that the stack has not seen.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The frames that the stack is through with.
    pub fn take_done(&mut self) -> Vec<R> {
        core::mem::take(&mut self.done)
    }

    /// All frames, seen or not.
    pub fn take_all(&mut self) -> Vec<R> {
        let mut all = core::mem::take(&mut self.done);
        all.extend(self.queue.drain(..));
        all
    }
}

/// The device.
pub struct Port<F, R> {
    /// What is sent
    pub sending: Sending<F>,
    /// What is received
    pub receiving: Receiving<R>,
}

impl<F: Frame, R> Port<F, R> {
    /// A device with an IP MTU of `mtu` bytes and an adapter that offers `offloads`.
    pub fn new(mtu: usize, offloads: Offloads) -> Self {
        Self {
            sending: Sending {
                queue: VecDeque::new(),
                offloads,
                mtu,
                in_flight: 0,
                counts: Counts::default(),
            },
            receiving: Receiving {
                queue: VecDeque::new(),
                done: Vec::new(),
            },
        }
    }

    /// The adapter offers something else from now on. What waits is sent by the new rules.
    pub fn set_device(&mut self, mtu: usize, offloads: Offloads) {
        self.sending.mtu = mtu;
        self.sending.offloads = offloads;
    }

    /// What the adapter offers.
    pub fn offloads(&self) -> &Offloads {
        &self.sending.offloads
    }
}

/// Gives a received frame to the stack.
pub struct Received<'a, R> {
    frame: R,
    done: &'a mut Vec<R>,
}

impl<R: AsRef<[u8]>> RxToken for Received<'_, R> {
    fn consume<T, G>(self, f: G) -> T
    where
        G: FnOnce(&[u8]) -> T,
    {
        let result = f(self.frame.as_ref());
        self.done.push(self.frame);
        result
    }
}

/// Takes a frame from the stack.
pub struct Sent<'a, F> {
    sending: &'a mut Sending<F>,
    segment: Option<usize>,
}

impl<F: Frame> TxToken for Sent<'_, F> {
    fn consume<T, G>(self, length: usize, f: G) -> T
    where
        G: FnOnce(&mut [u8]) -> T,
    {
        if let Some(mut frame) = F::new(length) {
            let result = f(frame.bytes_mut());
            self.sending.push(frame, self.segment);
            return result;
        }
        // Without memory the frame is lost, as it may be on a wire.
        self.sending.counts.no_memory += 1;
        f(&mut alloc::vec![0; length])
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta
            .segmentation_offload_size
            .map(|size| usize::from(size.get()));
    }
}

impl<F: Frame, R: AsRef<[u8]>> Device for Port<F, R> {
    type RxToken<'a>
        = Received<'a, R>
    where
        Self: 'a;
    type TxToken<'a>
        = Sent<'a, F>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let frame = self.receiving.queue.pop_front()?;
        Some((
            Received {
                frame,
                done: &mut self.receiving.done,
            },
            Sent {
                sending: &mut self.sending,
                segment: None,
            },
        ))
    }

    fn transmit(&mut self, _: Instant) -> Option<Self::TxToken<'_>> {
        self.sending.has_room().then_some(Sent {
            sending: &mut self.sending,
            segment: None,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.sending.mtu + ETHERNET;
        // Checksums of TCP, UDP and IPv4 are made and checked outside of the stack, by hardware or without. ICMP's is no
        // adapter's business.
        let mut checksum = ChecksumCapabilities::default();
        checksum.ipv4 = Checksum::None;
        checksum.tcp = Checksum::None;
        checksum.udp = Checksum::None;
        capabilities.checksum = checksum;
        // The stack means the whole frame, with headers without options. Over IPv6 it cannot do it (it drops frames above
        // the MTU): its segments are joined.
        const HEADERS: usize = 40;
        capabilities.segmentation.tcpv4 = self
            .sending
            .offloads
            .large4
            .and_then(|large| NonZeroUsize::new(ETHERNET + HEADERS + large.payload(HEADERS)));
        capabilities
    }
}
