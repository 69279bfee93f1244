//! What ACPI's tables say, by crate `acpi`: processors and I/O APICs (MADT), how to power off (FADT).

use acpi::fadt::Fadt;
use acpi::madt::{Madt, MadtEntry};
use acpi::{AcpiHandler, AcpiTables, PhysicalMapping};
use core::ptr::NonNull;

/// Processors that the lab's guest can have.
pub const MAX_CPUS: usize = 32;

#[derive(Clone)]
struct DirectMap;

impl AcpiHandler for DirectMap {
    unsafe fn map_physical_region<T>(
        &self,
        address: usize,
        size: usize,
    ) -> PhysicalMapping<Self, T> {
        let va = NonNull::new((crate::paging::DIRECT_MAP + address) as *mut T)
            .unwrap_or(NonNull::dangling());
        // SAFETY: the direct map holds the first 4 GiB, where firmware puts its tables.
        unsafe { PhysicalMapping::new(address, va, size, size, self.clone()) }
    }

    fn unmap_physical_region<T>(_region: &PhysicalMapping<Self, T>) {}
}

/// A processor.
#[derive(Clone, Copy, Debug, Default)]
pub struct Processor {
    /// Local APIC id
    pub apic_id: u32,
    /// ACPI processor id
    pub acpi_id: u32,
}

/// What was found.
#[derive(Clone, Debug)]
pub struct Firmware {
    /// Processors that can be used, in the MADT's order
    pub processors: [Processor; MAX_CPUS],
    /// How many
    pub count: usize,
    /// I/O APICs: physical address and first input
    pub io_apics: [(u32, u32); 4],
    /// PM1a control port, or 0
    pub pm1a_control: u16,
}

impl Firmware {
    /// Reads the tables; without any, one processor and nothing else is left.
    pub fn read() -> Self {
        let mut found = Self {
            processors: [Processor::default(); MAX_CPUS],
            count: 0,
            io_apics: [(0, 0); 4],
            pm1a_control: 0,
        };
        // SAFETY: the handler maps whatever is asked for below 4 GiB.
        if let Ok(tables) = unsafe { AcpiTables::search_for_rsdp_bios(DirectMap) } {
            if let Ok(madt) = tables.find_table::<Madt>() {
                found.take_madt(&madt);
            }
            if let Ok(fadt) = tables.find_table::<Fadt>() {
                found.pm1a_control = fadt
                    .pm1a_control_block()
                    .map(|b| b.address as u16)
                    .unwrap_or(0);
            }
        }
        if found.count == 0 {
            found.processors[0] = Processor {
                apic_id: crate::apic::id(),
                acpi_id: 0,
            };
            found.count = 1;
        }
        found
    }

    fn take_madt(&mut self, madt: &PhysicalMapping<DirectMap, Madt>) {
        for entry in madt.get().entries() {
            match entry {
                MadtEntry::LocalApic(e) if e.flags & 1 == 1 => {
                    self.add(u32::from(e.apic_id), u32::from(e.processor_id))
                }
                MadtEntry::LocalX2Apic(e) if e.flags & 1 == 1 => {
                    self.add(e.x2apic_id, e.processor_uid)
                }
                MadtEntry::IoApic(e) => {
                    if let Some(slot) = self.io_apics.iter_mut().find(|s| s.0 == 0) {
                        *slot = (e.io_apic_address, e.global_system_interrupt_base);
                    }
                }
                _ => {}
            }
        }
    }

    fn add(&mut self, apic_id: u32, acpi_id: u32) {
        if self.count < MAX_CPUS {
            self.processors[self.count] = Processor { apic_id, acpi_id };
            self.count += 1;
        }
    }
}
