//! One printf engine for all of the kernel's formatted output.
//!
//! Follows "Format specification syntax: printf and wprintf functions" of Microsoft's C library documentation as far as
//! kernel code uses it: no floating point (its argument is passed over), `%wZ` and `%Z` for counted strings (DbgPrint's
//! page), `%I64` and `%I32`. Arguments come from a win64 `va_list`: a pointer to 8-byte slots.

use crate::nt::base::{STRING, UNICODE_STRING};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Size {
    Default,
    Char,
    Short,
    Long,
    Wide,
    I64,
}

#[derive(Clone, Copy)]
struct Spec {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: usize,
    precision: Option<usize>,
    size: Size,
}

/// Where arguments come from.
struct Va(*const u64);

impl Va {
    unsafe fn next(&mut self) -> u64 {
        let value = self.0.read_unaligned();
        self.0 = self.0.add(1);
        value
    }
}

/// A limit on runaway widths, so that a wrong format cannot fill the log.
const MAX_WIDTH: usize = 4096;

/// Formats; each character of the result goes to `out`. `wide` is true for the `w` functions, whose `%s` is a wide
/// string.
///
/// # Safety
/// `format` ends in a 0 and `va` points to the arguments that it asks for.
pub unsafe fn format(
    format: &dyn Fn(usize) -> u16,
    wide: bool,
    va: *const u64,
    out: &mut dyn FnMut(u16),
) {
    let mut va = Va(va);
    let mut at = 0;
    loop {
        let c = format(at);
        at += 1;
        match c {
            0 => return,
            0x25 => at = conversion(format, at, wide, &mut va, out),
            _ => out(c),
        }
    }
}

unsafe fn number(format: &dyn Fn(usize) -> u16, at: &mut usize, va: &mut Va) -> i64 {
    if format(*at) == u16::from(b'*') {
        *at += 1;
        return i64::from(va.next() as i32);
    }
    let mut n = 0i64;
    while let Some(d) = char::from_u32(format(*at).into()).and_then(|c| c.to_digit(10)) {
        n = (n * 10 + i64::from(d)).min(MAX_WIDTH as i64);
        *at += 1;
    }
    n
}

unsafe fn conversion(
    format: &dyn Fn(usize) -> u16,
    mut at: usize,
    wide: bool,
    va: &mut Va,
    out: &mut dyn FnMut(u16),
) -> usize {
    let mut spec = Spec {
        left: false,
        plus: false,
        space: false,
        alternate: false,
        zero: false,
        width: 0,
        precision: None,
        size: Size::Default,
    };
    let byte = |at: usize| u8::try_from(format(at)).unwrap_or(b'?');
    loop {
        match byte(at) {
            b'-' => spec.left = true,
            b'+' => spec.plus = true,
            b' ' => spec.space = true,
            b'#' => spec.alternate = true,
            b'0' => spec.zero = true,
            _ => break,
        }
        at += 1;
    }
    let width = number(format, &mut at, va);
    spec.left |= width < 0;
    spec.width = (width.unsigned_abs() as usize).min(MAX_WIDTH);
    if byte(at) == b'.' {
        at += 1;
        let p = number(format, &mut at, va);
        spec.precision = usize::try_from(p).ok();
    }
    at += size(&byte, at, &mut spec.size);
    let kind = byte(at);
    if kind == 0 {
        return at;
    }
    emit(kind, &spec, wide, va, out);
    at + 1
}

/// Reads a size prefix; how many characters it had.
fn size(byte: &dyn Fn(usize) -> u8, at: usize, size: &mut Size) -> usize {
    // The format may end anywhere: a character is read only if the one before is not the end.
    let (s, n) = match byte(at) {
        b'I' => match byte(at + 1) {
            b'6' if byte(at + 2) == b'4' => (Size::I64, 3),
            b'3' if byte(at + 2) == b'2' => (Size::Default, 3),
            _ => (Size::I64, 1),
        },
        b'l' if byte(at + 1) == b'l' => (Size::I64, 2),
        b'l' => (Size::Long, 1),
        b'h' if byte(at + 1) == b'h' => (Size::Char, 2),
        b'h' => (Size::Short, 1),
        b'w' => (Size::Wide, 1),
        b'z' | b'j' | b't' => (Size::I64, 1),
        _ => (Size::Default, 0),
    };
    *size = s;
    n
}

fn pad(n: usize, c: u8, out: &mut dyn FnMut(u16)) {
    for _ in 0..n {
        out(c.into());
    }
}

