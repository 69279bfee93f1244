//! ksecdd.sys: the hash functions of CNG, for drivers.
//! <https://learn.microsoft.com/windows/win32/api/bcrypt/>

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::nt::base::NTSTATUS;
use crate::nt::ke::PVOID;
use crate::nt::status::*;
use crate::sync::Lock;

/// Reads a NUL terminated string.
unsafe fn text(at: *const u16) -> String {
    let mut units = Vec::new();
    let mut at = at;
    while !at.is_null() && *at != 0 && units.len() < 64 {
        units.push(*at);
        at = at.add(1);
    }
    String::from_utf16_lossy(&units)
}

/// An algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha1,
    Sha256,
}

impl Algorithm {
    fn by_name(name: &str) -> Option<Self> {
        match name {
            "SHA1" => Some(Self::Sha1),
            "SHA256" => Some(Self::Sha256),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }

    fn digest_length(self) -> u32 {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// A property's bytes.
    fn property(self, name: &str) -> Option<Vec<u8>> {
        const BLOCK: u32 = 64;
        match name {
            "AlgorithmName" => Some(crate::cm::hive::sz(self.name())),
            "HashDigestLength" => Some(self.digest_length().to_le_bytes().to_vec()),
            "HashBlockLength" => Some(BLOCK.to_le_bytes().to_vec()),
            // Hash objects live in memory of the executive's, not in the caller's.
            "ObjectLength" => Some((size_of::<Hash>() as u32).to_le_bytes().to_vec()),
            _ => None,
        }
    }
}

/// A hash under way.
enum Hash {
    Sha1(Sha1),
    Sha256(Sha256),
    Finished,
}

impl Hash {
    fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha1 => Self::Sha1(Sha1::new()),
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
        }
    }

    /// False once it is finished.
    fn add(&mut self, bytes: &[u8]) -> bool {
        match self {
            Self::Sha1(h) => h.update(bytes),
            Self::Sha256(h) => h.update(bytes),
            Self::Finished => return false,
        }
        true
    }

    fn finish(&mut self) -> Option<Vec<u8>> {
        match core::mem::replace(self, Self::Finished) {
            Self::Sha1(h) => Some(h.finalize().to_vec()),
            Self::Sha256(h) => Some(h.finalize().to_vec()),
            Self::Finished => None,
        }
    }
}

/// What handles stand for; the boxes' addresses are the handles.
#[expect(clippy::vec_box, reason = "the addresses are given out")]
static PROVIDERS: Lock<Vec<Box<Algorithm>>> = Lock::new(Vec::new());
#[expect(clippy::vec_box, reason = "the addresses are given out")]
static HASHES: Lock<Vec<Box<Hash>>> = Lock::new(Vec::new());

fn handle_of<T>(object: &T) -> PVOID {
    core::ptr::from_ref(object).cast_mut().cast()
}

fn provider(handle: PVOID) -> Option<Algorithm> {
    PROVIDERS
        .lock()
        .iter()
        .find(|p| handle_of(&***p) == handle)
        .map(|p| **p)
}

/// BCryptOpenAlgorithmProvider. PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn BCryptOpenAlgorithmProvider(
    handle: *mut PVOID,
    name: *const u16,
    _implementation: *const u16,
    _flags: u32,
) -> NTSTATUS {
    if handle.is_null() || name.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    let Some(algorithm) = Algorithm::by_name(&text(name)) else {
        return STATUS_NOT_FOUND;
    };
    let provider = Box::new(algorithm);
    handle.write(handle_of(&*provider));
    PROVIDERS.lock().push(provider);
    STATUS_SUCCESS
}

/// BCryptCloseAlgorithmProvider. PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn BCryptCloseAlgorithmProvider(handle: PVOID, _flags: u32) -> NTSTATUS {
    let mut providers = PROVIDERS.lock();
    let Some(at) = providers.iter().position(|p| handle_of(&**p) == handle) else {
        return STATUS_INVALID_HANDLE;
    };
    providers.swap_remove(at);
    STATUS_SUCCESS
}

/// BCryptGetProperty, of an algorithm provider. PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn BCryptGetProperty(
    handle: PVOID,
    name: *const u16,
    to: *mut u8,
    size: u32,
    result: *mut u32,
    _flags: u32,
) -> NTSTATUS {
    if name.is_null() || result.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    let Some(algorithm) = provider(handle) else {
        return STATUS_INVALID_HANDLE;
    };
    let Some(bytes) = algorithm.property(&text(name)) else {
        return STATUS_NOT_SUPPORTED;
    };
    result.write(bytes.len() as u32);
    if to.is_null() {
        return STATUS_SUCCESS;
    }
    if (size as usize) < bytes.len() {
        return STATUS_BUFFER_TOO_SMALL;
    }
    core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
    STATUS_SUCCESS
}

/// BCryptCreateHash, without a secret. PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn BCryptCreateHash(
    algorithm: PVOID,
    handle: *mut PVOID,
    _object: *mut u8,
    _object_size: u32,
    secret: *const u8,
    _secret_size: u32,
    _flags: u32,
) -> NTSTATUS {
    if handle.is_null() {
        return STATUS_INVALID_PARAMETER;
    }
    let Some(algorithm) = provider(algorithm) else {
        return STATUS_INVALID_HANDLE;
    };
    if !secret.is_null() {
        // The provider would have to be opened for HMAC.
        return STATUS_NOT_SUPPORTED;
    }
    let hash = Box::new(Hash::new(algorithm));
    handle.write(handle_of(&*hash));
    HASHES.lock().push(hash);
    STATUS_SUCCESS
}

