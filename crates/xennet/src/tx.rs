//! Frames to send: from net buffer lists to a queue of the frontend's, and back when the backend is done with them.
//!
//! All net buffers of a list go to one queue, so that the list's state is guarded by that queue's lock: its own words are the
//! net buffer that is to be sent next, and how many are under way, one more while there is a next.

use core::cell::Cell;
use core::ptr::NonNull;

use ndis_sys::info::{LargeSend, Tag, TransmitChecksum, slot};
use ndis_sys::{NDIS_STATUS, status};
use wdk_sys::MDL;
use wdm::alloc::Shared;
use wdm::mdl;
use wdm::pages::{PAGE_SIZE, Pages};
use wdm::status::{Result, Status};
use wdm::time;
use xen_front::RingMemory;
use xen_netfront::grant::{Client, Fragment, StillInUse};
use xen_netfront::header::Headers;
use xen_netfront::tx::{
    Capacity, Host, Limits, Multicast, Offload, Outcome, Packet, Queue, Refused, Ring,
};
use xenbus_client::channel::Channel;
use xenbus_client::granter::{Access, Grant, Granter};
use xennet_core::addresses::Announcement;
use xennet_core::statistics::{Counters, Values};

use crate::nbl::{Chain, Nb, Nbl};
use crate::queue::{Pointer, RingPage};

/// Sizes of a queue's tables: as many packets as the ring has slots, and a page of the driver's own for each.
const CAPACITY: Capacity = Capacity {
    packets: 256,
    pages: 256,
};
/// Free slots below which answers are looked for without an event: two of the largest frames.
const LOW: u32 = 40;
/// Responses that are taken at once.
const BUDGET: u32 = 128;
/// Bytes of a frame that are looked at to tell its connection: headers up to the ports, with some options.
const FLOW: usize = 128;
/// A packet of the driver's own: no net buffer has an odd number.
const OWN: Client = Client(1);
/// A change of the groups that the backend lets through.
const GROUP: Client = Client(3);

/// What the configuration says of frames to send.
#[derive(Clone, Copy)]
pub struct Rules {
    /// Large sends over IPv4 are on.
    pub lso_ipv4: bool,
    /// The same over IPv6.
    pub lso_ipv6: bool,
    /// A priority that is given beside a frame goes into its tag.
    pub priority_tag: bool,
    /// The same for a VLAN.
    pub vlan_tag: bool,
    /// The VLAN of frames that none is given for; 0 for none.
    pub vlan: u16,
}

/// A queue's transmit side, under its lock.
pub struct Tx {
    queue: Queue<RingPage, Machine>,
    machine: Machine,
    channel: Option<Shared<Channel<Pointer>>>,
    waiting: Chain,
    rules: Rules,
    /// How the last change of the groups ended, until somebody asks.
    group: Option<Outcome>,
    /// Frames that came back in any way, and when the last did.
    finished: u64,
    progress: u64,
}

impl Tx {
    /// Without a connection. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    #[inline(never)]
    pub fn new(granter: Shared<Granter>, rules: Rules) -> Result<Self> {
        let queue = Queue::new(CAPACITY).map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        Ok(Self {
            queue,
            machine: Machine {
                granter,
                domain: 0,
                own: Pages::new(usize::from(CAPACITY.pages))?,
                frame: None,
                cursor: Cell::new(Cursor::NONE),
            },
            channel: None,
            waiting: Chain::new(),
            rules,
            group: None,
            finished: 0,
            progress: 0,
        })
    }

