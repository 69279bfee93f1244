//! One unit's queue, as [Queue Management] describes it: how many requests may be out, what holds them, what thaws it.
//!
//! The queue decides and nothing else: it never touches an SRB. Times are in units of 100 ns of the interrupt time.

use alloc::collections::VecDeque;

/// Marks of a waiting request that let it pass a hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bypass {
    /// SRB_FLAGS_BYPASS_FROZEN_QUEUE
    pub frozen: bool,
    /// SRB_FLAGS_BYPASS_LOCKED_QUEUE
    pub locked: bool,
}

/// What holds a unit's or the adapter's requests back for a while: pauses and "busy until some are back".
#[derive(Debug)]
pub struct Gate {
    outstanding: u32,
    /// Not to be talked to, until then (`u64::MAX`: until it is resumed).
    paused_until: Option<u64>,
    /// Until so many more requests have come back, or all.
    busy: Option<u32>,
}

impl Gate {
    /// An open gate.
    pub const fn new() -> Self {
        Self {
            outstanding: 0,
            paused_until: None,
            busy: None,
        }
    }

    /// Requests that are out.
    pub fn outstanding(&self) -> u32 {
        self.outstanding
    }

    /// StorPortPause, StorPortPauseDevice, and the pause after SCSI status BUSY.
    pub fn pause(&mut self, until: u64) {
        self.paused_until = Some(until);
    }

    /// StorPortResume, StorPortResumeDevice; false if it was not paused.
    pub fn resume(&mut self) -> bool {
        self.paused_until.take().is_some()
    }

    /// StorPortBusy, StorPortDeviceBusy: nothing goes out until `count` of the outstanding requests are back, or all of
    /// them if they are fewer.
    pub fn set_busy(&mut self, count: u32) {
        let left = count.min(self.outstanding);
        self.busy = (left > 0).then_some(left);
    }

    /// StorPortReady, StorPortDeviceReady; false if it was not busy.
    pub fn ready(&mut self) -> bool {
        self.busy.take().is_some()
    }

    /// True if a request may pass now.
    pub fn is_open(&mut self, now: u64) -> bool {
        if self.paused_until.is_some_and(|until| until <= now) {
            self.paused_until = None;
        }
        self.paused_until.is_none() && self.busy.is_none()
    }

    /// A request goes out.
    pub fn goes_out(&mut self) {
        self.outstanding += 1;
    }

