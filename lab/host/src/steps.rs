//! The steps of a plan that dom0 does while the guest waits.

use crate::session::Session;
use anyhow::bail;
use lab_protocol::plan::Step;
use std::time::Duration;
use std::time::Instant;

/// How long a command of a plan may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);
/// How often a value is read that is waited for.
const POLL: Duration = Duration::from_millis(200);

/// Puts the guest's number in.
fn fill(text: &str, domain: u32) -> String {
    text.replace("$DOMID", &domain.to_string())
}

/// Does a step. `ExpectLog` is not for here: it needs the guest's log.
///
/// # Errors
/// What went wrong, for the report.
pub fn perform(session: &Session, domain: u32, step: &Step) -> anyhow::Result<()> {
    let agent = session.agent();
    match step {
        Step::Xl { args } => {
            let mut argv = vec!["xl".to_owned()];
            argv.extend(args.iter().map(|arg| fill(arg, domain)));
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            agent.run(&argv, COMMAND_LIMIT).map(drop)
        }
        Step::Dom0 { command } => agent.shell(&fill(command, domain), COMMAND_LIMIT).map(drop),
        Step::XenstoreWrite { path, value } => {
            let path = fill(path, domain);
            let value = fill(value, domain);
            agent
                .run(&["xenstore-write", &path, &value], COMMAND_LIMIT)
                .map(drop)
        }
        Step::XenstoreExpect {
            path,
            value,
            within_ms,
        } => {
            let within = Duration::from_millis(u64::from(*within_ms));
            expect_value(session, &fill(path, domain), &fill(value, domain), within)
        }
        other => bail!("{} is not a step for dom0", other.name()),
    }
}

fn expect_value(
    session: &Session,
    path: &str,
    value: &str,
    within: Duration,
) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let output = session
            .agent()
            .try_run(&["xenstore-read", path], COMMAND_LIMIT)?;
        let found = output.stdout.trim_end_matches('\n');
        if output.status == 0 && found == value {
            return Ok(());
        }
        if start.elapsed() > within {
            let found = match output.status {
                0 => format!("{found:?}"),
                _ => "not there".to_owned(),
            };
            bail!("{path} is {found} and not {value:?} after {within:?}");
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_number_is_put_in() {
        assert_eq!(fill("/local/domain/$DOMID/x", 12), "/local/domain/12/x");
    }
}
