//! The ends of a transfer's connections, all in one process: in a shell's pipeline each connection would cost dom0 four
//! processes to start, and a switch between them for each piece.

use crate::traffic::CHUNK;
use crate::traffic::number;
use crate::traffic::socket_address;
use anyhow::Context;
use anyhow::bail;
use sha2::Digest;
use sha2::Sha256;
use std::fmt::Write as _;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::thread;

/// What an end does with the connection that comes to its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Takes all that comes; hashes it or only counts it
    Take { hash: bool },
    /// Gives so many bytes and closes its direction: pseudo-random ones, which are hashed, or zeroes for a seed of 0
    Give { bytes: u64, seed: u64 },
}

/// Serves each of the ends once, at the same time, and prints a line for each. Before, it says on standard error that all of
/// them listen.
pub fn serve(address: &str, ends: &[&str]) -> anyhow::Result<()> {
    let mut listening = Vec::new();
    for text in ends {
        let (port, end) = parse(text).with_context(|| format!("no end: {text}"))?;
        let address = socket_address(address, port)?;
        let listener =
            TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        listening.push((port, listener, end));
    }
    eprintln!("listening");
    thread::scope(|scope| {
        let threads: Vec<_> = listening
            .into_iter()
            .map(|(port, listener, end)| {
                (port, scope.spawn(move || end.serve(listener.accept()?.0)))
            })
            .collect();
        for (port, thread) in threads {
            let Ok(result) = thread.join() else {
                bail!("the end at port {port} died");
            };
            let (bytes, hash) = result.with_context(|| format!("port {port}"))?;
            println!("{port} {bytes} {hash}");
        }
        Ok(())
    })
}

fn parse(text: &str) -> anyhow::Result<(&str, End)> {
    let words: Vec<&str> = text.split(':').collect();
    Ok(match words.as_slice() {
        ["take", port, hash] => (
            *port,
            End::Take {
                hash: number::<u8>(hash)? != 0,
            },
        ),
        ["give", port, bytes, seed] => (
            *port,
            End::Give {
                bytes: number(bytes)?,
                seed: number(seed)?,
            },
        ),
        _ => bail!("it is neither take:PORT:HASH nor give:PORT:BYTES:SEED"),
    })
}

impl End {
    /// The bytes that went over the connection, and their hash.
    fn serve(self, mut stream: TcpStream) -> anyhow::Result<(u64, String)> {
        let mut buffer = vec![0; CHUNK];
        match self {
            Self::Take { hash } => {
                let mut sum = hash.then(Sha256::new);
                let mut total = 0;
                loop {
                    let count = stream.read(&mut buffer)?;
                    if count == 0 {
                        return Ok((total, digits(sum)));
                    }
                    total += count as u64;
                    if let Some(sum) = &mut sum {
                        sum.update(&buffer[..count]);
                    }
                }
            }
            Self::Give { bytes, seed } => {
                let mut sum = (seed != 0).then(Sha256::new);
                let mut state = seed;
                let mut left = bytes;
                while left != 0 {
                    let count = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
                    let piece = &mut buffer[..count];
                    if let Some(sum) = &mut sum {
                        fill(piece, &mut state);
                        sum.update(&*piece);
                    }
                    stream.write_all(piece)?;
                    left -= count as u64;
                }
                stream.shutdown(Shutdown::Write)?;
                // Until the other end has closed: a reset would take what it has not read yet.
                while stream.read(&mut buffer)? != 0 {}
                Ok((bytes, digits(sum)))
            }
        }
    }
}

/// Marsaglia's xorshift64: the bytes are to differ from place to place, no more.
fn fill(piece: &mut [u8], state: &mut u64) {
    for word in piece.chunks_mut(8) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        word.copy_from_slice(&state.to_le_bytes()[..word.len()]);
    }
}

fn digits(sum: Option<Sha256>) -> String {
    let Some(sum) = sum else {
        return "-".to_owned();
    };
    sum.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ok = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both ends of a connection.
    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn what_is_given_is_taken_with_the_same_hash() {
        for seed in [0, 77] {
            let (near, far) = pair();
            let bytes = 5 * CHUNK as u64 + 13;
            let giver = thread::spawn(move || End::Give { bytes, seed }.serve(near).unwrap());
            let taken = End::Take { hash: seed != 0 }.serve(far).unwrap();
            assert_eq!(giver.join().unwrap(), taken);
            assert_eq!(taken.0, bytes);
            assert_eq!(taken.1.len(), if seed == 0 { 1 } else { 64 });
        }
    }

    #[test]
    fn the_hash_is_sha_256_of_bytes_that_depend_on_the_seed() {
        let give = |seed| {
            let (near, mut far) = pair();
            let giver = thread::spawn(move || {
                let end = End::Give { bytes: 1000, seed };
                end.serve(near).unwrap().1
            });
            let mut came = Vec::new();
            far.read_to_end(&mut came).unwrap();
            drop(far);
            assert_eq!(
                giver.join().unwrap(),
                digits(Some(Sha256::new_with_prefix(&came)))
            );
            came
        };
        assert_ne!(give(1), give(2));
        assert_eq!(give(3), give(3));
    }

    #[test]
    fn ends_are_read_from_their_texts() {
        assert_eq!(
            parse("take:5000:1").unwrap(),
            ("5000", End::Take { hash: true })
        );
        let given = End::Give { bytes: 9, seed: 3 };
        assert_eq!(parse("give:5100:9:3").unwrap(), ("5100", given));
        for text in ["take:5000", "give:5100:x:3", "keep:1:2"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