    /// A request came back.
    pub fn came_back(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
        if let Some(left) = &mut self.busy {
            *left = left.saturating_sub(1);
            if *left == 0 || self.outstanding == 0 {
                self.busy = None;
            }
        }
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

/// The queue of a unit; `T` names a request.
#[derive(Debug)]
pub struct UnitQueue<T> {
    waiting: VecDeque<(T, Bypass)>,
    /// Pauses, and the count of what is out
    pub gate: Gate,
    depth: u32,
    frozen: bool,
    locked: bool,
    /// A reset runs: nothing goes out.
    resetting: bool,
}

impl<T> UnitQueue<T> {
    /// An empty queue that lets `depth` requests out.
    pub const fn new(depth: u32) -> Self {
        Self {
            waiting: VecDeque::new(),
            gate: Gate::new(),
            depth: if depth == 0 { 1 } else { depth },
            frozen: false,
            locked: false,
            resetting: false,
        }
    }

    /// Adds a request at the end, or at the front if it is head-of-queue or comes again after BUSY.
    pub fn push(&mut self, request: T, bypass: Bypass, front: bool) {
        if front {
            self.waiting.push_front((request, bypass));
        } else {
            self.waiting.push_back((request, bypass));
        }
    }

    /// StorPortSetDeviceQueueDepth; false for 0.
    pub fn set_depth(&mut self, depth: u32) -> bool {
        if depth != 0 {
            self.depth = depth;
        }
        depth != 0
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Stops after a failed request, until it is thawed.
    pub fn freeze(&mut self) {
        self.frozen = true;
    }

    /// RELEASE_QUEUE, FLUSH_QUEUE.
    pub fn thaw(&mut self) {
        self.frozen = false;
    }

    /// LOCK_QUEUE and UNLOCK_QUEUE.
    pub fn set_locked(&mut self, locked: bool) {
        self.locked = locked;
    }

    /// A reset begins or ends.
    pub fn set_resetting(&mut self, resetting: bool) {
        self.resetting = resetting;
    }

    /// The next request that may go out now; it counts as outstanding from here on.
    pub fn next(&mut self, now: u64) -> Option<T> {
        let open = self.gate.is_open(now);
        if self.resetting || !open || self.gate.outstanding() >= self.depth {
            return None;
        }
        let (frozen, locked) = (self.frozen, self.locked);
        let at = self
            .waiting
            .iter()
            .position(|(_, bypass)| (!frozen || bypass.frozen) && (!locked || bypass.locked))?;
        let (request, _) = self.waiting.remove(at)?;
        self.gate.goes_out();
        Some(request)
    }

    /// Takes every waiting request out, to be failed.
    pub fn drain(&mut self) -> VecDeque<(T, Bypass)> {
        core::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    extern crate std;
    use std::vec::Vec;

    fn filled(depth: u32, count: u32) -> UnitQueue<u32> {
        let mut queue = UnitQueue::new(depth);
        (0..count).for_each(|i| queue.push(i, Bypass::default(), false));
        queue
    }

    fn out(queue: &mut UnitQueue<u32>, now: u64) -> Vec<u32> {
        core::iter::from_fn(|| queue.next(now)).collect()
    }

    #[test]
    fn no_more_go_out_than_the_depth_allows_and_in_order() {
        let mut queue = filled(2, 4);
        assert_eq!(out(&mut queue, 0), [0, 1]);
        queue.gate.came_back();
        assert_eq!(out(&mut queue, 0), [2]);
        assert!(queue.set_depth(8));
        assert_eq!(out(&mut queue, 0), [3]);
        assert!(!queue.set_depth(0));
    }

    #[test]
    fn a_frozen_queue_lets_only_bypassing_requests_out() {
        let mut queue = filled(8, 1);
        queue.freeze();
        queue.push(
            9,
            Bypass {
                frozen: true,
                locked: false,
            },
            false,
        );
        assert_eq!(out(&mut queue, 0), [9]);
        queue.thaw();
        assert_eq!(out(&mut queue, 0), [0]);
    }

    #[test]
    fn a_locked_queue_lets_only_its_own_bypass_through() {
        let mut queue = filled(8, 1);
        queue.set_locked(true);
        queue.push(
            5,
            Bypass {
                frozen: true,
                locked: false,
            },
            false,
        );
        queue.push(
            6,
            Bypass {
                frozen: false,
                locked: true,
            },
            false,
        );
        assert_eq!(out(&mut queue, 0), [6]);
        queue.set_locked(false);
        assert_eq!(out(&mut queue, 0), [0, 5]);
    }

    #[test]
    fn a_pause_ends_by_itself_or_by_resume() {
        let mut queue = filled(8, 2);
        queue.gate.pause(100);
        assert!(out(&mut queue, 99).is_empty());
        assert_eq!(out(&mut queue, 100), [0, 1]);
        assert!(!queue.gate.resume());
        queue.gate.pause(u64::MAX);
        assert!(queue.gate.resume());
    }

    #[test]
    fn busy_ends_after_the_named_number_came_back_or_all_are_back() {
        let mut queue = filled(3, 6);
        assert_eq!(out(&mut queue, 0), [0, 1, 2]);
        queue.gate.set_busy(2);
        queue.gate.came_back();
        assert!(out(&mut queue, 0).is_empty());
        queue.gate.came_back();
        assert_eq!(out(&mut queue, 0), [3, 4]);
        queue.gate.set_busy(100);
        (0..3).for_each(|_| queue.gate.came_back());
        assert_eq!(out(&mut queue, 0), [5]);
        queue.gate.came_back();
        queue.gate.set_busy(5);
        assert!(!queue.gate.ready(), "nothing is out: busy does not hold");
    }

    #[test]
    fn a_reset_holds_everything() {
        let mut queue = filled(3, 1);
        queue.push(
            1,
            Bypass {
                frozen: true,
                locked: true,
            },
            true,
        );
        queue.set_resetting(true);
        assert!(out(&mut queue, 0).is_empty());
        queue.set_resetting(false);
        assert_eq!(out(&mut queue, 0), [1, 0]);
        assert_eq!(queue.drain().len(), 0);
    }
}
