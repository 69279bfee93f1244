//! Received frames: from a queue of the frontend's to net buffer lists that are lent to the stack, and back.
//!
//! A frame stays in the pages that the backend wrote, whose grants are ended by then. Large frames of TCP that the stack did
//! not ask for are cut, each segment into a page of its own.

use arrayvec::ArrayVec;
use core::ptr::null_mut;
use ndis_sys::constant::nbl_flags;
use ndis_sys::info::{Tag, receive_checksum, slot};
use ndis_sys::rss::hash;
use rust_alloc::boxed::Box;
use rust_alloc::vec::Vec;
use wdk_sys::MDL;
use wdm::alloc::Shared;
use wdm::page::Page;
use wdm::pages::PAGE_SIZE;
use wdm::status::{Result, Status};
use xen_abi::netif::{HashKind, HashTypes};
use xen_netfront::grant::StillInUse;
use xen_netfront::hash::Toeplitz;
use xen_netfront::header::{HEADER_MAX, Headers, Kind, MINIMUM_FRAME, Version};
use xen_netfront::rx::{Checksum, Host, Packet, Pages, Piece, Queue, Ring, SLOTS, Verdict};
use xen_netfront::segment::Segmenter;
use xenbus_client::channel::Channel;
use xenbus_client::granter::{Access, Grant, Granter};
use xennet_core::filter::{Filter, is_of_vlan};
use xennet_core::offload::{Encapsulation, Offloads};
use xennet_core::settings::Settings;
use xennet_core::statistics::{Counters, Values};

use crate::nbl::{Chain, Nbl};
use crate::pool::ListPool;
use crate::queue::{Pointer, RingPage};

/// Pages that frames are received in: the ring's, and as many that may be lent.
const PAGES: u16 = SLOTS * 2;
/// Pages that segments of large frames are put in.
const SEGMENTS: u16 = SLOTS;
/// Free pages below which frames are not lent any more: the ring's would not last.
const LOW: usize = 32;
/// The same of those for segments: as many as the largest frame is cut into.
const LARGE: u32 = 64;
/// Frames that are taken at once.
pub const BATCH: usize = 4;
/// A list of those for segments, in its own word.
const SEGMENT: usize = 1 << 16;

/// What the stack wants of received frames.
#[derive(Clone)]
pub struct Rules {
    /// Packet filter and multicast list.
    pub filter: Filter,
    /// Offloads that are on.
    pub offloads: Offloads,
    /// Versions of IP for which it takes verdicts.
    pub encapsulation: Encapsulation,
    /// The adapter's configuration.
    pub settings: Settings,
    /// The VLAN whose frames alone go up; 0 for all.
    pub vlan: u16,
    /// How frames are hashed, while that is on.
    pub hash: Option<Shared<HashRule>>,
}

/// How frames are hashed.
pub struct HashRule {
    /// The key, as a table.
    pub toeplitz: Box<Toeplitz>,
    /// What is hashed.
    pub types: HashTypes,
}

/// Pages that frames lie in.
struct Pool(Vec<Page>);

impl Pool {
    fn new(count: u16) -> Result<Self> {
        let mut pages = Vec::new();
        pages
            .try_reserve_exact(usize::from(count))
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        for _ in 0..count {
            pages.push(Page::new()?);
        }
        Ok(Self(pages))
    }

    fn page(&self, index: u16) -> Option<&Page> {
        self.0.get(usize::from(index))
    }
}

/// The pages of a pool as memory. Each page is with one user at a time, who knows its number.
#[derive(Clone)]
struct PoolPages(Shared<Pool>);

impl Pages for PoolPages {
    fn page(&mut self, page: u16) -> &mut [u8] {
        let Some(page) = self.0.page(page) else {
            return &mut [];
        };
        // SAFETY: a whole page of the pool's; whoever has its number, and nobody else, uses it now.
        unsafe { core::slice::from_raw_parts_mut(page.as_ptr().as_ptr(), PAGE_SIZE) }
    }
}

/// What a receive queue needs of Windows and of the bus.
pub struct Machine {
    granter: Shared<Granter>,
    domain: u16,
    pages: PoolPages,
}

impl Pages for Machine {
    fn page(&mut self, page: u16) -> &mut [u8] {
        self.pages.page(page)
    }
}

impl Host for Machine {
    type Grant = Grant;

