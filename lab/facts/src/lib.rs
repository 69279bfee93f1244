//! Facts about Windows' exports: module, first version, IRQL
#![no_std]
