//! What `cargo xtask package` must refuse, tried with the real tools: every mistake is named, and nothing is written.

use super::{Args, signing, stamp};
use anyhow::{Context as _, ensure};
use der::{DecodePem as _, EncodePem as _, pem::LineEnding};
use lab_host::command;
use lab_host::packages;
use std::path::{Path, PathBuf};
use std::process::Command;
use x509_cert::Certificate;

/// A mistake: what it is, the change of good arguments that makes it, and words of the message.
type Case = (&'static str, fn(&mut Args, &Files), &'static str);

/// Certificates and keys.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// A good certificate and key, another key, one with a password, certificates that are expired or not valid yet, and one
    /// that is not for code.
    fn make() -> anyhow::Result<Self> {
        let files = Self {
            folder: tempfile::tempdir()?,
        };
        let openssl = |arguments: &[&str]| {
            let mut command = Command::new("openssl");
            command.current_dir(files.folder.path()).args(arguments);
            command::output(&mut command).map(drop)
        };
        let configuration = "[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = refusals\n\
                             [code]\nextendedKeyUsage = codeSigning\n[web]\nextendedKeyUsage = serverAuth\n";
        std::fs::write(files.path("cnf"), configuration)?;
        std::fs::write(files.path("text"), "no certificate")?;
        for key in ["key", "other-key"] {
            openssl(&["genpkey", "-algorithm", "RSA", "-out", key])?;
        }
        openssl(&[
            "pkey",
            "-in",
            "key",
            "-aes256",
            "-passout",
            "pass:secret",
            "-out",
            "locked-key",
        ])?;
        for (name, extensions) in [("certificate", "code"), ("web-certificate", "web")] {
            openssl(&[
                "req",
                "-x509",
                "-key",
                "key",
                "-config",
                "cnf",
                "-extensions",
                extensions,
                "-days",
                "30",
                "-out",
                name,
            ])?;
        }
        openssl(&[
            "x509",
            "-in",
            "certificate",
            "-signkey",
            "key",
            "-days",
            "-1",
            "-out",
            "expired",
        ])?;
        // openssl makes none that begins later. The signature on it is not looked at before its time is.
        let text = std::fs::read(files.path("certificate"))?;
        let mut early = Certificate::from_pem(text)?;
        early.tbs_certificate.validity.not_before = early.tbs_certificate.validity.not_after;
        std::fs::write(files.path("early"), early.to_pem(LineEnding::LF)?)?;
        std::fs::write(files.path("wrong-password"), "guess\n")?;
        Ok(files)
    }
}

const CASES: &[Case] = &[
    (
        "a certificate that is not there",
        |args, files| args.signing.sign_cert = Some(files.path("none")),
        "cannot read the certificate",
    ),
    (
        "a file that is no certificate",
        |args, files| args.signing.sign_cert = Some(files.path("text")),
        "has no certificate in PEM or DER",
    ),
    (
        "an expired certificate",
        |args, files| args.signing.sign_cert = Some(files.path("expired")),
        "the certificate expired at",
    ),
    (
        "a certificate that is not valid yet",
        |args, files| args.signing.sign_cert = Some(files.path("early")),
        "the certificate is not valid before",
    ),
    (
        "a certificate that is not for code",
        |args, files| args.signing.sign_cert = Some(files.path("web-certificate")),
        "is not for signing code",
    ),
    (
        "a key that is not there",
        |args, files| args.signing.sign_key = Some(files.text("none")),
        "cannot read the private key",
    ),
    (
        "a file that is no key",
        |args, files| args.signing.sign_key = Some(files.text("text")),
        "cannot be read as a private key",
    ),
    (
        "another certificate's key",
        |args, files| args.signing.sign_key = Some(files.text("other-key")),
        "is not the key of the certificate",
    ),
    (
        "a locked key without its password",
        |args, files| args.signing.sign_key = Some(files.text("locked-key")),
        "cannot be read as a private key",
    ),
    (
        "a locked key with a wrong password",
        |args, files| {
            args.signing.sign_key = Some(files.text("locked-key"));
            args.signing.sign_password = Some(files.path("wrong-password"));
        },
        "cannot be read as a private key",
    ),
    (
        "a password that is not there",
        |args, files| args.signing.sign_password = Some(files.path("none")),
        "cannot read the password",
    ),
    (
        "a time stamping authority that does not answer",
        |args, _| args.signing.timestamp = Some("http://127.0.0.1:9/".to_owned()),
        "a trial signature failed",
    ),
    (
        "a key on a token without a module",
        |args, _| args.signing.sign_key = Some("pkcs11:object=x".to_owned()),
        "--pkcs11-module says by which module",
    ),
    (
        "a module that is not there",
        |args, files| {
            args.signing.sign_key = Some("pkcs11:object=x".to_owned());
            args.signing.pkcs11_module = Some(files.path("none"));
        },
        "is no PKCS #11 module",
    ),
    (
        "certificates of an authority that are none",
        |args, files| args.signing.sign_ca = Some(files.path("text")),
        "has no certificate in PEM or DER",
    ),
    (
        "a file where the package's folder shall be",
        |args, files| args.out = Some(files.path("text")),
        "is no folder",
    ),
    (
        "a vendor that an INF cannot have",
        |args, _| args.stamp.vendor = "50% \"Ltd\"".to_owned(),
        "cannot be a vendor's name",
    ),
];

/// Tries each mistake; returns how many there are.
///
/// # Errors
/// If one is not refused, is refused with other words, or leaves something behind.
pub fn check() -> anyhow::Result<usize> {
    packages::ensure(signing::NEEDS)?;
    let files = Files::make()?;
    for (what, change, words) in CASES {
        let out = files.path("package");
        let mut args = Args {
            out: Some(out.clone()),
            signing: signing::Options {
                sign_cert: Some(files.path("certificate")),
                sign_key: Some(files.text("key")),
                ..signing::Options::default()
            },
            stamp: stamp::Options::default(),
        };
        change(&mut args, &files);
        refused(&args, words, &out).with_context(|| (*what).to_owned())?;
    }
    without_tools(&files).context("a missing tool")?;
    Ok(CASES.len() + 1)
}

/// This program in a machine that has neither the tools nor apt to get them with.
fn without_tools(files: &Files) -> anyhow::Result<()> {
    let out = files.path("package");
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["package", "--out"])
        .arg(&out)
        .env("PATH", files.path("no-programs"))
        .env("SOURCE_DATE_EPOCH", "1700000000");
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success(), "was not refused");
    for words in ["missing on this machine", "osslsigncode", "openssl"] {
        ensure!(
            text.contains(words),
            "{words:?} is not in the message: {text}"
        );
    }
    ensure!(!out.exists(), "{} was made", out.display());
    Ok(())
}

fn refused(args: &Args, words: &str, out: &Path) -> anyhow::Result<()> {
    let Err(error) = super::run(args) else {
        anyhow::bail!("was not refused");
    };
    let text = format!("{error:#}");
    ensure!(
        text.contains(words),
        "{words:?} is not in the message: {text}"
    );
    ensure!(!out.exists(), "{} was made", out.display());
    Ok(())
}
