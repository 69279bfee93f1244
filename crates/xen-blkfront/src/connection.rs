//! The states that front and back end go through together (`io/blkif.h`, "STATE DIAGRAMS").
//!
//! ```text
//!            backend InitWait            backend Connected
//!  Start ------------------> Init --> Initialised ----------> Connected
//!    | backend in any           \          |                      |
//!    | later state               \ failure | failure              | backend closes, close()
//!    v                            v        v                      v
//!  Closing <------------------------------------------------------+
//!    | backend Closing, Closed
//!    v
//!  Closed --- backend Closed ---> Init again, or Finished
//! ```
//! [`Connection::advance`] is given the backend's state whenever it may have changed and says what to do next. Every
//! phase that waits has an end.

use xen_abi::xenbus::XenbusState;

pub use xen_front::keys::Backend;

/// How long any phase waits for the backend, in milliseconds: hotplug scripts may take their time, and what a backend has
/// under way when it closes too.
pub const WAIT_MS: u64 = 30_000;
/// How long a backend that this connection never was up with may take to close.
pub const CLOSE_MS: u64 = 10_000;

/// Where a connection stands: named after the frontend's own state key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Nothing written yet.
    Start,
    /// Waits for the backend to let go.
    Closing,
    /// Waits for the backend to have let go.
    Closed,
    /// Waits for the backend's offer.
    Init,
    /// Waits for the backend to take up our offer.
    Initialised,
    /// In use.
    Connected,
    /// Over; see [`Connection::failure`].
    Finished,
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The backend's directory went away.
    #[error("the backend is gone")]
    Gone,
    /// The `state` key is no state.
    #[error("the backend's state key holds no state")]
    Garbage,
    /// The backend closed instead of connecting.
    #[error("the backend closed instead of connecting")]
    Refused,
    /// The backend did not move in time.
    #[error("the backend did not leave {backend:?} in time, phase {phase:?}")]
    Timeout {
        /// Our phase.
        phase: Phase,
        /// What the backend said last.
        backend: Backend,
    },
    /// The driver could not do its part; it has said why.
    #[error("the frontend could not do its part")]
    Local,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing until the backend's state changes or the time (of `now`'s clock) comes, if any.
    Wait(Option<u64>),
    /// Write this to the frontend's `state` key.
    Write(XenbusState),
    /// Read [`crate::keys::Transport`], make the ring and publish it; then call [`Connection::prepared`].
    Prepare,
    /// Read [`crate::keys::Properties`] and start; then call [`Connection::completed`].
    Complete,
    /// Stop submitting: the connection was up and is no more. The backend may still answer until [`Phase::Finished`] or
    /// [`Phase::Init`].
    Down,
    /// Over. The ring and the grants can be taken back, as far as the backend lets go of them.
    Finished,
}

/// What the table below says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Wait,
    Idle,
    Go(XenbusState, Phase),
    Prepare,
    Complete,
    Down,
    Fail(Failure),
    Finish,
}

/// The frontend's side of a connection.
#[derive(Debug)]
pub struct Connection {
    phase: Phase,
    connect: bool,
    up: bool,
    was_up: bool,
    deadline: u64,
    failure: Option<Failure>,
}

impl Connection {
    /// A connection that is to be made; `now` in milliseconds.
    pub fn new(now: u64) -> Self {
        let deadline = now.saturating_add(WAIT_MS);
        Self {
            phase: Phase::Start,
            connect: true,
            up: false,
            was_up: false,
            deadline,
            failure: None,
        }
    }

    /// Where it stands.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Why it ended, if not because it was closed.
    pub fn failure(&self) -> Option<Failure> {
        self.failure
    }

    /// Closes the connection for good.
    pub fn close(&mut self, now: u64) {
        if self.connect {
            self.connect = false;
            self.deadline = now.saturating_add(WAIT_MS);
        }
    }

    /// Closes the connection and makes it anew.
    pub fn reconnect(&mut self, now: u64) {
        if self.phase == Phase::Connected {
            self.enter(Phase::Start, now);
        }
    }

    /// The driver has published its ring, or could not.
    pub fn prepared(&mut self, done: bool, now: u64) -> Action {
        self.done(done, XenbusState::INITIALISED, Phase::Initialised, now)
    }

