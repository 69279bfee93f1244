//! Log files of a run: each line with the seconds since the run began.

use anyhow::Context;
use std::fs;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Instant;

/// The folder of a run's logs.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    start: Instant,
}

impl Folder {
    /// Makes the folder `name` below `parent`; logs of an earlier run of the name go.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn create(parent: &Path, name: &str) -> anyhow::Result<Self> {
        let path = parent.join(name);
        if path.exists() {
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot empty {}", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self {
            path,
            start: Instant::now(),
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the run began.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// A log file in it.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn log(&self, name: &str) -> anyhow::Result<Log> {
        let path = self.path.join(name);
        let file =
            File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Log {
            file: Arc::new(Mutex::new(file)),
            start: self.start,
        })
    }
}

/// A log file that threads share.
#[derive(Clone, Debug)]
pub struct Log {
    file: Arc<Mutex<File>>,
    start: Instant,
}

impl Log {
    /// Writes a line. A log that cannot be written (a full disk) stops no run.
    pub fn line(&self, text: &str) {
        let line = format!("[{:9.3}] {text}\n", self.start.elapsed().as_secs_f64());
        if let Ok(mut file) = self.file.lock() {
            file.write_all(line.as_bytes()).ok();
        }
    }
}