    fn grant(&mut self, page: u16) -> Option<Grant> {
        let frame = self.pages.0.page(page)?.pfn() as u64;
        self.granter.grant(self.domain, frame, Access::ReadWrite)
    }

    fn reference(&self, grant: Grant) -> u32 {
        self.granter.reference(grant)
    }

    fn end(&mut self, grant: Grant) -> core::result::Result<(), StillInUse> {
        self.granter.end(grant).map_err(|_| StillInUse)
    }
}

/// A queue's receive side, under its lock.
pub struct Rx {
    handle: ndis_sys::NDIS_HANDLE,
    queue: Queue<RingPage, Machine>,
    machine: Machine,
    channel: Option<Shared<Channel<Pointer>>>,
    /// Lists without a frame.
    lists: Chain,
    /// Lists for segments, each with its page.
    segments: Chain,
    /// For each page of a frame that is lent, the next of it.
    next: Vec<Option<u16>>,
    rules: Shared<Rules>,
    /// Outlives the lists.
    pool: ListPool,
    segment_pages: Shared<Pool>,
}

// SAFETY: lists and pages belong to the value, and it is used by one processor at a time.
unsafe impl Send for Rx {}

/// Frames that were taken, each with the list it will go up in.
pub type Batch = ArrayVec<(Packet, Nbl), BATCH>;

/// What can be done with a batch without the lock.
pub struct Work {
    pages: PoolPages,
    segment_pages: Shared<Pool>,
    /// What the stack wants.
    pub rules: Shared<Rules>,
}

/// What became of a taken frame.
pub enum Made {
    /// It lies in the list, which goes up.
    Whole,
    /// It goes nowhere: pages and list are free again.
    Dropped,
    /// It is to be cut into so many segments; this tag was taken out of it.
    Cut(u32, Option<u16>),
}

impl Rx {
    /// Without a connection. PASSIVE_LEVEL.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    ///
    /// # Safety
    /// `handle` is the adapter's.
    #[inline(never)]
    pub unsafe fn new(
        handle: ndis_sys::NDIS_HANDLE,
        granter: Shared<Granter>,
        rules: Shared<Rules>,
    ) -> Result<Self> {
        let queue = Queue::new(PAGES).map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        let pages = PoolPages(Shared::new(Pool::new(PAGES)?)?);
        let mut next = Vec::new();
        next.try_reserve_exact(usize::from(PAGES))
            .map_err(|_| Status::INSUFFICIENT_RESOURCES)?;
        next.resize(usize::from(PAGES), None);
        // SAFETY: the caller's promise.
        let pool = unsafe { ListPool::new(handle) }?;
        Ok(Self {
            handle,
            queue,
            machine: Machine {
                granter,
                domain: 0,
                pages,
            },
            channel: None,
            lists: Chain::new(),
            segments: Chain::new(),
            next,
            rules,
            pool,
            segment_pages: Shared::new(Pool::new(SEGMENTS)?)?,
        })
    }

