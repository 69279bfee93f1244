//! Per-processor descriptor tables, by crate `x86_64`: GDT, TSS with stacks for double faults and NMIs, IDT.

use alloc::boxed::Box;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::structures::tss::TaskStateSegment;

const FAULT_STACK: usize = 32 << 10;
const MSR_GS_BASE: u32 = 0xC000_0101;

#[repr(C, align(16))]
struct Stack([u8; FAULT_STACK]);

fn fault_stack() -> VirtAddr {
    // SAFETY: any bytes make a stack.
    let stack = Box::leak(unsafe { Box::<Stack>::new_zeroed().assume_init() });
    VirtAddr::from_ptr(stack) + FAULT_STACK as u64
}

fn idt() -> &'static InterruptDescriptorTable {
    let idt = Box::leak(Box::new(InterruptDescriptorTable::new()));
    // The crate knows handlers of Rust's interrupt ABI, which is not stable: the table is filled by gate.
    let gates = core::ptr::from_mut(idt).cast::<[u64; 2]>();
    for vector in 0..=255u8 {
        let ist = match vector {
            2 => 2,
            8 => 1,
            _ => 0,
        };
        // SAFETY: the table has 256 gates of 16 bytes.
        unsafe {
            gates
                .add(usize::from(vector))
                .write(gate(crate::trap::stub(vector), ist))
        };
    }
    idt
}

/// A 64-bit interrupt gate of ring 0 in code segment 8 (Intel SDM volume 3, 7.14.1).
fn gate(handler: u64, ist: u64) -> [u64; 2] {
    let low = handler & 0xFFFF | 8 << 16 | ist << 32 | 0x8E << 40 | (handler >> 16 & 0xFFFF) << 48;
    [low, handler >> 32]
}

/// Gives this processor its tables.
pub fn initialize() {
    let tss = Box::leak(Box::new(TaskStateSegment::new()));
    tss.interrupt_stack_table[0] = fault_stack();
    tss.interrupt_stack_table[1] = fault_stack();
    let gdt = Box::leak(Box::new(GlobalDescriptorTable::new()));
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    let task = gdt.append(Descriptor::tss_segment(tss));
    gdt.load();
    // SAFETY: the table just loaded has these segments, and it and the tables it names are never freed.
    unsafe {
        CS::set_reg(code);
        SS::set_reg(data);
        DS::set_reg(data);
        ES::set_reg(data);
        load_tss(task);
    }
    idt().load();
}

/// Points GS at `base`.
pub fn set_gs_base(base: *mut u8) {
    // SAFETY: the kernel uses GS only for this.
    unsafe { x86_64::registers::model_specific::Msr::new(MSR_GS_BASE).write(base as u64) };
}
