//! Big-endian fields of CDBs and parameter data, read and written without a way to go out of bounds.

/// The `N` bytes at `at`; zeros where `data` ends.
pub(crate) fn array<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    core::array::from_fn(|i| data.get(at.saturating_add(i)).copied().unwrap_or(0))
}

pub(crate) fn byte(data: &[u8], at: usize) -> u8 {
    data.get(at).copied().unwrap_or(0)
}

pub(crate) fn be16(data: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(array(data, at))
}

pub(crate) fn be32(data: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(array(data, at))
}

pub(crate) fn be64(data: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(array(data, at))
}

/// Writes `value` at `at`; what does not fit is left out (a response cut by its allocation length).
pub(crate) fn put(out: &mut [u8], at: usize, value: &[u8]) {
    for (i, byte) in value.iter().enumerate() {
        if let Some(slot) = out.get_mut(at.saturating_add(i)) {
            *slot = *byte;
        }
    }
}
