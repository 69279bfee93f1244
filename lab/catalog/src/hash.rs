//! How files are hashed for a catalog.

use sha2::{Digest as _, Sha256};

/// SHA-256
pub type Hash = [u8; 32];

/// What a file is hashed as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A PE image: without its checksum and its embedded signature, so that signing it does not change the hash.
    Image,
    /// Any other file: all of its bytes.
    Flat,
}

/// The fields of PE headers that an image's hash leaves out or needs.
mod at {
    /// `e_lfanew`, in the DOS header
    pub const NT_HEADERS: usize = 0x3C;
    /// The optional header, from the NT headers
    pub const OPTIONAL: usize = 24;
    /// `CheckSum`, in the optional header
    pub const CHECKSUM: usize = 64;
    /// The security directory's entry, in the optional headers of PE32 and PE32+
    pub const SECURITY: [(u16, usize); 2] = [(0x10B, 128), (0x20B, 144)];
}

/// The hash of some bytes.
pub fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The hash of a file as a catalog has it, or nothing for an image whose headers do not fit its length.
#[must_use]
pub fn hash(bytes: &[u8]) -> Option<(Kind, Hash)> {
    if !bytes.starts_with(b"MZ") {
        return Some((Kind::Flat, sha256(bytes)));
    }
    Some((Kind::Image, authenticode(bytes)?))
}

/// Microsoft's "Windows Authenticode Portable Executable Signature Format", without the sorting of sections: files have
/// them in order. What comes behind the signature is not looked at; nothing may.
fn authenticode(bytes: &[u8]) -> Option<Hash> {
    let number = |offset: usize| {
        let field = bytes.get(offset..offset.checked_add(4)?)?;
        usize::try_from(u32::from_le_bytes(field.try_into().ok()?)).ok()
    };
    let optional = number(at::NT_HEADERS)?.checked_add(at::OPTIONAL)?;
    let magic = bytes.get(optional..optional.checked_add(2)?)?;
    let magic = u16::from_le_bytes(magic.try_into().ok()?);
    let (_, security) = at::SECURITY.iter().find(|(known, _)| *known == magic)?;
    let checksum = optional.checked_add(at::CHECKSUM)?;
    let security = optional.checked_add(*security)?;
    let (signature, size) = (number(security)?, number(security.checked_add(4)?)?);
    let end = match signature {
        0 => bytes.len(),
        start if start.checked_add(size)? == bytes.len() => start,
        _ => return None,
    };
    let mut hash = Sha256::new();
    hash.update(bytes.get(..checksum)?);
    hash.update(bytes.get(checksum.checked_add(4)?..security)?);
    hash.update(bytes.get(security.checked_add(8)?..end)?);
    // A signature starts at a multiple of eight: signing an image of another length adds zeros first.
    hash.update(&[0; 8][..end.next_multiple_of(8) - end]);
    Some(hash.finalize().into())
}
