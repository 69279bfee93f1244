//! What the build scripts of all drivers do: link the crate as a kernel driver with what Windows' load rules ask of an
//! image (`cargo xtask check-sys` asserts the result), and give the image a version resource.

mod resource;

use std::error::Error;

/// Linker options beyond wdk-build's.
///
/// `/RELEASE` writes the checksum that the boot loader looks at, `/CETCOMPAT` the mark for shadow stacks; `/Brepro` takes
/// the time of day out of the image.
const LINK_OPTIONS: &[&str] = &["/RELEASE", "/CETCOMPAT", "/Brepro"];

/// A driver, as far as its build differs from another's.
#[derive(Clone, Copy, Debug)]
pub struct Driver<'a> {
    /// What the image is, for those who look at its properties.
    pub description: &'a str,
    /// Import libraries beside the kernel's: `storport`, `ndis`.
    pub libraries: &'a [&'a str],
}

/// Tells cargo how to link the driver. The build script's only call.
///
/// # Errors
/// If the resource compiler is not there or fails, or wdk-build finds no WDK.
pub fn configure(driver: &Driver<'_>) -> Result<(), Box<dyn Error>> {
    for option in LINK_OPTIONS {
        println!("cargo::rustc-cdylib-link-arg={option}");
    }
    for library in driver.libraries {
        println!("cargo::rustc-link-lib={library}");
    }
    let resource = resource::compile(driver)?;
    println!("cargo::rustc-cdylib-link-arg={}", resource.display());
    wdk_build::configure_wdk_binary_build()?;
    Ok(())
}
