//! C library functions that ntoskrnl.exe exports, with the C library's semantics ("Run-Time Library Reference"); those with
//! an IRQL contract there have the same here: any IRQL on resident memory.

use core::cmp::Ordering;
use core::ptr::null_mut;

use super::printf;

/// A character of either width.
trait Unit: Copy + Eq + Ord + Default {
    fn lower(self) -> Self;
    fn upper(self) -> Self;
}

impl Unit for u8 {
    fn lower(self) -> Self {
        self.to_ascii_lowercase()
    }
    fn upper(self) -> Self {
        self.to_ascii_uppercase()
    }
}

/// One UTF-16 unit, folded as a single unit.
fn fold(u: u16, to: impl Fn(char) -> Option<char>) -> u16 {
    char::from_u32(u.into())
        .and_then(to)
        .and_then(|c| u16::try_from(u32::from(c)).ok())
        .unwrap_or(u)
}

/// A unit in upper case, where that is one unit.
pub fn upper_unit(u: u16) -> u16 {
    fold(u, |c| {
        Some(c.to_uppercase())
            .filter(|i| i.len() == 1)
            .and_then(|mut i| i.next())
    })
}

/// A unit in lower case, where that is one unit.
pub fn lower_unit(u: u16) -> u16 {
    fold(u, |c| {
        Some(c.to_lowercase())
            .filter(|i| i.len() == 1)
            .and_then(|mut i| i.next())
    })
}

impl Unit for u16 {
    fn lower(self) -> Self {
        lower_unit(self)
    }
    fn upper(self) -> Self {
        upper_unit(self)
    }
}

unsafe fn length<T: Unit>(s: *const T, most: usize) -> usize {
    let mut n = 0;
    while n < most && *s.add(n) != T::default() {
        n += 1;
    }
    n
}

unsafe fn compare<T: Unit>(a: *const T, b: *const T, most: usize, fold: bool) -> i32 {
    for i in 0..most {
        let (x, y) = (*a.add(i), *b.add(i));
        let (x, y) = if fold { (x.lower(), y.lower()) } else { (x, y) };
        match x.cmp(&y) {
            Ordering::Less => return -1,
            Ordering::Greater => return 1,
            Ordering::Equal if x == T::default() => return 0,
            Ordering::Equal => {}
        }
    }
    0
}

unsafe fn find<T: Unit>(s: *const T, c: T) -> *mut T {
    let mut p = s;
    loop {
        if *p == c {
            return p.cast_mut();
        }
        if *p == T::default() {
            return null_mut();
        }
        p = p.add(1);
    }
}

unsafe fn find_last<T: Unit>(s: *const T, c: T) -> *mut T {
    let n = length(s, usize::MAX);
    (0..=n)
        .rev()
        .map(|i| s.add(i))
        .find(|&p| *p == c)
        .map_or(null_mut(), <*const T>::cast_mut)
}

unsafe fn find_str<T: Unit>(s: *const T, what: *const T) -> *mut T {
    let (n, m) = (length(s, usize::MAX), length(what, usize::MAX));
    let (hay, needle) = (
        core::slice::from_raw_parts(s, n),
        core::slice::from_raw_parts(what, m),
    );
    if m == 0 {
        return s.cast_mut();
    }
    hay.windows(m)
        .position(|w| w == needle)
        .map_or(null_mut(), |i| s.add(i).cast_mut())
}

unsafe fn copy_n<T: Unit>(to: *mut T, from: *const T, n: usize) {
    let len = length(from, n);
    core::ptr::copy_nonoverlapping(from, to, len);
    for i in len..n {
        *to.add(i) = T::default();
    }
}

macro_rules! c {
    ($(fn $name:ident($($a:ident: $t:ty),*) $(-> $r:ty)? $body:block)*) => {$(
        /// The C library's function of that name.
        ///
        /// # Safety
        /// As in C.
        pub unsafe extern "win64" fn $name($($a: $t),*) $(-> $r)? $body
    )*};
}

