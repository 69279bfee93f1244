//! [`ntexec::machine::Machine`] on bare metal.

use crate::{apic, boot, cpu, firmware, ioapic, multiboot, paging, ports, time, xen};
use core::sync::atomic::{AtomicUsize, Ordering};
use ntexec::machine::{Caching, LineConfig, Machine, MapError, MemoryRange, PAGE_SIZE, Protection};
use ntexec::sync::Lock;
use x86_64::instructions::interrupts;

/// Rounds that a line waits for another processor's.
const LOG_PATIENCE: u32 = 1 << 20;

/// The machine, once it is set up.
pub struct Guest {
    boot: multiboot::Boot,
    firmware: firmware::Firmware,
    tsc_frequency: u64,
    boot_time: u64,
    timer_hz: u64,
    cpus: AtomicUsize,
    log: Lock<()>,
}

impl Guest {
    /// Puts what start-up found together.
    pub fn new(
        boot: multiboot::Boot,
        firmware: firmware::Firmware,
        tsc_frequency: u64,
        timer_hz: u64,
    ) -> Self {
        let boot_time = ports::wall_clock();
        Self {
            boot,
            firmware,
            tsc_frequency,
            boot_time,
            timer_hz,
            cpus: AtomicUsize::new(1),
            log: Lock::new(()),
        }
    }

    /// Starts the other processors.
    pub fn start_cpus(&self) {
        for index in 1..self.firmware.count {
            if !crate::smp::start(
                index,
                self.firmware.processors[index].apic_id,
                self.tsc_frequency,
            ) {
                return;
            }
            self.cpus.store(index + 1, Ordering::Release);
        }
    }

    /// What the loader passed.
    pub fn boot(&self) -> &multiboot::Boot {
        &self.boot
    }

    fn processor(&self, cpu: usize) -> firmware::Processor {
        self.firmware
            .processors
            .get(cpu)
            .copied()
            .unwrap_or_default()
    }
}

impl Machine for Guest {
    fn log(&self, line: &[u8]) {
        // A bug check stops the other processors, perhaps one that writes: this one goes on all the same.
        let guard = (0..LOG_PATIENCE).find_map(|spins| {
            let guard = self.log.try_lock();
            if guard.is_none() {
                self.relax(spins);
            }
            guard
        });
        ports::debug_write(line);
        drop(guard);
    }

    fn com1_byte(&self) -> Option<u8> {
        ports::com1_byte()
    }

    fn cpu_count(&self) -> usize {
        self.cpus.load(Ordering::Acquire)
    }

    fn current_cpu(&self) -> usize {
        let number: u32;
        // SAFETY: GS points at this processor's KPCR, whose Prcb.Number is at 0x184.
        unsafe {
            core::arch::asm!("mov {0:e}, gs:[0x184]", out(reg) number, options(nostack, readonly, preserves_flags));
        }
        number as usize
    }

    fn apic_id(&self, cpu: usize) -> u32 {
        self.processor(cpu).apic_id
    }

    fn acpi_processor_id(&self, cpu: usize) -> u32 {
        self.processor(cpu).acpi_id
    }

    fn disable_interrupts(&self) -> bool {
        let enabled = interrupts::are_enabled();
        interrupts::disable();
        enabled
    }

    fn enable_interrupts(&self) {
        interrupts::enable();
    }

    fn halt(&self) {
        interrupts::enable_and_hlt();
    }

    fn relax(&self, spins: u32) {
        if spins % 1024 == 1023 {
            xen::yield_cpu();
        }
        core::hint::spin_loop();
    }

    fn send_ipi(&self, cpu: usize, vector: u8) {
        apic::send(self.processor(cpu).apic_id, apic::FIXED | u32::from(vector));
    }

    fn stop_others(&self) {
        let this = self.current_cpu();
        for cpu in (0..self.cpu_count()).filter(|&c| c != this) {
            apic::send(self.processor(cpu).apic_id, apic::NMI);
        }
    }

    fn end_of_interrupt(&self) {
        apic::end_of_interrupt();
    }

    fn set_pcr(&self, pcr: *mut u8) {
        cpu::set_gs_base(pcr);
    }

    fn start_tick(&self, vector: u8, period: u32) {
        apic::start_timer(
            vector,
            (self.timer_hz * u64::from(period) / 10_000_000) as u32,
        );
    }

