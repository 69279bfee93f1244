//! Xen's public ABI: numbers, structs, ring and wire formats
#![no_std]
