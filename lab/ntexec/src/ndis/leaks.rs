//! What drivers and adapters leave behind.

use core::sync::atomic::Ordering;

use super::adapter::Adapter;
use super::driver::Driver;
use super::{config, locks, memory, pool, rules, timer};
use crate::nt::ke::PVOID;

/// What belongs to a handle, by its name.
fn of(owner: PVOID) -> [(&'static str, usize); 6] {
    [
        (
            "pools of NET_BUFFER_LISTs or NET_BUFFERs",
            pool::left(owner),
        ),
        ("blocks of memory", memory::left(owner)),
        ("timer objects", timer::timers_left(owner)),
        ("work items", timer::items_left(owner)),
        ("read-write locks", locks::left(owner)),
        ("open configurations", config::open_of(owner)),
    ]
}

/// Reports what an adapter has at the end of MiniportHaltEx, or of a MiniportInitializeEx that failed.
pub(super) fn of_adapter(adapter: &Adapter, call: &str) {
    let dma = adapter.dma.swap(0, Ordering::AcqRel) as usize;
    for (what, left) in of(adapter.handle())
        .into_iter()
        .chain([("scatter-gather DMA registrations", dma)])
    {
        if left != 0 {
            rules::broken(
                adapter,
                call,
                rules::LEAK,
                format_args!("{left} {what} are left"),
            );
        }
    }
}

/// Reports what a driver has after its unload.
pub(super) fn of_driver(driver: &'static Driver) {
    let handle: PVOID = core::ptr::from_ref(driver).cast_mut().cast();
    for (what, left) in of(handle) {
        if left != 0 {
            crate::check::violation_by(
                &driver.name,
                "MiniportDriverUnload",
                rules::LEAK,
                format_args!("{left} {what} are left"),
            );
        }
    }
}