    /// Changes what the configuration says.
    pub fn set_rules(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Takes up a connection.
    pub fn connect(
        &mut self,
        ring: Ring<RingPage>,
        limits: Limits,
        domain: u16,
        channel: Shared<Channel<Pointer>>,
    ) {
        self.machine.domain = domain;
        self.queue.connect(ring, limits);
        self.channel = Some(channel);
        self.progress = time::interrupt_time();
    }

    /// Takes a list to send; those that are finished at once come into `done`.
    pub fn send(&mut self, list: Nbl, done: &mut Chain) {
        list.set_status(status::SUCCESS);
        list.set_own([list.first().map_or(0, Nb::number), 1]);
        if self.waiting.is_empty() {
            if !self.submit(list, done) {
                self.waiting.push(list);
            }
        } else {
            self.waiting.push(list);
        }
    }

    /// Gives the queue what it takes of a list. False: it is full.
    fn submit(&mut self, list: Nbl, done: &mut Chain) -> bool {
        let offload = self.offload(list);
        let tag = self.tag(list);
        let [mut next, mut under_way] = list.own();
        // SAFETY: the list's own word, and the list is the miniport's still.
        while let Some(buffer) = unsafe { Nb::from_number(next) } {
            buffer.set_list(list);
            let sent = match offload {
                Ok(offload) => {
                    self.machine.cursor.set(Cursor::NONE);
                    self.queue.send(
                        &mut self.machine,
                        &Packet {
                            client: Client(next),
                            length: buffer.length(),
                            offload,
                            tag,
                        },
                    )
                }
                Err(status) => {
                    list.set_status(status);
                    break;
                }
            };
            match sent {
                Ok(()) => {
                    if self.queue.in_flight() == 1 {
                        self.progress = time::interrupt_time();
                    }
                    under_way += 1;
                }
                Err(Refused::Full) => {
                    list.set_own([next, under_way]);
                    return false;
                }
                Err(Refused::NotConnected) => {
                    list.set_status(status::MEDIA_DISCONNECTED);
                    break;
                }
                Err(Refused::Bad(_)) => list.set_status(status::INVALID_PACKET),
            }
            next = buffer.next().map_or(0, Nb::number);
        }
        list.set_own([0, under_way]);
        release(list, done);
        true
    }

    /// What is to be done with the frames of a list.
    fn offload(&self, list: Nbl) -> core::result::Result<Offload, NDIS_STATUS> {
        let checksum = TransmitChecksum(list.info(slot::TCP_IP_CHECKSUM) as u32);
        let large = LargeSend(list.info(slot::TCP_LARGE_SEND) as u32);
        let segment = u16::try_from(large.mss())
            .ok()
            .and_then(core::num::NonZero::new);
        if large.mss() != 0 {
            let on = if large.is_ipv6() {
                self.rules.lso_ipv6
            } else {
                self.rules.lso_ipv4
            };
            // Version 1 was never offered, and what was turned off is not sent any more.
            if !on || !large.is_v2() || segment.is_none() {
                return Err(status::INVALID_PACKET);
            }
        }
        Ok(Offload {
            ip_checksum: checksum.ip_header(),
            tcp_checksum: checksum.tcp(),
            udp_checksum: checksum.udp(),
            segment,
        })
    }

    /// The tag that the frames of a list get.
    fn tag(&self, list: Nbl) -> Option<u16> {
        let given = Tag(list.info(slot::IEEE_8021Q) as u32);
        let priority = if self.rules.priority_tag {
            given.control() & 0xF000
        } else {
            0
        };
        let vlan = match given.control() & 0xFFF {
            vlan if self.rules.vlan_tag && vlan != 0 => vlan,
            _ => self.rules.vlan,
        };
        Some(priority | vlan).filter(|control| *control != 0)
    }

    /// Takes what the backend has answered, and gives it what waited for that; finished lists come into `done`. True: there
    /// may be more. DISPATCH_LEVEL.
    pub fn serve(&mut self, done: &mut Chain) -> bool {
        let more = self.queue.poll(&mut self.machine, BUDGET).unwrap_or(false);
        self.collect(done);
        self.feed(done);
        more
    }

    /// Submits what waits.
    fn feed(&mut self, done: &mut Chain) {
        // A list that is finished goes into another chain, so that it leaves this one first.
        while let Some(list) = self.waiting.pop() {
            if !self.submit(list, done) {
                self.waiting.push_front(list);
                break;
            }
        }
        self.publish();
    }

    /// Lets the backend see what was submitted.
    pub fn publish(&mut self) {
        if self.queue.publish()
            && let Some(channel) = &self.channel
        {
            channel.send();
        }
    }

    /// Takes finished frames out of the queue.
    fn collect(&mut self, done: &mut Chain) {
        while let Some((client, outcome)) = self.queue.pop_finished() {
            self.finished += 1;
            self.progress = time::interrupt_time();
            if client == OWN {
                continue;
            }
            if client == GROUP {
                self.group = Some(outcome);
                continue;
            }
            // SAFETY: a net buffer whose list is not complete.
            let buffer = unsafe { Nb::from_number(client.0) };
            let Some(list) = buffer.and_then(Nb::list) else {
                continue;
            };
            match outcome {
                Outcome::Sent => {}
                Outcome::Dropped | Outcome::Error => list.set_status(status::FAILURE),
                Outcome::Lost => list.set_status(status::MEDIA_DISCONNECTED),
            }
            release(list, done);
        }
    }

    /// Ends everything that waits with a status.
    pub fn fail_waiting(&mut self, status: NDIS_STATUS, done: &mut Chain) {
        let mut waiting = self.waiting.take();
        while let Some(list) = waiting.pop() {
            abort(list, status, done);
        }
    }

    /// Ends what waits and has this identifier (`NDIS_GET_NET_BUFFER_LIST_CANCEL_ID`).
    pub fn cancel(&mut self, identifier: usize, done: &mut Chain) {
        let mut waiting = self.waiting.take();
        while let Some(list) = waiting.pop() {
            if list.info(slot::CANCEL_ID) == identifier {
                abort(list, status::SEND_ABORTED, done);
            } else {
                self.waiting.push(list);
            }
        }
    }

    /// Gives up the connection: what is under way is lost. True: nothing of it is left.
    pub fn disconnect(&mut self, done: &mut Chain) -> bool {
        let held = self.queue.disconnect(&mut self.machine);
        self.collect(done);
        self.fail_waiting(status::MEDIA_DISCONNECTED, done);
        held.is_ok()
    }

    /// Tries again to end grants.
    pub fn tick(&mut self, done: &mut Chain) {
        self.queue.tick(&mut self.machine);
        self.collect(done);
    }

    /// Completes frames whose memory the backend keeps: it can only read it, and was trusted with it.
    pub fn abandon(&mut self, done: &mut Chain) {
        self.queue.abandon();
        self.collect(done);
    }

    /// Its channel.
    pub fn channel(&self) -> Option<&Shared<Channel<Pointer>>> {
        self.channel.as_ref()
    }

    /// Takes the channel out, to be closed at PASSIVE_LEVEL.
    pub fn take_channel(&mut self) -> Option<Shared<Channel<Pointer>>> {
        self.channel.take()
    }

    /// Sends a frame of the driver's own, if there is room.
    pub fn announce(&mut self, frame: Announcement) {
        let length = frame.as_ref().len() as u32;
        self.machine.frame = Some(frame);
        let packet = Packet {
            client: OWN,
            length,
            offload: Offload::default(),
            tag: None,
        };
        if let Err(refused) = self.queue.send(&mut self.machine, &packet) {
            wdm::warn!("an address cannot be announced: {refused}");
        }
        self.publish();
    }

    /// Whether there is little room left.
    pub fn is_nearly_full(&self) -> bool {
        self.queue.has_ring() && self.queue.free_slots() < LOW
    }

    /// Asks the backend for a change of the groups that it lets through. False: not now.
    pub fn ask(&mut self, change: Multicast) -> bool {
        let asked = self.queue.multicast(&mut self.machine, GROUP, change);
        self.publish();
        asked.is_ok()
    }

    /// Whether a change of the groups has ended.
    pub fn has_answer(&self) -> bool {
        self.group.is_some()
    }

    /// How a change of the groups ended.
    pub fn answer(&mut self) -> Option<Outcome> {
        self.group.take()
    }

    /// Whether frames can be sent.
    pub fn is_connected(&self) -> bool {
        self.queue.has_ring()
    }

    /// What the backend did wrong, if it did.
    pub fn fault(&self) -> Option<xen_netfront::tx::Fault> {
        self.queue.fault()
    }

    /// Frames under way, or whose memory the backend keeps.
    pub fn busy(&self) -> usize {
        self.queue.in_flight() + self.queue.held()
    }

    /// When a frame last came back, or the first of those under way went out (`wdm::time::interrupt_time`).
    pub fn progress(&self) -> u64 {
        self.progress
    }

    /// Copies the counts to where they are read without a lock.
    pub fn count(&self, statistics: &Counters) {
        let counters = self.queue.counters();
        let sent = counters.sent;
        statistics.store(&Values {
            frames: [
                sent.unicast.frames,
                sent.multicast.frames,
                sent.broadcast.frames,
            ],
            bytes: [
                sent.unicast.bytes,
                sent.multicast.bytes,
                sent.broadcast.bytes,
            ],
            discards: counters.dropped + counters.lost,
            errors: counters.errors + counters.refused,
            ..Values::default()
        });
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        let mut kept = 0;
        for page in 0..CAPACITY.pages {
            kept += u32::from(!self.queue.is_free(page));
        }
        if kept != 0 {
            wdm::error!("the backend keeps {kept} pages of frames; they are left to it");
            if let Ok(none) = Pages::new(1) {
                core::mem::forget(core::mem::replace(&mut self.machine.own, none));
            }
        }
    }
}

/// A number that is the same for all frames of a connection: the stack's hash where it has one, else one over addresses and
/// ports. It leads a frame to a queue; frames of one connection stay in order so.
pub fn flow(list: Nbl) -> u32 {
    let given = list.info(slot::HASH_VALUE) as u32;
    if given != 0 {
        return given;
    }
    let Some(buffer) = list.first() else {
        return 0;
    };
    let mut bytes = [0; FLOW];
    let length = first_bytes(buffer, &mut bytes);
    let header = bytes.get(..length).unwrap_or_default();
    let Some(headers) = Headers::parse(header, buffer.length()) else {
        return 0;
    };
    let addresses = headers
        .network
        .map_or(&[][..], |network| network.addresses(header));
    let ports = headers.transport.and_then(|transport| {
        let at = usize::from(transport.offset);
        header.get(at..at + 4)
    });
    // FNV-1a: cheap, and good enough for a handful of queues.
    let mut hash = 0x811C_9DC5_u32;
    for byte in addresses.iter().chain(ports.unwrap_or_default()) {
        hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    }
    hash ^ hash >> 16
}

/// Copies a frame's first bytes; returns how many there were.
fn first_bytes(buffer: Nb, to: &mut [u8]) -> usize {
    let (mut mdl, start) = buffer.start();
    let mut skip = start as usize;
    let mut done = 0;
    let wanted = to.len().min(buffer.length() as usize);
    while done < wanted && !mdl.is_null() {
        // SAFETY: an MDL of a frame that is the miniport's.
        let length = unsafe { mdl::byte_count(mdl) } as usize;
        let count = length.saturating_sub(skip).min(wanted - done);
        if count != 0 {
            // SAFETY: as above, of locked pages.
            let Ok(address) = (unsafe { mdl::system_address(mdl) }) else {
                break;
            };
            // SAFETY: within the bytes that the MDL describes.
            let from = unsafe { address.cast::<u8>().add(skip) };
            let Some(place) = to.get_mut(done..done + count) else {
                break;
            };
            // SAFETY: as many bytes as both have; the buffer on the stack is in no frame.
            unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), place.as_mut_ptr(), count) };
            done += count;
        }
        skip = skip.saturating_sub(length);
        // SAFETY: an MDL of a frame that is the miniport's.
        mdl = unsafe { (*mdl).Next };
    }
    done
}

