//! The machine that Xen runs on: QEMU's TCG, which emulates AMD's virtualisation, so that nothing of the host matters.

use crate::disk::Disk;
use crate::log::Folder;
use crate::session::Event;
use crate::session::Setup;
use anyhow::Context;
use anyhow::bail;
use rustix::process::Pid;
use rustix::process::Signal;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;
use std::time::Instant;

/// The log of Xen's console, with dom0's and the guests' lines in it.
pub const CONSOLE_LOG: &str = "serial.log";
/// The socket of the agent's channel, in the session's folder.
pub const AGENT_SOCKET: &str = "agent";

/// A processor with SVM. Without RDTSCP, whose exits QEMU 7.2 reports wrongly; without AVX and SMAP, for the same sort of reason.
const CPU: &str = "qemu64,+svm,+npt,+pdpe1gb,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand,-rdtscp";
/// dom0's memory in MiB.
const DOM0_MEMORY: u64 = 512;
/// What Xen, a guest's device model and page tables take besides, in MiB.
const SPARE_MEMORY: u64 = 320;

/// A PCI bus has 32 devices; a bridge's first one is its hot-plug controller. The root bus has few left.
const DISKS_OF_A_BRIDGE: usize = 31;

/// The serial number by which dom0 tells disks apart.
pub fn serial(index: usize) -> String {
    format!("lab{index}")
}

/// Starts QEMU. Its console goes to the log and to `events`.
///
/// # Errors
/// If it cannot be started.
pub fn start(
    setup: &Setup<'_>,
    work: &Path,
    logs: &Folder,
    events: mpsc::Sender<Event>,
) -> anyhow::Result<Child> {
    let mut command = command(setup, work)?;
    let log = logs.log(CONSOLE_LOG)?;
    log.line(&crate::command::display(&command));
    let mut qemu = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start QEMU")?;
    let console = qemu.stdout.take().context("no pipe")?;
    let complaints = qemu.stderr.take().context("no pipe")?;
    let log_of_complaints = log.clone();
    std::thread::spawn(move || {
        lines(complaints, |line| {
            log_of_complaints.line(&format!("QEMU: {line}"));
        });
    });
    std::thread::spawn(move || {
        lines(console, |line| {
            log.line(&line);
            events.send(Event::Console(line)).ok();
        });
        events.send(Event::Ended).ok();
    });
    Ok(qemu)
}

fn command(setup: &Setup<'_>, work: &Path) -> anyhow::Result<Command> {
    let path = |path: &Path| -> anyhow::Result<String> {
        let path = path.to_str().context("a path is no UTF-8")?;
        // A comma separates QEMU's options: it is doubled where it is part of a name.
        Ok(path.replace(',', ",,"))
    };
    let memory = DOM0_MEMORY + SPARE_MEMORY + setup.guest_memory;
    // When the lab dies, so does QEMU.
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "qemu-system-x86_64"])
        .args(["-accel", "tcg,tb-size=256", "-cpu", CPU, "-smp", "1"])
        .args(["-m", &memory.to_string()])
        .args(["-display", "none", "-nic", "none", "-no-reboot"])
        .args(["-serial", "stdio", "-monitor", "none"])
        .args(["-kernel", &path(&setup.image.xen)?])
        .args(["-append", &xen_options()])
        .arg("-initrd")
        .arg(format!(
            "{} console=hvc0 loglevel=6 ,{}",
            path(&setup.image.linux)?,
            path(&setup.image.initramfs)?
        ))
        .arg("-virtfs")
        .arg(format!(
            "local,path={},mount_tag=share,security_model=none,id=share",
            path(&work.join("share"))?
        ))
        .args(["-device", "virtio-serial-pci", "-chardev"])
        .arg(format!(
            "socket,id=agent,path={},server=on,wait=off",
            path(&work.join(AGENT_SOCKET))?
        ))
        .arg("-device")
        .arg(format!(
            "virtserialport,chardev=agent,name={}",
            dom0_agent::PORT
        ));
    for bridge in 0..setup.disks.len().div_ceil(DISKS_OF_A_BRIDGE) {
        command.arg("-device").arg(format!(
            "pci-bridge,id=disks{bridge},chassis_nr={}",
            bridge + 1
        ));
    }
    for (index, disk) in setup.disks.iter().enumerate() {
        command.args(disk_options(index, disk, &path(&disk.file)?));
    }
    // A terminal's Ctrl-C is for the lab, which ends QEMU in order.
    command.process_group(0);
    Ok(command)
}

fn xen_options() -> String {
    // The guest's log must not be lost when much comes at once: it waits in a buffer.
    // A processor that somebody else is woken for goes on with what it does for 5 ms, not the usual 1: emulated, that is time for
    // some frames only. Two adapters with four queues each, which the guest serves on two processors, moved twice as much so.
    format!(
        "console=com1 com1=115200,8n1 serial_tx_buffer=4M conring_size=1M loglvl=all guest_loglvl=all \
         console_timestamps=none noreboot sched_ratelimit_us=5000 dom0_mem={DOM0_MEMORY}M,max:{DOM0_MEMORY}M dom0_max_vcpus=1"
    )
}

fn disk_options(index: usize, disk: &Disk, file: &str) -> [String; 4] {
    let readonly = if disk.readonly { "on" } else { "off" };
    [
        "-drive".to_owned(),
        format!(
            "file={file},if=none,id=disk{index},format={},readonly={readonly},discard=unmap",
            disk.format
        ),
        "-device".to_owned(),
        format!(
            "virtio-blk-pci,bus=disks{bridge},drive=disk{index},serial={serial},logical_block_size={sector},physical_block_size={sector}",
            bridge = index / DISKS_OF_A_BRIDGE,
            serial = serial(index),
            sector = disk.sector
        ),
    ]
}

fn lines(from: impl Read, mut each: impl FnMut(String)) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
        let text = String::from_utf8_lossy(&line);
        each(text.trim_end_matches(['\r', '\n']).to_owned());
        line.clear();
    }
}

/// Ends QEMU at once.
pub fn kill(qemu: &mut Child) {
    // It may have ended by itself, which is as good.
    qemu.kill().ok();
    qemu.wait().ok();
}

/// Has QEMU write what it holds and end.
///
/// # Errors
/// If it does not within the time; it is killed then.
pub fn terminate(qemu: &mut Child, limit: Duration) -> anyhow::Result<()> {
    let pid = i32::try_from(qemu.id()).ok().and_then(Pid::from_raw);
    rustix::process::kill_process(pid.context("QEMU has no number")?, Signal::TERM)
        .context("cannot end QEMU")?;
    let start = Instant::now();
    while qemu.try_wait()?.is_none() {
        if start.elapsed() > limit {
            kill(qemu);
            bail!("QEMU did not end within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
