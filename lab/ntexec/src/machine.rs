//! What the executive needs from the machine that it runs on.
//!
//! `lab/guest` implements [`Machine`] on bare metal; everything above it is the same wherever the executive runs.
//! The machine calls back through [`crate::hal`]: `hal::on_interrupt`, `hal::on_exception`, `hal::start`.

use core::sync::atomic::{AtomicPtr, Ordering};

/// Size of a page in bytes.
pub const PAGE_SIZE: usize = 4096;

/// A run of physical memory that the firmware's map calls usable RAM, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRange {
    /// First byte; page aligned.
    pub base: u64,
    /// Length; a multiple of the page size.
    pub len: u64,
    /// True where the executive may take pages; false where image, boot tables and bundle lie.
    pub free: bool,
}

/// Cache type of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// Write back.
    Cached,
    /// Uncached (UC).
    NonCached,
    /// Write combining.
    WriteCombined,
}

/// Access that a mapping allows. Nothing is both writable and executable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// Read only, no execute.
    Read,
    /// Read and write, no execute.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
}

/// Why a mapping was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No page for a page table.
    OutOfMemory,
    /// Something is mapped there already.
    InUse,
    /// Nothing is mapped there.
    NotMapped,
}

/// How a PCI interrupt line or an ISA line reaches the processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineConfig {
    /// Global system interrupt (IOAPIC input).
    pub gsi: u32,
    /// Vector that the line raises.
    pub vector: u8,
    /// True: level triggered (and shareable).
    pub level: bool,
    /// True: active low, as PCI lines are.
    pub active_low: bool,
    /// Index of the processor that takes it.
    pub cpu: usize,
}

/// Registers at an interrupt or exception, in the order that the machine's entry code saves them.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

/// The machine. All methods may be called at any IRQL unless they say otherwise.
pub trait Machine: Sync {
    /// Writes `line` (one whole framed line, with its newline) to the log.
    fn log(&self, line: &[u8]);
    /// The next byte on COM1, if one has come.
    fn com1_byte(&self) -> Option<u8>;

    /// Number of processors that run.
    fn cpu_count(&self) -> usize;
    /// Index of the processor that this runs on.
    fn current_cpu(&self) -> usize;
    /// Local APIC id of a processor.
    fn apic_id(&self, cpu: usize) -> u32;
    /// ACPI processor id (MADT) of a processor.
    fn acpi_processor_id(&self, cpu: usize) -> u32;
    /// Clears IF; true if it was set.
    fn disable_interrupts(&self) -> bool;
    /// Sets IF.
    fn enable_interrupts(&self);
    /// Sets IF and waits for an interrupt. Called with IF clear.
    fn halt(&self);
    /// A hint in a spinning loop; `spins` counts from 0, so that a long wait can give the processor away.
    fn relax(&self, spins: u32);
    /// Raises `vector` on `cpu`.
    fn send_ipi(&self, cpu: usize, vector: u8);
    /// Raises a non-maskable interrupt on every other processor, which ends in `hal::on_exception` there.
    fn stop_others(&self);
    /// Signals the end of the interrupt in service.
    fn end_of_interrupt(&self);
    /// Points GS at `pcr` on this processor (for hosted machines: the equivalent).
    fn set_pcr(&self, pcr: *mut u8);
    /// Starts the periodic tick on this processor: `vector` every `period` units of 100 ns.
    fn start_tick(&self, vector: u8, period: u32);

    /// Programs an IOAPIC input; it starts unmasked. False if there is no such input.
    fn connect_line(&self, line: &LineConfig) -> bool;
    /// Masks an IOAPIC input.
    fn disconnect_line(&self, gsi: u32);
    /// The GSI of a PCI function's interrupt pin (`pin` 1..=4 for INTA..INTD), by the machine's wiring.
    fn pci_line(&self, device: u8, pin: u8) -> u32;
    /// Address and data of a message-signalled interrupt for `vector` on `cpu`.
    fn message(&self, cpu: usize, vector: u8) -> (u64, u32);

    /// Physical memory as the firmware describes it, ordered, without overlaps.
    fn memory_map(&self) -> &[MemoryRange];
    /// Where physical address 0 is mapped: all RAM is mapped there, read-write, cached, no execute.
    fn direct_map(&self) -> usize;
    /// Maps one page. Page tables come from [`crate::mm::phys`].
    fn map_page(
        &self,
        va: usize,
        pa: u64,
        protection: Protection,
        caching: Caching,
    ) -> Result<(), MapError>;
    /// Changes a mapped page's protection.
    fn protect_page(&self, va: usize, protection: Protection) -> Result<(), MapError>;
    /// Takes a mapping away and flushes it on every processor; gives the physical address.
    fn unmap_page(&self, va: usize) -> Result<u64, MapError>;
    /// The physical address that `va` is mapped to.
    fn translate(&self, va: usize) -> Option<u64>;

    /// Time stamp counter.
    fn tsc(&self) -> u64;
    /// Its frequency in Hz.
    fn tsc_frequency(&self) -> u64;
    /// Wall clock in units of 100 ns since 1601-01-01 UTC, as read at start.
    fn boot_time(&self) -> u64;

    /// PCI configuration space: a 32-bit read at `offset` (a multiple of 4).
    fn pci_read(&self, bus: u8, device: u8, function: u8, offset: u16) -> u32;
    /// PCI configuration space: a 32-bit write at `offset` (a multiple of 4).
    fn pci_write(&self, bus: u8, device: u8, function: u8, offset: u16, value: u32);
    /// Reads a port of 1, 2 or 4 bytes' width.
    fn port_in(&self, port: u16, width: u8) -> u32;
    /// Writes a port of 1, 2 or 4 bytes' width.
    fn port_out(&self, port: u16, width: u8, value: u32);

    /// The modules (multiboot) that came with the image, as memory that stays.
    fn bundle(&self) -> &'static [u8];
    /// Powers the machine off.
    fn power_off(&self) -> !;
    /// Ends the machine after a bug check, so that whoever watches it can tell.
    fn crash(&self) -> !;
    /// Resets the machine.
    fn reset(&self) -> !;
}

struct Slot(AtomicPtr<&'static dyn Machine>);
static MACHINE: Slot = Slot(AtomicPtr::new(core::ptr::null_mut()));

/// Makes `machine` the one that [`machine`] gives. Once, before anything else of the executive.
pub fn install(machine: &'static &'static dyn Machine) {
    MACHINE
        .0
        .store(core::ptr::from_ref(machine).cast_mut(), Ordering::Release);
}

/// The machine, if one was installed.
pub fn try_machine() -> Option<&'static dyn Machine> {
    let p = MACHINE.0.load(Ordering::Acquire);
    // SAFETY: `install` stored a `&'static &'static dyn Machine`, or the pointer is null.
    unsafe { p.as_ref() }.copied()
}

/// The machine. Panics before [`install`].
pub fn machine() -> &'static dyn Machine {
    try_machine().expect("no machine installed")
}
