//! Snapshots that the user named, for verbs that look at several.

use crate::env::Env;
use hardback_engine::catalog::{self, Snapshots};
use hardback_engine::{Clock, Target};
use std::collections::BTreeSet;

/// Returns the names of the snapshots that are meant; none for all. A name counts in every job, a time in one job.
pub(super) fn names_of(
    wanted: &[String],
    job: Option<&str>,
    target: &Target,
    env: &Env,
) -> anyhow::Result<Vec<String>> {
    let jobs = match job {
        Some(job) => vec![catalog::choose_job(target, Some(job), &env.host)?],
        None => catalog::jobs(target)?,
    };
    let mut known = BTreeSet::new();
    for of in &jobs {
        let Snapshots { sealed, unsealed } = match catalog::snapshots(target, of) {
            Err(error) if job.is_none() => {
                // The verb tells of it.
                let _problem = catalog::closed_job(of, error)?;
                continue;
            }
            other => other?,
        };
        known.extend(sealed.into_iter().map(|s| s.name).chain(unsealed.into_iter().map(|u| u.name)));
    }
    let mut names = Vec::new();
    for when in wanted {
        if known.contains(when) {
            names.push(when.clone());
            continue;
        }
        let job = catalog::choose_job(target, job, &env.host)?;
        let of_job = catalog::snapshots(target, &job)?;
        let (snapshot, passed_over) = catalog::find_snapshot(&of_job, when, env.clock.now(), &env.clock.zone())?;
        names.push(snapshot.name);
        // What may have been meant and has no whole seal is to be told.
        names.extend(passed_over.into_iter().map(|unsealed| unsealed.name));
    }
    Ok(names)
}
