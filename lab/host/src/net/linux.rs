//! A Linux guest with its own xen-netfront on an adapter's bridge, whose throughput is what others' is compared with.

use super::Net;
use super::jobs::FOLDER;
use crate::dom0::cpio::Node;
use crate::dom0::cpio::Tree;
use crate::nic::Nic;
use crate::report::LinuxMeasured;
use crate::report::Rate;
use anyhow::Context;
use anyhow::bail;
use lab_protocol::plan::net::Direction;
use lab_protocol::plan::net::LinuxGuest;
use lab_protocol::plan::net::RECEIVE_PORT;
use lab_protocol::plan::net::SEND_PORT;
use lab_protocol::plan::net::Transfer;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Its memory, in MiB.
pub const MEMORY: u64 = 224;
/// How long it may take in all, beside what its bytes take.
const LIMIT: Duration = Duration::from_secs(420);
/// Bytes a second that it moves at least.
const SLOWEST: u64 = 1 << 20;
/// The TCP port in dom0 to which it sends what it has measured: a console would cost it more than all else.
const RESULT_PORT: u16 = 5300;
/// The job that takes that.
const JOB: &str = "linux";

/// The files that such a guest is made of.
#[derive(Clone, Copy, Debug)]
pub struct Pieces<'a> {
    /// Linux
    pub kernel: &'a Path,
    /// Its root file system without a first process
    pub initramfs: &'a Path,
    /// The program that makes the traffic: dom0's agent
    pub traffic: &'a Path,
}

/// Boots it, while the other guest is paused, has it send and receive, and takes its word on how long that took.
pub fn measure(
    net: &mut Net<'_>,
    domain: u32,
    nic: &Nic,
    step: &LinuxGuest,
) -> anyhow::Result<LinuxMeasured> {
    let folder = net.session.share().join("linux");
    write_files(&folder, &net.linux, nic, step)?;
    net.session.shell(&format!("xl pause {domain}"))?;
    let printed = run(net, nic, step);
    // Whatever came of it, nothing of it stays.
    net.session.try_shell("xl destroy lab-linux 2>/dev/null")?;
    net.session.shell(&format!("xl unpause {domain}"))?;
    fs::remove_dir_all(&folder)?;
    let printed = printed?;
    net.session
        .logs()
        .log("linux-guest.log")?
        .line(printed.trim_end());
    Ok(LinuxMeasured {
        nic: step.nic,
        send: rate(&printed, "send", step)?,
        receive: rate(&printed, "receive", step)?,
    })
}

fn run(net: &mut Net<'_>, nic: &Nic, step: &LinuxGuest) -> anyhow::Result<String> {
    // The ends of both ways; the guest uses one after the other.
    net.peers.transfer(
        &net.jobs,
        nic,
        &Transfer {
            nic: step.nic,
            direction: Direction::Both,
            bytes: step.bytes,
            connections: step.connections,
            ipv6: false,
            hash: false,
            within_ms: 0,
        },
        0,
    )?;
    net.jobs
        .start(JOB, &format!("exec nc -d -l {} {RESULT_PORT}", nic.peer()))?;
    // They are this guest's, and not of the step that the other guest takes part in.
    net.peers = super::Peers::default();
    net.session
        .agent()
        .shell(
            "xl create -q /share/linux/linux.cfg",
            Duration::from_secs(60),
        )
        .context("the Linux guest cannot be made")?;
    let limit = LIMIT + Duration::from_secs(2 * step.bytes.0 / SLOWEST);
    // Waited for in dom0: every command of the host's would take time from what is measured.
    let ended = net.session.agent().shell(
        &format!("until [ -e {FOLDER}/{JOB}.status ]; do sleep 2; done; cat {FOLDER}/{JOB}.out"),
        limit,
    );
    ended.with_context(|| {
        let state = net
            .session
            .try_shell("xl list -v; tail -n 20 /var/log/xen/*linux*");
        let state = state.map(|output| output.stdout).unwrap_or_default();
        format!("the Linux guest is not done after {limit:?}\n{state}")
    })
}

fn write_files(
    folder: &Path,
    pieces: &Pieces<'_>,
    nic: &Nic,
    step: &LinuxGuest,
) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    fs::copy(pieces.kernel, folder.join("vmlinuz")).context("no kernel for the Linux guest")?;
    let mut archive = fs::read(pieces.initramfs).context("no files for the Linux guest")?;
    let mut own = Tree::default();
    own.add("traffic", Node::File(fs::read(pieces.traffic)?, true));
    own.add(
        "init",
        Node::File(first_process(nic, step).into_bytes(), true),
    );
    // Linux unpacks one archive after the other.
    own.write(&mut archive)?;
    fs::write(folder.join("initramfs.cpio"), archive)?;
    fs::write(folder.join("linux.cfg"), configuration(nic, step))?;
    Ok(())
}

