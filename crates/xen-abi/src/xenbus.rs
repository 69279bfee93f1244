//! Device states (`io/xenbus.h`).

open_enum! {
    /// State of a front or back end, as a decimal number in its `state` key.
    XenbusState(u32) {
        /// Not known.
        UNKNOWN = 0 => "XenbusStateUnknown";
        /// Has just been created.
        INITIALISING = 1 => "XenbusStateInitialising";
        /// Waits for the peer.
        INIT_WAIT = 2 => "XenbusStateInitWait";
        /// Has told all, waits for the connection.
        INITIALISED = 3 => "XenbusStateInitialised";
        /// In use.
        CONNECTED = 4 => "XenbusStateConnected";
        /// Ends.
        CLOSING = 5 => "XenbusStateClosing";
        /// Has ended.
        CLOSED = 6 => "XenbusStateClosed";
        /// Changes its configuration.
        RECONFIGURING = 7 => "XenbusStateReconfiguring";
        /// Has changed its configuration.
        RECONFIGURED = 8 => "XenbusStateReconfigured";
    }
}

impl XenbusState {
    /// The state that a `state` key holds: a decimal number without anything else.
    ///
    /// Empty, non-decimal and over-long values are [`XenbusState::UNKNOWN`].
    pub fn from_key(value: &str) -> Self {
        let decimal = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
        match value.parse() {
            Ok(number) if decimal => Self(number),
            _ => Self::UNKNOWN,
        }
    }
}
