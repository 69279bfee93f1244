//! A disk's serial number, where the toolstack gives none.
//!
//! It must tell any two virtual disks apart and stay the same over reboots, migration and driver updates. The virtual
//! disk's own identifier does that; without one, the machine's identifier with the device number does, as long as the
//! machine's configuration fixes it.

/// Characters of a serial number.
pub const SERIAL_LENGTH: usize = 32;

/// FNV-1a with 128 bits (draft-eastlake-fnv, section 5).
fn fnv1a_128(parts: &[&[u8]]) -> u128 {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;
    const BASIS: u128 = 0x6C62_272E_07BB_0142_62B8_2175_6295_C58D;
    parts
        .iter()
        .flat_map(|part| part.iter())
        .fold(BASIS, |hash, byte| {
            (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
        })
}

/// The serial number of device `vdev` of the machine or disk that `name` identifies: 32 hexadecimal digits.
pub fn serial(name: &[u8], vdev: u32) -> [u8; SERIAL_LENGTH] {
    let hash = fnv1a_128(&[name, b"/", &vdev.to_le_bytes()]);
    core::array::from_fn(|i| {
        let digit = (hash >> (124 - 4 * i)) as u8 & 0xF;
        if digit < 10 {
            b'0' + digit
        } else {
            b'a' + digit - 10
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{fnv1a_128, serial};

    #[test]
    fn the_hash_is_fnv1a() {
        assert_eq!(
            fnv1a_128(&[b"a"]),
            0xD228_CB69_6F1A_8CAF_7891_2B70_4E4A_8964
        );
        assert_eq!(
            fnv1a_128(&[b"foo", b"bar"]),
            0x343E_1662_793C_64BF_6F0D_3597_BA44_6F18
        );
    }

    #[test]
    fn machines_and_devices_have_serials_of_their_own() {
        let a = serial(b"/vm/1", 51712);
        assert_eq!(a, serial(b"/vm/1", 51712));
        assert_ne!(a, serial(b"/vm/1", 51728));
        assert_ne!(a, serial(b"/vm/2", 51712));
        assert!(a.iter().all(u8::is_ascii_hexdigit));
    }
}