    /// Makes the lists, which know whose they are: the address of the queue, which does not move any more.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn own(&mut self, owner: usize) -> Result {
        for _ in 0..PAGES {
            let list = self.pool.allocate()?;
            list.set_source(self.handle);
            list.set_own([owner, 0]);
            self.lists.push(list);
        }
        for page in 0..SEGMENTS {
            let list = self.pool.allocate()?;
            list.set_source(self.handle);
            list.set_own([owner, SEGMENT | usize::from(page)]);
            self.segments.push(list);
        }
        Ok(())
    }

    /// What the stack wants.
    pub fn set_rules(&mut self, rules: Shared<Rules>) {
        self.rules = rules;
    }

    /// What can be done without the lock.
    pub fn work(&self) -> Work {
        Work {
            pages: self.machine.pages.clone(),
            segment_pages: self.segment_pages.clone(),
            rules: self.rules.clone(),
        }
    }

    /// Takes up a connection, and posts pages.
    pub fn connect(
        &mut self,
        ring: Ring<RingPage>,
        domain: u16,
        channel: Shared<Channel<Pointer>>,
    ) {
        self.machine.domain = domain;
        self.queue.connect(ring);
        self.channel = Some(channel);
        // Nobody listens yet; the backend looks at the ring when it connects.
        self.queue.refill(&mut self.machine);
    }

    /// Posts as many pages as there are.
    pub fn refill(&mut self) {
        if self.queue.refill(&mut self.machine).notify
            && let Some(channel) = &self.channel
        {
            channel.send();
        }
    }

    /// Takes frames off the ring; at most `budget` slots, which are counted down. A fault ends it.
    pub fn take(&mut self, budget: &mut u32) -> Batch {
        let mut batch = Batch::new();
        while !batch.is_full() {
            // A list is missing only if all are lent; then the pages are too.
            let Some(list) = self.lists.pop() else {
                break;
            };
            let Ok(Some(packet)) = self.queue.take(&mut self.machine, budget) else {
                self.lists.push(list);
                break;
            };
            batch.push((packet, list));
        }
        self.refill();
        batch
    }

    /// Asks for an event with the next frame. True: one has come meanwhile.
    pub fn arm(&mut self) -> bool {
        self.queue.arm()
    }

    /// Whether so few pages are left that frames must come back at once.
    pub fn is_short(&self) -> bool {
        self.queue.free() + self.queue.posted() < LOW || self.segments.count() < LARGE
    }

    /// Remembers which pages a list has, for when it comes back.
    pub fn lend(&mut self, list: Nbl, pieces: &[Piece]) {
        let mut pages = pieces.iter().map(|piece| piece.page);
        let Some(first) = pages.next() else {
            return;
        };
        let mut last = first;
        for page in pages {
            if let Some(next) = self.next.get_mut(usize::from(last)) {
                *next = Some(page);
            }
            last = page;
        }
        if let Some(next) = self.next.get_mut(usize::from(last)) {
            *next = None;
        }
        let [owner, _] = list.own();
        list.set_own([owner, usize::from(first)]);
    }

    /// Takes a list that was made and not sent up, with its pages.
    pub fn drop_frame(&mut self, list: Nbl, pieces: &[Piece]) {
        for piece in pieces {
            self.queue.give_back(piece.page);
        }
        self.lists.push(list);
    }

    /// Gives pages back whose frame was cut.
    pub fn give_back(&mut self, pieces: &[Piece]) {
        for piece in pieces {
            self.queue.give_back(piece.page);
        }
    }

    /// Takes back a list that has no frame any more.
    pub fn unused(&mut self, list: Nbl) {
        self.lists.push(list);
    }

    /// Lists for so many segments; none if there are not as many.
    pub fn segments(&mut self, count: u32) -> Option<Chain> {
        if self.segments.count() < count {
            return None;
        }
        let mut chain = Chain::new();
        for _ in 0..count {
            chain.push(self.segments.pop()?);
        }
        Some(chain)
    }

    /// Takes back a list that went up.
    pub fn returned(&mut self, list: Nbl) {
        let [_, word] = list.own();
        if word & SEGMENT != 0 {
            self.segments.push(list);
            return;
        }
        let mut at = u16::try_from(word).ok();
        while let Some(page) = at {
            at = self.next.get_mut(usize::from(page)).and_then(Option::take);
            self.queue.give_back(page);
        }
        self.lists.push(list);
    }

    /// Whether pages that came back should be posted now, and not with the next frames.
    pub fn is_hungry(&self) -> bool {
        self.queue.has_ring() && self.queue.posted() < usize::from(SLOTS / 2)
    }

    /// Gives up the connection. True: no page is the backend's any more.
    pub fn disconnect(&mut self) -> bool {
        self.queue.disconnect(&mut self.machine).is_ok()
    }

    /// Tries again to end grants, and posts what is free.
    pub fn tick(&mut self) {
        self.queue.tick(&mut self.machine);
        if self.queue.has_ring() {
            self.refill();
        }
    }

    /// Takes the channel out, to be closed at PASSIVE_LEVEL.
    pub fn take_channel(&mut self) -> Option<Shared<Channel<Pointer>>> {
        self.channel.take()
    }

    /// Its channel.
    pub fn channel(&self) -> Option<&Shared<Channel<Pointer>>> {
        self.channel.as_ref()
    }

    /// Copies the counts to where they are read without a lock: frames as the backend delivered them, a large one once.
    pub fn count(&self, statistics: &Counters) {
        let counters = self.queue.counters();
        let received = counters.received;
        statistics.store(&Values {
            frames: [
                received.unicast.frames,
                received.multicast.frames,
                received.broadcast.frames,
            ],
            bytes: [
                received.unicast.bytes,
                received.multicast.bytes,
                received.broadcast.bytes,
            ],
            discards: counters.held,
            errors: counters.errors + counters.malformed,
            ..Values::default()
        });
    }

    /// What the backend did wrong, if it did.
    pub fn fault(&self) -> Option<xen_netfront::rx::Fault> {
        self.queue.fault()
    }

    /// Pages that the backend keeps.
    pub fn quarantined(&self) -> usize {
        self.queue.quarantined()
    }
}

