//! Which protocols there are, and what adapter is offered to them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::adapter::{self, Adapter};
use super::life;
use super::protocol::{Binding, Protocol};
use super::state::State;
use crate::sync::Lock;

static PROTOCOLS: Lock<Vec<Arc<dyn Protocol>>> = Lock::new(Vec::new());

/// Adds a protocol; adapters that run are paused, bound and restarted.
pub(super) fn register(protocol: Arc<dyn Protocol>) {
    PROTOCOLS.lock().push(protocol);
    for adapter in adapter::all() {
        if adapter.state() == State::Running {
            crate::io::work::queue(move || life::rebind(adapter));
        }
    }
}

/// Offers a paused adapter without a client to the protocols; the first that takes it has it.
pub(super) fn offer(adapter: &'static Adapter) {
    let protocols = PROTOCOLS.lock().clone();
    for protocol in protocols {
        if let Some(client) = protocol.bind(Binding::new(adapter)) {
            *adapter.client.lock() = Some(client);
            return;
        }
    }
}