/// One frame of a list less is under way, or it is not submitted any more. The last makes it finished.
fn release(list: Nbl, done: &mut Chain) {
    let [next, under_way] = list.own();
    let left = under_way.saturating_sub(1);
    list.set_own([next, left]);
    if left == 0 {
        let large = LargeSend(list.info(slot::TCP_LARGE_SEND) as u32);
        if large.mss() != 0 {
            list.set_info(slot::TCP_LARGE_SEND, LargeSend::v2_complete().0);
        }
        done.push(list);
    }
}

/// Ends a list that was not submitted, or not all of it.
fn abort(list: Nbl, status: NDIS_STATUS, done: &mut Chain) {
    let [_, under_way] = list.own();
    list.set_status(status);
    list.set_own([0, under_way]);
    release(list, done);
}

/// Where in the MDLs of a frame the queue looked last.
#[derive(Clone, Copy)]
struct Cursor {
    client: usize,
    mdl: *mut MDL,
    /// The frame's byte that the MDL begins with; below zero where the frame begins in it.
    base: i64,
}

impl Cursor {
    const NONE: Self = Self {
        client: 0,
        mdl: core::ptr::null_mut(),
        base: 0,
    };
}

/// What a transmit queue needs of Windows and of the bus.
pub struct Machine {
    granter: Shared<Granter>,
    domain: u16,
    own: Pages,
    frame: Option<Announcement>,
    cursor: Cell<Cursor>,
}

