//! What the first system thread does: registry, devices, plan.

use alloc::boxed::Box;
use alloc::format;

use lab_protocol::bundle::Bundle;

use crate::machine::machine;

/// Brings the system up from the bundle and runs its plan. In a system thread at PASSIVE_LEVEL, once.
pub fn main() {
    let bundle: &'static Bundle = match Bundle::from_bytes(machine().bundle()) {
        Ok(bundle) => Box::leak(Box::new(bundle)),
        Err(e) => {
            crate::kd::text(&format!("no bundle: {e}"));
            crate::check::emit(&lab_protocol::record::Record::Finished { ok: false });
            machine().power_off();
        }
    };
    crate::cm::install(crate::cm::setup::registry(bundle));
    crate::ldr::init(bundle);
    // SAFETY: once, at PASSIVE_LEVEL, in this order.
    unsafe {
        crate::io::work::start();
        crate::net::bind::start(bundle);
        crate::pnp::start(bundle);
    }
    crate::run::plan_thread(bundle);
}
