//! Xen block frontend: connection, rings, segments, resubmission
#![no_std]
