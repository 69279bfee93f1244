//! Byte counts that people write with a unit.

use alloc::format;
use core::fmt;
use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de;

/// A number of bytes. In text it is a plain number or has one of the units KiB, MiB, GiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl core::str::FromStr for Bytes {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let digits = text
            .trim_end_matches(|c: char| c.is_ascii_alphabetic())
            .trim_end();
        let shift = match text[digits.len()..].trim() {
            "" | "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err("a size is a number with no unit or with KiB, MiB or GiB"),
        };
        let number: u64 = digits
            .parse()
            .map_err(|_| "a size begins with a whole number")?;
        number
            .checked_mul(1 << shift)
            .map(Self)
            .ok_or("the size does not fit into 64 bits")
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 != 0 && self.0 & ((1 << shift) - 1) == 0 {
                return write!(f, "{} {unit}", self.0 >> shift);
            }
        }
        write!(f, "{} B", self.0)
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0)
    }
}

struct Visitor;

impl de::Visitor<'_> for Visitor {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, or text such as \"64MiB\"")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Bytes, E> {
        Ok(Bytes(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Bytes, E> {
        u64::try_from(value)
            .map(Bytes)
            .map_err(|_| E::custom("a size is not negative"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Bytes, E> {
        value
            .parse()
            .map_err(|why| E::custom(format!("{value:?}: {why}")))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Visitor)
        } else {
            deserializer.deserialize_u64(Visitor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn units_multiply() {
        assert_eq!("64MiB".parse(), Ok(Bytes(64 << 20)));
        assert_eq!("1 GiB".parse(), Ok(Bytes(1 << 30)));
        assert_eq!("512".parse(), Ok(Bytes(512)));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "MiB", "1MB", "-1", "1.5GiB", "99999999999GiB"] {
            assert!(text.parse::<Bytes>().is_err(), "{text}");
        }
    }

    #[test]
    fn it_prints_in_the_largest_unit_that_fits() {
        assert_eq!(Bytes(64 << 20).to_string(), "64 MiB");
        assert_eq!(Bytes(1536).to_string(), "1536 B");
    }
}
