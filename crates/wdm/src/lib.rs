//! A safe layer over the Windows kernel for all drivers
#![no_std]
