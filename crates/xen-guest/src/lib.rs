//! A guest's side of Xen's services
#![no_std]
