//! The bytes of a file as text.

use crate::error::Problem;

/// Decodes what Windows accepts: UTF-16 or UTF-8 with a byte order mark, UTF-8, and an 8-bit text, of which only ASCII
/// has a meaning here (other bytes are taken as Latin-1).
pub(crate) fn decode(bytes: &[u8]) -> Result<String, Problem> {
    match bytes {
        [0xFF, 0xFE, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => {
            String::from_utf8(rest.to_vec()).map_err(|_| Problem::Encoding)
        }
        _ => Ok(std::str::from_utf8(bytes).map_or_else(
            |_| bytes.iter().copied().map(char::from).collect(),
            str::to_owned,
        )),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, Problem> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Problem::Encoding);
    }
    char::decode_utf16(pairs.iter().copied().map(unit))
        .collect::<Result<_, _>>()
        .map_err(|_| Problem::Encoding)
}

/// A number as INF files write it: decimal, possibly negative, or hexadecimal. Negative ones wrap as they do in setup.
pub(crate) fn number(text: &str) -> Result<u64, Problem> {
    let text = text.trim();
    let error = || Problem::Number(text.to_owned());
    let lower = text.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).map_err(|_| error());
    }
    match lower.strip_prefix('-') {
        Some(digits) if digits.starts_with(|c: char| c.is_ascii_digit()) => digits
            .parse::<u64>()
            .map(u64::wrapping_neg)
            .map_err(|_| error()),
        _ => lower.parse().map_err(|_| error()),
    }
}

/// A number of 32 bits.
pub(crate) fn number32(text: &str) -> Result<u32, Problem> {
    let value = number(text)?;
    let negative = text.trim().starts_with('-');
    let fits = if negative {
        value >= 0xFFFF_FFFF_8000_0000
    } else {
        value <= u64::from(u32::MAX)
    };
    if fits {
        Ok((value & 0xFFFF_FFFF) as u32)
    } else {
        Err(Problem::Number(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_in_every_encoding_that_windows_takes() {
        let utf16 = |unit: fn(u16) -> [u8; 2], mark: [u8; 2]| {
            let units = "[V]ß".encode_utf16().flat_map(unit);
            mark.into_iter().chain(units).collect::<Vec<u8>>()
        };
        for bytes in [
            "[V]ß".as_bytes().to_vec(),
            [b"\xEF\xBB\xBF".as_slice(), "[V]ß".as_bytes()].concat(),
            utf16(u16::to_le_bytes, [0xFF, 0xFE]),
            utf16(u16::to_be_bytes, [0xFE, 0xFF]),
            b"[V]\xDF".to_vec(),
        ] {
            assert_eq!(decode(&bytes).expect("a known encoding"), "[V]ß");
        }
    }

    #[test]
    fn half_a_character_is_refused() {
        assert!(matches!(decode(b"\xFF\xFE["), Err(Problem::Encoding)));
        assert!(matches!(
            decode(b"\xFF\xFE\x00\xD8"),
            Err(Problem::Encoding)
        ));
        assert!(matches!(
            decode(b"\xEF\xBB\xBF\xFF"),
            Err(Problem::Encoding)
        ));
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        for (text, value) in [
            ("0", 0),
            ("0x10", 16),
            ("0XfE", 254),
            (" 120 ", 120),
            ("0xFFFFFFFF", u32::MAX),
            ("-1", u32::MAX),
        ] {
            assert_eq!(number32(text).ok(), Some(value), "{text}");
        }
        for text in [
            "",
            "x",
            "0x",
            "12h",
            "0x1FFFFFFFF",
            "--1",
            "-0x1",
            "+-1",
            "-2147483649",
        ] {
            assert!(number32(text).is_err(), "{text}");
        }
    }
}