// SAFETY: its pointers are those of lists that are the miniport's, and it is used by one processor at a time.
unsafe impl Send for Machine {}

impl Machine {
    /// The MDL with a frame's byte, the byte's place in it, and how many bytes of the frame are in it from there on.
    fn locate(&self, client: Client, offset: u32) -> Option<(NonNull<MDL>, u32, u32)> {
        // SAFETY: the queue asks for frames that it was given and has not finished.
        let buffer = unsafe { Nb::from_number(client.0) }?;
        let left = buffer
            .length()
            .checked_sub(offset)
            .filter(|left| *left != 0)?;
        let mut cursor = self.cursor.get();
        let offset = i64::from(offset);
        if cursor.client != client.0 || cursor.base > offset || cursor.mdl.is_null() {
            let (mdl, start) = buffer.start();
            cursor = Cursor {
                client: client.0,
                mdl,
                base: -i64::from(start),
            };
        }
        loop {
            let mdl = NonNull::new(cursor.mdl)?;
            // SAFETY: an MDL of a frame that is the miniport's.
            let length = unsafe { mdl::byte_count(mdl.as_ptr()) };
            let at = u32::try_from(offset - cursor.base).ok()?;
            if let Some(rest) = length.checked_sub(at).filter(|rest| *rest != 0) {
                self.cursor.set(cursor);
                return Some((mdl, at, rest.min(left)));
            }
            cursor.base += i64::from(length);
            // SAFETY: as above.
            cursor.mdl = unsafe { (*mdl.as_ptr()).Next };
        }
    }

