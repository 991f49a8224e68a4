//! Looks for what is to be repaired: by reading, or in what scrubs have written down.

use super::{Found, Repair};
use crate::damage::Contents;
use crate::error::Error;
use crate::scrub::position::Position;
use crate::verify::{VerifyLevel, VerifyOptions, verify_all};
use std::cell::RefCell;
use std::collections::BTreeMap;

impl Repair<'_, '_> {
    /// Looks for the contents of which files are damaged, or may be, by job. If it ends early, what was found until then
    /// is there.
    pub(super) fn look_for_damage(&self, jobs: &[String], found: &mut BTreeMap<String, Found>) -> Result<(), Error> {
        if self.options.recorded {
            for job in jobs {
                let damaged = match Position::read(self.target, job) {
                    Ok(position) => position.damaged,
                    Err(lost) => {
                        self.findings.tell(lost.problem("a repair without --recorded reads all"));
                        continue;
                    }
                };
                if !damaged.is_empty() {
                    found.insert(job.clone(), damaged.into_iter().map(|content| (content, Vec::new())).collect());
                }
            }
            return Ok(());
        }
        let options = VerifyOptions {
            job: self.options.job.clone(),
            snapshots: self.options.snapshots.clone(),
            level: VerifyLevel::Full,
            against_source: false,
            workers: self.options.workers,
        };
        let found = RefCell::new(found);
        verify_all(self.findings, self.target, &options, &|job| {
            let mut found = found.borrow_mut();
            let all = self.findings.bad.take();
            let contents = all.iter().map(|bad| bad.content).collect();
            for bad in all {
                found.entry(job.to_owned()).or_default().entry(bad.content).or_default().push(bad);
            }
            for content in self.record(job, contents)? {
                found.entry(job.to_owned()).or_default().entry(content).or_default();
            }
            Ok(())
        })
    }

    /// Writes down what is damaged before it is repaired: the next repair need not look for it again. Returns what is
    /// written down and may be gone or good again, if all snapshots are looked at.
    fn record(&self, job: &str, contents: Contents) -> Result<Contents, Error> {
        let is_all = self.options.snapshots.is_empty();
        if contents.is_empty() && !is_all {
            return Ok(Contents::new());
        }
        let mut position = Position::read(self.target, job).unwrap_or_else(|lost| {
            // Who reads all finds again what was known; who reads less writes over it.
            if !is_all {
                self.findings.tell(lost.problem("a repair of all snapshots finds it again"));
            }
            Position::default()
        });
        let known = position.damaged.len();
        position.damaged.extend(contents);
        if position.damaged.len() > known && !self.options.dry_run {
            position.write(self.target, job)?;
        }
        Ok(if is_all { position.damaged } else { Contents::new() })
    }
}
