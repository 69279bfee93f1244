//! Every table of exports of the executive.

use crate::exports::{Export, Module};

/// All of them.
pub fn tables() -> [&'static [Export]; 27] {
    [
        crate::ke::EXPORTS,
        crate::mm::EXPORTS,
        crate::ex::EXPORTS,
        crate::hal::EXPORTS,
        crate::kd::EXPORTS,
        crate::ob::EXPORTS,
        crate::cm::zw::EXPORTS,
        crate::rtl::chkstk::EXPORTS,
        crate::rtl::crt::EXPORTS,
        crate::rtl::strings::EXPORTS,
        crate::rtl::debug::EXPORTS,
        crate::rtl::misc::EXPORTS,
        crate::io::device::EXPORTS,
        crate::io::irp::EXPORTS,
        crate::io::build::EXPORTS,
        crate::io::work::EXPORTS,
        crate::io::remove_lock::EXPORTS,
        crate::io::interrupt::EXPORTS,
        crate::io::names::EXPORTS,
        crate::po::EXPORTS,
        crate::pnp::EXPORTS,
        crate::pnp::property::EXPORTS,
        super::notify::EXPORTS,
        crate::storport::EXPORTS,
        crate::ndis::EXPORTS,
        crate::ksecdd::EXPORTS,
        crate::netio::EXPORTS,
    ]
}

/// An export of the executive by its name.
pub fn find(module: Option<Module>, name: &str) -> Option<&'static Export> {
    crate::exports::find(&tables(), module, name)
}
