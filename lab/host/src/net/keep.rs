//! `--pcap FILE`: everything that passed, of all adapters and all boots, in one pcapng file.

use super::jobs::Jobs;
use crate::nic::Nic;
use crate::session::Session;
use anyhow::Context;
use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketBlock;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionBlock;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use std::fs;
use std::fs::File;
use std::io::BufReader;
use std::io::BufWriter;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// Where the parts lie, in the folder that dom0 sees as /share.
const FOLDER: &str = "pcap";
/// Bytes that every pcap file has.
const PCAP_HEADER: u64 = 24;
/// How long tcpdump may take to end.
const END_LIMIT: Duration = Duration::from_secs(30);

/// Keeps what passes.
#[derive(Debug)]
pub struct Keeper {
    file: PathBuf,
    /// The jobs that go on
    running: Vec<String>,
    boots: u32,
}

impl Keeper {
    /// Makes the file.
    pub fn new(file: &Path) -> anyhow::Result<Self> {
        File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self {
            file: file.to_owned(),
            running: Vec::new(),
            boots: 0,
        })
    }

    /// A domain was made. An interface that goes and comes again gets another part.
    pub fn begin(&mut self, jobs: &Jobs<'_>, nics: &[Nic], domain: u32) -> anyhow::Result<()> {
        jobs.shell(&format!("mkdir -p /share/{FOLDER}"))?;
        for nic in nics {
            let interface = nic.interface(domain);
            let job = format!("pcap{}", nic.number);
            let part = format!("/share/{FOLDER}/{}-{}", nic.number, self.boots);
            // SIGTERM ends the loop after tcpdump, which has the signal too.
            jobs.start(
                &job,
                &format!(
                    "trap end=1 TERM; n=0; while [ -z \"$end\" ]; do \
                     if [ -e /sys/class/net/{interface} ]; then tcpdump -Z root -i {interface} -n -s 0 -B 16384 -w {part}-$n.pcap & wait; n=$((n + 1)); fi; \
                     [ -n \"$end\" ] || sleep 0.1; done; wait"
                ),
            )?;
            jobs.wait_until_listening(&job)?;
            self.running.push(job);
        }
        self.boots += 1;
        Ok(())
    }

    /// The domain has ended.
    pub fn end(&mut self, jobs: &Jobs<'_>, session: &Session) -> anyhow::Result<()> {
        if self.running.is_empty() {
            return Ok(());
        }
        // tcpdump reads what has passed a second later at the latest.
        session.shell("sleep 1.3")?;
        for job in self.running.drain(..) {
            jobs.signal(&job, "TERM")?;
            jobs.wait(&job, END_LIMIT)?;
        }
        Ok(())
    }

    /// Puts the parts together.
    pub fn write(self, nics: &[Nic], share: &Path) -> anyhow::Result<()> {
        let folder = share.join(FOLDER);
        let mut parts: Vec<PathBuf> = Vec::new();
        if folder.is_dir() {
            for entry in fs::read_dir(&folder)? {
                parts.push(entry?.path());
            }
        }
        parts.sort();
        let file = File::create(&self.file)
            .with_context(|| format!("cannot write {}", self.file.display()))?;
        join(BufWriter::new(file), nics, &parts)?;
        if folder.is_dir() {
            fs::remove_dir_all(folder)?;
        }
        Ok(())
    }
}

/// The adapter's number, with which the names of its parts begin.
fn number_of(part: &Path) -> Option<usize> {
    let name = part.file_name()?.to_str()?;
    name.split('-').next()?.parse().ok()
}

