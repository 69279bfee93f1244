//! Steps that do to devices what plug and play does, or wait for it.

use alloc::format;
use alloc::string::String;

use lab_protocol::plan::Step;
use lab_protocol::plan::devices::ExpectDevice;

use crate::pnp::control;
use crate::storport::os::{SECOND, new_event, now, wait};

/// Does a step, if it is one of these. PASSIVE_LEVEL.
pub(super) fn run(step: &Step) -> Option<Result<(), String>> {
    if let Step::ExpectDevice(expected) = step {
        return Some(expect(expected));
    }
    let (change, which) = step.device_change()?;
    Some(control::change(change, which))
}

fn expect(expected: &ExpectDevice) -> Result<(), String> {
    let deadline = now() + u64::from(expected.within_ms) * 10_000;
    loop {
        let states = control::states(&expected.id);
        let as_expected = match expected.state.as_str() {
            "gone" => states.is_empty(),
            state => !states.is_empty() && states.iter().all(|one| *one == state),
        };
        if as_expected {
            return Ok(());
        }
        if now() >= deadline {
            return Err(format!(
                "{} was expected to be {}; there are {states:?}",
                expected.id, expected.state
            ));
        }
        wait(&mut new_event(), Some(SECOND / 10));
    }
}
