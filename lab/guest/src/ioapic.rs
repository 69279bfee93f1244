//! I/O APICs. Intel 82093AA datasheet, section 3.2.

use ntexec::machine::LineConfig;
use ntexec::sync::Lock;

const SELECT: usize = 0;
const WINDOW: usize = 0x10;
const VERSION: u32 = 1;
const REDIRECTION: u32 = 0x10;
const MASKED: u32 = 1 << 16;
const LEVEL: u32 = 1 << 15;
const ACTIVE_LOW: u32 = 1 << 13;

#[derive(Clone, Copy)]
struct Unit {
    page: usize,
    base: u32,
    inputs: u32,
}

const MAX: usize = 4;
static UNITS: Lock<[Unit; MAX]> = Lock::new(
    [Unit {
        page: 0,
        base: 0,
        inputs: 0,
    }; MAX],
);

impl Unit {
    fn read(&self, register: u32) -> u32 {
        // SAFETY: `add` was given the mapped page of an I/O APIC.
        unsafe {
            ((self.page + SELECT) as *mut u32).write_volatile(register);
            ((self.page + WINDOW) as *const u32).read_volatile()
        }
    }

    fn write(&self, register: u32, value: u32) {
        // SAFETY: as for `read`.
        unsafe {
            ((self.page + SELECT) as *mut u32).write_volatile(register);
            ((self.page + WINDOW) as *mut u32).write_volatile(value);
        }
    }
}

/// Takes an I/O APIC whose page is mapped at `page` and whose first input is `base`; masks all its inputs.
pub fn add(page: usize, base: u32) {
    let mut units = UNITS.lock();
    let mut unit = Unit {
        page,
        base,
        inputs: 0,
    };
    unit.inputs = (unit.read(VERSION) >> 16 & 0xFF) + 1;
    for input in 0..unit.inputs {
        unit.write(REDIRECTION + input * 2, MASKED);
    }
    if let Some(slot) = units.iter_mut().find(|u| u.page == 0) {
        *slot = unit;
    }
}

fn with_input<R>(gsi: u32, f: impl FnOnce(&Unit, u32) -> R) -> Option<R> {
    let units = UNITS.lock();
    let unit = units
        .iter()
        .find(|u| u.page != 0 && (u.base..u.base + u.inputs).contains(&gsi))?;
    Some(f(unit, REDIRECTION + (gsi - unit.base) * 2))
}

/// Programs an input and unmasks it. False if there is none of that number.
pub fn connect(line: &LineConfig, apic_id: u32) -> bool {
    let low = u32::from(line.vector)
        | if line.level { LEVEL } else { 0 }
        | if line.active_low { ACTIVE_LOW } else { 0 };
    with_input(line.gsi, |unit, register| {
        unit.write(register, MASKED);
        unit.write(register + 1, apic_id << 24);
        unit.write(register, low);
    })
    .is_some()
}

/// Masks an input.
pub fn disconnect(gsi: u32) {
    with_input(gsi, |unit, register| unit.write(register, MASKED));
}