    /// The driver has taken up the disk, or could not.
    pub fn completed(&mut self, done: bool, now: u64) -> Action {
        self.up = done;
        self.was_up |= done;
        self.done(done, XenbusState::CONNECTED, Phase::Connected, now)
    }

    fn done(&mut self, done: bool, state: XenbusState, phase: Phase, now: u64) -> Action {
        if done {
            self.enter(phase, now);
            Action::Write(state)
        } else {
            self.fail(Failure::Local, now)
        }
    }

    fn enter(&mut self, phase: Phase, now: u64) {
        let closes = matches!(phase, Phase::Closing | Phase::Closed);
        let wait = if closes && !self.was_up {
            CLOSE_MS
        } else {
            WAIT_MS
        };
        self.phase = phase;
        self.deadline = now.saturating_add(wait);
    }

    /// Ends with a reason: the backend is told, unless it is gone or does not answer that either.
    fn fail(&mut self, failure: Failure, now: u64) -> Action {
        self.failure.get_or_insert(failure);
        self.connect = false;
        let deaf = matches!(failure, Failure::Gone)
            || matches!(self.phase, Phase::Start | Phase::Closing | Phase::Closed);
        if deaf {
            self.enter(Phase::Finished, now);
            return Action::Finished;
        }
        self.enter(Phase::Closing, now);
        Action::Write(XenbusState::CLOSING)
    }

    /// What to do, given the backend's state; `now` in milliseconds. To be called again at once unless it says to wait,
    /// or that it is finished.
    pub fn advance(&mut self, backend: Backend, now: u64) -> Action {
        match step(self.phase, self.connect, self.up, backend) {
            Step::Idle => Action::Wait(None),
            Step::Wait if now < self.deadline => Action::Wait(Some(self.deadline)),
            Step::Wait => self.fail(
                Failure::Timeout {
                    phase: self.phase,
                    backend,
                },
                now,
            ),
            Step::Go(state, phase) => {
                self.enter(phase, now);
                Action::Write(state)
            }
            Step::Prepare => Action::Prepare,
            Step::Complete => Action::Complete,
            Step::Down => {
                self.up = false;
                if self.phase == Phase::Connected {
                    self.enter(Phase::Start, now);
                }
                Action::Down
            }
            Step::Fail(failure) => self.fail(failure, now),
            Step::Finish => {
                self.enter(Phase::Finished, now);
                Action::Finished
            }
        }
    }
}

