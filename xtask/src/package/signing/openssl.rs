//! Signing on Linux: a certificate and key of the user's, in files or on a PKCS #11 token, or a test certificate made on the
//! spot. osslsigncode makes and checks the signatures.

use super::certificate;
use anyhow::{Context as _, bail, ensure};
use der::{Encode as _, EncodePem as _, pem::LineEnding};
use lab_host::command;
use lab_host::packages::Need;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_cert::Certificate;

/// What signing needs.
pub const NEEDS: &[Need] = &[
    Need {
        what: "osslsigncode",
        package: "osslsigncode",
    },
    Need {
        what: "openssl",
        package: "openssl",
    },
];
/// What a key on a token needs beyond that.
pub const TOKEN_NEEDS: &[Need] = &[Need {
    what: "/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so",
    package: "libengine-pkcs11-openssl",
}];

/// What says that a key is not in a file.
const TOKEN: &str = "pkcs11:";
const DAY: u64 = 24 * 60 * 60;

/// How to sign.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(id = "signing")]
pub struct Options {
    /// Certificate to sign with, in PEM (its chain behind it) or DER [default: a test certificate made on the spot]
    #[arg(long, value_name = "FILE", requires = "sign_key")]
    pub sign_cert: Option<PathBuf>,
    /// Its private key: a file in PEM or DER, or a PKCS #11 URI (pkcs11:…) with --pkcs11-module
    #[arg(long, value_name = "FILE", requires = "sign_cert")]
    pub sign_key: Option<String>,
    /// File with the key's password or the token's PIN
    #[arg(long, value_name = "FILE", requires = "sign_key")]
    pub sign_password: Option<PathBuf>,
    /// PKCS #11 module of the token that has the key
    #[arg(long, value_name = "FILE", requires = "sign_key")]
    pub pkcs11_module: Option<PathBuf>,
    /// Certificates, in PEM, that --sign-cert's chain ends with [default: what is in --sign-cert]
    #[arg(long, value_name = "FILE", requires = "sign_cert")]
    pub sign_ca: Option<PathBuf>,
    /// Time stamping authority (RFC 3161), so that signatures outlive the certificate
    #[arg(long, value_name = "URL")]
    pub timestamp: Option<String>,
    /// Sign nothing: what others sign, or compare with a build of their own
    #[arg(long, conflicts_with_all = ["sign_cert", "timestamp"])]
    pub unsigned: bool,
}

/// Something that can sign, and was seen to.
#[derive(Debug)]
pub struct Signer {
    certificate: PathBuf,
    key: Key,
    password: Option<PathBuf>,
    timestamp: Option<String>,
    /// The certificates that what it signs is checked against, in PEM.
    trust: PathBuf,
    /// The test certificate in DER, if it is one.
    test_certificate: Option<Vec<u8>>,
    /// Files that live as long as it does.
    _folder: tempfile::TempDir,
}

#[derive(Debug)]
enum Key {
    File(PathBuf),
    Token { module: PathBuf, uri: String },
}

