//! The query interfaces between xenbus.sys and its children
#![no_std]