unsafe fn emit(kind: u8, spec: &Spec, wide: bool, va: &mut Va, out: &mut dyn FnMut(u16)) {
    match kind {
        b'd' | b'i' => {
            let raw = va.next();
            let value = match spec.size {
                Size::I64 => raw as i64,
                Size::Short => i64::from(raw as i16),
                Size::Char => i64::from(raw as i8),
                _ => i64::from(raw as i32),
            };
            integer(value.unsigned_abs(), value < 0, 10, false, spec, out);
        }
        b'u' | b'x' | b'X' | b'o' => {
            let raw = va.next();
            let value = match spec.size {
                Size::I64 => raw,
                Size::Short => u64::from(raw as u16),
                Size::Char => u64::from(raw as u8),
                _ => u64::from(raw as u32),
            };
            let base = match kind {
                b'u' => 10,
                b'o' => 8,
                _ => 16,
            };
            let unsigned = Spec {
                plus: false,
                space: false,
                ..*spec
            };
            integer(value, false, base, kind == b'X', &unsigned, out);
        }
        b'p' => {
            let plain = Spec {
                precision: Some(16),
                plus: false,
                space: false,
                zero: false,
                ..*spec
            };
            integer(va.next(), false, 16, true, &plain, out);
        }
        b'c' | b'C' => {
            let narrow_arg = narrow(kind == b'C', spec.size, wide);
            let raw = va.next() as u16;
            let c = if narrow_arg { raw & 0xff } else { raw };
            text(1, &|_| c, spec, out);
        }
        b's' | b'S' => {
            let p = va.next();
            if narrow(kind == b'S', spec.size, wide) {
                c_string(p as *const u8, spec, out)
            } else {
                c_string(p as *const u16, spec, out)
            }
        }
        b'Z' => counted(va.next(), spec, out),
        b'e' | b'E' | b'f' | b'g' | b'G' | b'a' | b'A' | b'n' => {
            va.next();
        }
        other => out(other.into()),
    }
}

/// Whether a `%s` (or, swapped, `%S`) argument is a narrow string.
fn narrow(swapped: bool, size: Size, wide: bool) -> bool {
    match size {
        Size::Short => true,
        Size::Long | Size::Wide => false,
        _ => wide == swapped,
    }
}

trait Unit: Copy {
    fn unit(self) -> u16;
}
impl Unit for u8 {
    fn unit(self) -> u16 {
        self.into()
    }
}
impl Unit for u16 {
    fn unit(self) -> u16 {
        self
    }
}

unsafe fn c_string<T: Unit>(p: *const T, spec: &Spec, out: &mut dyn FnMut(u16)) {
    if p.is_null() {
        return text(6, &|i| u16::from(b"(null)"[i]), spec, out);
    }
    let most = spec.precision.unwrap_or(usize::MAX);
    let mut n = 0;
    while n < most && p.add(n).read_unaligned().unit() != 0 {
        n += 1;
    }
    text(n, &|i| p.add(i).read_unaligned().unit(), spec, out);
}

unsafe fn counted(p: u64, spec: &Spec, out: &mut dyn FnMut(u16)) {
    if p == 0 {
        return text(6, &|i| u16::from(b"(null)"[i]), spec, out);
    }
    if matches!(spec.size, Size::Wide | Size::Long) {
        let units = (*(p as *const UNICODE_STRING)).units();
        text(units.len(), &|i| units[i], spec, out);
    } else {
        let bytes = (*(p as *const STRING)).bytes();
        text(bytes.len(), &|i| bytes[i].into(), spec, out);
    }
}

fn text(len: usize, at: &dyn Fn(usize) -> u16, spec: &Spec, out: &mut dyn FnMut(u16)) {
    let n = len.min(spec.precision.unwrap_or(usize::MAX));
    let fill = spec.width.saturating_sub(n);
    if !spec.left {
        pad(fill, if spec.zero { b'0' } else { b' ' }, out);
    }
    (0..n).for_each(|i| out(at(i)));
    if spec.left {
        pad(fill, b' ', out);
    }
}

