//! A gate through which frames go while the adapter runs: it counts who is inside, lets nobody in once it is closed, and
//! tells the last one out.

use core::sync::atomic::{AtomicU32, Ordering};

/// The gate is closed.
const CLOSED: u32 = 1 << 31;
/// Somebody waits for the last one out.
const AWAITED: u32 = 1 << 30;
/// Most that can be inside.
const LIMIT: u32 = AWAITED - 1;

/// A gate; closed at first. All of it may be called at any IRQL.
#[derive(Debug)]
pub struct Gate(AtomicU32);

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A closed gate with nobody inside.
    pub const fn new() -> Self {
        Self(AtomicU32::new(CLOSED))
    }

    /// Lets `count` in, or nobody if the gate is closed.
    pub fn enter(&self, count: u32) -> bool {
        let entered = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                let inside = state.checked_add(count)?;
                (inside <= LIMIT).then_some(inside)
            });
        entered.is_ok()
    }

    /// Lets `count` out. True: they were the last, and somebody waits for that, who is to be told.
    #[must_use]
    pub fn leave(&self, count: u32) -> bool {
        let before = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                let inside = (state & LIMIT).checked_sub(count)?;
                let mut after = state & !LIMIT | inside;
                if inside == 0 {
                    after &= !AWAITED;
                }
                Some(after)
            });
        before.is_ok_and(|state| state & LIMIT == count && state & AWAITED != 0)
    }

    /// Closes the gate. True: nobody is inside. False: the last one out is told to tell ([`Self::leave`]).
    #[must_use]
    pub fn close(&self) -> bool {
        let before = self
            .0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| {
                let awaited = if state & LIMIT == 0 { 0 } else { AWAITED };
                Some(state | CLOSED | awaited)
            });
        before.is_ok_and(|state| state & LIMIT == 0)
    }

    /// Opens the gate.
    pub fn open(&self) {
        self.0.fetch_and(!(CLOSED | AWAITED), Ordering::AcqRel);
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire) & CLOSED == 0
    }

    /// How many are inside.
    pub fn inside(&self) -> u32 {
        self.0.load(Ordering::Acquire) & LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::sync::{Arc, Barrier};
    use std::thread;

    #[test]
    fn a_new_gate_is_closed_and_empty() {
        let gate = Gate::new();
        assert!(!gate.is_open() && !gate.enter(1) && gate.inside() == 0);
        assert!(gate.close());
    }

    #[test]
    fn the_last_one_out_of_a_closed_gate_tells() {
        let gate = Gate::new();
        gate.open();
        assert!(gate.enter(2) && gate.enter(1));
        assert!(!gate.close());
        assert!(!gate.enter(1));
        assert!(!gate.leave(2));
        assert!(gate.leave(1));
        assert!(gate.close());
    }

    #[test]
    fn nobody_tells_while_the_gate_is_open() {
        let gate = Gate::new();
        gate.open();
        assert!(gate.enter(1) && !gate.leave(1));
    }

    #[test]
    fn one_who_leaves_without_having_entered_changes_nothing() {
        let gate = Gate::new();
        gate.open();
        assert!(gate.enter(1));
        assert!(!gate.close());
        assert!(!gate.leave(2));
        assert_eq!(gate.inside(), 1);
        assert!(gate.leave(1));
    }

    #[test]
    fn exactly_one_tells_whoever_races() {
        for _ in 0..200 {
            let (gate, told) = (Arc::new(Gate::new()), Arc::new(AtomicU32::new(0)));
            gate.open();
            let barrier = Arc::new(Barrier::new(4));
            let workers: std::vec::Vec<_> = (0..3)
                .map(|_| {
                    let (gate, told, barrier) = (gate.clone(), told.clone(), barrier.clone());
                    thread::spawn(move || {
                        barrier.wait();
                        for _ in 0..50 {
                            if gate.enter(1) && gate.leave(1) {
                                told.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    })
                })
                .collect();
            barrier.wait();
            let empty = gate.close();
            for worker in workers {
                worker.join().expect("no panic");
            }
            assert_eq!(gate.inside(), 0);
            assert_eq!(told.load(Ordering::Relaxed), u32::from(!empty));
        }
    }
}