// The names are C's; they are exported to drivers, not to the linker, so they cannot be taken for the executive's own.
c! {
    fn strlen(s: *const u8) -> usize { length(s, usize::MAX) }
    fn strnlen(s: *const u8, n: usize) -> usize { length(s, n) }
    fn strcmp(a: *const u8, b: *const u8) -> i32 { compare(a, b, usize::MAX, false) }
    fn strncmp(a: *const u8, b: *const u8, n: usize) -> i32 { compare(a, b, n, false) }
    fn _stricmp(a: *const u8, b: *const u8) -> i32 { compare(a, b, usize::MAX, true) }
    fn _strnicmp(a: *const u8, b: *const u8, n: usize) -> i32 { compare(a, b, n, true) }
    fn strchr(s: *const u8, c: i32) -> *mut u8 { find(s, c as u8) }
    fn strrchr(s: *const u8, c: i32) -> *mut u8 { find_last(s, c as u8) }
    fn strstr(s: *const u8, what: *const u8) -> *mut u8 { find_str(s, what) }
    fn strncpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 { copy_n(to, from, n); to }
    fn strcpy(to: *mut u8, from: *const u8) -> *mut u8 { copy_n(to, from, length(from, usize::MAX) + 1); to }
    fn strcat(to: *mut u8, from: *const u8) -> *mut u8 { strcpy(to.add(strlen(to)), from); to }
    fn wcslen(s: *const u16) -> usize { length(s, usize::MAX) }
    fn wcsnlen(s: *const u16, n: usize) -> usize { length(s, n) }
    fn wcscmp(a: *const u16, b: *const u16) -> i32 { compare(a, b, usize::MAX, false) }
    fn wcsncmp(a: *const u16, b: *const u16, n: usize) -> i32 { compare(a, b, n, false) }
    fn _wcsicmp(a: *const u16, b: *const u16) -> i32 { compare(a, b, usize::MAX, true) }
    fn _wcsnicmp(a: *const u16, b: *const u16, n: usize) -> i32 { compare(a, b, n, true) }
    fn wcschr(s: *const u16, c: u16) -> *mut u16 { find(s, c) }
    fn wcsrchr(s: *const u16, c: u16) -> *mut u16 { find_last(s, c) }
    fn wcsstr(s: *const u16, what: *const u16) -> *mut u16 { find_str(s, what) }
    fn wcsncpy(to: *mut u16, from: *const u16, n: usize) -> *mut u16 { copy_n(to, from, n); to }
    fn wcscpy(to: *mut u16, from: *const u16) -> *mut u16 { copy_n(to, from, length(from, usize::MAX) + 1); to }
    fn toupper(c: i32) -> i32 { u8::try_from(c).map_or(c, |b| b.upper().into()) }
    fn tolower(c: i32) -> i32 { u8::try_from(c).map_or(c, |b| b.lower().into()) }
    fn towupper(c: u16) -> u16 { c.upper() }
    fn towlower(c: u16) -> u16 { c.lower() }
    fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
        for i in 0..n {
            let d = i32::from(*a.add(i)) - i32::from(*b.add(i));
            if d != 0 {
                return d;
            }
        }
        0
    }
    fn RtlCompareMemory(a: *const u8, b: *const u8, n: usize) -> usize {
        (0..n).find(|&i| *a.add(i) != *b.add(i)).unwrap_or(n)
    }
    fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 { core::ptr::copy(from, to, n); to }
    fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 { core::ptr::copy(from, to, n); to }
    fn RtlCopyMemory(to: *mut u8, from: *const u8, n: usize) { core::ptr::copy(from, to, n) }
    fn RtlMoveMemory(to: *mut u8, from: *const u8, n: usize) { core::ptr::copy(from, to, n) }
    fn memset(to: *mut u8, c: i32, n: usize) -> *mut u8 { core::ptr::write_bytes(to, c as u8, n); to }
    fn RtlZeroMemory(to: *mut u8, n: usize) { core::ptr::write_bytes(to, 0, n) }
    fn RtlFillMemory(to: *mut u8, n: usize, c: u8) { core::ptr::write_bytes(to, c, n) }
    fn _vsnprintf(to: *mut u8, n: usize, f: *const u8, va: *const u64) -> i32 { print_narrow(to, n, f, va) }
    fn _vsnwprintf(to: *mut u16, n: usize, f: *const u16, va: *const u64) -> i32 { print_wide(to, n, f, va) }
    fn vsprintf(to: *mut u8, f: *const u8, va: *const u64) -> i32 { print_narrow(to, usize::MAX, f, va) }
}

fn finish<T: Unit>(written: usize, n: usize, to: *mut T) -> i32 {
    if written < n {
        // SAFETY: the buffer has room for n, and this is inside.
        unsafe { *to.add(written) = T::default() };
    }
    if written > n {
        -1
    } else {
        i32::try_from(written).unwrap_or(i32::MAX)
    }
}

unsafe fn print_narrow(to: *mut u8, n: usize, f: *const u8, va: *const u64) -> i32 {
    let mut written = 0;
    printf::format(&|i| u16::from(*f.add(i)), false, va, &mut |c| {
        if written < n {
            *to.add(written) = u8::try_from(c).unwrap_or(b'?');
        }
        written += 1;
    });
    finish(written, n, to)
}

