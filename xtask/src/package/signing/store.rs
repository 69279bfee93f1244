//! Signing on Windows: by signtool, with a key of the user's certificate store, where keys on tokens are too. **Not run** by the
//! project, whose machines are Linux ones.

use super::{certificate, signtool};
use anyhow::{Context as _, ensure};
use der::Encode as _;
use lab_host::command;
use std::path::Path;
use std::process::Command;

const SIGNTOOL: &str = "signtool";
const POWERSHELL: &str = "powershell";

/// How to sign.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "signing")]
pub struct Options {
    /// Certificate to sign with, by its SHA-1 thumbprint: one of the user's store (certmgr.msc, Personal) that has its private
    /// key there or on a token [default: a test certificate made on the spot]
    #[arg(long, value_name = "SHA1")]
    pub sign_thumbprint: Option<String>,
    /// Time stamping authority (RFC 3161), so that signatures outlive the certificate
    #[arg(long, value_name = "URL")]
    pub timestamp: Option<String>,
    /// Sign nothing: what others sign, or compare with a build of their own
    #[arg(long, conflicts_with_all = ["sign_thumbprint", "timestamp"])]
    pub unsigned: bool,
}

/// Something that can sign, and was seen to.
#[derive(Debug)]
pub struct Signer {
    thumbprint: String,
    timestamp: Option<String>,
    /// The test certificate in DER, if it is one.
    test_certificate: Option<Vec<u8>>,
}

impl Signer {
    /// What the options ask for; nothing if nothing is to be signed. The store keeps the test certificate.
    ///
    /// # Errors
    /// A thumbprint that is none, a certificate that is not in the store, has no key, is expired, not yet valid or not for
    /// code, a missing tool: all before anything is written but the test certificate.
    pub fn new(options: &Options, vendor: &str, _tests: &Path) -> anyhow::Result<Option<Self>> {
        if options.unsigned {
            return Ok(None);
        }
        ensure!(
            command::find(SIGNTOOL).is_some(),
            "{SIGNTOOL}.exe is not in PATH: it is in the SDK's bin\\<version>\\x64, and in the prompt of the (E)WDK"
        );
        let is_test = options.sign_thumbprint.is_none();
        let output = match &options.sign_thumbprint {
            Some(text) => ask(
                signtool::FIND,
                &[(signtool::THUMBPRINT, &signtool::thumbprint(text)?)],
            )?,
            None => ask(
                signtool::TEST,
                &[
                    (signtool::NAME, &super::test_name(vendor)),
                    (signtool::DAYS, &super::TEST_DAYS.to_string()),
                    (signtool::LEAST_DAYS, &super::LEAST_DAYS.to_string()),
                ],
            )?,
        };
        let found = signtool::found(&output)?;
        certificate::check(&found.certificate).with_context(|| found.thumbprint.clone())?;
        let signer = Self {
            test_certificate: match is_test {
                true => Some(found.certificate.to_der()?),
                false => None,
            },
            thumbprint: found.thumbprint,
            timestamp: options.timestamp.clone(),
        };
        signer.try_out()?;
        Ok(Some(signer))
    }

    /// The test certificate in DER, if what it signs is only for tests.
    pub fn test_certificate(&self) -> Option<&[u8]> {
        self.test_certificate.as_deref()
    }

    /// Signs an image, with page hashes, or a catalog; in place.
    ///
    /// # Errors
    /// If signtool fails.
    pub fn sign(&self, file: &Path, description: &str) -> anyhow::Result<()> {
        let mut command = Command::new(SIGNTOOL);
        command.args(signtool::sign(
            &self.thumbprint,
            description,
            self.timestamp.as_deref(),
            file,
        ));
        command::output(&mut command).map(drop)
    }

    /// Checks the signature of an image or a catalog. Windows looks a file up in the catalogs that are installed, and not in
    /// one that is named: with `catalog` nothing is left to ask it.
    ///
    /// # Errors
    /// If it does not hold.
    pub fn verify(&self, file: &Path, catalog: Option<&Path>) -> anyhow::Result<()> {
        if catalog.is_some() {
            return Ok(());
        }
        let path = file.to_str().context("a path that is no text")?;
        let output = ask(signtool::VERIFY, &[(signtool::FILE, path)])?;
        signtool::judge(&output, &self.thumbprint, self.test_certificate.is_some())
            .with_context(|| file.display().to_string())
    }
}

/// Runs a script.
fn ask(script: &str, variables: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut command = Command::new(POWERSHELL);
    command
        .args(signtool::powershell(script))
        // PowerShell 7, where this may have been started from, leaves its own modules in it, which Windows' cannot load.
        .env_remove("PSModulePath")
        .envs(variables.iter().copied());
    Ok(String::from_utf8_lossy(&command::output(&mut command)?).into_owned())
}
