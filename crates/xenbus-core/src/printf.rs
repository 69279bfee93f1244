//! The format strings of C callers.
//!
//! STORE.Printf and DEBUG.Printf are C-variadic: children hand over a format and arguments as the Microsoft x64
//! convention passes them, one 8-byte word each, whatever their type (there are no floating point formats in the
//! interfaces' contract). This module turns both into bytes. It knows nothing of memory: [`Arguments`] gives it
//! the words and what they point at.
//!
//! Understood, as in Microsoft's `printf` (format specification syntax): flags `-`, `0`, `+`, space and `#`; width and
//! precision as numbers or `*`; sizes `hh`, `h`, `l`, `ll`, `w`, `z`, `I32`, `I64`; conversions `d i u x X o c C s S p %`.
//! A conversion that is not known is written as it stands and takes no argument.

/// Where words and strings come from.
pub trait Arguments {
    /// The next word.
    fn word(&mut self) -> u64;
    /// Byte number `index` of the narrow string at `address`, which is not 0.
    fn byte(&self, address: u64, index: usize) -> u8;
    /// 16-bit unit number `index` of the wide string at `address`, which is not 0.
    fn unit(&self, address: u64, index: usize) -> u16;
}

/// The longest string that `%s` writes: nothing in xenstore or in a log line is longer.
pub const MAX_STRING: usize = 4096;
/// The widest field.
const MAX_WIDTH: usize = 512;

