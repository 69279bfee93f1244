//! `drivers/<n>` in xenstore: what tells the toolstack which drivers are loaded.

use core::fmt;

/// Slots that drivers share: the first free one is taken.
pub const SLOTS: u32 = 256;

/// A driver's line: `Xen_Project XENBUS 1.2.3.4 `, with `(DEBUG)` at the end of a checked build's.
#[derive(Clone, Copy, Debug)]
pub struct Distribution<'a> {
    /// Who made it; whatever is not alphanumeric is shown as `_`.
    pub vendor: &'a str,
    /// The driver, in upper case.
    pub driver: &'a str,
    /// Major, minor, micro, build.
    pub version: [u32; 4],
    /// A checked build.
    pub debug: bool,
}

impl fmt::Display for Distribution<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.vendor.chars() {
            fmt::Write::write_char(
                f,
                if letter.is_ascii_alphanumeric() {
                    letter
                } else {
                    '_'
                },
            )?;
        }
        let [major, minor, micro, build] = self.version;
        let debug = if self.debug { "(DEBUG)" } else { "" };
        write!(
            f,
            " {} {major}.{minor}.{micro}.{build} {debug}",
            self.driver
        )
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn the_line_is_the_one_that_toolstacks_parse() {
        let line = Distribution {
            vendor: "Xen Project",
            driver: "XENBUS",
            version: [9, 1, 0, 42],
            debug: false,
        };
        assert_eq!(line.to_string(), "Xen_Project XENBUS 9.1.0.42 ");
        assert_eq!(
            Distribution {
                debug: true,
                ..line
            }
            .to_string(),
            "Xen_Project XENBUS 9.1.0.42 (DEBUG)"
        );
    }
}
