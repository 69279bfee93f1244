//! The machine's resources: vectors, lines, addresses.

use alloc::collections::BTreeMap;

use super::resources::{Arbiter, Assigned, Interrupt};
use crate::io::interrupt::{Source, set_source};
use crate::ke::interrupt::{allocate_vector, free_vector};
use crate::machine::LineConfig;
use crate::sync::Lock;

struct Line {
    interrupt: Interrupt,
    users: u32,
}

struct State {
    lines: BTreeMap<u32, Line>,
    memory: u64,
    ports: u64,
}

/// Where ranges that a device leaves open begin: above all RAM that the lab gives a guest and below the BARs that the
/// firmware places.
const FREE_MEMORY: u64 = 0xc000_0000;
const FREE_PORTS: u64 = 0x2000;

static STATE: Lock<State> = Lock::new(State {
    lines: BTreeMap::new(),
    memory: FREE_MEMORY,
    ports: FREE_PORTS,
});

/// Lines that an I/O APIC can have; what lies above is a driver's "any".
const LINES: u32 = 256;

/// The machine's arbiter.
pub struct Machine;

fn place(next: &mut u64, length: u32, alignment: u32, range: (u64, u64)) -> Option<u64> {
    let length = u64::from(length.max(1));
    if range.1.checked_sub(range.0)? < length - 1 {
        return None;
    }
    if range.1 - range.0 == length - 1 {
        return Some(range.0);
    }
    let alignment = u64::from(alignment.max(1)).max(16);
    let start = range.0.max(*next).checked_next_multiple_of(alignment)?;
    let start = if start + (length - 1) <= range.1 {
        start
    } else {
        range.0.checked_next_multiple_of(alignment)?
    };
    if start + (length - 1) > range.1 {
        return None;
    }
    *next = (*next).max(start + length);
    Some(start)
}

impl Arbiter for Machine {
    fn line(&mut self, range: (u32, u32), level: bool) -> Option<(u32, Interrupt)> {
        let real = range.0 == range.1 && range.0 < LINES;
        let mut state = STATE.lock();
        if real && let Some(line) = state.lines.get_mut(&range.0) {
            line.users += 1;
            return Some((range.0, line.interrupt));
        }
        let (vector, irql) = allocate_vector(1)?;
        let interrupt = Interrupt {
            vector,
            irql,
            affinity: 1,
            message: false,
            level,
        };
        let config = LineConfig {
            gsi: range.0,
            vector,
            level,
            active_low: level,
            cpu: 0,
        };
        set_source(
            vector,
            Some(Source {
                level,
                line: real.then_some(config),
            }),
        );
        if real {
            state.lines.insert(
                range.0,
                Line {
                    interrupt,
                    users: 1,
                },
            );
        }
        Some((range.0, interrupt))
    }

    fn message(&mut self, processors: usize) -> Option<Interrupt> {
        let all = crate::ke::thread::all_processors();
        let affinity = if processors & all == 0 {
            all
        } else {
            processors & all
        };
        let (vector, irql) = allocate_vector(affinity)?;
        set_source(
            vector,
            Some(Source {
                level: false,
                line: None,
            }),
        );
        Some(Interrupt {
            vector,
            irql,
            affinity,
            message: true,
            level: false,
        })
    }

    fn memory(&mut self, length: u32, alignment: u32, range: (u64, u64)) -> Option<u64> {
        place(&mut STATE.lock().memory, length, alignment, range)
    }

    fn ports(&mut self, length: u32, alignment: u32, range: (u64, u64)) -> Option<u64> {
        place(&mut STATE.lock().ports, length, alignment, range)
    }
}

/// Takes a device's interrupts back.
pub fn release(assigned: &Assigned) {
    for i in &assigned.interrupts {
        let shared = {
            let mut state = STATE.lock();
            let line = state
                .lines
                .iter()
                .find(|(_, l)| l.interrupt.vector == i.vector)
                .map(|(n, _)| *n);
            match line.and_then(|n| state.lines.get_mut(&n).map(|l| (n, l))) {
                Some((_, line)) if line.users > 1 => {
                    line.users -= 1;
                    true
                }
                Some((n, _)) => {
                    state.lines.remove(&n);
                    false
                }
                None => false,
            }
        };
        if !shared {
            set_source(i.vector, None);
            free_vector(i.vector);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_range_is_given_as_it_is_and_an_open_one_is_placed() {
        let mut next = FREE_MEMORY;
        assert_eq!(place(&mut next, 0x100, 1, (0xc000, 0xc0ff)), Some(0xc000));
        assert_eq!(
            place(&mut next, 0x1000, 0x1000, (0, u64::from(u32::MAX))),
            Some(FREE_MEMORY)
        );
        assert_eq!(
            place(&mut next, 0x1000, 0x1000, (0, u64::from(u32::MAX))),
            Some(FREE_MEMORY + 0x1000)
        );
        assert_eq!(place(&mut next, 0x1000, 1, (0, 0xfff)), Some(0));
        assert_eq!(place(&mut next, 0x1000, 1, (0, 0xffe)), None);
    }
}