impl Drop for Rx {
    fn drop(&mut self) {
        for mut chain in [self.lists.take(), self.segments.take()] {
            while let Some(list) = chain.pop() {
                self.pool.free(list);
            }
        }
        let kept = (0..PAGES).filter(|page| !self.queue.is_free(*page)).count();
        if kept != 0 {
            wdm::error!("the backend keeps {kept} pages for frames; they are left to it");
            core::mem::forget(self.machine.pages.clone());
        }
    }
}

impl Work {
    /// Makes a frame of a packet. What comes back with [`Made::Whole`] is to be lent, with [`Made::Dropped`] dropped.
    pub fn make(&mut self, packet: &mut Packet, list: Nbl, counters: &Counters) -> Made {
        let tag = packet.strip_tag(&mut self.pages);
        let mut buffer = [0; HEADER_MAX];
        let header = packet.header(&mut self.pages, &mut buffer);
        let Some(headers) = Headers::parse(header, packet.length()) else {
            counters.error();
            return Made::Dropped;
        };
        if !self.wants(&headers, tag) {
            return Made::Dropped;
        }
        if let Some(large) = packet.large {
            let joined = match large.version {
                Version::V4 => self.rules.offloads.rsc_ipv4,
                Version::V6 => self.rules.offloads.rsc_ipv6,
            };
            // What ends a connection or says more than data does is no unit of joined segments.
            if !joined || !headers.is_plain_data(header) {
                let count = Segmenter::new(header, &headers, large.size).map(|s| s.count());
                return match count {
                    Some(count) => Made::Cut(count, tag),
                    None => {
                        counters.error();
                        Made::Dropped
                    }
                };
            }
        }
        let verdicts = self.checksums(packet, header, &headers);
        let hash = self.hash(packet, header, &headers, counters);
        let segments = packet.large.and_then(|large| {
            let payload = headers
                .transport
                .map_or(0, |t| t.end.saturating_sub(t.payload()));
            u16::try_from(payload.div_ceil(u32::from(large.size.max(1)))).ok()
        });
        describe(list, &headers, verdicts, self.beside(tag), segments, hash);
        let wanted = headers.length().min(HEADER_MAX as u32).min(packet.length());
        if !packet.pull_up(&mut self.pages, wanted) {
            counters.error();
            return Made::Dropped;
        }
        let Some((chain, length)) = self.chain(packet) else {
            counters.error();
            return Made::Dropped;
        };
        if let Some(frame) = list.first() {
            frame.set_data(chain, length);
        }
        Made::Whole
    }

    fn wants(&self, headers: &Headers, tag: Option<u16>) -> bool {
        is_of_vlan(self.rules.vlan, tag) && self.rules.filter.accepts(&headers.destination)
    }

    /// A frame's hash, as the stack wants it: its information and its value. What the backend says is compared and not relied on.
    fn hash(
        &self,
        packet: &Packet,
        header: &[u8],
        headers: &Headers,
        counters: &Counters,
    ) -> Option<(u32, u32)> {
        let rule = self.rules.hash.as_ref()?;
        let (kind, value) = rule.toeplitz.of_packet(rule.types, header, headers)?;
        if let Some(told) = packet.hash {
            counters.told_hash((told.kind, told.value) == (kind, value));
        }
        let kind = match kind {
            HashKind::IPV4 => hash::IPV4,
            HashKind::IPV4_TCP => hash::TCP_IPV4,
            HashKind::IPV6 => hash::IPV6,
            HashKind::IPV6_TCP => hash::TCP_IPV6,
            _ => return None,
        };
        Some((hash::TOEPLITZ | kind, value))
    }

    /// What of a tag goes beside the frame.
    fn beside(&self, tag: Option<u16>) -> Tag {
        let control = tag.unwrap_or(0);
        let priority = if self.rules.settings.priority_tag {
            control & 0xF000
        } else {
            0
        };
        let vlan = if self.rules.settings.vlan_tag {
            control & 0xFFF
        } else {
            0
        };
        Tag::from_control(priority | vlan)
    }