fn configuration(nic: &Nic, step: &LinuxGuest) -> String {
    format!(
        "name=\"lab-linux\"\ntype=\"hvm\"\nkernel=\"/share/linux/vmlinuz\"\nramdisk=\"/share/linux/initramfs.cpio\"\n\
         cmdline=\"console=hvc0 quiet nokaslr\"\nmemory={MEMORY}\nvcpus={}\ntsc_mode=\"native\"\nserial=\"none\"\nvkb_device=0\n\
         vga=\"none\"\nxen_platform_pci=1\non_poweroff=\"preserve\"\non_reboot=\"preserve\"\non_crash=\"preserve\"\n\
         device_model_override=\"/usr/libexec/xen-qemu-system-i386\"\nvif=['mac={},bridge={},mtu={},type=vif']\n",
        step.vcpus,
        nic.linux_mac(),
        nic.bridge,
        nic.mtu
    )
}

/// Sends and receives once, one after the other, and prints what each connection took.
fn first_process(nic: &Nic, step: &LinuxGuest) -> String {
    let peer = nic.peer();
    let transfer = Transfer {
        nic: step.nic,
        direction: Direction::Send,
        bytes: step.bytes,
        connections: step.connections,
        ipv6: false,
        hash: false,
        within_ms: 0,
    };
    let mut send = String::new();
    let mut receive = String::new();
    for n in 0..step.connections {
        let share = transfer.share(n);
        send += &format!(
            "/traffic tcp-send {peer} {} {share} >/send{n} &\n",
            SEND_PORT + n
        );
        receive += &format!(
            "/traffic tcp-receive {peer} {} >/receive{n} &\n",
            RECEIVE_PORT + n
        );
    }
    format!(
        "#!/bin/sh\n\
         export PATH=/usr/bin:/usr/sbin\n\
         mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs devtmpfs /dev\n\
         modprobe xen-netfront\n\
         for _ in $(seq 100); do [ -e /sys/class/net/eth0 ] && break; sleep 0.1; done\n\
         ip link set eth0 mtu {mtu} up; ip address add {address}/{prefix} dev eth0\n\
         for _ in $(seq 50); do ping -c 1 -W 1 {peer} >/dev/null 2>&1 && break; done\n\
         {send}wait\n\
         {receive}wait\n\
         for f in /send* /receive*; do echo \"${{f#/}} $(cat $f)\"; done | nc {peer} {RESULT_PORT}\n\
         poweroff -f\n",
        mtu = nic.mtu,
        address = nic.linux_address(),
        prefix = Nic::PREFIX,
    )
}

/// `send0 BYTES MICROSECONDS`, a line a connection: all bytes in the longest time.
fn rate(printed: &str, way: &str, step: &LinuxGuest) -> anyhow::Result<Rate> {
    let mut rate = Rate::default();
    let mut lines = 0;
    for line in printed.lines() {
        let mut words = line.split_whitespace();
        if !words.next().is_some_and(|name| name.starts_with(way)) {
            continue;
        }
        let mut number = || words.next()?.parse::<u64>().ok();
        let (Some(bytes), Some(microseconds)) = (number(), number()) else {
            bail!("the Linux guest printed {line:?}");
        };
        rate.add(bytes, microseconds);
        lines += 1;
    }
    if lines != u64::from(step.connections) || rate.bytes != step.bytes.0 {
        bail!(
            "the Linux guest moved {} of {} bytes over {lines} connections ({way})",
            rate.bytes,
            step.bytes.0
        );
    }
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_protocol::plan::Bytes;

    #[test]
    fn connections_rates_are_added_up() {
        let step = LinuxGuest {
            bytes: Bytes(3000),
            connections: 2,
            ..LinuxGuest::default()
        };
        let text = "send0 1000 50\nsend1 2000 80\nreceive0 3000 9\n";
        let sent = rate(text, "send", &step).unwrap();
        assert_eq!((sent.bytes, sent.microseconds), (3000, 80));
        assert!(rate(text, "receive", &step).is_err());
        assert!(rate("send0 1000\n", "send", &step).is_err());
    }

    #[test]
    fn each_connection_has_its_ports_and_its_share() {
        let nic = crate::nic::assign(&["".parse().unwrap()])
            .unwrap()
            .remove(0);
        let step = LinuxGuest {
            bytes: Bytes(1001),
            connections: 2,
            ..LinuxGuest::default()
        };
        let text = first_process(&nic, &step);
        assert!(
            text.contains("tcp-send 10.77.0.1 5000 501 >/send0 &"),
            "{text}"
        );
        assert!(text.contains("tcp-send 10.77.0.1 5001 500 >/send1 &"));
        assert!(text.contains("tcp-receive 10.77.0.1 5101 >/receive1 &"));
    }
}
