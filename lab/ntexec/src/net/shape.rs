//! How a frame that is sent lies in memory: what a protocol may do, a driver must bear.
//!
//! TCP/IP keeps headers apart from data, data lies where an application has it, and filters put pieces in between. So
//! frames go out in chains of MDLs whose cuts depend on the run's seed: with room before the frame in the first MDL, with
//! more in the last one than belongs to the frame, with pieces that begin and end anywhere in pages.

use crate::run::pattern::Random;

/// Pieces that a frame is cut into at most.
pub const PIECES: usize = 6;
/// Bytes of headers that may be kept apart from the rest.
pub const HEAD: usize = 192;
/// Bytes before the frame in its first piece, at most, beyond what the adapter wants there.
const LEAD: u64 = 40;
/// Bytes behind the frame in its last piece, at most.
pub const TAIL: u64 = 64;

/// A frame's shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// So many bytes of the frame are copied to memory of their own; the rest stays where it is. 0: all stays.
    pub head: usize,
    /// Bytes before the frame in the first piece
    pub lead: usize,
    /// Bytes behind the frame in the last piece
    pub tail: usize,
    /// Lengths of the pieces of what is not in the head; unused ones are 0
    pub pieces: [usize; PIECES],
}

/// What is to be shaped.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// Bytes of the frame
    pub length: usize,
    /// Where the IP header begins: 14, or 18 behind a tag
    pub ip: usize,
    /// Where the transport header begins, if there is one
    pub transport: Option<usize>,
    /// Where the payload begins
    pub payload: usize,
    /// All headers must be in one piece (a large send)
    pub together: bool,
    /// Bytes that the adapter wants before the frame
    pub backfill: usize,
}

impl Shape {
    /// Chooses a shape. Cuts are at the borders of headers, never within one, and anywhere in the payload.
    pub fn choose(random: &mut Random, subject: &Subject) -> Self {
        let length = subject.length;
        let border = match random.below(6) {
            // All in one.
            0 => 0,
            1 if !subject.together => subject.ip,
            2 if !subject.together => subject.transport.unwrap_or(subject.ip),
            _ => subject.payload,
        };
        let border = if border < length { border } else { 0 };
        let apart = border > 0 && border <= HEAD && random.below(2) == 0;
        let mut shape = Self {
            head: if apart { border } else { 0 },
            lead: subject.backfill + random.below(LEAD + 1) as usize,
            tail: random.below(TAIL + 1) as usize,
            pieces: [0; PIECES],
        };
        if random.below(4) == 0 {
            shape.tail = 0;
        }
        // Without a cut at the payload, further cuts could fall into a header.
        let cuts = if border == subject.payload {
            random.below(PIECES as u64 - 1) as usize
        } else {
            0
        };
        let first = if apart { None } else { Some(border) };
        shape.cut(random, length, first.filter(|&first| first > 0), cuts);
        shape
    }

    fn cut(&mut self, random: &mut Random, length: usize, first: Option<usize>, cuts: usize) {
        let mut left = length - self.head;
        let mut at = 0;
        if let Some(first) = first {
            self.pieces[0] = first;
            left -= first;
            at = 1;
        }
        for _ in 0..cuts {
            if left < 2 || at + 1 >= PIECES {
                break;
            }
            let piece = 1 + random.below(left as u64 - 1) as usize;
            self.pieces[at] = piece;
            left -= piece;
            at += 1;
        }
        self.pieces[at] = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pieces_cover_the_frame_and_headers_are_not_cut(seed: u64, payload in 0usize..65000, v6: bool, options in 0usize..11, together: bool, backfill in 0usize..64) {
            let ip = 14;
            let transport = ip + if v6 { 40 } else { 20 };
            let start = transport + 20 + options * 4;
            let subject = Subject { length: start + payload, ip, transport: Some(transport), payload: start, together, backfill };
            let shape = Shape::choose(&mut Random::new(seed), &subject);
            prop_assert!(shape.lead >= backfill && shape.head <= HEAD);
            prop_assert_eq!(shape.head + shape.pieces.iter().sum::<usize>(), subject.length);
            // Pieces are used from the first on.
            let used = shape.pieces.iter().take_while(|&&piece| piece > 0).count();
            prop_assert!(shape.pieces[used..].iter().all(|&piece| piece == 0));
            let mut at = shape.head;
            let mut cuts = [0; PIECES + 1];
            cuts[0] = at;
            for (cut, piece) in cuts[1..].iter_mut().zip(shape.pieces) {
                at += piece;
                *cut = at;
            }
            for cut in cuts {
                let border = [0, ip, transport, start].contains(&cut) || cut > start;
                prop_assert!(border, "a cut at {cut} lies in a header");
                prop_assert!(!together || cut == 0 || cut >= start);
            }
        }
    }

    #[test]
    fn shapes_differ() {
        let subject = Subject {
            length: 1514,
            ip: 14,
            transport: Some(34),
            payload: 54,
            together: false,
            backfill: 0,
        };
        let mut random = Random::new(1);
        let shapes: std::vec::Vec<Shape> = (0..100)
            .map(|_| Shape::choose(&mut random, &subject))
            .collect();
        for head in [0, 14, 34, 54] {
            assert!(shapes.iter().any(|shape| shape.head == head), "head {head}");
        }
        let pieces = |shape: &Shape| shape.pieces.iter().filter(|&&piece| piece > 0).count();
        for count in 1..=5 {
            assert!(
                shapes.iter().any(|shape| pieces(shape) == count),
                "{count} pieces"
            );
        }
    }
}
