//! The Xen bus driver: xenbus.sys
#![no_std]
