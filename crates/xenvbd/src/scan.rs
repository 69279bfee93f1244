//! Which virtual block devices there are: the adapter's scan thread.

use core::sync::atomic::Ordering;
use core::time::Duration;

use rust_alloc::vec::Vec;
use wdm::alloc::Shared;
use wdm::event::Event;
use wdm::thread::Thread;
use wdm::time;
use xen_blkfront::keys::decimal;
use xen_blkfront::vdev::disk_number;
use xenbus_client::store::Store;

use crate::adapter::{BusChange, Running, TARGETS};
use crate::disk::Disk;
use crate::frontend;

/// Disks that may have an emulated twin: xl gives the first four one.
const TWINS: u32 = 4;
/// How long the scan sleeps without a change in xenstore.
const IDLE: Duration = Duration::from_secs(60);
/// How long the first scan waits for its disks to be connected, or given up.
const SETTLE: Duration = Duration::from_secs(20);

/// A disk with its thread.
struct Entry {
    disk: Shared<Disk>,
    thread: Option<Thread>,
}

/// What the scan knows.
struct Scan<'a> {
    running: &'a Running,
    entries: Vec<Entry>,
    /// Numbers that were looked at and left alone, so that the log says it once.
    ignored: Vec<u32>,
    rebooting: bool,
}

/// The thread's body. PASSIVE_LEVEL.
pub fn run(running: &Running, wake: &Event, settled: &Event) {
    let store = Store::new(&running.bus.store);
    let mut scan = Scan {
        running,
        entries: Vec::new(),
        ignored: Vec::new(),
        rebooting: false,
    };
    let watch = store.watch(format_args!("device/vbd"), wake);
    if let Err(status) = &watch {
        wdm::error!(
            "device/vbd cannot be watched: {status}; disks that come later are found with delay"
        );
    }
    scan.once(store);
    scan.wait_until_settled();
    settled.set();
    while !running.stopping.load(Ordering::Acquire) {
        wake.wait(IDLE);
        scan.once(store);
    }
    drop(watch);
    scan.stop();
}

impl Scan<'_> {
    fn once(&mut self, store: Store<'_>) {
        if self.running.stopping.load(Ordering::Acquire) {
            return;
        }
        let mut present = Vec::new();
        match store.directory(format_args!("device/vbd")) {
            Ok(names) => {
                for name in names.iter() {
                    let number = decimal(name).and_then(|n| u32::try_from(n).ok());
                    if let Some(vdev) = number
                        && present.try_reserve(1).is_ok()
                    {
                        present.push(vdev);
                    }
                }
            }
            Err(wdm::status::Status::OBJECT_NAME_NOT_FOUND) => {}
            Err(status) => {
                wdm::error!("device/vbd cannot be read: {status}");
                return;
            }
        }
        self.forget(&present);
        for vdev in present {
            let known = self.entries.iter().any(|entry| entry.disk.vdev == vdev);
            if !known && !self.ignored.contains(&vdev) {
                self.consider(store, vdev);
            }
        }
    }

    /// Takes away disks whose directory is gone.
    fn forget(&mut self, present: &[u32]) {
        self.ignored.retain(|vdev| present.contains(vdev));
        while let Some(index) = self
            .entries
            .iter()
            .position(|e| !present.contains(&e.disk.vdev))
        {
            let entry = self.entries.swap_remove(index);
            wdm::info!("vbd {}: gone", entry.disk.vdev);
            self.end(entry);
            self.running.changed.detected();
        }
    }

    /// Looks at a new device.
    fn consider(&mut self, store: Store<'_>, vdev: u32) {
        let kind = store.read(format_args!("device/vbd/{vdev}/device-type"));
        let is_disk = kind.is_ok_and(|kind| kind.as_ref() == b"disk");
        let number = disk_number(vdev);
        match number
            .and_then(|n| u8::try_from(n).ok())
            .filter(|n| usize::from(*n) < TARGETS)
        {
            _ if !is_disk => self.ignore(vdev, "it is no disk"),
            None => self.ignore(
                vdev,
                "its number is none of a disk that fits on the adapter",
            ),
            Some(target) if self.has_twin(u32::from(target)) => self.unplug_first(vdev),
            Some(target) => self.add(vdev, target),
        }
    }

    fn ignore(&mut self, vdev: u32, why: &str) {
        wdm::info!("vbd {vdev}: left alone: {why}");
        if self.ignored.try_reserve(1).is_ok() {
            self.ignored.push(vdev);
        }
    }

    /// An emulated disk with the same contents may be in use. Two disks of one image would ruin it.
    fn has_twin(&self, number: u32) -> bool {
        number < TWINS && !self.running.unplugged
    }

    /// The unplug is asked for when the adapter starts; it happens at the next boot.
    fn unplug_first(&mut self, vdev: u32) {
        self.ignore(
            vdev,
            "its emulated twin is still there; it can be used after a reboot",
        );
        if !core::mem::replace(&mut self.rebooting, true) {
            self.running.bus.request_reboot(c"XENVBD");
        }
    }

    fn add(&mut self, vdev: u32, target: u8) {
        if self.running.has(target) {
            self.ignore(vdev, "another device has its target");
            return;
        }
        let extension = self.running.extension;
        let added = Disk::new(extension, self.running.bus.clone(), vdev, target).and_then(|disk| {
            self.entries
                .try_reserve(1)
                .map_err(|_| wdm::status::Status::INSUFFICIENT_RESOURCES)?;
            let (body, changed) = (disk.clone(), BusChange(extension));
            let thread = Thread::spawn("vbd", move |_| frontend::run(&body, &changed))?;
            self.running.put(target, Some(disk.clone()));
            self.entries.push(Entry {
                disk,
                thread: Some(thread),
            });
            Ok(())
        });
        if let Err(status) = added {
            wdm::error!("vbd {vdev}: cannot be served: {status}");
        }
    }

    /// Waits until every disk of the first scan is connected or given up, so that StorPort's first scan finds them.
    fn wait_until_settled(&self) {
        let start = time::interrupt_time();
        for entry in &self.entries {
            let left = SETTLE.saturating_sub(time::since(start));
            if !entry.disk.settled.wait(left) {
                wdm::warn!(
                    "vbd {}: not connected after {} s",
                    entry.disk.vdev,
                    SETTLE.as_secs()
                );
            }
        }
    }

    /// Ends a disk's thread and takes the disk off the adapter.
    fn end(&self, mut entry: Entry) {
        entry.disk.stopping.store(true, Ordering::Release);
        entry.disk.wake.set();
        drop(entry.thread.take());
        // The adapter's reference goes when no routine of StorPort's uses the disk any more.
        let taken = self.running.put(entry.disk.target, None);
        while !entry.disk.is_unused() {
            time::sleep(Duration::from_millis(1));
        }
        drop(taken);
    }

    fn stop(&mut self) {
        // All at once: each may have to wait for its backend.
        for entry in &self.entries {
            entry.disk.stopping.store(true, Ordering::Release);
            entry.disk.wake.set();
        }
        while let Some(entry) = self.entries.pop() {
            self.end(entry);
        }
    }
}
