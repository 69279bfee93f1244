//! The NT executive as a bare-metal HVM guest: boot, processors, memory, interrupts, and then [`ntexec`].
#![no_std]
#![no_main]

extern crate alloc;

mod apic;
mod boot;
mod cpu;
mod firmware;
mod heap;
mod ioapic;
mod machine;
mod multiboot;
mod paging;
mod ports;
mod selftest;
mod smp;
mod time;
mod trap;
mod xen;

use alloc::boxed::Box;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicPtr, Ordering};
use ntexec::machine::{Machine, machine};

/// The system's first thread: the bundle's plan, or without a bundle a check of the kernel itself.
fn start() {
    if machine().bundle().is_empty() {
        selftest::run(GUEST.load(Ordering::Acquire));
    }
    // SAFETY: null, or the machine, which stays.
    let guest = unsafe { GUEST.load(Ordering::Acquire).as_ref() };
    if let Some(seconds) = guest.and_then(|g| g.boot().option("counters")?.parse().ok()) {
        ntexec::ke::thread::spawn(move || report_counters(seconds));
    }
    ntexec::init::main();
}

/// Logs the processors' counters every so many seconds: `counters=` on the command line.
fn report_counters(seconds: i64) {
    let interval = -seconds * 10_000_000;
    loop {
        // SAFETY: PASSIVE_LEVEL.
        unsafe { ntexec::ke::KeDelayExecutionThread(0, 0, &raw const interval) };
        ntexec::hal::log_counters();
    }
}

/// The machine, for what only the guest knows of it.
static GUEST: AtomicPtr<machine::Guest> = AtomicPtr::new(core::ptr::null_mut());

/// Before the machine is set up there is nobody to report to but the port.
fn fail(why: &str) -> ! {
    ports::debug_write(why.as_bytes());
    ports::debug_write(b"\n");
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}

/// The heap's share of free memory: a sixth, at least 16 MiB.
fn give_heap() -> bool {
    let pages = (ntexec::mm::phys::free_pages() / 6).max(4096);
    let request = ntexec::mm::phys::Request::any(pages);
    let Some(base) = ntexec::mm::phys::allocate(&request) else {
        return false;
    };
    // SAFETY: the pages are ours and in the direct map.
    unsafe {
        heap::claim(
            (paging::DIRECT_MAP + base as usize) as *mut u8,
            pages * 4096,
        )
    }
}

fn take_memory(boot: &mut multiboot::Boot) -> Result<(), &'static str> {
    let end = (&raw const boot::image_end) as usize - boot::KERNEL;
    boot.reserve(0, 1 << 20);
    boot.reserve(boot::IMAGE_PHYSICAL, end as u64);
    if boot.module.1 > boot.module.0 {
        boot.reserve(boot.module.0, boot.module.1);
    }
    // SAFETY: the free ranges are RAM that holds nothing, and the first page tables map it.
    if !unsafe { ntexec::mm::phys::initialize(boot.map(), paging::DIRECT_MAP) } {
        return Err("guest: no memory");
    }
    paging::initialize(boot.map()).map_err(|_| "guest: no memory for page tables")?;
    if give_heap() {
        Ok(())
    } else {
        Err("guest: no memory for the heap")
    }
}

/// Measures the APIC timer: its counts a second.
fn timer_hz(tsc_frequency: u64) -> u64 {
    u64::from(apic::measure_timer(|| time::wait(20_000, tsc_frequency))) * 50
}

/// Lets stack traces name the executive's own code: as offsets from [`boot::KERNEL`] in this image.
fn name_image() {
    ntexec::kd::modules::register(ntexec::kd::modules::ModuleInfo {
        base: boot::KERNEL,
        size: (&raw const boot::text_end) as usize - boot::KERNEL,
        name: ntexec::kd::modules::ModuleInfo::name_field("guest.elf"),
        pdata_rva: 0,
        pdata_len: 0,
        driver: 0,
    });
}

/// Where the boot code goes, in long mode on the boot stack.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(magic: u32, info: u32) -> ! {
    let Some(mut boot) = multiboot::Boot::read(magic, info) else {
        fail("guest: not started by multiboot")
    };
    if let Err(why) = take_memory(&mut boot) {
        fail(why);
    }
    cpu::initialize();
    xen::detect();
    ports::com1_initialize();
    ports::port_out(0x21, 1, 0xFF);
    ports::port_out(0xA1, 1, 0xFF);
    apic::detect(|pa| machine::map_registers(0, pa));
    apic::initialize();
    let firmware = firmware::Firmware::read();
    for (index, &(address, base)) in firmware
        .io_apics
        .iter()
        .enumerate()
        .filter(|(_, a)| a.0 != 0)
    {
        ioapic::add(machine::map_registers(1 + index, u64::from(address)), base);
    }
    let frequency = time::tsc_frequency();
    let guest: &'static machine::Guest = Box::leak(Box::new(machine::Guest::new(
        boot,
        firmware,
        frequency,
        timer_hz(frequency),
    )));
    let machine: &'static &'static dyn Machine = Box::leak(Box::new(guest as &dyn Machine));
    GUEST.store(core::ptr::from_ref(guest).cast_mut(), Ordering::Release);
    name_image();
    // GS must be there before the machine can say which processor this is.
    ntexec::hal::prepare(machine);
    guest.start_cpus();
    ntexec::hal::run_cpu(0, start)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    ntexec::hal::on_panic(info)
}