/// The table: phase, whether a connection is wanted, whether one was up, the backend's state.
fn step(phase: Phase, connect: bool, up: bool, backend: Backend) -> Step {
    use XenbusState as X;
    let go_closing = Step::Go(X::CLOSING, Phase::Closing);
    match (phase, backend) {
        (Phase::Finished, _) => Step::Finish,
        // A connection that was up goes down before anything else is written.
        (Phase::Start, _) if up => Step::Down,
        (Phase::Connected, Backend::State(X::CONNECTED | X::RECONFIGURING | X::RECONFIGURED))
            if connect =>
        {
            Step::Idle
        }
        (Phase::Connected, _) => Step::Down,
        (_, Backend::Gone) if connect => Step::Fail(Failure::Gone),
        (_, Backend::Gone) => Step::Finish,
        (Phase::Closing, Backend::State(X::CLOSING | X::CLOSED)) => {
            Step::Go(X::CLOSED, Phase::Closed)
        }
        (Phase::Closing | Phase::Closed, Backend::Garbage) => Step::Wait,
        (Phase::Closing, _) => Step::Wait,
        (Phase::Closed, Backend::State(X::CLOSED | X::INIT_WAIT | X::INITIALISING)) => {
            if connect {
                Step::Go(X::INITIALISING, Phase::Init)
            } else {
                Step::Finish
            }
        }
        (Phase::Closed, _) => Step::Wait,
        (_, Backend::Garbage) if connect => Step::Fail(Failure::Garbage),
        (Phase::Start | Phase::Init | Phase::Initialised, _) if !connect => go_closing,
        (Phase::Start, Backend::State(X::INITIALISING)) => Step::Wait,
        (Phase::Start, Backend::State(X::INIT_WAIT | X::CLOSED)) => {
            Step::Go(X::INITIALISING, Phase::Init)
        }
        (Phase::Start, _) => go_closing,
        (Phase::Init, Backend::State(X::INIT_WAIT | X::INITIALISED)) => Step::Prepare,
        (Phase::Init, _) => Step::Wait,
        (Phase::Initialised, Backend::State(X::CONNECTED)) => Step::Complete,
        (Phase::Initialised, Backend::State(X::CLOSING | X::CLOSED)) => {
            Step::Fail(Failure::Refused)
        }
        (Phase::Initialised, _) => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const S: fn(u32) -> Backend = |n| Backend::State(XenbusState(n));

    /// Feeds backend states and collects what was written, until the connection waits or ends.
    fn run(connection: &mut Connection, backend: Backend, now: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        for _ in 0..20 {
            let action = connection.advance(backend, now);
            actions.push(action);
            match action {
                Action::Wait(_) | Action::Finished => return actions,
                Action::Prepare => actions.push(connection.prepared(true, now)),
                Action::Complete => actions.push(connection.completed(true, now)),
                _ => {}
            }
        }
        panic!("no end: {actions:?}");
    }

    fn connected() -> Connection {
        let mut connection = Connection::new(0);
        run(&mut connection, S(2), 0);
        run(&mut connection, S(4), 0);
        assert_eq!(connection.phase(), Phase::Connected);
        connection
    }

    #[test]
    fn a_fresh_backend_is_connected_in_three_writes() {
        let mut connection = Connection::new(0);
        let wait = Action::Wait(Some(WAIT_MS));
        assert_eq!(run(&mut connection, S(1), 0), [wait]);
        assert_eq!(
            run(&mut connection, S(2), 0),
            [
                Action::Write(XenbusState::INITIALISING),
                Action::Prepare,
                Action::Write(XenbusState::INITIALISED),
                wait
            ]
        );
        assert_eq!(
            run(&mut connection, S(4), 0),
            [
                Action::Complete,
                Action::Write(XenbusState::CONNECTED),
                Action::Wait(None)
            ]
        );
    }

    #[test]
    fn a_backend_that_someone_left_connected_is_closed_first() {
        for state in [3, 4, 5, 7, 8] {
            let mut connection = Connection::new(0);
            assert_eq!(
                run(&mut connection, S(state), 0)[0],
                Action::Write(XenbusState::CLOSING)
            );
            if state == 5 {
                continue;
            }
            assert_eq!(
                run(&mut connection, S(5), 0)[0],
                Action::Write(XenbusState::CLOSED)
            );
            assert_eq!(
                run(&mut connection, S(6), 0)[0],
                Action::Write(XenbusState::INITIALISING)
            );
            run(&mut connection, S(2), 0);
            assert_eq!(connection.phase(), Phase::Initialised);
        }
    }

    #[test]
    fn closing_goes_through_both_states_and_finishes() {
        let mut connection = connected();
        connection.close(0);
        assert_eq!(
            run(&mut connection, S(4), 0)[..2],
            [Action::Down, Action::Write(XenbusState::CLOSING)]
        );
        assert_eq!(
            run(&mut connection, S(5), 0)[0],
            Action::Write(XenbusState::CLOSED)
        );
        assert_eq!(run(&mut connection, S(6), 0), [Action::Finished]);
        assert_eq!(
            (connection.phase(), connection.failure()),
            (Phase::Finished, None)
        );
    }

    #[test]
    fn a_backend_that_closes_or_restarts_is_connected_anew() {
        for state in [1, 2, 3, 5, 6] {
            let mut connection = connected();
            let actions = run(&mut connection, S(state), 0);
            assert_eq!(actions[0], Action::Down, "{state}");
            // One that waits for an offer already gets it; any other is closed first.
            let path = if state <= 2 {
                &[2, 4][..]
            } else {
                &[5, 6, 2, 4]
            };
            for state in path {
                run(&mut connection, S(*state), 0);
            }
            assert_eq!(connection.phase(), Phase::Connected, "{state}");
        }
    }

    #[test]
    fn reconnect_closes_and_connects_again() {
        let mut connection = connected();
        connection.reconnect(0);
        let actions = run(&mut connection, S(4), 0);
        assert_eq!(
            actions[..2],
            [Action::Down, Action::Write(XenbusState::CLOSING)]
        );
        for state in [5, 6, 2, 4] {
            run(&mut connection, S(state), 0);
        }
        assert_eq!(connection.phase(), Phase::Connected);
    }

    #[test]
    fn a_backend_that_vanishes_ends_the_connection_in_every_phase() {
        let mut connection = connected();
        assert_eq!(
            run(&mut connection, Backend::Gone, 0),
            [Action::Down, Action::Finished]
        );
        for states in [&[][..], &[1], &[2], &[4], &[4, 5]] {
            let mut connection = Connection::new(0);
            for state in states {
                run(&mut connection, S(*state), 0);
            }
            assert_eq!(run(&mut connection, Backend::Gone, 0), [Action::Finished]);
            assert_eq!(connection.failure(), Some(Failure::Gone));
        }
    }

    #[test]
    fn a_backend_that_closes_instead_of_connecting_is_a_failure() {
        let mut connection = Connection::new(0);
        run(&mut connection, S(2), 0);
        run(&mut connection, S(5), 0);
        assert_eq!(run(&mut connection, S(6), 0), [Action::Finished]);
        assert_eq!(connection.failure(), Some(Failure::Refused));
    }

    #[test]
    fn garbage_in_the_state_key_ends_the_connection_and_the_backend_is_told() {
        let mut connection = Connection::new(0);
        run(&mut connection, S(2), 0);
        let actions = run(&mut connection, Backend::Garbage, 0);
        assert_eq!(actions[0], Action::Write(XenbusState::CLOSING));
        run(&mut connection, Backend::Garbage, WAIT_MS);
        assert_eq!(connection.phase(), Phase::Finished);
        assert_eq!(connection.failure(), Some(Failure::Garbage));
    }

    #[test]
    fn what_the_driver_cannot_do_closes_the_connection() {
        let mut connection = Connection::new(0);
        connection.advance(S(2), 0);
        assert_eq!(connection.advance(S(2), 0), Action::Prepare);
        assert_eq!(
            connection.prepared(false, 0),
            Action::Write(XenbusState::CLOSING)
        );
        run(&mut connection, S(5), 0);
        run(&mut connection, S(6), 0);
        assert_eq!(connection.failure(), Some(Failure::Local));
    }

    #[test]
    fn every_wait_ends() {
        // Every phase that can be reached, against a backend that never moves again.
        for path in [&[][..], &[1], &[2], &[4], &[4, 5], &[6]] {
            for stuck in 1..=8 {
                let mut connection = Connection::new(0);
                for state in path {
                    run(&mut connection, S(*state), 0);
                }
                let mut now = 0;
                while connection.phase() != Phase::Finished
                    && connection.phase() != Phase::Connected
                {
                    match run(&mut connection, S(stuck), now).last() {
                        Some(Action::Wait(Some(until))) => now = *until,
                        Some(Action::Finished) => break,
                        other => {
                            assert_eq!(connection.phase(), Phase::Connected, "{other:?}");
                        }
                    }
                    assert!(now <= 6 * WAIT_MS, "{path:?} {stuck}");
                }
            }
        }
    }

    #[test]
    fn the_table_has_an_answer_for_every_row() {
        use Phase::{Closed, Closing, Connected, Finished, Init, Initialised, Start};
        let backends = [Backend::Gone, Backend::Garbage]
            .into_iter()
            .chain((1..=8).map(S))
            .collect::<Vec<_>>();
        for phase in [
            Start,
            Closing,
            Closed,
            Init,
            Initialised,
            Connected,
            Finished,
        ] {
            for backend in &backends {
                // Without a connection wanted nothing new is started.
                let step = step(phase, false, false, *backend);
                assert!(
                    !matches!(
                        step,
                        Step::Prepare | Step::Complete | Step::Go(XenbusState::INITIALISING, _)
                    ),
                    "{phase:?} {backend:?}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn no_sequence_of_states_upsets_a_connection(states in proptest::collection::vec(0u32..12, 0..40), close_at in 0usize..40) {
            let mut connection = Connection::new(0);
            let mut up = false;
            for (i, state) in states.iter().enumerate() {
                if i == close_at {
                    connection.close(0);
                }
                let backend = match state {
                    0 => Backend::Gone,
                    9.. => Backend::Garbage,
                    n => S(*n),
                };
                for action in run(&mut connection, backend, 0) {
                    match action {
                        Action::Complete => { prop_assert!(!up); up = true; }
                        Action::Down => { prop_assert!(up); up = false; }
                        // Nothing is offered anew, and nothing ends, while the old connection is up.
                        Action::Prepare | Action::Finished => prop_assert!(!up),
                        _ => {}
                    }
                }
            }
        }
    }
}
