//! The driver's version, from its package.

/// Major, minor, micro, build.
pub const VERSION: [u32; 4] = [
    number(env!("CARGO_PKG_VERSION_MAJOR")),
    number(env!("CARGO_PKG_VERSION_MINOR")),
    number(env!("CARGO_PKG_VERSION_PATCH")),
    0,
];

/// The build number that the device model is told: major, minor and micro in one.
pub const fn build_number() -> u32 {
    let [major, minor, micro, _] = VERSION;
    major << 16 | minor << 8 | micro
}

const fn number(text: &str) -> u32 {
    let mut value = 0;
    let mut index = 0;
    while index < text.len() {
        value = value * 10 + (text.as_bytes()[index] - b'0') as u32;
        index += 1;
    }
    value
}