unsafe fn print_wide(to: *mut u16, n: usize, f: *const u16, va: *const u64) -> i32 {
    let mut written = 0;
    printf::format(&|i| *f.add(i), true, va, &mut |c| {
        if written < n {
            *to.add(written) = c;
        }
        written += 1;
    });
    finish(written, n, to)
}

/// A C-variadic function: spills the register arguments and calls `$to` with a pointer to those after the first `$fixed`,
/// as one more argument.
#[macro_export]
macro_rules! variadic {
    ($name:ident, $fixed:literal, $last:literal, $to:path) => {
        /// C-variadic; see the routine that takes the list.
        ///
        /// # Safety
        /// As in C.
        #[unsafe(naked)]
        pub unsafe extern "win64" fn $name() {
            core::arch::naked_asm!(
                "mov [rsp + 8], rcx",
                "mov [rsp + 16], rdx",
                "mov [rsp + 24], r8",
                "mov [rsp + 32], r9",
                concat!("lea ", $last, ", [rsp + 8 + 8 * ", $fixed, "]"),
                "sub rsp, 40",
                "call {to}",
                "add rsp, 40",
                "ret",
                to = sym $to,
            )
        }
    };
}

variadic!(sprintf, 2, "r8", vsprintf);
variadic!(_snprintf, 3, "r9", _vsnprintf);
variadic!(_snwprintf, 3, "r9", _vsnwprintf);

crate::exports! {
    pub static EXPORTS;
    Ntoskrnl {
        strlen, strnlen, strcmp, strncmp, _stricmp, _strnicmp, strchr, strrchr, strstr, strncpy, strcpy, strcat, wcslen,
        wcsnlen, wcscmp, wcsncmp, _wcsicmp, _wcsnicmp, wcschr, wcsrchr, wcsstr, wcsncpy, wcscpy, toupper, tolower,
        towupper, towlower, memcmp, RtlCompareMemory, memcpy, memmove, RtlCopyMemory, RtlMoveMemory, memset,
        RtlZeroMemory, RtlFillMemory, _vsnprintf, _vsnwprintf, vsprintf, sprintf, _snprintf, _snwprintf,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_print_ends_in_a_nul_only_if_there_is_room() {
        let args = [12345u64];
        let mut b = [b'x'; 8];
        // SAFETY: formats with their arguments, buffers of the size given.
        unsafe {
            assert_eq!(
                _vsnprintf(b.as_mut_ptr(), 8, c"%d".as_ptr().cast(), args.as_ptr()),
                5
            );
            assert_eq!(&b, b"12345\0xx");
            assert_eq!(
                _vsnprintf(b.as_mut_ptr(), 5, c"%u".as_ptr().cast(), args.as_ptr()),
                5
            );
            assert_eq!(
                _vsnprintf(b.as_mut_ptr(), 3, c"%u".as_ptr().cast(), args.as_ptr()),
                -1
            );
        }
    }

    #[test]
    fn strings_compare_in_part_and_without_case() {
        let p = |s: &'static core::ffi::CStr| s.as_ptr().cast::<u8>();
        // SAFETY: C strings.
        unsafe {
            assert_eq!(strncmp(p(c"abX"), p(c"abY"), 2), 0);
            assert_eq!(_stricmp(p(c"AbC"), p(c"aBc")), 0);
            assert!(strcmp(p(c"ab"), p(c"abc")) < 0);
            assert_eq!(_strnicmp(p(c"ABx"), p(c"abY"), 3), -1);
            let dots = p(c"a.b.c");
            assert_eq!(strrchr(dots, b'.'.into()).offset_from(dots), 3);
            assert!(strstr(p(c"haystack"), p(c"stick")).is_null());
        }
    }

    #[test]
    fn a_variadic_call_reaches_the_list_function() {
        let mut b = [0u8; 32];
        let n: u64;
        // SAFETY: a win64 call of sprintf(b, "%d-%d-%s", 1, 2, "x"): two fixed, one stack argument.
        unsafe {
            core::arch::asm!(
                "sub rsp, 48",
                "mov [rsp + 32], {s}",
                "call {f}",
                "add rsp, 48",
                s = in(reg) c"x".as_ptr(),
                f = sym sprintf,
                in("rcx") b.as_mut_ptr(), in("rdx") c"%d-%d-%s".as_ptr(), in("r8") 1u64, in("r9") 2u64,
                lateout("rax") n,
                clobber_abi("win64"),
            );
        }
        assert_eq!((n as u32, &b[..6]), (5, &b"1-2-x\0"[..]));
    }
}
