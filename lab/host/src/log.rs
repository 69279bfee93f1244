//! Log files of a run: each line with the seconds since the run began.

use anyhow::Context;
use std::fs;
use std::fs::File;
use std::fs::TryLockError;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Instant;

/// The folder of a run's logs, which no other run uses while it lasts.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    start: Instant,
    _taken: Arc<File>,
}

/// Runs of one name at once.
const MOST: u32 = 64;

impl Folder {
    /// Makes the folder `name` below `parent`, or `name-2` and so on while runs of that name go on; logs of an earlier run go.
    ///
    /// # Errors
    /// If the folder cannot be made.
    pub fn create(parent: &Path, name: &str) -> anyhow::Result<Self> {
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        let names = (1..=MOST).map(|number| match number {
            1 => name.to_owned(),
            _ => format!("{name}-{number}"),
        });
        for name in names {
            if let Some(taken) = take(&parent.join(format!(".{name}.lock")))? {
                return Self::make(parent.join(name), taken);
            }
        }
        anyhow::bail!("{MOST} runs of {name} go on at once")
    }

    fn make(path: PathBuf, taken: File) -> anyhow::Result<Self> {
        if path.exists() {
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot empty {}", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self {
            path,
            start: Instant::now(),
            _taken: Arc::new(taken),
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

/// Takes a file for as long as the result lives; `None` while another process, or another part of this one, has it.
///
/// # Errors
/// If the file cannot be made or locked.
pub fn take(path: &Path) -> anyhow::Result<Option<File>> {
    let open = || {
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
    };
    let file = open().with_context(|| format!("cannot make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_one_name_at_once_have_a_folder_each() -> anyhow::Result<()> {
        let parent = tempfile::tempdir()?;
        let first = Folder::create(parent.path(), "run")?;
        let second = Folder::create(parent.path(), "run")?;
        assert_eq!(first.path(), parent.path().join("run"));
        assert_eq!(second.path(), parent.path().join("run-2"));
        let copy = first.clone();
        drop(first);
        assert!(take(&parent.path().join(".run.lock"))?.is_none());
        drop(copy);
        assert_eq!(
            Folder::create(parent.path(), "run")?.path(),
            parent.path().join("run")
        );
        Ok(())
    }
}
