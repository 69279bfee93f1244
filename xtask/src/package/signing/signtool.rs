//! What is said to signtool and to PowerShell on Windows, and what their answers mean. Nothing here runs anything, so that it
//! can be tested on Linux; neither program was there to be asked.

use anyhow::{Context as _, bail, ensure};
use der::Decode as _;
use std::ffi::OsString;
use std::path::Path;
use x509_cert::Certificate;

/// The variables by which scripts are told what to look at: no quoting can go wrong so.
pub const THUMBPRINT: &str = "XEN_DRIVERS_THUMBPRINT";
pub const NAME: &str = "XEN_DRIVERS_NAME";
pub const DAYS: &str = "XEN_DRIVERS_DAYS";
pub const LEAST_DAYS: &str = "XEN_DRIVERS_LEAST_DAYS";
pub const FILE: &str = "XEN_DRIVERS_FILE";

/// Prints the certificate with [`THUMBPRINT`] of the user's store, or nothing.
pub const FIND: &str = r#"
$ErrorActionPreference = 'Stop'
foreach ($c in Get-ChildItem Cert:\CurrentUser\My | Where-Object Thumbprint -EQ $env:XEN_DRIVERS_THUMBPRINT) {
    "$($c.Thumbprint) $($c.HasPrivateKey) $([BitConverter]::ToString($c.RawData).Replace('-', ''))"
}
"#;

/// Prints the test certificate of the name [`NAME`] that is good for another [`LEAST_DAYS`], made for [`DAYS`] if there is none.
pub const TEST: &str = r#"
$ErrorActionPreference = 'Stop'
$name = $env:XEN_DRIVERS_NAME
$soon = (Get-Date).AddDays([int]$env:XEN_DRIVERS_LEAST_DAYS)
$c = Get-ChildItem Cert:\CurrentUser\My -CodeSigningCert | Where-Object {
    $_.GetNameInfo('SimpleName', $false) -eq $name -and $_.Issuer -eq $_.Subject -and $_.HasPrivateKey -and $_.NotAfter -gt $soon
} | Select-Object -First 1
if (-not $c) {
    $c = New-SelfSignedCertificate -Type CodeSigningCert -Subject "CN=`"$name`"" -KeyAlgorithm RSA -KeyLength 3072 `
        -HashAlgorithm SHA256 -NotAfter (Get-Date).AddDays([int]$env:XEN_DRIVERS_DAYS) -CertStoreLocation Cert:\CurrentUser\My
}
"$($c.Thumbprint) $($c.HasPrivateKey) $([BitConverter]::ToString($c.RawData).Replace('-', ''))"
"#;

/// Prints what Windows thinks of the signature of [`FILE`], and whose it is.
pub const VERIFY: &str = r#"
$ErrorActionPreference = 'Stop'
$s = Get-AuthenticodeSignature -LiteralPath $env:XEN_DRIVERS_FILE
"$($s.Status) $($s.SignerCertificate.Thumbprint)"
"#;

/// PowerShell's arguments for a script.
pub fn powershell(script: &str) -> [&str; 4] {
    ["-NoProfile", "-NonInteractive", "-Command", script]
}

/// A certificate of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its SHA-1 thumbprint, in capitals as Windows writes it.
    pub thumbprint: String,
    /// Itself.
    pub certificate: Certificate,
}

/// A thumbprint as a user gives it: copied from Windows' dialogs with blanks or without, in any case.
///
/// # Errors
/// If it is none.
pub fn thumbprint(text: &str) -> anyhow::Result<String> {
    // The dialog puts a mark of the text's direction before the first digit.
    let digits: String = text
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '\u{200e}')
        .collect();
    ensure!(
        digits.len() == 40 && digits.chars().all(|c| c.is_ascii_hexdigit()),
        "--sign-thumbprint {text} is no certificate's thumbprint: it has 40 hexadecimal digits"
    );
    Ok(digits.to_ascii_uppercase())
}

/// What [`FIND`] and [`TEST`] printed.
///
/// # Errors
/// If there is no certificate, or it has no key.
pub fn found(output: &str) -> anyhow::Result<Found> {
    let words: Vec<&str> = output.split_whitespace().collect();
    let &[thumbprint, has_key, encoded] = words.as_slice() else {
        ensure!(
            !words.is_empty(),
            "the certificate is not in the user's store (certmgr.msc, Personal)"
        );
        bail!("the certificate store gave no certificate but {output:?}");
    };
    ensure!(
        has_key == "True",
        "the certificate store has no private key for the certificate {thumbprint}"
    );
    let bytes = encoded
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair)?, 16).context("not hexadecimal"))
        .collect::<anyhow::Result<Vec<u8>>>()
        .context("the certificate store's certificate")?;
    Ok(Found {
        thumbprint: thumbprint.to_owned(),
        certificate: Certificate::from_der(&bytes)
            .context("the certificate store's certificate")?,
    })
}

