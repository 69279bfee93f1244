//! The states of a miniport adapter and what moves it from one to another, as NDIS' documentation draws them.
//! <https://learn.microsoft.com/windows-hardware/drivers/network/miniport-adapter-states-and-operations>

/// Where an adapter is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Not initialised, or halted
    Halted,
    /// In MiniportInitializeEx
    Initializing,
    /// Initialised; no sends, no receive indications
    Paused,
    /// In MiniportRestart, or it is pending
    Restarting,
    /// Sends and receives
    Running,
    /// In MiniportPause, or it is pending
    Pausing,
    /// MiniportShutdownEx was called
    Shutdown,
}

/// What moves an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// MiniportInitializeEx is called
    Initialize,
    /// It succeeded
    Initialized,
    /// It failed
    InitializeFailed,
    /// MiniportRestart is called
    Restart,
    /// It succeeded
    Restarted,
    /// It failed
    RestartFailed,
    /// MiniportPause is called
    Pause,
    /// The pause is complete
    PauseComplete,
    /// MiniportHaltEx is called, and returns
    Halt,
    /// MiniportShutdownEx is called
    Shutdown,
}

/// Every state, for tables.
pub const ALL: [State; 7] = [
    State::Halted,
    State::Initializing,
    State::Paused,
    State::Restarting,
    State::Running,
    State::Pausing,
    State::Shutdown,
];

impl State {
    /// The state after `event`, or `None` where it may not happen.
    pub const fn after(self, event: Event) -> Option<Self> {
        use State as S;
        match (self, event) {
            (S::Halted, Event::Initialize) => Some(S::Initializing),
            (S::Initializing, Event::Initialized) => Some(S::Paused),
            (S::Initializing, Event::InitializeFailed) | (S::Paused, Event::Halt) => {
                Some(S::Halted)
            }
            (S::Paused, Event::Restart) => Some(S::Restarting),
            (S::Restarting, Event::Restarted) => Some(S::Running),
            (S::Restarting, Event::RestartFailed) | (S::Pausing, Event::PauseComplete) => {
                Some(S::Paused)
            }
            (S::Running, Event::Pause) => Some(S::Pausing),
            (S::Paused | S::Restarting | S::Running | S::Pausing, Event::Shutdown) => {
                Some(S::Shutdown)
            }
            _ => None,
        }
    }

    /// Whether the miniport may indicate received frames. An indication that began before the pause may end in it.
    pub const fn may_indicate(self) -> bool {
        matches!(self, Self::Restarting | Self::Running | Self::Pausing)
    }

    /// Whether NDIS hands out sends.
    pub const fn takes_sends(self) -> bool {
        matches!(self, Self::Running)
    }

    /// Whether NDIS sends OID requests.
    pub const fn takes_oids(self) -> bool {
        matches!(
            self,
            Self::Paused | Self::Restarting | Self::Running | Self::Pausing
        )
    }

    /// Whether the miniport may call NDIS for the adapter at all.
    pub const fn may_call(self) -> bool {
        !matches!(self, Self::Halted)
    }

    /// The state of a number that [`State`] was stored as.
    pub const fn from_raw(raw: u8) -> Self {
        match raw {
            1 => Self::Initializing,
            2 => Self::Paused,
            3 => Self::Restarting,
            4 => Self::Running,
            5 => Self::Pausing,
            6 => Self::Shutdown,
            _ => Self::Halted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use State::*;

    const EVENTS: [Event; 10] = [
        Event::Initialize,
        Event::Initialized,
        Event::InitializeFailed,
        Event::Restart,
        Event::Restarted,
        Event::RestartFailed,
        Event::Pause,
        Event::PauseComplete,
        Event::Halt,
        Event::Shutdown,
    ];

    /// One row a state, one column an event; `None` is an event that cannot happen.
    const TABLE: [[Option<State>; 10]; 7] = [
        [
            Some(Initializing),
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
        ],
        [
            None,
            Some(Paused),
            Some(Halted),
            None,
            None,
            None,
            None,
            None,
            None,
            None,
        ],
        [
            None,
            None,
            None,
            Some(Restarting),
            None,
            None,
            None,
            None,
            Some(Halted),
            Some(Shutdown),
        ],
        [
            None,
            None,
            None,
            None,
            Some(Running),
            Some(Paused),
            None,
            None,
            None,
            Some(Shutdown),
        ],
        [
            None,
            None,
            None,
            None,
            None,
            None,
            Some(Pausing),
            None,
            None,
            Some(Shutdown),
        ],
        [
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            Some(Paused),
            None,
            Some(Shutdown),
        ],
        [None; 10],
    ];

    #[test]
    fn the_states_change_as_the_table_says() {
        for (state, row) in ALL.into_iter().zip(TABLE) {
            for (event, wanted) in EVENTS.into_iter().zip(row) {
                assert_eq!(state.after(event), wanted, "{state:?} {event:?}");
            }
        }
    }

    #[test]
    fn what_is_legal_in_each_state() {
        let table = [
            // (state, indicate, sends, OIDs, calls)
            (Halted, false, false, false, false),
            (Initializing, false, false, false, true),
            (Paused, false, false, true, true),
            (Restarting, true, false, true, true),
            (Running, true, true, true, true),
            (Pausing, true, false, true, true),
            (Shutdown, false, false, false, true),
        ];
        for (s, indicate, sends, oids, calls) in table {
            assert_eq!(
                (
                    s.may_indicate(),
                    s.takes_sends(),
                    s.takes_oids(),
                    s.may_call()
                ),
                (indicate, sends, oids, calls),
                "{s:?}"
            );
        }
    }

    #[test]
    fn a_stored_state_is_read_back() {
        for s in ALL {
            assert_eq!(State::from_raw(s as u8), s);
        }
    }
}
