//! Port I/O and what is reached through it: debug port, COM1, PCI configuration, CMOS clock.

use ntexec::sync::Lock;
use x86_64::instructions::port::Port;

const DEBUG: u16 = 0xE9;
const COM1: u16 = 0x3F8;
const PCI_ADDRESS: u16 = 0xCF8;
const PCI_DATA: u16 = 0xCFC;

/// Writes `line` to the debug port with one instruction: one exit to the hypervisor a line, not one a byte.
pub fn debug_write(line: &[u8]) {
    // SAFETY: the port takes any byte; `rep outsb` reads the slice and changes rsi and rcx only.
    unsafe {
        core::arch::asm!("rep outsb", in("dx") DEBUG, inout("rsi") line.as_ptr() => _, inout("rcx") line.len() => _,
            options(nostack, preserves_flags));
    }
}

/// Reads a port.
pub fn port_in(port: u16, width: u8) -> u32 {
    // SAFETY: what a port does is its caller's business.
    unsafe {
        match width {
            1 => u32::from(Port::<u8>::new(port).read()),
            2 => u32::from(Port::<u16>::new(port).read()),
            _ => Port::<u32>::new(port).read(),
        }
    }
}

/// Writes a port.
pub fn port_out(port: u16, width: u8, value: u32) {
    // SAFETY: as for `port_in`.
    unsafe {
        match width {
            1 => Port::<u8>::new(port).write(value as u8),
            2 => Port::<u16>::new(port).write(value as u16),
            _ => Port::<u32>::new(port).write(value),
        }
    }
}

/// Sets the serial port up: 115200 8n1, FIFO, no interrupts.
pub fn com1_initialize() {
    for (register, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7), (4, 3)] {
        port_out(COM1 + register, 1, value);
    }
}

/// The next byte received.
pub fn com1_byte() -> Option<u8> {
    let status = port_in(COM1 + 5, 1);
    (status != 0xFF && status & 1 != 0).then(|| port_in(COM1, 1) as u8)
}

static PCI: Lock<()> = Lock::new(());

fn pci_select(bus: u8, device: u8, function: u8, offset: u16) {
    let address = 0x8000_0000
        | u32::from(bus) << 16
        | u32::from(device & 31) << 11
        | u32::from(function & 7) << 8
        | u32::from(offset & 0xFC);
    port_out(PCI_ADDRESS, 4, address);
}

/// Reads PCI configuration space (mechanism 1: 256 bytes a function; beyond, all ones).
pub fn pci_read(bus: u8, device: u8, function: u8, offset: u16) -> u32 {
    if offset > 0xFC {
        return u32::MAX;
    }
    let _guard = PCI.lock();
    pci_select(bus, device, function, offset);
    port_in(PCI_DATA, 4)
}

/// Writes PCI configuration space.
pub fn pci_write(bus: u8, device: u8, function: u8, offset: u16, value: u32) {
    if offset > 0xFC {
        return;
    }
    let _guard = PCI.lock();
    pci_select(bus, device, function, offset);
    port_out(PCI_DATA, 4, value);
}

fn cmos(register: u32) -> u32 {
    port_out(0x70, 1, 0x80 | register);
    port_in(0x71, 1)
}

/// The CMOS clock in units of 100 ns since 1601 (it is taken as UTC).
pub fn wall_clock() -> u64 {
    for _ in 0..1_000_000 {
        if cmos(10) & 0x80 == 0 {
            break;
        }
    }
    let status = cmos(11);
    let field = |register| {
        let raw = cmos(register);
        if status & 4 == 0 {
            raw / 16 * 10 + raw % 16
        } else {
            raw
        }
    };
    let [second, minute, hour, day, month, year] = [0, 2, 4, 7, 8, 9].map(|r| u64::from(field(r)));
    let days = days_since_1601(2000 + year, month, day);
    (((days * 24 + hour) * 60 + minute) * 60 + second) * 10_000_000
}

/// Days from 1601-01-01 to a Gregorian date.
fn days_since_1601(year: u64, month: u64, day: u64) -> u64 {
    let y = year - 1601;
    let before = y * 365 + y / 4 - y / 100 + y / 400;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let lengths = [
        31,
        28 + u64::from(leap),
        31,
        30,
        31,
        30,
        31,
        31,
        30,
        31,
        30,
        31,
    ];
    before
        + lengths
            .iter()
            .take(month.saturating_sub(1) as usize)
            .sum::<u64>()
        + day.saturating_sub(1)
}
