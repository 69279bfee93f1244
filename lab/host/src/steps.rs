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

/// Does a step. `fill` puts the values of variables into a text. `ExpectLog` is not for here: it needs the guest's log.
///
/// # Errors
/// What went wrong, for the report.
pub fn perform(
    session: &Session,
    step: &Step,
    fill: &dyn Fn(&str) -> anyhow::Result<String>,
) -> anyhow::Result<()> {
    let agent = session.agent();
    match step {
        Step::Xl { args } => {
            let mut argv = vec!["xl".to_owned()];
            for arg in args {
                argv.push(fill(arg)?);
            }
            let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
            agent.run(&argv, COMMAND_LIMIT).map(drop)
        }
        Step::Dom0 { command } => agent.shell(&fill(command)?, COMMAND_LIMIT).map(drop),
        Step::XenstoreWrite { path, value } => agent
            .run(
                &["xenstore-write", &fill(path)?, &fill(value)?],
                COMMAND_LIMIT,
            )
            .map(drop),
        Step::XenstoreExpect {
            path,
            value,
            within_ms,
        } => {
            let within = Duration::from_millis(u64::from(*within_ms));
            expect_value(session, &fill(path)?, &fill(value)?, within)
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
