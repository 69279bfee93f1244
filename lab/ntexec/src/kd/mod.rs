//! Output, modules, unwinding, bug checks.