    /// Whether the stack leaves this frame's TCP or UDP checksum to us.
    fn offloaded(&self, headers: &Headers) -> bool {
        let offloads = &self.rules.offloads;
        let (Some(network), Some(transport)) = (headers.network, headers.transport) else {
            return false;
        };
        match (network.version, transport.kind) {
            (Version::V4, Kind::Tcp) => self.rules.encapsulation.ipv4 && offloads.tcp_ipv4.receive,
            (Version::V4, Kind::Udp) => self.rules.encapsulation.ipv4 && offloads.udp_ipv4.receive,
            (Version::V6, Kind::Tcp) => self.rules.encapsulation.ipv6 && offloads.tcp_ipv6.receive,
            (Version::V6, Kind::Udp) => self.rules.encapsulation.ipv6 && offloads.udp_ipv6.receive,
        }
    }

    /// Completes a checksum that was left blank, and says what is known of all.
    fn checksums(&mut self, packet: &Packet, header: &[u8], headers: &Headers) -> u32 {
        let offloaded = self.offloaded(headers);
        if packet.checksum == Checksum::Blank
            && (!offloaded || self.rules.settings.need_checksum_value)
        {
            packet.complete_checksum(&mut self.pages, header, headers);
        }
        let mut verdicts = 0;
        if offloaded {
            let (good, bad) = match headers.transport.map(|transport| transport.kind) {
                Some(Kind::Tcp) => (
                    receive_checksum::TCP_SUCCEEDED,
                    receive_checksum::TCP_FAILED,
                ),
                Some(Kind::Udp) => (
                    receive_checksum::UDP_SUCCEEDED,
                    receive_checksum::UDP_FAILED,
                ),
                None => (0, 0),
            };
            verdicts |= match packet.checksum {
                Checksum::Blank | Checksum::Validated => good,
                Checksum::Unknown => {
                    let verified = packet.verify_checksum(&mut self.pages, header, headers);
                    verdict(verified.transport, good, bad)
                }
            };
        }
        let is_v4 = headers
            .network
            .is_some_and(|network| network.version == Version::V4);
        if is_v4 && self.rules.encapsulation.ipv4 && self.rules.offloads.ip.receive {
            let network = headers.network.and_then(|network| {
                let start = usize::from(network.offset);
                header.get(start..start + usize::from(network.length))
            });
            let sum = network.map(xen_netfront::checksum::Sum::of);
            verdicts |= match sum.map(xen_netfront::checksum::Sum::is_valid) {
                Some(true) => receive_checksum::IP_SUCCEEDED,
                Some(false) => receive_checksum::IP_FAILED,
                None => 0,
            };
        }
        verdicts
    }

    /// Describes the packet's pieces; a short frame gets the zeroes of a wire's shortest.
    fn chain(&mut self, packet: &Packet) -> Option<(*mut MDL, u32)> {
        let length = packet.length();
        let mut chain: *mut MDL = null_mut();
        let mut last: *mut MDL = null_mut();
        let full = packet.pieces().iter().filter(|piece| piece.length != 0);
        let single = packet
            .pieces()
            .iter()
            .filter(|piece| piece.length != 0)
            .count()
            == 1;
        let mut total = length;
        for piece in full {
            let (mut offset, mut count) = (u32::from(piece.offset), u32::from(piece.length));
            if single && length < MINIMUM_FRAME {
                let bytes = self.pages.page(piece.page);
                let (start, have) = (offset as usize, count as usize);
                if offset + MINIMUM_FRAME > PAGE_SIZE as u32 {
                    bytes.copy_within(start..start + have, 0);
                    offset = 0;
                }
                let start = offset as usize;
                let padding = bytes.get_mut(start + have..start + MINIMUM_FRAME as usize)?;
                padding.fill(0);
                (count, total) = (MINIMUM_FRAME, MINIMUM_FRAME);
            }
            let mdl = self.pages.0.page(piece.page)?.describe(offset, count);
            if last.is_null() {
                chain = mdl;
            } else {
                // SAFETY: an MDL of a page of this packet's, described above.
                unsafe { (*last).Next = mdl };
            }
            last = mdl;
        }
        (!chain.is_null()).then_some((chain, total))
    }

