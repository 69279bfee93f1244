//! Text in fixed buffers: log lines and paths without allocation.

use core::fmt;

/// A NUL-terminated ASCII or UTF-8 text of at most `N - 1` bytes. What does not fit is cut off and
/// remembered.
#[derive(Clone)]
pub struct FormatBuffer<const N: usize> {
    bytes: [u8; N],
    length: usize,
    truncated: bool,
}

impl<const N: usize> Default for FormatBuffer<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> FormatBuffer<N> {
    /// An empty text. `N` is at least 1.
    pub const fn new() -> Self {
        const { assert!(N > 0) };
        Self {
            bytes: [0; N],
            length: 0,
            truncated: false,
        }
    }

    /// The text of format arguments.
    pub fn format(arguments: fmt::Arguments<'_>) -> Self {
        let mut buffer = Self::new();
        // Writing never fails; a Display implementation that does has written what it could.
        let _ = fmt::Write::write_fmt(&mut buffer, arguments);
        buffer
    }

    /// The text without its NUL.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The text; empty if a cut went through a character.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// A pointer to the NUL-terminated text.
    pub fn as_ptr(&self) -> *const core::ffi::c_char {
        self.bytes.as_ptr().cast()
    }

    /// Whether something was cut off.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }
}

impl<const N: usize> fmt::Write for FormatBuffer<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = (N - 1).saturating_sub(self.length);
        let taken = text.len().min(room);
        self.truncated |= taken < text.len();
        let end = self.length + taken;
        if let (Some(to), Some(from)) = (
            self.bytes.get_mut(self.length..end),
            text.as_bytes().get(..taken),
        ) {
            to.copy_from_slice(from);
            self.length = end;
        }
        Ok(())
    }
}

/// The number of UTF-16 units of `text`, for [`utf16`].
pub const fn utf16_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        assert!(
            bytes[index] < 0x80,
            "only ASCII text is known at compile time"
        );
        index += 1;
    }
    bytes.len()
}

/// ASCII `text` as UTF-16 with a NUL, at compile time; `N` is [`utf16_length`] + 1.
pub const fn utf16<const N: usize>(text: &str) -> [u16; N] {
    assert!(utf16_length(text) + 1 == N);
    let mut units = [0; N];
    let mut index = 0;
    while index + 1 < N {
        units[index] = text.as_bytes()[index] as u16;
        index += 1;
    }
    units
}

/// A `&'static [u16]` of an ASCII literal, without its NUL, which does follow it in memory.
#[macro_export]
macro_rules! wide {
    ($text:expr) => {{
        const LENGTH: usize = $crate::text::utf16_length($text);
        static UNITS: [u16; LENGTH + 1] = $crate::text::utf16::<{ LENGTH + 1 }>($text);
        UNITS.split_at(LENGTH).0
    }};
}

/// The strings of a `REG_MULTI_SZ` or of a list of ids: each ended by a NUL, the list by an empty one.
pub fn multi_sz(units: &[u16]) -> impl Iterator<Item = &[u16]> {
    units
        .split(|unit| *unit == 0)
        .take_while(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::fmt::Write;
    use std::vec::Vec;

    #[test]
    fn a_text_that_does_not_fit_is_cut_and_stays_terminated() {
        let mut buffer = FormatBuffer::<8>::new();
        write!(buffer, "{}", 12345).unwrap();
        assert_eq!((buffer.as_str(), buffer.is_truncated()), ("12345", false));
        write!(buffer, "abc").unwrap();
        write!(buffer, "def").unwrap();
        assert_eq!((buffer.as_str(), buffer.is_truncated()), ("12345ab", true));
        assert_eq!(buffer.bytes[7], 0);
    }

    #[test]
    fn a_literal_becomes_utf16_with_a_nul_behind_it() {
        let text = wide!("Ab\\");
        assert_eq!(text, [0x41, 0x62, 0x5c]);
        assert_eq!(utf16::<4>("Ab\\")[3], 0);
    }

    #[test]
    fn a_list_ends_at_its_empty_string_or_at_its_end() {
        let list = |text: &str| {
            let units: Vec<u16> = text.encode_utf16().collect();
            multi_sz(&units)
                .map(|one| std::string::String::from_utf16(one).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(list("VBD\0VIF\0\0rest\0"), ["VBD", "VIF"]);
        assert_eq!(list("VBD"), ["VBD"]);
        assert!(list("").is_empty());
        assert!(list("\0").is_empty());
    }
}
