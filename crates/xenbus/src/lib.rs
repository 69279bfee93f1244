//! xenbus.sys: binds the Xen platform device, brings up Xen's services and enumerates one child a class of
//! paravirtual device, and one a network interface.
//!
//! | module | subject |
//! |---|---|
//! | `driver` | `DriverEntry`, `AddDevice`, unload; sends each request to its device |
//! | `extension` | what a device object's extension says: which kind of device it is |
//! | `fdo` | the function device of the platform device: its parts, start and stop |
//! | `fdo_pnp`, `fdo_power` | its PnP and power requests |
//! | `interrupts` | the line and the per-processor messages |
//! | `children` | which children xenstore asks for, and which PnP is told of |
//! | `guest` | the driver's line in xenstore |
//! | `pdo` | the children's device objects |
//! | `provider` | Xen's services and the interfaces that children query |
//! | `unplug` | emulated twins: the registry's accounting and the ports |
//! | `parameters` | the service's registry values |
//! | `version` | the driver's version |
#![no_std]

extern crate alloc as rust_alloc;
#[cfg(not(test))]
extern crate wdk_panic;

mod children;
mod driver;
mod extension;
mod fdo;
mod fdo_pnp;
mod fdo_power;
mod guest;
mod interrupts;
mod parameters;
mod pdo;
mod provider;
mod unplug;
mod version;

#[cfg(not(test))]
#[global_allocator]
static ALLOCATOR: wdk_alloc::WdkAllocator = wdk_alloc::WdkAllocator;
