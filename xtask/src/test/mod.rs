//! `cargo xtask test`: everything that this project tests, one line a step, and the sum at the end.

mod steps;
mod wine;
mod workflows;

pub use steps::counted;

use anyhow::Context as _;
use std::ops::AddAssign;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

/// Which steps to run.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Only steps whose name has this in it (may be given more than once)
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
    /// No step whose name has this in it (may be given more than once)
    #[arg(long, value_name = "TEXT")]
    pub skip: Vec<String>,
    /// Only the step of the lab's plans, and of these only those whose name has this in it (may be given more than once)
    #[arg(long, value_name = "TEXT", conflicts_with = "only")]
    pub plan: Vec<String>,
}

/// How many tests of a step held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Those that held.
    pub passed: usize,
    /// Those that did not.
    pub failed: usize,
}

impl Outcome {
    /// A step that is one test.
    pub const PASSED: Self = Self {
        passed: 1,
        failed: 0,
    };
}

impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Steps of a lane go on one after the other, since cargo locks the folder that they build in; the lanes beside each other,
/// since most steps have long stretches that keep only one processor busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Beside nothing
    Alone,
    /// What is built for this machine and for dom0
    Host,
    /// The drivers
    Drivers,
    /// The lab's guest
    Guest,
}

/// A step by its name. An error counts as one failed test.
pub struct Step {
    /// What the line says.
    pub name: &'static str,
    /// What it goes on beside.
    pub lane: Lane,
    /// What it does.
    pub run: fn(&Args) -> anyhow::Result<Outcome>,
}

impl Args {
    fn has(&self, name: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|text| name.contains(text.as_str()));
        (self.only.is_empty() || named(&self.only))
            && (self.plan.is_empty() || name == steps::PLANS)
            && !named(&self.skip)
    }
}

/// Runs the steps and prints how each ended. The exit status says whether all held.
///
/// # Errors
/// If the arguments leave no step.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let steps: Vec<&Step> = steps::STEPS
        .iter()
        .filter(|step| args.has(step.name))
        .collect();
    steps.first().context("no step has such a name")?;
    let mut sum = Outcome::default();
    let alone = |step: &&Step| step.lane == Lane::Alone;
    for group in steps.chunk_by(|one, next| alone(one) == alone(next)) {
        sum += run_group(group, args);
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
    Ok(if sum.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs the steps of a group: those of each lane one after the other, the lanes beside each other.
fn run_group(group: &[&Step], args: &Args) -> Outcome {
    let lane = |lane| {
        let mut sum = Outcome::default();
        for step in group.iter().filter(|step| step.lane == lane) {
            sum += report(step, args);
        }
        sum
    };
    let mut sum = lane(Lane::Alone);
    thread::scope(|scope| {
        let others =
            [Lane::Host, Lane::Drivers, Lane::Guest].map(|name| scope.spawn(move || lane(name)));
        for other in others {
            sum += other
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    sum
}

/// Runs a step and prints its line.
fn report(step: &Step, args: &Args) -> Outcome {
    let start = Instant::now();
    let result = (step.run)(args);
    let time = start.elapsed().as_secs_f64();
    let (word, outcome, error) = match result {
        Ok(outcome) if outcome.failed == 0 => ("ok  ", outcome, None),
        Ok(outcome) => ("FAIL", outcome, None),
        Err(error) => (
            "FAIL",
            Outcome {
                passed: 0,
                failed: 1,
            },
            Some(error),
        ),
    };
    println!(
        "{word}  {:<44} {time:7.1} s  {} passed",
        step.name, outcome.passed
    );
    if let Some(error) = error {
        for line in format!("{error:#}").lines() {
            println!("      {line}");
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn steps_are_chosen_by_parts_of_their_names() {
        let args = |only: &[&str], skip: &[&str]| Args {
            only: only.iter().map(|text| (*text).to_owned()).collect(),
            skip: skip.iter().map(|text| (*text).to_owned()).collect(),
            plan: Vec::new(),
        };
        assert!(args(&[], &[]).has("lab: the demo"));
        assert!(args(&["demo"], &[]).has("lab: the demo"));
        assert!(!args(&["format"], &[]).has("lab: the demo"));
        assert!(!args(&[], &["lab"]).has("lab: the demo"));
        assert!(run(&args(&["no such step"], &[])).is_err());
        let plan = Args {
            plan: vec!["own: basic".to_owned()],
            ..Args::default()
        };
        assert!(plan.has("lab: plans") && !plan.has("lab: demo"));
    }

    #[test]
    fn a_step_that_cannot_run_counts_as_a_failed_test() {
        let broken = Step {
            name: "broken",
            lane: Lane::Alone,
            run: |_| anyhow::bail!("no"),
        };
        assert_eq!(
            report(&broken, &Args::default()),
            Outcome {
                passed: 0,
                failed: 1
            }
        );
    }

    #[test]
    fn the_lanes_of_a_group_go_on_beside_each_other_and_all_steps_count() {
        // Each waits for the others: one after the other they would not end.
        static MEET: Barrier = Barrier::new(3);
        let met = |_: &Args| {
            MEET.wait();
            Ok(Outcome::PASSED)
        };
        let step = |name, lane, run| Step { name, lane, run };
        let failing = |_: &Args| anyhow::bail!("no");
        let steps = [
            step("drivers", Lane::Drivers, met),
            step("drivers again", Lane::Drivers, failing),
            step("guest", Lane::Guest, met),
            step("host", Lane::Host, met),
        ];
        let group: Vec<&Step> = steps.iter().collect();
        let expected = Outcome {
            passed: 3,
            failed: 1,
        };
        assert_eq!(run_group(&group, &Args::default()), expected);
    }
}