/// signtool's arguments to sign an image, with page hashes, or a catalog; in place.
pub fn sign(
    thumbprint: &str,
    description: &str,
    timestamp: Option<&str>,
    file: &Path,
) -> Vec<OsString> {
    let mut words = vec!["sign", "/fd", "SHA256", "/s", "My", "/sha1", thumbprint];
    words.extend(["/d", description]);
    if file.extension().is_some_and(|extension| extension == "sys") {
        words.push("/ph");
    }
    if let Some(url) = timestamp {
        words.extend(["/tr", url, "/td", "SHA256"]);
    }
    let mut words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    words.push(file.into());
    words
}

/// What [`VERIFY`] printed, for a file that the certificate has signed.
///
/// # Errors
/// If the signature is somebody else's, or does not hold. That nobody trusts a test certificate yet is no error: Windows
/// calls that `UnknownError`, or `NotTrusted`.
pub fn judge(output: &str, thumbprint: &str, is_test: bool) -> anyhow::Result<()> {
    let mut words = output.split_whitespace();
    let (status, signer) = (words.next().unwrap_or_default(), words.next());
    ensure!(
        signer == Some(thumbprint),
        "the signature is {status}, and of {} in place of {thumbprint}",
        signer.unwrap_or("nobody")
    );
    let untrusted = is_test && ["UnknownError", "NotTrusted"].contains(&status);
    ensure!(
        status == "Valid" || untrusted,
        "the signature does not hold: {status}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINT: &str = "00112233445566778899AABBCCDDEEFF00112233";

    #[test]
    fn a_thumbprint_is_taken_as_windows_shows_it() {
        let shown = "\u{200e}00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff 00 11 22 33";
        assert_eq!(thumbprint(shown).ok().as_deref(), Some(PRINT));
        assert_eq!(thumbprint(PRINT).ok().as_deref(), Some(PRINT));
        for text in ["", "cert.pem", &PRINT[1..], &PRINT.replace('F', "G")] {
            let error = thumbprint(text).expect_err("no thumbprint").to_string();
            assert!(error.contains("is no certificate's thumbprint"), "{error}");
        }
    }

    #[test]
    fn images_are_signed_with_page_hashes_and_catalogs_without() {
        let words = |file: &str, timestamp| {
            let words = sign(PRINT, "Xen PV drivers: xenbus", timestamp, Path::new(file));
            let words: Vec<String> = words
                .into_iter()
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            words
        };
        let common = ["sign", "/fd", "SHA256", "/s", "My", "/sha1", PRINT];
        let described = ["/d", "Xen PV drivers: xenbus"];
        assert_eq!(
            words("a b/xenbus.sys", None),
            [&common[..], &described, &["/ph", "a b/xenbus.sys"]].concat()
        );
        assert_eq!(
            words("xenbus.cat", Some("http://stamp.example")),
            [
                &common[..],
                &described,
                &["/tr", "http://stamp.example", "/td", "SHA256", "xenbus.cat"]
            ]
            .concat()
        );
    }

    #[test]
    fn only_a_signature_of_this_certificate_that_holds_will_do() {
        let ok =
            |status: &str, is_test| judge(&format!("{status} {PRINT}\r\n"), PRINT, is_test).is_ok();
        assert!(ok("Valid", false) && ok("Valid", true));
        assert!(ok("UnknownError", true) && ok("NotTrusted", true));
        assert!(!ok("UnknownError", false) && !ok("NotTrusted", false));
        for status in ["HashMismatch", "NotSigned", "Incompatible", ""] {
            assert!(!ok(status, true), "{status}");
        }
        let others = PRINT.replace('0', "1");
        let error = judge(&format!("Valid {others}"), PRINT, true).expect_err("another's");
        assert!(error.to_string().contains("in place of"), "{error}");
        let error = judge("NotSigned \r\n", PRINT, true).expect_err("unsigned");
        assert!(error.to_string().contains("of nobody"), "{error}");
    }

    #[test]
    fn a_certificate_that_is_not_there_or_without_a_key_is_refused() {
        for (output, words) in [
            ("\r\n", "is not in the user's store"),
            ("two words", "gave no certificate"),
            (&*format!("{PRINT} False 3000"), "has no private key"),
            (&*format!("{PRINT} True 30zz"), "the certificate store's"),
            (&*format!("{PRINT} True 3000"), "the certificate store's"),
        ] {
            let error = format!("{:#}", found(output).expect_err(output));
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn scripts_read_the_variables_that_they_are_given() {
        for (script, variables) in [
            (FIND, &[THUMBPRINT][..]),
            (TEST, &[NAME, DAYS, LEAST_DAYS]),
            (VERIFY, &[FILE]),
        ] {
            for variable in variables {
                assert!(script.contains(&format!("$env:{variable}")), "{variable}");
            }
            assert_eq!(script.matches("$env:").count(), variables.len());
            assert_eq!(powershell(script).last(), Some(&script));
        }
    }
}
