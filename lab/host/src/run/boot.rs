//! One boot of a guest: what it has said so far.

use lab_protocol::line::Decoder;
use lab_protocol::record::Phase;

/// What is known of a boot.
#[derive(Debug)]
pub struct Boot {
    /// The domain
    pub domain: u32,
    /// Joins its lines
    pub decoder: Decoder,
    /// The step that it is at
    pub step: Option<u32>,
    /// A step that it waits for, and which part of it
    pub host_step: Option<(u32, Phase)>,
    /// True when it said that it is at its end
    pub finished: bool,
    /// True when it said that the system has stopped
    pub bug_check: bool,
    /// When it said that it will restart: who asked, and the step to go on with
    pub reboot: Option<(String, u32)>,
}

impl Boot {
    /// A boot that has said nothing.
    pub fn new(domain: u32) -> Self {
        Self {
            domain,
            decoder: Decoder::new(),
            step: None,
            host_step: None,
            finished: false,
            bug_check: false,
            reboot: None,
        }
    }

    /// True if nothing is to come but the end.
    pub fn said_last_word(&self) -> bool {
        self.finished || self.bug_check || self.reboot.is_some()
    }

    /// Where it is, to be put behind a sentence.
    pub fn place(&self) -> String {
        match self.step {
            Some(step) => format!(", in step {}", step + 1),
            None => ", outside of the plan's steps".to_owned(),
        }
    }
}
