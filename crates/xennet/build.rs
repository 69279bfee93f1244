//! Links the crate as a kernel driver: the WDK's libraries and linker options, and what Windows' load rules ask of an
//! image beyond them (`cargo xtask check-sys` asserts the result).

fn main() -> Result<(), wdk_build::ConfigError> {
    for option in ["/RELEASE", "/CETCOMPAT", "/Brepro"] {
        println!("cargo::rustc-cdylib-link-arg={option}");
    }
    println!("cargo::rustc-link-lib=ndis");
    wdk_build::configure_wdk_binary_build()
}
