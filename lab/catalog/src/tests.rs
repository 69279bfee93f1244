//! Catalogs that were written are read back; files are hashed as signing tools hash them.

use super::*;
use proptest::prelude::*;
use std::time::Duration;

fn time() -> DateTime {
    DateTime::from_unix_duration(Duration::from_secs(1_764_028_800)).expect("a time")
}

/// The least of a PE32+ image: headers, and a body of `body` bytes.
fn image(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 0x200];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3C] = 0x80;
    bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
    bytes[0x98..0x9A].copy_from_slice(&0x20B_u16.to_le_bytes());
    bytes.extend(body);
    bytes
}

/// Where the checksum and the security directory are in [`image`].
const CHECKSUM: usize = 0x98 + 64;
const SECURITY: usize = 0x98 + 144;

fn sample() -> Catalog {
    let members = vec![
        Member::new("a.sys", &image(b"code")).expect("an image"),
        Member::new("a.inf", b"[Version]").expect("a file"),
    ];
    Catalog::new(time(), members, &["PCI\\VEN_1&DEV_2".to_owned()])
}

#[test]
fn a_catalog_comes_back_as_it_was_written() {
    let catalog = sample();
    let bytes = catalog.to_der().expect("DER");
    assert_eq!(Catalog::from_der(&bytes).expect("a catalog"), catalog);
    assert_eq!(
        catalog.hardware_ids().collect::<Vec<_>>(),
        ["pci\\ven_1&dev_2"]
    );
}

#[test]
fn the_order_of_files_does_not_change_the_bytes() {
    let catalog = sample();
    let mut turned = catalog.members.clone();
    turned.reverse();
    let turned = Catalog::new(time(), turned, &["pci\\VEN_1&dev_2".to_owned()]);
    assert_eq!(catalog.to_der().ok(), turned.to_der().ok());
}

#[test]
fn a_file_that_was_changed_is_not_listed() {
    let catalog = sample();
    assert!(catalog.check("a.inf", b"[Version]").is_ok());
    let error = catalog
        .check("a.inf", b"[version]")
        .expect_err("changed")
        .to_string();
    assert!(error.starts_with("a.inf is not in the catalog"), "{error}");
    assert!(catalog.check("a.sys", &image(b"code")).is_ok());
    assert!(catalog.check("a.sys", &image(b"kode")).is_err());
    assert!(catalog.check("a.sys", b"MZ").is_err());
}

#[test]
fn signing_an_image_does_not_change_its_hash() {
    let plain = image(b"12345678");
    let mut signed = plain.clone();
    signed[CHECKSUM] = 7;
    let start = u32::try_from(plain.len()).expect("small");
    signed[SECURITY..SECURITY + 4].copy_from_slice(&start.to_le_bytes());
    signed[SECURITY + 4] = 16;
    signed.extend([0xAA; 16]);
    assert_eq!(hash(&signed), hash(&plain));
}

#[test]
fn an_image_is_hashed_as_if_it_had_been_padded() {
    assert_eq!(hash(&image(b"12345")), hash(&image(b"12345\0\0\0")));
    assert_ne!(hash(&image(b"12345")), hash(&image(b"12345\0\0\0\0")));
}

#[test]
fn an_image_with_more_behind_its_signature_has_no_hash() {
    let mut signed = image(b"12345678");
    let start = u32::try_from(signed.len()).expect("small");
    signed[SECURITY..SECURITY + 4].copy_from_slice(&start.to_le_bytes());
    signed[SECURITY + 4] = 8;
    signed.extend([0; 9]);
    assert_eq!(hash(&signed), None);
}

#[test]
fn what_is_no_catalog_is_refused() {
    for bytes in [&b""[..], b"text", b"\x30\x03\x02\x01\x01"] {
        assert!(Catalog::from_der(bytes).is_err());
    }
    let good = sample().to_der().expect("DER");
    for length in 0..good.len() {
        assert!(Catalog::from_der(&good[..length]).is_err(), "{length}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..500_usize, value: u8) {
        let _ = Catalog::from_der(&bytes);
        let _ = hash(&[b"MZ".as_slice(), &bytes].concat());
        let mut catalog = sample().to_der().expect("DER");
        if let Some(byte) = catalog.get_mut(at) {
            *byte = value;
        }
        let _ = Catalog::from_der(&catalog);
        let mut image = image(b"body");
        if let Some(byte) = image.get_mut(at) {
            *byte = value;
        }
        let _ = hash(&image);
    }
}