    fn connect_line(&self, line: &LineConfig) -> bool {
        ioapic::connect(line, self.processor(line.cpu).apic_id)
    }

    fn disconnect_line(&self, gsi: u32) {
        ioapic::disconnect(gsi);
    }

    /// Xen wires interrupt pin INTA..INTD (0..3) of device `d` to I/O APIC input 16 + ((d * 4 + d / 8 + pin) mod 32)
    /// (xen/include/asm-x86/hvm/irq.h, `hvm_pci_intx_gsi`).
    fn pci_line(&self, device: u8, pin: u8) -> u32 {
        let (device, pin) = (u32::from(device), u32::from(pin.saturating_sub(1)));
        16 + ((device * 4 + device / 8 + pin) & 31)
    }

    /// Intel SDM volume 3, 12.11: fixed delivery, edge, physical destination.
    fn message(&self, cpu: usize, vector: u8) -> (u64, u32) {
        (
            0xFEE0_0000 | u64::from(self.processor(cpu).apic_id) << 12,
            u32::from(vector),
        )
    }

    fn memory_map(&self) -> &[MemoryRange] {
        self.boot.map()
    }

    fn direct_map(&self) -> usize {
        paging::DIRECT_MAP
    }

    fn map_page(
        &self,
        va: usize,
        pa: u64,
        protection: Protection,
        caching: Caching,
    ) -> Result<(), MapError> {
        paging::map(va, pa, protection, caching)
    }

    fn protect_page(&self, va: usize, protection: Protection) -> Result<(), MapError> {
        paging::protect(va, protection)
    }

    fn unmap_page(&self, va: usize) -> Result<u64, MapError> {
        paging::unmap(va)
    }

    fn translate(&self, va: usize) -> Option<u64> {
        paging::translate(va)
    }

    fn tsc(&self) -> u64 {
        time::tsc()
    }

    fn tsc_frequency(&self) -> u64 {
        self.tsc_frequency
    }

    fn boot_time(&self) -> u64 {
        self.boot_time
    }

    fn pci_read(&self, bus: u8, device: u8, function: u8, offset: u16) -> u32 {
        ports::pci_read(bus, device, function, offset)
    }

    fn pci_write(&self, bus: u8, device: u8, function: u8, offset: u16, value: u32) {
        ports::pci_write(bus, device, function, offset, value);
    }

    fn port_in(&self, port: u16, width: u8) -> u32 {
        ports::port_in(port, width)
    }

    fn port_out(&self, port: u16, width: u8, value: u32) {
        ports::port_out(port, width, value);
    }

    fn bundle(&self) -> &'static [u8] {
        let (start, end) = self.boot.module;
        let at = (paging::DIRECT_MAP + start as usize) as *const u8;
        // SAFETY: the module's range was taken out of the free memory at start.
        unsafe { core::slice::from_raw_parts(at, end.saturating_sub(start) as usize) }
    }

    fn power_off(&self) -> ! {
        interrupts::disable();
        xen::shutdown(xen::Reason::PowerOff);
        // Without Xen, as with QEMU's PIIX4: SLP_EN with sleep type 0.
        if self.firmware.pm1a_control != 0 {
            ports::port_out(self.firmware.pm1a_control, 2, 1 << 13);
        }
        stop()
    }

    fn crash(&self) -> ! {
        interrupts::disable();
        xen::shutdown(xen::Reason::Crash);
        self.power_off()
    }

    fn reset(&self) -> ! {
        interrupts::disable();
        xen::shutdown(xen::Reason::Reboot);
        ports::port_out(0xCF9, 1, 6);
        ports::port_out(0x64, 1, 0xFE);
        stop()
    }
}

fn stop() -> ! {
    loop {
        interrupts::disable();
        x86_64::instructions::hlt();
    }
}

/// Maps one page of device registers for as long as the machine runs.
pub fn map_registers(slot: usize, pa: u64) -> usize {
    const REGISTERS: usize = 0xFFFF_FE00_0000_0000;
    let va = REGISTERS + slot * PAGE_SIZE;
    match paging::map(va, pa, Protection::ReadWrite, Caching::NonCached) {
        Ok(()) | Err(MapError::InUse) => va,
        Err(_) => boot::KERNEL,
    }
}
