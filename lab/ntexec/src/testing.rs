//! A machine for tests on the host: one processor, some memory behind the direct map, no interrupts, no second thread.
//!
//! What waits for something that has not come yet cannot go on here: tests are made of what completes at once.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use lab_protocol::bundle::Bundle;
use lab_protocol::plan::Plan;

use crate::machine::{Caching, LineConfig, Machine, MapError, MemoryRange, PAGE_SIZE, Protection};

/// Bytes of memory. What lies below `BASE` is used by nobody.
const MEMORY: usize = 16 << 20;
const BASE: u64 = 1 << 20;

struct Hosted {
    memory: usize,
    map: [MemoryRange; 1],
}

static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());
static ONE: Mutex<()> = Mutex::new(());

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The right to use the machine, which one test has at a time.
pub struct Turn {
    _one: MutexGuard<'static, ()>,
}

impl Turn {
    /// What was logged since [`machine`], and is forgotten now.
    pub fn log(&self) -> Vec<String> {
        core::mem::take(&mut *locked(&LOG))
    }
}

/// Waits for the machine, which is set up the first time.
pub fn machine() -> Turn {
    static SET_UP: Once = Once::new();
    let turn = Turn { _one: locked(&ONE) };
    SET_UP.call_once(|| {
        let memory = std::vec![0u8; MEMORY + PAGE_SIZE].leak().as_mut_ptr() as usize;
        let memory = memory.next_multiple_of(PAGE_SIZE);
        let map = [MemoryRange {
            base: BASE,
            len: MEMORY as u64 - BASE,
            free: true,
        }];
        // SAFETY: the memory is leaked, and nothing else uses it.
        assert!(unsafe { crate::mm::phys::initialize(&map, memory) });
        let hosted: &'static Hosted =
            std::boxed::Box::leak(std::boxed::Box::new(Hosted { memory, map }));
        let machine: &'static &'static dyn Machine =
            std::boxed::Box::leak(std::boxed::Box::new(hosted as &dyn Machine));
        crate::machine::install(machine);
        crate::hal::prepare(machine);
        let bundle = std::boxed::Box::leak(std::boxed::Box::new(Bundle {
            packages: Vec::new(),
            registry: Vec::new(),
            nics: Vec::new(),
            plan: Plan::default(),
            first_step: 0,
            boots_before: 0,
            system_time: 0,
        }));
        // SAFETY: once.
        unsafe { crate::pnp::prepare(bundle) };
    });
    turn.log();
    turn
}

impl Machine for Hosted {
    fn log(&self, line: &[u8]) {
        locked(&LOG).push(String::from_utf8_lossy(line).trim_end().to_string());
    }
    fn com1_byte(&self) -> Option<u8> {
        None
    }
    fn cpu_count(&self) -> usize {
        1
    }
    fn current_cpu(&self) -> usize {
        0
    }
    fn apic_id(&self, _cpu: usize) -> u32 {
        0
    }
    fn acpi_processor_id(&self, _cpu: usize) -> u32 {
        0
    }
    fn disable_interrupts(&self) -> bool {
        false
    }
    fn enable_interrupts(&self) {}
    fn halt(&self) {
        panic!("the test waits for something that never comes");
    }
    fn relax(&self, _spins: u32) {
        std::thread::yield_now();
    }
    fn send_ipi(&self, _cpu: usize, _vector: u8) {}
    fn stop_others(&self) {}
    fn end_of_interrupt(&self) {}
    fn set_pcr(&self, _pcr: *mut u8) {}
    fn start_tick(&self, _vector: u8, _period: u32) {}
    fn connect_line(&self, _line: &LineConfig) -> bool {
        true
    }
    fn disconnect_line(&self, _gsi: u32) {}
    fn pci_line(&self, _device: u8, _pin: u8) -> u32 {
        0
    }
    fn message(&self, _cpu: usize, vector: u8) -> (u64, u32) {
        (0, vector.into())
    }
    fn memory_map(&self) -> &[MemoryRange] {
        &self.map
    }
    fn direct_map(&self) -> usize {
        self.memory
    }
    fn map_page(
        &self,
        _va: usize,
        _pa: u64,
        _protection: Protection,
        _caching: Caching,
    ) -> Result<(), MapError> {
        Err(MapError::OutOfMemory)
    }
    fn protect_page(&self, _va: usize, _protection: Protection) -> Result<(), MapError> {
        Err(MapError::NotMapped)
    }
    fn unmap_page(&self, _va: usize) -> Result<u64, MapError> {
        Err(MapError::NotMapped)
    }
    fn translate(&self, va: usize) -> Option<u64> {
        va.checked_sub(self.memory)
            .filter(|at| *at < MEMORY)
            .map(|at| at as u64)
    }
    fn tsc(&self) -> u64 {
        0
    }
    fn tsc_frequency(&self) -> u64 {
        1_000_000_000
    }
    fn boot_time(&self) -> u64 {
        0
    }
    fn pci_read(&self, _bus: u8, _device: u8, _function: u8, _offset: u16) -> u32 {
        u32::MAX
    }
    fn pci_write(&self, _bus: u8, _device: u8, _function: u8, _offset: u16, _value: u32) {}
    fn port_in(&self, _port: u16, _width: u8) -> u32 {
        u32::MAX
    }
    fn port_out(&self, _port: u16, _width: u8, _value: u32) {}
    fn bundle(&self) -> &'static [u8] {
        &[]
    }
    fn power_off(&self) -> ! {
        panic!("the machine was powered off");
    }
    fn crash(&self) -> ! {
        panic!("bug check");
    }
    fn reset(&self) -> ! {
        panic!("the machine was reset");
    }
}
