//! Programs that go on while other requests are done.

use std::fs;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;

/// Starts a shell command in a process group of its own; see `Action::Start` for its files.
pub fn start(folder: &str, name: &str, command: &str) -> io::Result<Vec<u8>> {
    let folder = Path::new(folder);
    fs::create_dir_all(folder)?;
    remove(folder, name)?;
    let file = |end: &str| folder.join(format!("{name}.{end}"));
    let child = Command::new("bash")
        .args(["-c", &format!("set -o pipefail; {command}")])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(File::create(file("out"))?)
        .stderr(File::create(file("err"))?)
        .process_group(0)
        .spawn()?;
    fs::write(file("pid"), format!("{}\n", child.id()))?;
    let status = file("status");
    thread::spawn(move || wait(child, &status));
    Ok(Vec::new())
}

/// Removes what an earlier job of the name left.
fn remove(folder: &Path, name: &str) -> io::Result<()> {
    let of_job = format!("{name}.");
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&of_job) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn wait(mut child: Child, status: &Path) {
    let code = child.wait().ok().and_then(|status| status.code());
    // The folder is gone when a job is ended with all others: nobody reads the status then.
    fs::write(status, format!("{}\n", code.unwrap_or(-1))).ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use std::time::Instant;

    fn read_when_there(path: &Path) -> String {
        let start = Instant::now();
        loop {
            match fs::read_to_string(path) {
                Ok(text) if text.ends_with('\n') => return text,
                _ if start.elapsed() > Duration::from_secs(20) => panic!("no {}", path.display()),
                _ => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    #[test]
    fn a_job_leaves_what_it_printed_and_how_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().join("jobs");
        let parent_name = parent.to_str().unwrap();
        start(parent_name, "a", "echo out; echo err >&2; false | true").unwrap();
        assert_eq!(read_when_there(&parent.join("a.status")), "1\n");
        assert_eq!(read_when_there(&parent.join("a.out")), "out\n");
        assert_eq!(read_when_there(&parent.join("a.err")), "err\n");
        // Another job of the name does not find what this one left.
        start(parent_name, "a", "sleep 100").unwrap();
        assert!(!parent.join("a.status").exists());
        let group = read_when_there(&parent.join("a.pid"));
        let group = format!("-{}", group.trim());
        assert!(
            Command::new("kill")
                .args(["-KILL", "--", &group])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(read_when_there(&parent.join("a.status")), "-1\n");
    }
}
