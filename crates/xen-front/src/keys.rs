//! Values in xenstore that another domain wrote: byte strings, and input. Numbers are decimal.

use xen_abi::xenbus::XenbusState;

/// The decimal number in `value`; nothing else may stand there.
pub fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 20 {
        return None;
    }
    value.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The state in a `state` key. `None`: no state that the protocol knows.
pub fn state(value: &[u8]) -> Option<XenbusState> {
    let number = u32::try_from(decimal(value)?).ok()?;
    (number <= XenbusState::RECONFIGURED.0).then_some(XenbusState(number))
}

/// What the backend's `state` key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// There is no such key any more, or it says Unknown.
    Gone,
    /// Not a state of the protocol.
    Garbage,
    /// A state.
    State(XenbusState),
}

impl Backend {
    /// From the key's value, as read.
    pub fn from_key(value: Option<&[u8]>) -> Self {
        match value {
            None => Self::Gone,
            Some(value) => match state(value) {
                None => Self::Garbage,
                Some(XenbusState::UNKNOWN) => Self::Gone,
                Some(state) => Self::State(state),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_decimal_and_known() {
        assert_eq!(state(b"4"), Some(XenbusState::CONNECTED));
        for garbage in [&b""[..], b"x", b"9", b"44", b"-1", b"4\0"] {
            assert_eq!(state(garbage), None);
        }
    }

    #[test]
    fn a_state_key_says_gone_garbage_or_a_state() {
        for (value, backend) in [
            (None, Backend::Gone),
            (Some(&b"0"[..]), Backend::Gone),
            (Some(b"4"), Backend::State(XenbusState::CONNECTED)),
            (Some(b""), Backend::Garbage),
            (Some(b"9"), Backend::Garbage),
        ] {
            assert_eq!(Backend::from_key(value), backend);
        }
    }
}