fn integer(
    value: u64,
    negative: bool,
    base: u64,
    upper: bool,
    spec: &Spec,
    out: &mut dyn FnMut(u16),
) {
    let mut digits = [0u8; 24];
    let mut n = 0;
    let mut rest = value;
    while rest != 0 {
        let d = (rest % base) as u8;
        digits[n] = match d {
            0..=9 => b'0' + d,
            _ if upper => b'A' + d - 10,
            _ => b'a' + d - 10,
        };
        n += 1;
        rest /= base;
    }
    let sign: &[u8] = match (negative, spec.plus, spec.space) {
        (true, ..) => b"-",
        (_, true, _) => b"+",
        (.., true) => b" ",
        _ => b"",
    };
    let prefix: &[u8] = match (spec.alternate && value != 0, base, upper) {
        (true, 16, true) => b"0X",
        (true, 16, false) => b"0x",
        (true, 8, _) => b"0",
        _ => b"",
    };
    let mut zeros = spec.precision.unwrap_or(1).min(MAX_WIDTH).saturating_sub(n);
    let used = sign.len() + prefix.len() + n + zeros;
    let fill = spec.width.saturating_sub(used);
    if spec.zero && !spec.left && spec.precision.is_none() {
        zeros += fill;
    } else if !spec.left {
        pad(fill, b' ', out);
    }
    sign.iter().chain(prefix).for_each(|&c| out(c.into()));
    pad(zeros, b'0', out);
    digits[..n].iter().rev().for_each(|&c| out(c.into()));
    if spec.left {
        pad(fill, b' ', out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn run(fmt: &str, wide: bool, args: &[u64]) -> String {
        let f: Vec<u16> = fmt.encode_utf16().chain([0]).collect();
        let mut result = Vec::new();
        // SAFETY: the tests give each format its arguments.
        unsafe { format(&|i| f[i], wide, args.as_ptr(), &mut |c| result.push(c)) };
        String::from_utf16(&result).unwrap()
    }

    #[test]
    fn integers_have_size_width_precision_and_flags() {
        let minus = -5i64 as u64;
        for (fmt, arg, want) in [
            ("%d", minus, "-5"),
            ("%u", 7 << 32 | 9, "9"),
            ("%5d|", 42, "   42|"),
            ("%-5d|", 42, "42   |"),
            ("%05d", minus, "-0005"),
            ("%+d", 5, "+5"),
            ("% d", 5, " 5"),
            ("%.4d", 5, "0005"),
            ("%6.4d", 5, "  0005"),
            ("%02x", 0xa, "0a"),
            ("%#X", 0xab, "0XAB"),
            ("%#x", 0, "0"),
            ("%hd", 0x1_ffff, "-1"),
            ("%hhu", 0x1ff, "255"),
            ("%ld", 0x1_0000_0001, "1"),
            ("%lld", minus, "-5"),
            ("%I64u", u64::MAX, "18446744073709551615"),
            ("%016llx", 0xabc, "0000000000000abc"),
            ("%p", 0xdead_beef, "00000000DEADBEEF"),
            ("%o", 8, "10"),
            ("%.0d|", 0, "|"),
            ("%c", 65, "A"),
            ("%%%d", 1, "%1"),
        ] {
            assert_eq!(run(fmt, false, &[arg]), want, "{fmt}");
        }
        assert_eq!(
            run("%*d|%-*d|%.*d", false, &[4, 1, 4, 2, 3, 3]),
            "   1|2   |003"
        );
    }

    #[test]
    fn strings_are_narrow_or_wide_as_the_conversion_says() {
        let n = c"narrow".as_ptr() as u64;
        let w: Vec<u16> = "wide".encode_utf16().chain([0]).collect();
        let w = w.as_ptr() as u64;
        for (fmt, wide, arg, want) in [
            ("%s", false, n, "narrow"),
            ("%S", false, w, "wide"),
            ("%ws", false, w, "wide"),
            ("%ls", false, w, "wide"),
            ("%hs", false, n, "narrow"),
            ("%s", true, w, "wide"),
            ("%S", true, n, "narrow"),
            ("%hs", true, n, "narrow"),
            ("%s", false, 0, "(null)"),
            ("%.3s|%%", false, n, "nar|%"),
            ("%8.3s|", false, n, "     nar|"),
            ("%-8.3s|", false, n, "nar     |"),
        ] {
            assert_eq!(run(fmt, wide, &[arg]), want, "{fmt} {wide}");
        }
    }

    #[test]
    fn counted_strings_need_no_end() {
        let mut u: Vec<u16> = "count".encode_utf16().collect();
        let us = UNICODE_STRING {
            Length: 6,
            MaximumLength: 10,
            Buffer: u.as_mut_ptr(),
        };
        let mut a = *b"ansi";
        let s = STRING {
            Length: 4,
            MaximumLength: 4,
            Buffer: a.as_mut_ptr(),
        };
        assert_eq!(
            run(
                "%wZ %Z",
                false,
                &[&raw const us as u64, &raw const s as u64]
            ),
            "cou ansi"
        );
    }

    #[test]
    fn a_format_that_ends_in_a_percent_sign_ends_there() {
        assert_eq!(run("x%", false, &[]), "x");
    }
}
