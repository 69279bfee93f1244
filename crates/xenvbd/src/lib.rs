//! The Xen block miniport: xenvbd.sys
#![no_std]
