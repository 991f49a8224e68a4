//! The repair: puts a good file in the place of a damaged one, in all snapshots that share it.
//!
//! The one verb that writes into sealed snapshots, and only this: a name of a damaged file is renamed over by a whole
//! new one, and the time of its folder is put back. The record says what the file must be; nothing is written into a
//! file that has a name in a snapshot. Killed anywhere, each name has the damaged file as before or the good one, and
//! the next repair goes on. Read [`repair`] first, then `replace`.

mod look;
mod make;
mod replace;

use crate::context::Context;
use crate::damage::{
    Bad, Contents, Copies, CopyAt, Damage, KeptDamage, Located, NO_DIGEST, Read, Sought, StoredFile, Suspect,
    contents_a_pass, locate,
};
use crate::error::Error;
use crate::manifest::ContentRef;
use crate::problem::{Problem, ProblemKind};
use crate::report::Phase;
use crate::scrub::{self, position::Position};
use crate::target::{Target, holder_words};
use crate::verify::{Findings, VerifyLevel, wanted_jobs};
use hardback_platform::path::display;
use make::Workshop;
use std::collections::{BTreeMap, HashSet};

/// What to repair.
#[derive(Debug, Clone, Default)]
pub struct RepairOptions {
    /// Only this job.
    pub job: Option<String>,
    /// Look for damage in these snapshots; none for all. What is damaged in one is repaired in all that share it.
    pub snapshots: Vec<String>,
    /// Only look at what scrubs found to be damaged, and read nothing else.
    pub recorded: bool,
    /// Take the content from the live source too, where the target has no good copy.
    pub from_source: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Threads that look for damage; 0 chooses.
    pub workers: usize,
}

/// What a repair did.
#[derive(Debug, Clone, Default)]
#[must_use = "the report says what is still damaged"]
pub struct RepairReport {
    /// Damaged files that have a good one in their place now (dry run: would have).
    pub repaired: u64,
    /// Names that have it.
    pub names: u64,
    /// Bytes of the new files.
    pub bytes: u64,
    /// Stored files that were read to look for damage.
    pub files_read: u64,
    /// Bytes of them.
    pub bytes_read: u64,
    /// The first damaged files, repaired or not.
    pub damage: Vec<Damage>,
    /// Number of problems: what is still damaged, and what else is wrong with what was looked at.
    pub problem_count: u64,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: u64,
}

/// Repairs damaged files.
///
/// # Errors
/// There is no such job or snapshot, another run is at work, the target cannot be read or written as a whole, or the
/// user asked to stop. What has no good copy is in the report.
pub fn repair(ctx: &Context<'_>, target: &Target, options: &RepairOptions) -> Result<RepairReport, Error> {
    let began_ns = hardback_platform::monotonic_now();
    let jobs = wanted_jobs(target, options.job.as_deref())?;
    let info = holder_words(ctx, "repair");
    let _locks = match options.dry_run {
        true => None,
        false => Some((target.lock(&info)?, scrub::lock(ctx, target)?)),
    };
    let findings = Findings::new(*ctx, VerifyLevel::Full, options.workers);
    let mut repair = Repair {
        findings: &findings,
        target,
        options,
        report: RepairReport::default(),
        damage: KeptDamage::default(),
        told: HashSet::new(),
        told_unread: HashSet::new(),
    };
    let mut found = BTreeMap::new();
    let done = findings.telling(|| {
        repair.go_on(&jobs)?;
        repair.look_for_damage(&jobs, &mut found)?;
        ctx.monitor.phase(Phase::Repairing);
        found.iter_mut().try_for_each(|(job, found)| repair.job(job, found))
    });
    // Where it ends early, what it did not come to is told as it was found.
    found.values().flat_map(Found::values).flatten().for_each(|bad| findings.tell(bad.problem()));
    done?;
    let mut report = repair.report;
    report.damage = repair.damage.take();
    let sum = |n: &std::sync::atomic::AtomicU64| n.load(std::sync::atomic::Ordering::Relaxed);
    (report.files_read, report.bytes_read) = (sum(&findings.in_trees.files_read), sum(&findings.in_trees.bytes_read));
    (report.problem_count, report.problems) = findings.problems.take();
    report.elapsed_ns = hardback_platform::monotonic_now().saturating_sub(began_ns);
    Ok(report)
}

/// A repair at work.
struct Repair<'a, 'f> {
    findings: &'a Findings<'f>,
    target: &'a Target,
    options: &'a RepairOptions,
    report: RepairReport,
    damage: KeptDamage,
    /// Damaged files that were told, of which job and content: what an interrupted repair was at may be found again.
    told: HashSet<(String, ContentRef, u64)>,
    /// What could not be looked at and was told, by job and path.
    told_unread: HashSet<(String, Vec<u8>)>,
}

