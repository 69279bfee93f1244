//! Executive support: pool, lookaside lists, fast mutexes, resources, callbacks.
