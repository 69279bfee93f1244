//! Xen's own books on a domain: what `xl debug-keys e` and `g` print of its event channels and grants.

use std::collections::BTreeMap;
use std::fmt;

/// Grant references that the toolstack fills for the console and xenstore (GNTTAB_NR_RESERVED_ENTRIES).
const RESERVED_REFERENCES: u32 = 8;

/// What a domain holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Event channels in use, counted by kind
    pub channels: BTreeMap<Channel, usize>,
    /// Grants that another domain has in use, but for the toolstack's
    pub grants: usize,
}

/// A kind of event channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Channel {
    /// ECS_*: 2 unbound, 3 interdomain, 4 PIRQ, 5 VIRQ, 6 IPI
    pub state: u8,
    /// True if Xen itself listens, as for the device model's requests
    pub xen: bool,
    /// The domain at the other end, if there is one
    pub remote: Option<u16>,
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.state {
            2 => "unbound",
            3 => "interdomain",
            4 => "PIRQ",
            5 => "VIRQ",
            6 => "IPI",
            _ => "reserved",
        };
        f.write_str(kind)?;
        if let Some(remote) = self.remote {
            write!(f, " with domain {remote}")?;
        }
        Ok(())
    }
}

impl Books {
    /// Reads the books out of what Xen prints for the keys `e` and `g`, a line each without `(XEN) `. `None` if the domain is in neither.
    pub fn parse(text: &str, domain: u32) -> Option<Self> {
        let channels = channels(text, domain)?;
        let grants = grants(text, domain)?;
        Some(Self { channels, grants })
    }

    /// Channels that are there now and were not in `before`.
    pub fn channels_beyond(&self, before: &Self) -> BTreeMap<Channel, usize> {
        self.channels
            .iter()
            .filter_map(|(channel, count)| {
                let known = before.channels.get(channel).copied().unwrap_or_default();
                let more = count.saturating_sub(known);
                (more != 0).then_some((*channel, more))
            })
            .collect()
    }
}

fn channels(text: &str, domain: u32) -> Option<BTreeMap<Channel, usize>> {
    let title = format!("Event channel information for domain {domain}:");
    let mut lines = text.lines().skip_while(|line| line.trim() != title);
    lines.next()?;
    let mut channels = BTreeMap::new();
    let of_domain = lines.take_while(|line| !line.starts_with("Event channel information"));
    for channel in of_domain.filter_map(channel) {
        *channels.entry(channel).or_default() += 1;
    }
    Some(channels)
}

/// `       6 [0/0/  -   ]: s=3 n=0 x=0 d=0 p=21`
fn channel(line: &str) -> Option<Channel> {
    let (port, fields) = line.split_once("]:")?;
    let (port, _) = port.split_once('[')?;
    port.trim().parse::<u32>().ok()?;
    let field = |name: &str| {
        fields
            .split_whitespace()
            .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    Some(Channel {
        state: field("s")?.parse().ok()?,
        xen: field("x")? != "0",
        remote: field("d").and_then(|domain| domain.parse().ok()),
    })
}

fn grants(text: &str, domain: u32) -> Option<usize> {
    let title = format!("grant-table for remote d{domain} ");
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&title));
    lines.next()?;
    let of_domain = lines.take_while(|line| !line.starts_with("grant-table for"));
    let used = of_domain
        .filter_map(reference)
        .filter(|reference| *reference >= RESERVED_REFERENCES);
    Some(used.count())
}

/// `[0x009]      0 0x0000000000012345 0x00000001          0 0x00000000000abcde 0x0019`
fn reference(line: &str) -> Option<u32> {
    let (number, _) = line.trim_start().strip_prefix('[')?.split_once(']')?;
    let number = number.trim();
    match number.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
'e' pressed -> dumping event-channel info
Event channel information for domain 0:
Polling vCPUs: {}
    port [p/m/s]
       1 [0/0/  -   ]: s=5 n=0 x=0 v=0
Event channel information for domain 3:
Polling vCPUs: {}
    port [p/m/s]
       1 [0/0/  -   ]: s=3 n=0 x=1 d=0 p=30
       2 [0/0/  -   ]: s=3 n=1 x=1 d=0 p=31
       3 [1/0/  -   ]: s=3 n=0 x=0 d=0 p=33
       4 [0/1/  -   ]: s=2 n=0 x=0 d=0
       5 [0/1/  -   ]: s=6 n=1 x=0
gnttab_usage_print_all [ key 'g' pressed
      -------- active --------       -------- shared --------
[ref] localdom mfn      pin          localdom gmfn     flags
grant-table for remote d0 (v1)
  1 frames (64 max), 0 maptrack frames (1024 max)
no active grant table entries
grant-table for remote d3 (v1)
  2 frames (64 max), 0 maptrack frames (1024 max)
[0x001]      0 0x00000000000fefff 0x00000001          0 0x00000000000fefff 0x0019
[0x00a]      0 0x0000000000012345 0x00000001          0 0x0000000000000345 0x0019
gnttab_usage_print_all ] done
";

    #[test]
    fn channels_and_grants_of_the_domain_are_counted() {
        let books = Books::parse(TEXT, 3).unwrap();
        let of = |state, xen, remote| books.channels[&Channel { state, xen, remote }];
        assert_eq!(of(3, true, Some(0)), 2);
        assert_eq!(of(3, false, Some(0)), 1);
        assert_eq!(of(2, false, Some(0)), 1);
        assert_eq!(of(6, false, None), 1);
        // The toolstack's grant for xenstore is not the driver's.
        assert_eq!(books.grants, 1);
    }

    #[test]
    fn what_came_since_is_named() {
        let after = Books::parse(TEXT, 3).unwrap();
        let mut before = after.clone();
        before.channels.retain(|channel, _| channel.state != 6);
        let more = after.channels_beyond(&before);
        let names: Vec<_> = more.keys().map(ToString::to_string).collect();
        assert_eq!(names, ["IPI"]);
        assert!(before.channels_beyond(&after).is_empty());
    }

    #[test]
    fn a_domain_that_is_not_there_has_no_books() {
        assert_eq!(Books::parse(TEXT, 30), None);
        assert_eq!(Books::parse("", 3), None);
    }
}
