//! Is what the guest read what is in the disks' files?

use super::Setup;
use crate::report::Report;
use lab_protocol::plan::Plan;
use lab_protocol::plan::Range;
use lab_protocol::plan::Step;
use lab_protocol::plan::target_of;

/// Compares the hash of each `hash` step with the file's, where nothing wrote to the disk behind it.
pub fn compare(setup: &Setup<'_>, report: &mut Report) -> anyhow::Result<()> {
    for (number, range) in final_hashes(&setup.plan) {
        let disk = setup.disks.iter().find(|(_, disk)| disk.vdev == range.disk);
        let target = target_of(&range.disk);
        let read = report
            .steps
            .iter()
            .filter(|done| done.step as usize == number)
            .flat_map(|done| &done.io)
            .find(|io| Some(io.target) == target && !io.sha256.is_empty())
            .map(|io| io.sha256.clone());
        let (Some((_, disk)), Some(read)) = (disk, read) else {
            report.fail(format!("step {}, hash: the guest told no hash", number + 1));
            continue;
        };
        let rest = disk.size.saturating_sub(range.offset.0);
        let length = range.length.map_or(rest, |length| length.0);
        let held = disk.sha256(range.offset.0, length)?;
        if held != read {
            report.fail(format!(
                "step {}, hash: {} holds {held}, but the guest read {read}",
                number + 1,
                disk.file.display()
            ));
        }
        report.compared.push((range.disk.clone(), length, held));
    }
    Ok(())
}

/// The ranges that are hashed and not written to afterwards, with the number of their step.
fn final_hashes(plan: &Plan) -> Vec<(usize, &Range)> {
    let mut found: Vec<(usize, &Range)> = Vec::new();
    for (number, step) in plan.step.iter().enumerate() {
        let steps = match step {
            Step::Parallel(steps) => steps.as_slice(),
            step => std::slice::from_ref(step),
        };
        for step in steps {
            match step {
                Step::Hash(range) => found.push((number, range)),
                Step::Write(Range { disk, .. }) => found.retain(|(_, range)| range.disk != *disk),
                Step::Random(random) => found.retain(|(_, range)| range.disk != random.disk),
                Step::Cdb(cdb) if !cdb.send.is_empty() => {
                    found.retain(|(_, range)| range.disk != cdb.disk);
                }
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hashes_that_hold_at_the_end_are_compared() {
        let plan = toml::from_str(
            r#"
            [[step]]
            hash = { disk = "xvde" }
            [[step]]
            parallel = [{ random = { disk = "xvde", bytes = 4096 } }, { hash = { disk = "xvdf" } }]
            [[step]]
            hash = { disk = "xvde" }
            "#,
        )
        .unwrap();
        let found: Vec<_> = final_hashes(&plan)
            .into_iter()
            .map(|(number, range)| (number, range.disk.as_str()))
            .collect();
        assert_eq!(found, [(1, "xvdf"), (2, "xvde")]);
    }
}
