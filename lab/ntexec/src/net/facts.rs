//! What is known of a bound adapter, and its reports to the host.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use lab_protocol::net::Counters;
use lab_protocol::net::Nic;
use lab_protocol::record::Record;
use smoltcp::wire::IpCidr;

use super::endpoint::{Endpoint, Terms};
use super::offload::Offloads;
use crate::ndis::protocol::Info;
use crate::nt::ndis::*;
use crate::storport::os::{SECOND, cpu_count, now};
use crate::sync::Lock;

/// How often the statistics are asked for, as programs that show them do.
const STATISTICS_EVERY: u64 = 2 * SECOND;

/// What was last seen and reported.
pub struct Facts {
    reported: Lock<Option<Nic>>,
    statistics: Lock<Option<NDIS_STATISTICS_INFO>>,
    asked: AtomicU64,
    /// The addresses that the adapter was told
    pub(super) told: Lock<Vec<IpCidr>>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            reported: Lock::new(None),
            statistics: Lock::new(None),
            asked: AtomicU64::new(0),
            told: Lock::new(Vec::new()),
        }
    }
}

/// The terms that an adapter's facts make.
pub(crate) fn terms(info: &Info) -> Terms {
    /// Below this not even headers fit (RFC 791 asks for 576).
    const SMALLEST_MTU: usize = 576;
    Terms {
        mtu: (info.mtu as usize).max(SMALLEST_MTU),
        offloads: Offloads::of(&info.offload),
    }
}

/// A value of the device's hardware key.
fn of_device(instance: &str, name: &str) -> String {
    let key = alloc::format!("\\Registry\\Machine\\System\\CurrentControlSet\\Enum\\{instance}");
    crate::cm::read(|hive| hive.string(&key, name)).unwrap_or_default()
}

fn mac(address: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = address;
    alloc::format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

fn describe(nic: u32, info: &Info) -> Nic {
    let speed = info.link.xmit_speed;
    Nic {
        nic,
        driver: of_device(&info.instance, "Service"),
        description: of_device(&info.instance, "DeviceDesc"),
        mac: mac(info.current_address),
        mtu: info.mtu,
        speed: if speed == u64::MAX { 0 } else { speed },
        link: info.link.connected,
        queues: info.rss.as_ref().map_or(0, |rss| rss.NumberOfReceiveQueues),
        offloads: Offloads::of(&info.offload).names(),
    }
}

impl Endpoint {
    /// Looks at what may have changed, and tells the stack and the host. PASSIVE_LEVEL.
    pub fn refresh(&self) {
        let Some(info) = self.binding.info() else {
            return;
        };
        self.link.store(info.link.connected, Ordering::SeqCst);
        self.set_terms(terms(&info));
        let Some(nic) = super::bind::number_of(self.permanent) else {
            return;
        };
        let now = describe(nic, &info);
        let before = self.facts.reported.lock().replace(now.clone());
        if before.as_ref() != Some(&now) {
            crate::check::emit(&Record::Nic(now));
        }
    }

    /// Asks for the statistics; without an answer those of the last time are kept. PASSIVE_LEVEL.
    pub fn statistics(&self) -> Option<NDIS_STATISTICS_INFO> {
        if let Ok(statistics) = self.binding.statistics() {
            *self.facts.statistics.lock() = Some(statistics);
        }
        *self.facts.statistics.lock()
    }

    /// Its counters; `None` if it is none of the plan's, or never told its statistics. PASSIVE_LEVEL.
    pub fn counters(&self) -> Option<Counters> {
        let nic = super::bind::number_of(self.permanent)?;
        let statistics = self.statistics()?;
        Some(self.counts.report(nic, cpu_count(), &statistics))
    }

    /// Reports the counters to the host. PASSIVE_LEVEL.
    pub fn report_counters(&self) {
        let Some(counters) = self.counters() else {
            return;
        };
        let nic = counters.nic;
        crate::check::emit(&Record::Counters(counters));
        crate::kd::text(&alloc::format!("net: nic {nic}: {}", self.counts.line()));
    }

    /// What the thread does each time.
    pub(super) fn look_after(self: &Arc<Self>) {
        if !self.running.load(Ordering::SeqCst) {
            return;
        }
        if self.changed.swap(false, Ordering::SeqCst) {
            self.refresh();
        }
        if self.look(|stack| *self.facts.told.lock() != stack.addresses()) {
            super::bind::tell_addresses(self);
        }
        let last = self.facts.asked.load(Ordering::Relaxed);
        if now().saturating_sub(last) >= STATISTICS_EVERY {
            self.facts.asked.store(now(), Ordering::Relaxed);
            self.statistics();
            // Programs that show counters ask for them so; 4 bytes are the old size of these.
            let mut wide = [0; 8];
            let _ = self.binding.query_statistics(OID_GEN_XMIT_OK, &mut wide);
            let _ = self.binding.query(OID_GEN_RCV_OK, &mut wide[..4]);
        }
    }
}
