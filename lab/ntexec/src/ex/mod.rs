//! Executive support: pool, lookaside lists, fast mutexes, callbacks.

#[macro_use]
mod caller;
pub mod callback;
pub mod lookaside;
pub mod mutex;
pub mod pool;
pub mod slist;

pub use callback::*;
pub use lookaside::*;
pub use mutex::*;
pub use pool::*;
pub use slist::*;

join_exports! { callback, lookaside, mutex, pool, slist }
