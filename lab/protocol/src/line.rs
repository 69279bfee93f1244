//! Lines on the guest's debug port.
//!
//! Xen prints what an HVM guest writes to port 0xE9 a line at a time, cuts lines at a length of its own, passes over
//! bytes that are not printable, and drops lines when its console cannot keep up. So a text is cut here into pieces of
//! at most [`MAX_PIECE`] characters, each with a mark (`=` the last piece of a text, `+` more to come) and a
//! sequence number, by which the reader joins the pieces and sees what is missing.

use alloc::string::String;

/// Characters of text in one piece; with mark and number it stays below Xen's buffers (80 bytes up to 4.16, 200 since).
pub const MAX_PIECE: usize = 180;

/// Cuts texts into lines.
#[derive(Debug, Default)]
pub struct Encoder {
    next: u16,
}

impl Encoder {
    /// An encoder whose first piece has number 0.
    pub const fn new() -> Self {
        Self { next: 0 }
    }

    /// Hands each piece of `text` to `emit`, with its newline. Characters outside of printable ASCII become `?`.
    pub fn encode(&mut self, text: &str, mut emit: impl FnMut(&[u8])) {
        let bytes = text.as_bytes();
        let mut rest = bytes;
        loop {
            let (piece, more) = rest.split_at(rest.len().min(MAX_PIECE));
            let mut line = [0u8; MAX_PIECE + 7];
            let mark = if more.is_empty() { b'=' } else { b'+' };
            let length = frame(&mut line, mark, self.next, piece);
            self.next = self.next.wrapping_add(1);
            emit(&line[..length]);
            if more.is_empty() {
                return;
            }
            rest = more;
        }
    }
}

fn frame(line: &mut [u8; MAX_PIECE + 7], mark: u8, number: u16, piece: &[u8]) -> usize {
    line[0] = mark;
    for (index, shift) in [12, 8, 4, 0].into_iter().enumerate() {
        line[1 + index] = b"0123456789abcdef"[usize::from(number >> shift & 15)];
    }
    line[5] = b' ';
    for (to, from) in line[6..].iter_mut().zip(piece) {
        *to = if (b' '..=b'~').contains(from) {
            *from
        } else {
            b'?'
        };
    }
    line[6 + piece.len()] = b'\n';
    piece.len() + 7
}

/// What a line brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// A whole text
    Text(String),
    /// A whole text, and so many pieces before it are missing
    Gap(u16, String),
    /// A piece; more to come
    Partial,
    /// Not one of our lines: as it was
    Foreign(String),
}

/// Joins lines to texts.
#[derive(Debug, Default)]
pub struct Decoder {
    expected: Option<u16>,
    missing: u16,
    text: String,
}

impl Decoder {
    /// A decoder that has seen nothing: the number of its first piece is taken as it comes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a line without its newline and without what Xen put in front.
    pub fn line(&mut self, line: &str) -> Decoded {
        let Some((last, number, piece)) = parse(line) else {
            return Decoded::Foreign(line.into());
        };
        let missing = self
            .expected
            .map_or(0, |expected| number.wrapping_sub(expected));
        if missing != 0 {
            self.missing = self.missing.saturating_add(missing);
            self.text.clear();
        }
        self.expected = Some(number.wrapping_add(1));
        self.text.push_str(piece);
        if !last {
            return Decoded::Partial;
        }
        let text = core::mem::take(&mut self.text);
        match core::mem::take(&mut self.missing) {
            0 => Decoded::Text(text),
            missing => Decoded::Gap(missing, text),
        }
    }
}

fn parse(line: &str) -> Option<(bool, u16, &str)> {
    let last = match line.as_bytes().first()? {
        b'=' => true,
        b'+' => false,
        _ => return None,
    };
    let number = u16::from_str_radix(line.get(1..5)?, 16).ok()?;
    // Consoles trim trailing blanks: an empty text has no blank behind its number.
    let piece = line.get(5..)?;
    let piece = if piece.is_empty() {
        piece
    } else {
        piece.strip_prefix(' ')?
    };
    Some((last, number, piece))
}

/// Splits Xen's `(d12) text` or `(XEN) (d12) text`: the domain and the text.
pub fn split_domain(line: &str) -> Option<(u32, &str)> {
    let line = line.strip_prefix("(XEN) ").unwrap_or(line);
    let (domain, text) = line.strip_prefix("(d")?.split_once(')')?;
    Some((domain.parse().ok()?, text.strip_prefix(' ').unwrap_or(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn encode_to_string(encoder: &mut Encoder, text: &str) -> String {
        let mut wire = Vec::new();
        encoder.encode(text, |line| wire.extend_from_slice(line));
        String::from_utf8(wire).unwrap()
    }

    #[test]
    fn a_lost_line_is_counted_and_spoils_only_its_own_text() {
        let mut encoder = Encoder::new();
        let one = encode_to_string(&mut encoder, "one");
        let _lost = encode_to_string(&mut encoder, "two");
        let three = encode_to_string(&mut encoder, "three");
        let mut decoder = Decoder::new();
        assert_eq!(decoder.line(one.trim_end()), Decoded::Text("one".into()));
        assert_eq!(
            decoder.line(three.trim_end()),
            Decoded::Gap(1, "three".into())
        );
    }

    #[test]
    fn other_lines_pass_through() {
        assert_eq!(
            Decoder::new().line("HVM Loader"),
            Decoded::Foreign("HVM Loader".into())
        );
        assert_eq!(
            Decoder::new().line("=zzzz x"),
            Decoded::Foreign("=zzzz x".into())
        );
    }

    #[test]
    fn xens_prefixes_are_taken_off() {
        assert_eq!(split_domain("(d3) =0000 x"), Some((3, "=0000 x")));
        assert_eq!(split_domain("(XEN) (d3) x"), Some((3, "x")));
        assert_eq!(split_domain("(XEN) x"), None);
    }

    proptest! {
        #[test]
        fn every_printable_text_arrives_as_it_was(texts in proptest::collection::vec("[ -~]{0,600}", 1..8)) {
            let mut encoder = Encoder::new();
            let mut decoder = Decoder::new();
            let mut arrived = Vec::new();
            for text in &texts {
                encoder.encode(text, |line| {
                    assert!(line.len() < 200);
                    let line = core::str::from_utf8(line).unwrap().strip_suffix('\n').unwrap();
                    if let Decoded::Text(text) = decoder.line(line) {
                        arrived.push(text);
                    }
                });
            }
            prop_assert_eq!(arrived, texts);
        }
    }
}