/// What was found in a job: contents that are to be looked at, with what was seen of files that are damaged and is neither
/// told nor repaired yet.
type Found = BTreeMap<ContentRef, Vec<Bad>>;

impl Repair<'_, '_> {
    /// Ends what an interrupted repair was at.
    fn go_on(&mut self, jobs: &[String]) -> Result<(), Error> {
        for job in jobs.iter().filter(|_| !self.options.dry_run) {
            let contents = Workshop::contents(self.target, job)?;
            if !contents.is_empty() {
                self.job(job, &mut contents.into_iter().map(|content| (content, Vec::new())).collect())?;
            }
        }
        Ok(())
    }

    /// Repairs what is damaged of a job.
    fn job(&mut self, job: &str, found: &mut Found) -> Result<(), Error> {
        let mut workshop = match self.options.dry_run {
            true => None,
            false => Some(Workshop::open(self.target, job)?),
        };
        let mut settled = Contents::new();
        let contents: Vec<ContentRef> = found.keys().copied().collect();
        for pass in contents.chunks(contents_a_pass(self.target, job, contents.len())?) {
            let located = locate(&self.findings.ctx, self.target, job, &pass.iter().copied().collect())?;
            self.tell_unread(&located);
            // Trees that are all away, as their folder was moved, say, may come back and need what was made for them.
            let is_all_seen = located.unread.is_empty() && !located.snapshots.is_empty();
            let mut copies = Copies::new(&self.findings.ctx, self.target, &located)?;
            for (content, suspect) in &located.suspects {
                self.findings.ctx.check_cancel()?;
                let seen = found.entry(*content).or_default();
                let mut job = OfJob { located: &located, copies: &mut copies, workshop: workshop.as_mut() };
                // What cannot be looked at may have more names.
                if self.content(&mut job, *content, suspect, seen)? && is_all_seen {
                    settled.insert(*content);
                }
            }
        }
        let Some(workshop) = workshop else { return Ok(()) };
        workshop.finish(&settled)?;
        // One that is of no use has nothing to take out, and is told by whoever goes by it.
        let Ok(mut position) = Position::read(self.target, job) else { return Ok(()) };
        let damaged = position.damaged.len();
        position.damaged.retain(|content| !settled.contains(content));
        if position.damaged.len() < damaged {
            position.write(self.target, job)?;
        }
        Ok(())
    }

    /// Tells what of a job could not be looked at, each once.
    fn tell_unread(&mut self, located: &Located) {
        for (path, why) in &located.unread {
            if self.told_unread.insert((located.job.clone(), path.clone())) {
                let what = format!("{why}; names that damaged files have in it stay as they are");
                self.findings.problem(path, ProblemKind::Unreadable, what);
            }
        }
        if located.unread_more > 0 && self.told_unread.insert((located.job.clone(), Vec::new())) {
            let what = format!("{} more folders or files could not be looked at either", located.unread_more);
            self.findings.problem(located.job.as_bytes(), ProblemKind::Unreadable, what);
        }
    }

    /// Repairs the files of a content that are damaged; returns whether none is any more.
    fn content(
        &mut self,
        of: &mut OfJob<'_, '_>,
        content: ContentRef,
        suspect: &Suspect,
        seen: &mut Vec<Bad>,
    ) -> Result<bool, Error> {
        let mut is_settled = true;
        for bad in seen.extract_if(.., |bad| !suspect.files.iter().any(|file| file.file == bad.file)) {
            // It was there when it was read.
            self.findings.tell(bad.problem());
            is_settled = false;
        }
        if let Some(workshop) = of.workshop.as_deref_mut() {
            // Names that an interrupted repair has put in place.
            let made = suspect.files.iter().filter(|file| workshop.has_made(content, file.file));
            for file in made.collect::<Vec<_>>() {
                for name in &file.names {
                    if let Err(error) = replace::put_back_time(self.target, of.located, name) {
                        self.findings.tell(Problem::new(&of.located.shown(name), ProblemKind::Metadata, &error));
                        is_settled = false;
                    }
                }
            }
        }
        for file in &suspect.files {
            is_settled &=
                !self.told.contains(&of.key(content, file)) && self.look_at(of, content, suspect, file, seen)?;
            // It is told or repaired.
            seen.retain(|bad| bad.file != file.file);
        }
        Ok(is_settled)
    }