    /// The bytes of a page of the queue's own.
    fn own_page(&mut self, page: u16) -> &mut [u8] {
        let Some(address) = self.own.page(usize::from(page)) else {
            return &mut [];
        };
        // SAFETY: a page of the queue's, which no one else writes and this value alone hands out.
        unsafe { core::slice::from_raw_parts_mut(address.as_ptr(), PAGE_SIZE) }
    }

    fn copy_frame(
        &mut self,
        client: Client,
        mut offset: u32,
        page: u16,
        at: u32,
        length: u32,
    ) -> Option<()> {
        let mut to = usize::try_from(at).ok()?;
        let end = to.checked_add(length as usize)?;
        if client == OWN {
            let frame = self.frame?;
            let from = offset as usize..(offset as usize).checked_add(length as usize)?;
            let bytes = frame.as_ref().get(from)?;
            self.own_page(page).get_mut(to..end)?.copy_from_slice(bytes);
            return Some(());
        }
        while to < end {
            let (mdl, start, rest) = self.locate(client, offset)?;
            let count = (end - to).min(rest as usize);
            // SAFETY: an MDL of locked pages of a frame that is the miniport's.
            let system = unsafe { mdl::system_address(mdl.as_ptr()) }
                .ok()?
                .cast::<u8>();
            // SAFETY: within the bytes that the MDL describes.
            let from = unsafe { system.add(start as usize) };
            let target = self.own_page(page).get_mut(to..to + count)?;
            // SAFETY: as many bytes as both have; a page of the driver's own lies in no frame.
            unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), target.as_mut_ptr(), count) };
            to += count;
            offset += count as u32;
        }
        Some(())
    }
}

impl Host for Machine {
    type Grant = Grant;

    fn grant(&mut self, frame: u64) -> Option<Grant> {
        self.granter.grant(self.domain, frame, Access::ReadOnly)
    }

    fn reference(&self, grant: Grant) -> u32 {
        self.granter.reference(grant)
    }

    fn end(&mut self, grant: Grant) -> core::result::Result<(), StillInUse> {
        self.granter.end(grant).map_err(|_| StillInUse)
    }

    fn page_frame(&self, page: u16) -> u64 {
        self.own
            .pfn(usize::from(page))
            .map_or(0, |frame| frame as u64)
    }

    fn page(&mut self, page: u16) -> &mut [u8] {
        self.own_page(page)
    }

    fn fragment(&self, client: Client, offset: u32) -> Option<Fragment> {
        if client == OWN {
            return None;
        }
        let (mdl, at, rest) = self.locate(client, offset)?;
        // SAFETY: an MDL of locked pages of a frame that is the miniport's.
        let start = unsafe { mdl::byte_offset(mdl.as_ptr()) } as usize + at as usize;
        // SAFETY: as above.
        let frames = unsafe { mdl::pfns(mdl.as_ptr()) };
        let frame = *frames.get(start / PAGE_SIZE)? as u64;
        let within = start % PAGE_SIZE;
        Some(Fragment {
            address: frame * PAGE_SIZE as u64 + within as u64,
            length: rest.min((PAGE_SIZE - within) as u32),
        })
    }

    fn copy_in(&mut self, client: Client, offset: u32, page: u16, at: u32, length: u32) -> bool {
        self.copy_frame(client, offset, page, at, length).is_some()
    }
}

impl RingMemory for RingPage {
    fn words(&self) -> &[core::sync::atomic::AtomicU32] {
        let first = self.0.as_ptr().as_ptr();
        // SAFETY: a whole page, aligned and alive as long as its owner, read and written as atomics only.
        unsafe { core::slice::from_raw_parts(first.cast(), PAGE_SIZE / 4) }
    }
}
