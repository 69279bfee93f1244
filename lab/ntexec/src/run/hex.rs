//! Hexadecimal digits of plans and records.

use alloc::string::String;
use alloc::vec::Vec;

/// The bytes that digits name; spaces are passed over. `None` if it is no list of bytes.
pub fn bytes(text: &str) -> Option<Vec<u8>> {
    pattern(text)?.into_iter().collect()
}

/// The bytes that digits name, `None` for `..`.
pub fn pattern(text: &str) -> Option<Vec<Option<u8>>> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks_exact(2)
        .map(|pair| match pair {
            b".." => Some(None),
            _ => {
                let pair = core::str::from_utf8(pair).ok()?;
                pair.bytes()
                    .all(|digit| digit.is_ascii_hexdigit())
                    .then_some(())?;
                u8::from_str_radix(pair, 16).ok().map(Some)
            }
        })
        .collect()
}

/// Digits.
pub fn digits(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_become_bytes_and_back() {
        assert_eq!(bytes("12 00ff"), Some(Vec::from([0x12, 0, 0xff])));
        assert_eq!(digits(&[0x12, 0, 0xff]), "1200ff");
        for wrong in ["1", "zz", "+1", ".."] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn dots_stand_for_any_byte() {
        assert_eq!(
            pattern("00..ff"),
            Some(Vec::from([Some(0), None, Some(0xff)]))
        );
    }
}