    /// Looks at a file of a content and repairs it if it is damaged; returns whether no name of it is damaged any more.
    fn look_at(
        &mut self,
        of: &mut OfJob<'_, '_>,
        content: ContentRef,
        suspect: &Suspect,
        file: &StoredFile,
        seen: &[Bad],
    ) -> Result<bool, Error> {
        let is_settled = if suspect.digest.is_none() {
            let why = seen.iter().find(|bad| bad.file == file.file).map(|bad| bad.why.clone());
            let why = why.unwrap_or_else(|| "it may be damaged".to_owned());
            self.tell(of.damage(file, why, Err(NO_DIGEST)));
            false
        } else if let Some(error) = of.copies.closed(file) {
            let shown = file.names.first().map(|name| of.located.shown(name)).unwrap_or_default();
            self.findings.tell(Problem::new(&shown, ProblemKind::Unreadable, &error));
            false
        } else {
            let why = seen.iter().find(|bad| bad.file == file.file).map(|bad| bad.why.clone());
            match (of.copies.is_good_file(suspect, file)?, why) {
                (true, None) => true,
                (true, Some(why)) => {
                    let sought = Sought::Nowhere("read again it was good: do not trust this disk");
                    self.tell(of.damage(file, why, Err(sought)));
                    true
                }
                (false, why) => {
                    let why = why.unwrap_or_else(|| "its content is not what was backed up".to_owned());
                    self.file(of, content, suspect, file, why)?
                }
            }
        };
        if !is_settled {
            self.told.insert(of.key(content, file));
        }
        Ok(is_settled)
    }

    /// Repairs a damaged file; returns whether no name of it is damaged any more.
    fn file(
        &mut self,
        of: &mut OfJob<'_, '_>,
        content: ContentRef,
        suspect: &Suspect,
        file: &StoredFile,
        why: String,
    ) -> Result<bool, Error> {
        let in_target = of.copies.find(content, (suspect, file), Read::TargetOnly)?;
        let at_source = match in_target {
            Some(_) => None,
            None => of.copies.find(content, (suspect, file), Read::SourceToo)?,
        };
        let is_refused = at_source.is_some() && !self.options.from_source;
        let copy: Option<CopyAt> = in_target.or(at_source);
        let found = copy.as_ref().ok_or_else(|| Sought::But(of.copies.unseen(suspect, file)));
        let mut damage = of.damage(file, why, found);
        let Some(copy) = copy.filter(|_| !is_refused) else {
            if is_refused {
                damage.why.push_str("; it was not repaired: --from-source takes it from there");
            }
            self.tell(damage);
            return Ok(false);
        };
        let names = file.names.len() as u64;
        let mut has_all = true;
        if let Some(workshop) = of.workshop.as_deref_mut() {
            let job = replace::Replacing { findings: self.findings, target: self.target, located: of.located };
            match job.replace(workshop, of.copies, &copy, (content, suspect, file)) {
                Ok(all) => has_all = all,
                Err(replace::Failure::Stop(error)) => return Err(error),
                Err(replace::Failure::This(what)) => {
                    damage.why.push_str(&format!("; it was not repaired: {what}"));
                    self.tell(damage);
                    return Ok(false);
                }
            }
        }
        damage.is_repaired = !self.options.dry_run;
        self.report.repaired += 1;
        self.report.names += names;
        self.report.bytes += file.entry.size_bytes;
        if self.options.dry_run {
            // It is as damaged as before.
            self.tell(damage);
            return Ok(false);
        }
        // Told at once: a snapshot is another than before, whatever comes next.
        let copy = damage.good_copy.as_ref().map(|copy| display(copy.path()).to_string());
        self.findings.ctx.monitor.notice(&format!(
            "repaired {} (names: {names}) from {}",
            display(&damage.path),
            copy.unwrap_or_default()
        ));
        self.damage.keep(damage);
        Ok(has_all)
    }

    /// Tells of what is still damaged.
    fn tell(&mut self, damage: Damage) {
        self.findings.tell(damage.problem());
        self.damage.keep(damage);
    }
}

/// What the files of a job are repaired with.
struct OfJob<'l, 'w> {
    located: &'l Located,
    copies: &'w mut Copies<'l>,
    /// `None` in a dry run.
    workshop: Option<&'w mut Workshop>,
}

impl OfJob<'_, '_> {
    /// Says which file of which job and content it is.
    fn key(&self, content: ContentRef, file: &StoredFile) -> (String, ContentRef, u64) {
        (self.located.job.clone(), content, file.file)
    }

    /// Says what is known of a file.
    fn damage(&self, file: &StoredFile, why: String, copy: Result<&CopyAt, Sought>) -> Damage {
        let (names, snapshots) = self.located.names_of(file);
        Damage {
            job: self.located.job.clone(),
            path: names.first().cloned().unwrap_or_default(),
            why,
            name_count: names.len() as u64,
            names,
            snapshots,
            good_copy: copy.as_ref().ok().map(|copy| self.copies.shown(copy)),
            is_repaired: false,
            kind: ProblemKind::Damaged,
            sought: copy.err().unwrap_or(Sought::But(Vec::new())),
        }
    }
}