/// Writes `format` with its arguments, byte by byte. A NUL in the format ends it.
pub fn format(format: &[u8], arguments: &mut impl Arguments, emit: &mut impl FnMut(u8)) {
    let end = format
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(format.len());
    let mut rest = format.get(..end).unwrap_or_default();
    while let Some((first, behind)) = rest.split_first() {
        if *first != b'%' {
            emit(*first);
            rest = behind;
            continue;
        }
        let mut parser = Parser { rest: behind };
        let spec = parser.spec(arguments);
        let text = rest
            .get(..rest.len() - parser.rest.len())
            .unwrap_or_default();
        rest = parser.rest;
        convert(&spec, text, arguments, emit);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Byte,
    Short,
    Int,
    Long,
    Quad,
}

#[derive(Debug)]
struct Spec {
    left: bool,
    zero: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    size: Size,
    conversion: u8,
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl Parser<'_> {
    fn take(&mut self, prefix: &[u8]) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn spec(&mut self, arguments: &mut impl Arguments) -> Spec {
        let mut spec = Spec {
            left: false,
            zero: false,
            plus: false,
            space: false,
            alternate: false,
            width: 0,
            precision: None,
            size: Size::Int,
            conversion: 0,
        };
        while self.flag(&mut spec) {}
        if self.take(b"*") {
            let width = arguments.word() as i32;
            spec.left |= width < 0;
            spec.width = (width.unsigned_abs() as usize).min(MAX_WIDTH);
        } else {
            spec.width = self.number().min(MAX_WIDTH);
        }
        if self.take(b".") {
            // A negative precision counts as none (C17 7.21.6.1).
            spec.precision = if self.take(b"*") {
                usize::try_from(arguments.word() as i32).ok()
            } else {
                Some(self.number())
            };
        }
        spec.size = self.size();
        if let Some((conversion, rest)) = self.rest.split_first() {
            spec.conversion = *conversion;
            self.rest = rest;
        }
        spec
    }

    fn flag(&mut self, spec: &mut Spec) -> bool {
        match self.rest.first() {
            Some(b'-') => spec.left = true,
            Some(b'0') => spec.zero = true,
            Some(b'+') => spec.plus = true,
            Some(b' ') => spec.space = true,
            Some(b'#') => spec.alternate = true,
            _ => return false,
        }
        self.rest = self.rest.get(1..).unwrap_or_default();
        true
    }

    fn number(&mut self) -> usize {
        let mut number = 0usize;
        while let Some((digit @ b'0'..=b'9', rest)) = self.rest.split_first() {
            number = number
                .saturating_mul(10)
                .saturating_add(usize::from(digit - b'0'));
            self.rest = rest;
        }
        number
    }

    fn size(&mut self) -> Size {
        const SIZES: [(&[u8], Size); 8] = [
            (b"I64", Size::Quad),
            (b"I32", Size::Int),
            (b"hh", Size::Byte),
            (b"h", Size::Short),
            (b"ll", Size::Quad),
            (b"l", Size::Long),
            (b"w", Size::Long),
            (b"z", Size::Quad),
        ];
        SIZES
            .iter()
            .find(|(text, _)| self.take(text))
            .map_or(Size::Int, |(_, size)| *size)
    }
}

fn convert(spec: &Spec, text: &[u8], arguments: &mut impl Arguments, emit: &mut impl FnMut(u8)) {
    match spec.conversion {
        b'%' => emit(b'%'),
        b'd' | b'i' => {
            let value = signed(arguments.word(), spec.size);
            let sign = match (value < 0, spec.plus, spec.space) {
                (true, ..) => &b"-"[..],
                (_, true, _) => b"+",
                (.., true) => b" ",
                _ => b"",
            };
            number(spec, sign, value.unsigned_abs(), 10, false, emit);
        }
        b'u' => number(
            spec,
            b"",
            unsigned(arguments.word(), spec.size),
            10,
            false,
            emit,
        ),
        b'o' => number(
            spec,
            b"",
            unsigned(arguments.word(), spec.size),
            8,
            false,
            emit,
        ),
        b'x' | b'X' => {
            let value = unsigned(arguments.word(), spec.size);
            let upper = spec.conversion == b'X';
            let prefix = match (spec.alternate && value != 0, upper) {
                (true, false) => &b"0x"[..],
                (true, true) => b"0X",
                _ => b"",
            };
            number(spec, prefix, value, 16, upper, emit);
        }
        // Microsoft's %p: all digits of the address, in upper case, with no prefix.
        b'p' => {
            let spec = Spec {
                precision: Some(16),
                ..*spec
            };
            number(&spec, b"", arguments.word(), 16, true, emit);
        }
        b'c' | b'C' => {
            let value = arguments.word();
            let wide = is_wide(spec);
            padded(spec, 1, emit, |emit| {
                emit(if wide {
                    narrow(value as u16)
                } else {
                    value as u8
                })
            });
        }
        b's' | b'S' => string(spec, arguments, emit),
        _ => text.iter().for_each(|byte| emit(*byte)),
    }
}

/// `%S` and `%C` mean the other width than the caller's own, which is narrow; `h` and `l` or `w` decide where they stand.
fn is_wide(spec: &Spec) -> bool {
    match spec.size {
        Size::Short | Size::Byte => false,
        Size::Long => true,
        _ => spec.conversion.is_ascii_uppercase(),
    }
}

fn signed(word: u64, size: Size) -> i64 {
    match size {
        Size::Byte => i64::from(word as i8),
        Size::Short => i64::from(word as i16),
        // `long` has 32 bits in the Microsoft ABI.
        Size::Int | Size::Long => i64::from(word as i32),
        Size::Quad => word as i64,
    }
}

fn unsigned(word: u64, size: Size) -> u64 {
    match size {
        Size::Byte => u64::from(word as u8),
        Size::Short => u64::from(word as u16),
        Size::Int | Size::Long => u64::from(word as u32),
        Size::Quad => word,
    }
}

/// The digits of `value` in order, at most 22 (64 bits in octal).
fn digits(mut value: u64, base: u64, upper: bool) -> ([u8; 22], usize) {
    let alphabet = if upper {
        b"0123456789ABCDEF"
    } else {
        b"0123456789abcdef"
    };
    let mut buffer = [0; 22];
    let mut start = buffer.len();
    for place in buffer.iter_mut().rev() {
        if value == 0 {
            break;
        }
        *place = alphabet
            .get((value % base) as usize)
            .copied()
            .unwrap_or(b'?');
        value /= base;
        start -= 1;
    }
    (buffer, start)
}

fn number(
    spec: &Spec,
    prefix: &[u8],
    value: u64,
    base: u64,
    upper: bool,
    emit: &mut impl FnMut(u8),
) {
    let (buffer, start) = digits(value, base, upper);
    let digits = buffer.get(start..).unwrap_or_default();
    let fill = match spec.precision {
        Some(precision) => precision.min(MAX_WIDTH),
        None if spec.zero && !spec.left => spec.width.saturating_sub(prefix.len()).max(1),
        None => 1,
    };
    let zeroes = fill.saturating_sub(digits.len());
    padded(spec, prefix.len() + zeroes + digits.len(), emit, |emit| {
        prefix.iter().for_each(|byte| emit(*byte));
        (0..zeroes).for_each(|_| emit(b'0'));
        digits.iter().for_each(|byte| emit(*byte));
    });
}

fn string(spec: &Spec, arguments: &mut impl Arguments, emit: &mut impl FnMut(u8)) {
    let address = arguments.word();
    let limit = spec.precision.unwrap_or(MAX_STRING).min(MAX_STRING);
    if address == 0 {
        let null = b"(null)".get(..limit.min(6)).unwrap_or_default();
        return padded(spec, null.len(), emit, |emit| {
            null.iter().for_each(|byte| emit(*byte))
        });
    }
    let wide = is_wide(spec);
    let arguments = &*arguments;
    let at = |index| {
        if wide {
            narrow(arguments.unit(address, index))
        } else {
            arguments.byte(address, index)
        }
    };
    let length = (0..limit).position(|index| at(index) == 0).unwrap_or(limit);
    padded(spec, length, emit, |emit| {
        (0..length).for_each(|index| emit(at(index)))
    });
}

/// A wide character as a byte: what is not ASCII becomes `?`, as xenstore and the log carry ASCII.
fn narrow(unit: u16) -> u8 {
    u8::try_from(unit).ok().filter(u8::is_ascii).unwrap_or(b'?')
}

fn padded<E: FnMut(u8)>(spec: &Spec, length: usize, emit: &mut E, body: impl FnOnce(&mut E)) {
    let padding = spec.width.saturating_sub(length);
    if !spec.left {
        (0..padding).for_each(|_| emit(b' '));
    }
    body(emit);
    if spec.left {
        (0..padding).for_each(|_| emit(b' '));
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::string::String;
    use std::vec::Vec;

    /// Words with strings behind some of them: a word `n` from 1 on points at string number `n - 1`.
    struct Fake {
        words: Vec<u64>,
        next: usize,
        strings: Vec<&'static str>,
    }

    impl Arguments for Fake {
        fn word(&mut self) -> u64 {
            self.next += 1;
            self.words.get(self.next - 1).copied().unwrap_or(0)
        }

        fn byte(&self, address: u64, index: usize) -> u8 {
            let string = self.strings[address as usize - 1];
            assert!(index <= string.len(), "read behind the end of a string");
            string.as_bytes().get(index).copied().unwrap_or(0)
        }

        fn unit(&self, address: u64, index: usize) -> u16 {
            let string: Vec<u16> = self.strings[address as usize - 1].encode_utf16().collect();
            assert!(index <= string.len(), "read behind the end of a string");
            string.get(index).copied().unwrap_or(0)
        }
    }

    fn print(text: &str, words: &[u64], strings: &[&'static str]) -> String {
        let mut fake = Fake {
            words: words.to_vec(),
            next: 0,
            strings: strings.to_vec(),
        };
        let mut out = Vec::new();
        format(text.as_bytes(), &mut fake, &mut |byte| out.push(byte));
        // `%c` may write any byte.
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn the_formats_that_children_use_come_out_as_c_prints_them() {
        let table: &[(&str, &[u64], &[&'static str], &str)] = &[
            ("%s/%s", &[1, 2], &["device", "vbd"], "device/vbd"),
            ("%u", &[u64::MAX], &[], "4294967295"),
            ("%d", &[0xffff_ffff], &[], "-1"),
            ("%x", &[0xabcd], &[], "abcd"),
            ("%llu", &[u64::MAX], &[], "18446744073709551615"),
            ("%02x", &[7], &[], "07"),
            ("%hs", &[1], &["narrow"], "narrow"),
            ("%ws", &[1], &["wide\u{e9}"], "wide?"),
            ("%S", &[1], &["wide"], "wide"),
            ("%p", &[0xffff_f800_0000_1abc], &[], "FFFFF80000001ABC"),
            ("%lu", &[0x1_0000_0001], &[], "1"),
            ("%016llx", &[0xbeef], &[], "000000000000beef"),
            ("%c%C", &[65, 66], &[], "AB"),
            ("100%%", &[], &[], "100%"),
            ("%I64d", &[u64::MAX], &[], "-1"),
            ("%hhx", &[0x1ff], &[], "ff"),
            ("%o", &[8], &[], "10"),
        ];
        for (text, words, strings, expected) in table {
            assert_eq!(print(text, words, strings), *expected, "{text}");
        }
    }

    #[test]
    fn width_precision_and_flags_place_and_cut() {
        assert_eq!(print("[%5d]", &[42], &[]), "[   42]");
        assert_eq!(print("[%-5d]", &[42], &[]), "[42   ]");
        assert_eq!(print("[%05d]", &[-42i32 as u64], &[]), "[-0042]");
        assert_eq!(print("[%.3d]", &[7], &[]), "[007]");
        assert_eq!(print("[%+d]", &[7], &[]), "[+7]");
        assert_eq!(print("[%#x]", &[255], &[]), "[0xff]");
        assert_eq!(print("[%.2s]", &[1], &["abc"]), "[ab]");
        assert_eq!(print("[%*s]", &[4, 1], &["ab"]), "[  ab]");
        assert_eq!(print("[%*s]", &[-4i32 as u64, 1], &["ab"]), "[ab  ]");
        assert_eq!(print("%0*x", &[4, 0xab], &[]), "00ab");
        assert_eq!(print("[%u]", &[0], &[]), "[0]");
    }

    #[test]
    fn a_null_string_and_an_unknown_conversion_do_no_harm() {
        assert_eq!(print("[%s]", &[0], &[]), "[(null)]");
        assert_eq!(print("%y %d", &[5], &[]), "%y 5");
        assert_eq!(print("ends in %", &[], &[]), "ends in %");
        assert_eq!(print("%999999999999d", &[1], &[]).len(), MAX_WIDTH);
        assert_eq!(print("a\0b", &[], &[]), "a");
    }

    proptest! {
        #[test]
        fn no_format_makes_it_fail_or_write_without_end(text in "[ -~]{0,64}", words in proptest::collection::vec(2u64.., 0..16)) {
            // No %s, since the words point nowhere.
            let text = text.replace(['s', 'S'], "d");
            let out = print(&text, &words, &[]);
            // Three bytes stand for one that is no UTF-8.
            prop_assert!(out.len() <= text.len() * (2 * MAX_WIDTH + 2) * 3);
        }
    }
}
