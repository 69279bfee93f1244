//! What the lab's host and guest say to each other.
//!
//! The host packs everything that a guest needs into one [`bundle::Bundle`], which the guest's boot loader hands over as a
//! multiboot module. The guest answers with lines on port 0xE9, which Xen prints on its console: log text, and
//! [`record::Record`]s (JSON behind `@`), both framed by [`line`]. One byte on the guest's first serial port
//! ([`record::GO`], [`record::STOP`]) tells it how a step that dom0 did for it ended.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bundle;
pub mod line;
pub mod net;
pub mod plan;
pub mod record;
pub mod registry;
