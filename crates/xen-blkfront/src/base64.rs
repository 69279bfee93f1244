//! Base64 (RFC 4648, section 4), as toolstacks write INQUIRY pages into xenstore.

fn value(byte: u8) -> Option<u32> {
    match byte {
        b'A'..=b'Z' => Some(u32::from(byte - b'A')),
        b'a'..=b'z' => Some(u32::from(byte - b'a') + 26),
        b'0'..=b'9' => Some(u32::from(byte - b'0') + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// Decodes `text` into `out` and says how many bytes it is.
///
/// White space is skipped, as RFC 2045 has it for MIME. `None`: not base64, or longer than `out`.
pub fn decode(text: &[u8], out: &mut [u8]) -> Option<usize> {
    let (mut bits, mut count, mut length, mut padding) = (0u32, 0u32, 0usize, 0u32);
    for byte in text.iter().filter(|byte| !byte.is_ascii_whitespace()) {
        if *byte == b'=' {
            padding += 1;
            continue;
        }
        if padding != 0 {
            return None;
        }
        bits = bits << 6 | value(*byte)?;
        count += 1;
        if count % 4 != 1 {
            let left = (count % 4) * 6;
            let shift = match left {
                12 => 4,
                18 => 2,
                _ => 0,
            };
            *out.get_mut(length)? = (bits >> shift) as u8;
            length += 1;
        }
    }
    let whole = (count + padding).is_multiple_of(4) && padding <= 2;
    (whole && count % 4 != 1).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn rfc_4648_vectors_decode() {
        for (text, data) in [
            (&b""[..], &b""[..]),
            (b"Zg==", b"f"),
            (b"Zm8=", b"fo"),
            (b"Zm9v", b"foo"),
            (b"Zm9vYg==", b"foob"),
            (b"Zm9v\nYmE=", b"fooba"),
            (b"Zm9vYmFy", b"foobar"),
            (b"+/+/", &[0xFB, 0xFF, 0xBF]),
        ] {
            let mut out = [0; 16];
            let length = decode(text, &mut out);
            assert_eq!(length.map(|l| &out[..l]), Some(data));
        }
    }

    #[test]
    fn what_is_not_base64_or_too_long_is_refused() {
        let mut out = [0; 2];
        for text in [
            &b"Zg"[..],
            b"Z",
            b"Zg=a",
            b"Zm9v!",
            b"Z===",
            b"Zm9vYmFy",
            b"====",
        ] {
            assert_eq!(decode(text, &mut out), None, "{text:?}");
        }
    }
}
