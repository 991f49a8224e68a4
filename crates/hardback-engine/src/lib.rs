//! Jobs in, snapshots out: the verbs of hardback.
//!
//! The engine does not print, read the environment or know arguments; it reports through [`Monitor`] and returns
//! reports. Read `backup` first: it names the steps in order.

mod backup;
mod case;
pub mod catalog;
mod clock;
mod content;
mod context;
mod damage;
mod diff;
mod digests;
mod drill;
mod du;
mod error;
pub mod exclude;
mod excludes;
mod failure;
mod find;
mod groups;
mod job;
mod lookup;
pub mod manifest;
mod notes;
mod plan;
mod problem;
mod prune;
mod purge;
mod repair;
mod report;
mod restore;
pub mod retention;
mod runs;
mod scrub;
mod selftest;
pub mod system;
mod target;
mod tree_order;
mod verify;
mod versions;

pub use backup::{backup, check_new_target, check_shadow, preview};
pub use case::ignores_case;
pub use clock::{Clock, FixedClock, SystemClock, timestamp};
pub use context::Context;
pub use damage::{Damage, GoodCopy};
pub use diff::{Change, DiffOptions, DiffReport, Difference, Tally, diff};
pub use digests::DigestLists;
pub use drill::{DRILL_FILES_MAX, DrillOptions, DrillPlace, DrillReport, drill};
pub use du::{DuOptions, DuReport, FolderUsage, Freed, FreedStep, JobUsage, SnapshotUsage, Usage, du, freed};
pub use error::Error;
pub use excludes::Excludes;
pub use find::{FindOptions, FindReport, Found, find};
pub use hardback_platform::Time;
pub use job::{
    BackupOptions, DeclaredRules, Efs, HOT_WINDOW_S, Job, JobName, JobShadow, JobSource, MakeRules, Placeholders,
};
pub use notes::{Note, Notes, change_notes, notes};
pub use problem::{Problem, ProblemKind};
pub use prune::{
    Amount, Cause, Decided, Fate, GuardLimits, PruneOptions, PruneReport, Room, Suspension, prune, unpin_all,
};
pub use purge::{PurgeOptions, PurgeReport, Purged, purge};
pub use repair::{RepairOptions, RepairReport, repair};
pub use report::{
    BackupReport, Cancel, Counters, Limitation, LimitationKind, Monitor, Noted, PROBLEMS_KEPT_MAX, Phase, ShadowOutcome,
};
pub use restore::{
    ACTIONS_KEPT_MAX, Answer, Overwrite, Place, Protected, RestoreAction, RestoreOptions, RestoreReport, restore,
};
pub use runs::note_failed_run;
pub use scrub::{SHARE_WHOLE, ScrubOptions, ScrubReport, ScrubbedJob, scrub, scrub_in_legs};
pub use selftest::{Check, CheckOutcome, Measured, SelftestOptions, SelftestReport, selftest};
pub use target::{Initialised, Opened, Target, find_target, init_target, open_or_create_target, open_target};
pub use verify::{CHANGES_KEPT_MAX, SourceRead, VerifyLevel, VerifyOptions, VerifyReport, verify};
pub use versions::{Version, VersionChange, Versions, versions};