/// BCryptHashData. PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn BCryptHashData(
    handle: PVOID,
    from: *const u8,
    size: u32,
    _flags: u32,
) -> NTSTATUS {
    let bytes = if size == 0 {
        &[][..]
    } else {
        core::slice::from_raw_parts(from, size as usize)
    };
    match HASHES
        .lock()
        .iter_mut()
        .find(|h| handle_of(&***h) == handle)
    {
        Some(hash) => {
            if hash.add(bytes) {
                STATUS_SUCCESS
            } else {
                STATUS_INVALID_PARAMETER
            }
        }
        None => STATUS_INVALID_HANDLE,
    }
}

/// BCryptFinishHash. PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn BCryptFinishHash(
    handle: PVOID,
    to: *mut u8,
    size: u32,
    _flags: u32,
) -> NTSTATUS {
    let mut hashes = HASHES.lock();
    let Some(hash) = hashes.iter_mut().find(|h| handle_of(&***h) == handle) else {
        return STATUS_INVALID_HANDLE;
    };
    let wanted = match &**hash {
        Hash::Sha1(_) => Algorithm::Sha1.digest_length(),
        Hash::Sha256(_) => Algorithm::Sha256.digest_length(),
        Hash::Finished => return STATUS_INVALID_PARAMETER,
    };
    if to.is_null() || size != wanted {
        return STATUS_INVALID_PARAMETER;
    }
    let Some(digest) = hash.finish() else {
        return STATUS_INVALID_PARAMETER;
    };
    core::ptr::copy_nonoverlapping(digest.as_ptr(), to, digest.len());
    STATUS_SUCCESS
}

/// BCryptDestroyHash. PASSIVE_LEVEL.
///
/// # Safety
/// As its page says.
pub unsafe extern "win64" fn BCryptDestroyHash(handle: PVOID) -> NTSTATUS {
    let mut hashes = HASHES.lock();
    let Some(at) = hashes.iter().position(|h| handle_of(&**h) == handle) else {
        return STATUS_INVALID_HANDLE;
    };
    hashes.swap_remove(at);
    STATUS_SUCCESS
}

crate::exports! {
    pub static EXPORTS;
    Ksecdd {
        BCryptOpenAlgorithmProvider, BCryptCloseAlgorithmProvider, BCryptGetProperty, BCryptCreateHash, BCryptHashData,
        BCryptFinishHash, BCryptDestroyHash,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(text: &str) -> Vec<u16> {
        text.encode_utf16().chain([0]).collect()
    }

    /// The digest of "abc", by FIPS 180.
    #[test]
    fn a_hash_of_abc_is_the_standards() {
        // SAFETY: every pointer is of memory that is as long as is said.
        unsafe {
            let mut algorithm = core::ptr::null_mut();
            let name = wide("SHA1");
            assert_eq!(
                BCryptOpenAlgorithmProvider(&mut algorithm, name.as_ptr(), core::ptr::null(), 0),
                STATUS_SUCCESS
            );
            let mut length = [0u8; 4];
            let mut got = 0;
            let property = wide("HashDigestLength");
            assert_eq!(
                BCryptGetProperty(
                    algorithm,
                    property.as_ptr(),
                    length.as_mut_ptr(),
                    4,
                    &mut got,
                    0
                ),
                STATUS_SUCCESS
            );
            assert_eq!((u32::from_le_bytes(length), got), (20, 4));
            let mut hash = core::ptr::null_mut();
            assert_eq!(
                BCryptCreateHash(
                    algorithm,
                    &mut hash,
                    core::ptr::null_mut(),
                    0,
                    core::ptr::null(),
                    0,
                    0
                ),
                STATUS_SUCCESS
            );
            for part in [&b"a"[..], b"bc"] {
                assert_eq!(
                    BCryptHashData(hash, part.as_ptr(), part.len() as u32, 0),
                    STATUS_SUCCESS
                );
            }
            let mut digest = [0u8; 20];
            assert_eq!(
                BCryptFinishHash(hash, digest.as_mut_ptr(), 19, 0),
                STATUS_INVALID_PARAMETER
            );
            assert_eq!(
                BCryptFinishHash(hash, digest.as_mut_ptr(), 20, 0),
                STATUS_SUCCESS
            );
            assert_eq!(
                digest,
                [
                    0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e, 0x25, 0x71, 0x78,
                    0x50, 0xc2, 0x6c, 0x9c, 0xd0, 0xd8, 0x9d
                ]
            );
            assert_eq!(
                BCryptHashData(hash, digest.as_ptr(), 1, 0),
                STATUS_INVALID_PARAMETER
            );
            assert_eq!(BCryptDestroyHash(hash), STATUS_SUCCESS);
            assert_eq!(BCryptDestroyHash(hash), STATUS_INVALID_HANDLE);
            assert_eq!(BCryptCloseAlgorithmProvider(algorithm, 0), STATUS_SUCCESS);
        }
    }

    #[test]
    fn an_unknown_algorithm_is_not_found() {
        let mut handle = core::ptr::null_mut();
        let name = wide("WHIRLPOOL");
        // SAFETY: as above.
        let status = unsafe {
            BCryptOpenAlgorithmProvider(&mut handle, name.as_ptr(), core::ptr::null(), 0)
        };
        assert_eq!(status, STATUS_NOT_FOUND);
    }
}
