//! What the machine calls: start, interrupts, exceptions.
