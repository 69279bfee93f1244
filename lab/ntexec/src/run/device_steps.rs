//! Steps that do to devices what plug and play does.

use alloc::string::String;

use lab_protocol::plan::Step;

/// Does a step, if it is one of these. PASSIVE_LEVEL.
pub(super) fn run(step: &Step) -> Option<Result<(), String>> {
    let (change, which) = step.device_change()?;
    Some(crate::pnp::control::change(change, which))
}