/// All parts, in the order of time, in one pcapng file with an interface for each adapter.
fn join(mut to: impl Write, nics: &[Nic], parts: &[PathBuf]) -> anyhow::Result<()> {
    let mut writer = PcapNgWriter::new(&mut to)?;
    for nic in nics {
        let mut interface = InterfaceDescriptionBlock::new(DataLink::ETHERNET, 0);
        let name = format!("adapter {} ({}, {})", nic.number, nic.mac, nic.bridge);
        interface
            .options
            .push(InterfaceDescriptionOption::IfName(name.into()));
        // Times are nanoseconds: ten to the power of -9.
        interface
            .options
            .push(InterfaceDescriptionOption::IfTsResol(9));
        writer.write_pcapng_block(interface)?;
    }
    let mut sources = Vec::new();
    for part in parts {
        // tcpdump was killed before it wrote even the file's header.
        if fs::metadata(part)?.len() < PCAP_HEADER {
            continue;
        }
        let number = number_of(part).context("a part of another name")?;
        let mut reader = PcapReader::new(BufReader::new(File::open(part)?))
            .with_context(|| format!("{}", part.display()))?;
        let first = next(&mut reader)?;
        sources.push((number, reader, first));
    }
    loop {
        let earliest = sources
            .iter_mut()
            .filter(|(_, _, head)| head.is_some())
            .min_by_key(|(_, _, head)| head.as_ref().map(|head| head.time));
        let Some((number, reader, head)) = earliest else {
            break;
        };
        if let Some(packet) = std::mem::replace(head, next(reader)?) {
            writer.write_pcapng_block(EnhancedPacketBlock {
                interface_id: *number as u32,
                timestamp: packet.time,
                original_len: packet.length,
                data: packet.data.into(),
                options: Vec::new(),
            })?;
        }
    }
    to.flush()?;
    Ok(())
}

struct Packet {
    time: Duration,
    length: u32,
    data: Vec<u8>,
}

/// The next frame. A part that tcpdump could not end in order may stop in the middle of one.
fn next(reader: &mut PcapReader<impl std::io::Read>) -> anyhow::Result<Option<Packet>> {
    Ok(match reader.next_packet() {
        Some(Ok(packet)) => Some(Packet {
            time: packet.timestamp,
            length: packet.orig_len,
            data: packet.data.into_owned(),
        }),
        Some(Err(pcap_file::PcapError::IncompleteBuffer)) | None => None,
        Some(Err(error)) => return Err(error.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_file::pcap::PcapPacket;
    use pcap_file::pcap::PcapWriter;
    use pcap_file::pcapng::Block;
    use pcap_file::pcapng::PcapNgReader;

    #[test]
    fn parts_are_joined_in_the_order_of_time() {
        let folder = tempfile::tempdir().unwrap();
        let part = |name: &str, times: &[u64]| {
            let path = folder.path().join(name);
            let mut writer = PcapWriter::new(File::create(&path).unwrap()).unwrap();
            for time in times {
                let packet = PcapPacket::new(Duration::from_secs(*time), 100, &[7; 60]);
                writer.write_packet(&packet).unwrap();
            }
            path
        };
        let empty = folder.path().join("0-0-1.pcap");
        fs::write(&empty, "").unwrap();
        let parts = [
            part("0-0-0.pcap", &[1, 4]),
            empty,
            part("1-0-0.pcap", &[2, 3]),
        ];
        let nics = crate::nic::assign(&["".parse().unwrap(), "".parse().unwrap()]).unwrap();
        let mut bytes = Vec::new();
        join(&mut bytes, &nics, &parts).unwrap();
        let mut reader = PcapNgReader::new(bytes.as_slice()).unwrap();
        let mut seen = Vec::new();
        let mut interfaces = 0;
        while let Some(block) = reader.next_block() {
            match block.unwrap() {
                Block::EnhancedPacket(packet) => {
                    assert_eq!(packet.original_len, 100);
                    seen.push((packet.interface_id, packet.timestamp.as_secs()));
                }
                Block::InterfaceDescription(_) => interfaces += 1,
                _ => {}
            }
        }
        assert_eq!(seen, [(0, 1), (1, 2), (1, 3), (0, 4)]);
        assert_eq!(interfaces, 2);
    }
}
