//! Who signs, and with what. On Linux osslsigncode does, with a key in a file or on a token; on Windows signtool, with a key of
//! the user's certificate store. Without a certificate of the user's it is a test certificate made on the spot.

mod certificate;
#[cfg(unix)]
mod openssl;
#[cfg(any(windows, test))]
mod signtool;
#[cfg(windows)]
mod store;

#[cfg(unix)]
pub use openssl::{NEEDS, Options, Signer};
#[cfg(windows)]
pub use store::{Options, Signer};

use anyhow::Context as _;
use lab_catalog::{Catalog, Member};
use std::fs;

/// How long a test certificate is good for, and how long it must still be to be used again, in days.
const TEST_DAYS: u64 = 3650;
const LEAST_DAYS: u64 = 30;

/// Whose name a test certificate has.
fn test_name(vendor: &str) -> String {
    format!("{vendor} test signing")
}

impl Signer {
    /// Signs an empty catalog, so that what cannot work is known before an hour of building.
    fn try_out(&self) -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("trial.cat");
        let time = der::DateTime::new(2020, 1, 1, 0, 0, 0)?;
        let member = Member::new("trial", b"trial")?;
        fs::write(&file, Catalog::new(time, vec![member], &[]).to_der()?)?;
        self.sign(&file, "trial")
            .and_then(|()| self.verify(&file, None))
            .context("a trial signature failed")
    }
}
