//! What an adapter hands up, written down frame by frame while a plan wants it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use lab_protocol::plan::frames::ReceivedExpect;

/// Frames that are written down at most: more make every expectation fail.
const MOST: usize = 50_000;

/// A received frame, as far as a plan asks for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Where it goes
    pub to: [u8; 6],
    /// The tag beside it, as IEEE 802.1Q has it: priority, VLAN
    pub control: u16,
    /// It is longer than the MTU
    pub large: bool,
    /// It is said to be a unit of receive segment coalescing
    pub coalesced: bool,
    /// It has a hash over TCP's ports beside it
    pub hashed: bool,
    /// It came on the processor that its hash leads to; `None` without a hash
    pub at_home: Option<bool>,
    /// The processor
    pub processor: u32,
}

/// The VLAN of a tag.
pub fn vlan(control: u16) -> u16 {
    control & 0xfff
}

/// The priority of a tag.
pub fn priority(control: u16) -> u8 {
    (control >> 13) as u8
}

/// The tag of a VLAN and a priority.
pub fn control(vlan: u16, priority: u8) -> u16 {
    u16::from(priority & 7) << 13 | vlan & 0xfff
}

impl Frame {
    /// Whether all holds that a plan says of it.
    fn fits(&self, expect: &ReceivedExpect) -> bool {
        fn holds<T: PartialEq>(wanted: Option<T>, is: T) -> bool {
            wanted.is_none_or(|wanted| wanted == is)
        }
        holds(expect.to.map(|to| to.0), self.to)
            && holds(expect.vlan, vlan(self.control))
            && holds(expect.priority, priority(self.control))
            && holds(expect.large, self.large)
            && holds(expect.coalesced, self.coalesced)
            && holds(expect.hashed, self.hashed)
            && holds(expect.processor, self.processor)
            && (expect.at_home.is_none() || expect.at_home == self.at_home)
    }
}

/// What was written down.
#[derive(Default)]
pub struct Seen {
    frames: Option<Vec<Frame>>,
    missed: usize,
}

impl Seen {
    /// Nothing, and nothing is written down.
    pub const fn new() -> Self {
        Self {
            frames: None,
            missed: 0,
        }
    }

    /// Writes down from now on; what was written before is forgotten.
    pub fn start(&mut self) {
        *self = Self {
            frames: Some(Vec::new()),
            missed: 0,
        };
    }

    /// Whether frames are written down.
    pub fn is_wanted(&self) -> bool {
        self.frames.is_some()
    }

    /// A frame came. At most DISPATCH_LEVEL.
    pub fn add(&mut self, frame: Frame) {
        match &mut self.frames {
            Some(frames) if frames.len() < MOST => frames.push(frame),
            Some(_) => self.missed += 1,
            None => {}
        }
    }

    /// Compares what was written with what a plan says; how many frames fit.
    ///
    /// # Errors
    /// What is not as expected.
    pub fn expect(&self, expect: &ReceivedExpect) -> Result<usize, String> {
        let Some(frames) = &self.frames else {
            return Err("no received-start was done for this adapter".into());
        };
        if self.missed > 0 {
            let missed = self.missed;
            return Err(format!("{missed} frames came beyond the first {MOST}"));
        }
        let found = frames.iter().filter(|frame| frame.fits(expect)).count();
        let all = frames.len();
        if let Some(least) = expect.at_least.filter(|least| found < *least as usize) {
            return Err(format!(
                "{found} of {all} frames fit, and at least {least} were expected"
            ));
        }
        if let Some(most) = expect.at_most.filter(|most| found > *most as usize) {
            return Err(format!(
                "{found} of {all} frames fit, and at most {most} were expected"
            ));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_protocol::plan::frames::Address;

    fn seen(frames: &[Frame]) -> Seen {
        let mut seen = Seen::new();
        seen.start();
        for frame in frames {
            seen.add(*frame);
        }
        seen
    }

    fn count(frames: &[Frame], expect: ReceivedExpect) -> usize {
        seen(frames).expect(&expect).unwrap()
    }

    #[test]
    fn a_tag_is_a_priority_and_a_vlan() {
        assert_eq!(control(7, 3), 0x6007);
        assert_eq!((vlan(0x6007), priority(0x6007)), (7, 3));
        assert_eq!((vlan(0xffff), priority(0xffff)), (4095, 7));
    }

    #[test]
    fn all_that_is_said_has_to_hold() {
        let group = [1, 0, 0x5e, 0, 0, 9];
        let frames = [
            Frame::default(),
            Frame {
                control: control(7, 3),
                ..Frame::default()
            },
            Frame {
                to: group,
                control: control(7, 0),
                large: true,
                coalesced: true,
                hashed: true,
                at_home: Some(false),
                processor: 1,
            },
        ];
        let all = ReceivedExpect::default;
        assert_eq!(count(&frames, all()), 3);
        let with = |vlan, priority| ReceivedExpect {
            vlan,
            priority,
            ..all()
        };
        assert_eq!(count(&frames, with(Some(7), None)), 2);
        assert_eq!(count(&frames, with(Some(7), Some(3))), 1);
        assert_eq!(count(&frames, with(Some(0), None)), 1);
        let to = ReceivedExpect {
            to: Some(Address(group)),
            large: Some(true),
            coalesced: Some(true),
            ..all()
        };
        assert_eq!(count(&frames, to), 1);
        let on = |processor| ReceivedExpect {
            processor: Some(processor),
            ..all()
        };
        assert_eq!((count(&frames, on(0)), count(&frames, on(1))), (2, 1));
        let at_home = |at_home| ReceivedExpect {
            at_home: Some(at_home),
            ..all()
        };
        // Frames without a hash have no home.
        assert_eq!(count(&frames, at_home(true)), 0);
        assert_eq!(count(&frames, at_home(false)), 1);
    }

    #[test]
    fn bounds_are_kept_and_nothing_is_known_before_the_start() {
        let bounds = |at_least, at_most| ReceivedExpect {
            at_least,
            at_most,
            ..ReceivedExpect::default()
        };
        let two = seen(&[Frame::default(); 2]);
        assert_eq!(two.expect(&bounds(Some(2), Some(2))), Ok(2));
        assert!(two.expect(&bounds(Some(3), None)).is_err());
        assert!(two.expect(&bounds(None, Some(1))).is_err());
        let mut none = Seen::new();
        none.add(Frame::default());
        assert!(none.expect(&bounds(None, None)).is_err());
        let many = seen(&std::vec![Frame::default(); MOST + 1]);
        assert!(many.expect(&bounds(None, None)).is_err());
    }
}
