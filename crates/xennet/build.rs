//! Links the crate as a kernel driver.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    driver_build::configure(&driver_build::Driver {
        description: "Xen PV network adapter driver",
        libraries: &["ndis"],
    })
}
