//! The control ring: the backend is told how to spread received frames over the queues.

use arrayvec::ArrayVec;
use ndis_sys::rss::hash;
use wdm::alloc::Shared;
use wdm::pages::{PAGE_SIZE, Pages};
use wdm::status::{Result, Status};
use wdm::time;
use xen_abi::netif::HashTypes;
use xen_netfront::ctrl::{Controller, MAPPING_LENGTH, Progress, Ring, Spread, Wanted};
use xen_netfront::publication::ControlKeys;
use xenbus_client::channel::Channel;
use xenbus_client::granter::{Access, Grant, Granter};
use xennet_core::rss::Layout;

use crate::adapter::Adapter;
use crate::queue::RingPage;

/// How long a closed backend may keep the two pages, in tries of 50 ms.
const TRIES: u32 = 40;

/// The adapter whose thread looks after the ring.
struct Waker(*const Adapter);

// SAFETY: an adapter is shared between processors.
unsafe impl Send for Waker {}
// SAFETY: as above.
unsafe impl Sync for Waker {}

impl Waker {
    /// The backend has answered. DISPATCH_LEVEL.
    fn wake(&self) {
        // SAFETY: the adapter outlives the channel, whose routine this is.
        unsafe { &*self.0 }.wake.set();
    }
}

/// A control ring, with the page for keys and mappings. PASSIVE_LEVEL, the adapter's thread only.
pub struct ControlRing {
    vif: u32,
    /// Closed before the pages go.
    channel: Option<Channel<Waker>>,
    controller: Controller<RingPage>,
    granter: Shared<Granter>,
    /// The ring's, and the page's.
    grants: ArrayVec<Grant, 2>,
    pages: ArrayVec<Shared<Pages>, 2>,
    ring: u32,
    /// What came of the last wish was said.
    said: bool,
}

impl ControlRing {
    /// A ring for `domain`.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    ///
    /// # Safety
    /// The adapter outlives the result.
    pub unsafe fn new(adapter: &Adapter, domain: u16) -> Result<Self> {
        let waker = Waker(adapter);
        let channel = Channel::open(adapter.bus.clone(), domain, waker, Waker::wake)?;
        let ring = Shared::new(Pages::new(1)?)?;
        let data = Shared::new(Pages::new(1)?)?;
        let granter = adapter.granter.clone();
        let grant = |pages: &Pages, access| {
            let frame = pages.pfn(0).ok_or(Status::INTERNAL_ERROR)? as u64;
            let grant = granter.grant(domain, frame, access);
            grant.ok_or(Status::INSUFFICIENT_RESOURCES)
        };
        let memory = RingPage(ring.clone());
        let front = Ring::new(memory).map_err(|_| Status::INVALID_PARAMETER)?;
        // Nobody was told of the first grant if there is no second.
        let first = grant(&ring, Access::ReadWrite)?;
        let second = match grant(&data, Access::ReadOnly) {
            Ok(second) => second,
            Err(status) => {
                if granter.end(first).is_err() {
                    core::mem::forget(ring);
                }
                return Err(status);
            }
        };
        let reference = granter.reference(first);
        Ok(Self {
            vif: adapter.vif,
            channel: Some(channel),
            controller: Controller::new(front, granter.reference(second)),
            granter,
            grants: ArrayVec::from([first, second]),
            pages: ArrayVec::from([ring, data]),
            ring: reference,
            said: true,
        })
    }

    /// What the backend is told of it.
    pub fn keys(&self) -> ControlKeys {
        ControlKeys {
            ring: self.ring,
            event: self.channel.as_ref().map_or(0, Channel::port),
        }
    }

    /// Wants frames spread so, over so many queues; `None`: as the backend likes.
    pub fn want(&mut self, spread: Option<(Layout, [u8; 40], u32)>, queues: usize) {
        let spread = spread.filter(|_| queues > 1);
        self.controller.want(match spread {
            None => Wanted::Nothing,
            Some((layout, key, types)) => {
                let mut mapping = [0; MAPPING_LENGTH];
                for (to, from) in mapping.iter_mut().zip(layout.mapping) {
                    *to = from;
                }
                Wanted::Spread(Spread {
                    types: types_of(types),
                    key,
                    mapping,
                    entries: u8::try_from(layout.entries).unwrap_or(0),
                })
            }
        });
        self.said = false;
    }

    /// Takes answers and asks what comes next. The time in milliseconds of the answer's deadline, if one is awaited.
    pub fn advance(&mut self, now: u64) -> Option<u64> {
        let data = self.pages.last()?.as_ptr();
        // SAFETY: the page is this value's, and the backend only reads it.
        let page = unsafe { core::slice::from_raw_parts_mut(data.as_ptr(), PAGE_SIZE) };
        let advanced = self.controller.advance(page, now);
        if let Some(channel) = &self.channel {
            if advanced.notify {
                channel.send();
            }
            channel.unmask();
        }
        let vif = self.vif;
        match advanced.progress {
            Progress::Waits(until) => return Some(until),
            Progress::Done(_) if !self.said => {
                wdm::info!("vif {vif}: the backend spreads frames as it was told");
            }
            Progress::Failed(failure) if !self.said => {
                wdm::warn!("vif {vif}: frames are spread as the backend likes: {failure}");
            }
            Progress::Done(_) | Progress::Failed(_) => {}
        }
        self.said = true;
        None
    }
}

impl Drop for ControlRing {
    fn drop(&mut self) {
        self.channel = None;
        for _ in 0..TRIES {
            let granter = &self.granter;
            self.grants.retain(|grant| granter.end(*grant).is_err());
            if self.grants.is_empty() {
                return;
            }
            time::sleep(core::time::Duration::from_millis(50));
        }
        let (vif, kept) = (self.vif, self.grants.len());
        wdm::error!(
            "vif {vif}: the backend keeps {kept} pages of the control ring; they are left to it"
        );
        for page in self.pages.drain(..) {
            core::mem::forget(page);
        }
    }
}

/// NDIS' kinds of hashes as Xen's.
pub fn types_of(types: u32) -> HashTypes {
    let mut set = HashTypes::empty();
    for (kind, flag) in [
        (hash::IPV4, HashTypes::IPV4),
        (hash::TCP_IPV4, HashTypes::IPV4_TCP),
        (hash::IPV6, HashTypes::IPV6),
        (hash::TCP_IPV6, HashTypes::IPV6_TCP),
    ] {
        set.set(flag, types & kind != 0);
    }
    set
}