impl Signer {
    /// What the options ask for; nothing if nothing is to be signed. `tests` is the folder that keeps the test certificate.
    ///
    /// # Errors
    /// A file that cannot be read, a certificate that is expired, not yet valid or not for code, a key that is another
    /// certificate's, a missing tool: all before anything is written but the test certificate.
    pub fn new(options: &Options, vendor: &str, tests: &Path) -> anyhow::Result<Option<Self>> {
        if options.unsigned {
            return Ok(None);
        }
        lab_host::packages::ensure(NEEDS)?;
        if let Some(file) = &options.sign_password {
            fs::read(file)
                .with_context(|| format!("cannot read the password in {}", file.display()))?;
        }
        let (certificate, key, is_test) = match (&options.sign_cert, &options.sign_key) {
            (Some(certificate), Some(key)) => (certificate.clone(), key_of(key, options)?, false),
            _ => {
                let (certificate, key) = test_certificate(vendor, tests)?;
                (certificate, Key::File(key), true)
            }
        };
        if let Key::Token { .. } = key {
            lab_host::packages::ensure(TOKEN_NEEDS)?;
        }
        let chain = certificate::read(&certificate)?;
        let leaf = chain.first().context("no certificate")?;
        certificate::check(leaf).with_context(|| certificate.display().to_string())?;
        let folder = tempfile::tempdir()?;
        let trust = folder.path().join("trust.pem");
        let anchors = match &options.sign_ca {
            Some(file) => certificate::read(file)?,
            None => chain.clone(),
        };
        let mut text = String::new();
        for anchor in &anchors {
            text += &anchor.to_pem(LineEnding::LF)?;
        }
        fs::write(&trust, text)?;
        let signer = Self {
            test_certificate: match is_test {
                true => Some(leaf.to_der()?),
                false => None,
            },
            certificate,
            key,
            password: options.sign_password.clone(),
            timestamp: options.timestamp.clone(),
            trust,
            _folder: folder,
        };
        if let Key::File(key) = &signer.key {
            signer.check_key(leaf, key)?;
        }
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
    /// If osslsigncode fails.
    pub fn sign(&self, file: &Path, description: &str) -> anyhow::Result<()> {
        let signed = file.with_extension("signed");
        let mut command = Command::new("osslsigncode");
        command.args(["sign", "-h", "sha256", "-n", description]);
        if file.extension().is_some_and(|extension| extension == "sys") {
            command.arg("-ph");
        }
        command.arg("-certs").arg(&self.certificate);
        match &self.key {
            Key::File(key) => command.arg("-key").arg(key),
            Key::Token { module, uri } => command
                .arg("-pkcs11engine")
                .arg(TOKEN_NEEDS[0].what)
                .arg("-pkcs11module")
                .arg(module)
                .arg("-key")
                .arg(uri),
        };
        if let Some(password) = &self.password {
            command.arg("-readpass").arg(password);
        }
        if let Some(url) = &self.timestamp {
            command.arg("-ts").arg(url);
        }
        command.arg("-in").arg(file).arg("-out").arg(&signed);
        run(&mut command)?;
        Ok(fs::rename(&signed, file)?)
    }

    /// Checks the signature of an image or a catalog, or with `catalog` that of the catalog and that it has the file.
    ///
    /// # Errors
    /// If it does not hold.
    pub fn verify(&self, file: &Path, catalog: Option<&Path>) -> anyhow::Result<()> {
        let mut command = Command::new("osslsigncode");
        command.arg("verify").arg("-CAfile").arg(&self.trust);
        if self.timestamp.is_some() {
            // The authority's certificates are not ours to know; Windows knows them.
            command.arg("-ignore-timestamp");
        }
        if let Some(catalog) = catalog {
            command.arg("-catalog").arg(catalog);
        }
        command.arg("-in").arg(file);
        run(&mut command)
    }

    /// A key in a file is the certificate's.
    fn check_key(&self, leaf: &Certificate, key: &Path) -> anyhow::Result<()> {
        let mut command = Command::new("openssl");
        command
            .args(["pkey", "-pubout", "-outform", "DER", "-in"])
            .arg(key);
        if let Some(password) = &self.password {
            command
                .arg("-passin")
                .arg(format!("file:{}", password.display()));
        } else {
            // Without this it would ask on the terminal.
            command.args(["-passin", "pass:"]);
        }
        let public = command::output(&mut command)
            .with_context(|| format!("{} cannot be read as a private key", key.display()))?;
        let of_certificate = leaf.tbs_certificate.subject_public_key_info.to_der()?;
        ensure!(
            public == of_certificate,
            "{} is not the key of the certificate {}",
            key.display(),
            self.certificate.display()
        );
        Ok(())
    }
}

fn key_of(key: &str, options: &Options) -> anyhow::Result<Key> {
    match (key.starts_with(TOKEN), &options.pkcs11_module) {
        (true, Some(module)) => {
            ensure!(
                module.is_file(),
                "{} is no PKCS #11 module: there is no such file",
                module.display()
            );
            Ok(Key::Token {
                module: module.clone(),
                uri: key.to_owned(),
            })
        }
        (true, None) => bail!(
            "--sign-key {key} is on a token: --pkcs11-module says by which module to reach it"
        ),
        (false, Some(_)) => {
            bail!("--sign-key {key} is no PKCS #11 URI (pkcs11:…), which --pkcs11-module is for")
        }
        (false, None) => {
            fs::read(key).with_context(|| format!("cannot read the private key {key}"))?;
            Ok(Key::File(key.into()))
        }
    }
}

/// The test certificate and its key: the last one, unless it has had its time or is another vendor's.
fn test_certificate(vendor: &str, folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (
        folder.join("test-certificate.pem"),
        folder.join("test-key.pem"),
    );
    let name = super::test_name(vendor);
    if key.is_file() && certificate.is_file() && is_usable(&certificate, &name) {
        return Ok((certificate, key));
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let work = tempfile::tempdir_in(folder)?;
    let configuration = work.path().join("openssl.cnf");
    fs::write(
        &configuration,
        format!(
            "[req]\ndistinguished_name = subject\nprompt = no\nx509_extensions = extensions\n\
             [subject]\nCN = \"{name}\"\n\
             [extensions]\nbasicConstraints = critical,CA:FALSE\nkeyUsage = critical,digitalSignature\n\
             extendedKeyUsage = codeSigning\nsubjectKeyIdentifier = hash\n"
        ),
    )?;
    let (new_certificate, new_key) = (work.path().join("certificate"), work.path().join("key"));
    let mut command = Command::new("openssl");
    command
        .args([
            "req", "-x509", "-newkey", "rsa:3072", "-sha256", "-nodes", "-days",
        ])
        .arg(super::TEST_DAYS.to_string())
        .arg("-config")
        .arg(&configuration)
        .arg("-out")
        .arg(&new_certificate)
        .arg("-keyout")
        .arg(&new_key);
    command::output(&mut command).context("a test certificate cannot be made")?;
    fs::rename(new_key, &key)?;
    fs::rename(new_certificate, &certificate)?;
    Ok((certificate, key))
}

fn is_usable(file: &Path, name: &str) -> bool {
    let Ok(chain) = certificate::read(file) else {
        return false;
    };
    let soon = SystemTime::now() + Duration::from_secs(super::LEAST_DAYS * DAY);
    let soon = soon.duration_since(UNIX_EPOCH).unwrap_or_default();
    chain.first().is_some_and(|certificate| {
        let inner = &certificate.tbs_certificate;
        inner.validity.not_after.to_unix_duration() > soon
            && inner
                .subject
                .to_string()
                .contains(&format!("CN={}", name.replace(',', "\\,")))
    })
}

/// osslsigncode says what is wrong on its standard output too.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .context("cannot run osslsigncode")?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    if output.status.success() {
        return Ok(());
    }
    bail!(
        "{}: {}\n{}",
        command::display(command),
        output.status,
        command::end_of(&text)
    )
}