    /// Cuts a packet into the lists, each with a segment.
    pub fn cut(
        &mut self,
        packet: &Packet,
        tag: Option<u16>,
        mut lists: Chain,
        counters: &Counters,
    ) -> (Chain, Chain) {
        let mut made = Chain::new();
        let mut buffer = [0; HEADER_MAX];
        let header = packet.header(&mut self.pages, &mut buffer);
        let parsed = Headers::parse(header, packet.length());
        let size = packet.large.map_or(0, |large| large.size);
        if let Some(headers) = parsed
            && let Some(mut segmenter) = Segmenter::new(header, &headers, size)
        {
            let verdicts = self.checksums_of_segments(&headers);
            let hash = self.hash(packet, header, &headers, counters);
            while let Some(list) = lists.pop() {
                if self.segment(packet, &mut segmenter, list).is_some() {
                    describe(list, &headers, verdicts, self.beside(tag), None, hash);
                    made.push(list);
                } else {
                    lists.push_front(list);
                    break;
                }
            }
        }
        (made, lists)
    }

    /// Their checksums are made here.
    fn checksums_of_segments(&self, headers: &Headers) -> u32 {
        let mut verdicts = 0;
        if self.offloaded(headers) {
            verdicts |= receive_checksum::TCP_SUCCEEDED;
        }
        let is_v4 = headers
            .network
            .is_some_and(|network| network.version == Version::V4);
        if is_v4 && self.rules.encapsulation.ipv4 && self.rules.offloads.ip.receive {
            verdicts |= receive_checksum::IP_SUCCEEDED;
        }
        verdicts
    }

    fn segment(&mut self, packet: &Packet, segmenter: &mut Segmenter, list: Nbl) -> Option<()> {
        let [_, word] = list.own();
        let number = u16::try_from(word & (SEGMENT - 1)).ok()?;
        let mut memory = PoolPages(self.segment_pages.clone());
        let bytes = memory.page(number);
        let segment = segmenter.next(bytes)?;
        let start = usize::from(segment.header_length);
        let end = start + segment.payload_length as usize;
        let payload = bytes.get_mut(start..end)?;
        let offset = segment.payload_offset;
        packet.copy_out(&mut self.pages, offset, payload);
        let sum = xen_netfront::checksum::Sum::of(payload);
        segmenter.finish(bytes, &segment, sum);
        let mut length = end;
        if length < MINIMUM_FRAME as usize {
            bytes.get_mut(length..MINIMUM_FRAME as usize)?.fill(0);
            length = MINIMUM_FRAME as usize;
        }
        let length = length as u32;
        let mdl = self.segment_pages.page(number)?.describe(0, length);
        list.first()?.set_data(mdl, length);
        Some(())
    }
}

fn verdict(verdict: Verdict, good: u32, bad: u32) -> u32 {
    match verdict {
        Verdict::NotChecked => 0,
        Verdict::Good => good,
        Verdict::Bad => bad,
    }
}

/// Says of a frame what goes beside it.
fn describe(
    list: Nbl,
    headers: &Headers,
    verdicts: u32,
    tag: Tag,
    segments: Option<u16>,
    hash: Option<(u32, u32)>,
) {
    let network = match headers.network.map(|network| network.version) {
        Some(Version::V4) => nbl_flags::IS_IPV4,
        Some(Version::V6) => nbl_flags::IS_IPV6,
        None => 0,
    };
    let transport = match headers.transport.map(|transport| transport.kind) {
        Some(Kind::Tcp) => nbl_flags::IS_TCP,
        Some(Kind::Udp) => nbl_flags::IS_UDP,
        None => 0,
    };
    list.set_flags(network | transport);
    list.set_status(ndis_sys::status::SUCCESS);
    let verdicts = match segments {
        // A unit of joined segments always says that its checksums are right.
        Some(_) => receive_checksum::IP_SUCCEEDED | receive_checksum::TCP_SUCCEEDED,
        None => verdicts,
    };
    list.set_info(slot::TCP_IP_CHECKSUM, verdicts);
    list.set_info(slot::IEEE_8021Q, tag.0);
    list.set_info(slot::TCP_RECV_SEG_COALESCE, segments.map_or(0, u32::from));
    let (information, value) = hash.unwrap_or((0, 0));
    list.set_info(slot::HASH_INFO, information);
    list.set_info(slot::HASH_VALUE, value);
}
