//! Whether a certificate can be signed with.

use anyhow::{Context as _, ensure};
#[cfg(unix)]
use der::Decode as _;
use std::time::{SystemTime, UNIX_EPOCH};
#[cfg(unix)]
use std::{fs, path::Path};
use x509_cert::Certificate;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::ext::pkix::ExtendedKeyUsage;

/// id-kp-codeSigning (RFC 5280)
const CODE_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3");

/// The certificates of a file, in PEM or one in DER.
#[cfg(unix)]
pub fn read(file: &Path) -> anyhow::Result<Vec<Certificate>> {
    let bytes = fs::read(file)
        .with_context(|| format!("cannot read the certificate {}", file.display()))?;
    let parsed = if bytes.starts_with(b"\x30") {
        Certificate::from_der(&bytes).map(|one| vec![one])
    } else {
        Certificate::load_pem_chain(&bytes)
    };
    let chain =
        parsed.with_context(|| format!("{} has no certificate in PEM or DER", file.display()))?;
    ensure!(
        !chain.is_empty(),
        "{} has no certificate in PEM or DER",
        file.display()
    );
    Ok(chain)
}

/// A certificate is valid now, and for code.
pub fn check(certificate: &Certificate) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let validity = &certificate.tbs_certificate.validity;
    let (start, end) = (validity.not_before, validity.not_after);
    ensure!(
        start.to_unix_duration() <= now,
        "the certificate is not valid before {start}"
    );
    ensure!(
        end.to_unix_duration() >= now,
        "the certificate expired at {end}"
    );
    let usage = certificate
        .tbs_certificate
        .get::<ExtendedKeyUsage>()
        .context("its extended key usage")?;
    ensure!(
        usage.is_some_and(|(_, usage)| usage.0.contains(&CODE_SIGNING)),
        "the certificate is not for signing code: its extended key usage does not have codeSigning"
    );
    Ok(())
}
