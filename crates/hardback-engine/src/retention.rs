//! Decides which snapshots of a job may go. Pure: what exists, the rules and the time come in, a decision for each
//! snapshot with its reason goes out. Nothing rotates, so a run that was missed or failed costs no history.

use crate::clock::timestamp;
use crate::error::Error;
use hardback_platform::Time;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use std::fmt;
use std::mem::discriminant;

/// How far the clock may be ahead of the newest snapshot: behind it nothing that counts days is trusted.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(24 * 366);

/// A snapshot, as far as the rules look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its place in the order of the job's snapshots; the time is none.
    pub generation: u32,
    /// When it was begun.
    pub at: Time,
    /// Entries are missing in it, or not exact.
    pub has_problems: bool,
    /// The user pinned it.
    pub is_pinned: bool,
    /// The user's words for it.
    pub tags: Vec<String>,
}

/// What the user wants to keep. Without a single rule everything stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// The newest ones, by number.
    pub last: Option<usize>,
    /// One of each period that has one, for so many periods.
    pub periods: Vec<(Period, usize)>,
    /// All that are not older than this.
    pub within: Option<SignedDuration>,
    /// All with one of these tags.
    pub tags: Vec<String>,
    /// The newest ones that stay whatever happens.
    pub at_least: usize,
}

/// A stretch of time that a person wrote: 36 hours, a year and 6 months.
#[derive(Debug, Clone, Copy)]
pub struct Span(jiff::Span);

impl Span {
    /// Parses it; `None` for what is no stretch of time, or one that points ahead.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let span: jiff::Span = text.trim().parse().ok()?;
        (span.signum() > 0).then_some(Self(span))
    }

    /// Returns how long it is, counted back from a time: months and days are those of the calendar.
    ///
    /// # Errors
    /// Refused: further back than the calendar goes.
    pub fn before(self, now: Time, zone: &TimeZone) -> Result<SignedDuration, Error> {
        let now = timestamp(now).to_zoned(zone.clone());
        let then = now.checked_sub(self.0).map_err(|_| {
            Error::refused(
                "this stretch of time begins before the calendar",
                "write a shorter one, such as \"10 years\"",
            )
        })?;
        Ok(now.timestamp().duration_since(then.timestamp()))
    }
}

/// A part of the local calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// An hour; the one that is repeated when clocks go back is two.
    Hour,
    /// A day.
    Day,
    /// A week, from Monday.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

/// What becomes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It stays, for these reasons.
    Keep(Vec<Reason>),
    /// No rule asks for it.
    Remove,
}

/// Why a snapshot stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// There are no rules.
    NoRules,
    /// It is the newest of its job, or the newest without problems.
    Newest,
    /// It is among the few that always stay.
    AtLeast,
    /// The user pinned it.
    Pinned,
    /// It has this tag.
    Tag(String),
    /// It is one of the last, the first being 1.
    Last(usize),
    /// It stands for this period, the newest being 1.
    Period(Period, usize),
    /// It is young enough.
    Within,
}

/// Why nothing is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockFault {
    /// The clock stands before the newest snapshot.
    #[error("the clock ({now}) is behind the newest snapshot ({newest})")]
    Behind {
        /// The clock's time.
        now: Timestamp,
        /// The newest snapshot's.
        newest: Timestamp,
    },
    /// The clock is more than a year ahead of the newest snapshot.
    #[error("the clock ({now}) is more than a year ahead of the newest snapshot ({newest})")]
    Ahead {
        /// The clock's time.
        now: Timestamp,
        /// The newest snapshot's.
        newest: Timestamp,
    },
}

impl Reason {
    fn is_of_rule(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Period(period, _), Self::Period(other, _)) => period == other,
            _ => discriminant(self) == discriminant(other),
        }
    }
}

impl Rules {
    /// Returns whether nothing is ever removed.
    #[must_use]
    pub fn keep_everything(&self) -> bool {
        self.last.is_none() && self.periods.is_empty() && self.within.is_none() && self.tags.is_empty()
    }
}

/// Decides about the snapshots of a job; the answer is in the order of the question.
///
/// # Errors
/// The clock cannot be trusted: then nothing may be removed, not even by rules that only count.
pub fn decide(
    candidates: &[Candidate],
    rules: &Rules,
    now: Time,
    zone: &TimeZone,
) -> Result<Vec<Decision>, ClockFault> {
    check_clock(candidates, now)?;
    let mut reasons: Vec<Vec<Reason>> = vec![Vec::new(); candidates.len()];
    let mut newest_first: Vec<usize> = (0..candidates.len()).collect();
    newest_first.sort_by_key(|&i| std::cmp::Reverse(candidates[i].generation));
    let whole: Vec<usize> = newest_first.iter().copied().filter(|&i| !candidates[i].has_problems).collect();

    if rules.keep_everything() {
        reasons.iter_mut().for_each(|why| why.push(Reason::NoRules));
    }
    // Each rule is asked twice. Among all: a file that cannot be read for months must not cost these months. And among
    // the whole ones: a run with problems pushes none of them out.
    for order in [&newest_first, &whole] {
        let mut keep = |i: usize, reason: Reason| {
            if !reasons[i].iter().any(|known| known.is_of_rule(&reason)) {
                reasons[i].push(reason);
            }
        };
        if let Some(&newest) = order.first() {
            keep(newest, Reason::Newest);
        }
        order.iter().take(rules.at_least).for_each(|&i| keep(i, Reason::AtLeast));
        for (&i, number) in order.iter().take(rules.last.unwrap_or(0)).zip(1..) {
            keep(i, Reason::Last(number));
        }
        for &(period, count) in &rules.periods {
            for (i, number) in of_periods(candidates, order, period, zone).into_iter().take(count).zip(1..) {
                keep(i, Reason::Period(period, number));
            }
        }
    }
    for (candidate, why) in candidates.iter().zip(&mut reasons) {
        if candidate.is_pinned {
            why.push(Reason::Pinned);
        }
        if let Some(tag) = candidate.tags.iter().find(|tag| rules.tags.contains(tag)) {
            why.push(Reason::Tag(tag.clone()));
        }
        let age = timestamp(now).duration_since(timestamp(candidate.at));
        if rules.within.is_some_and(|within| age <= within) {
            why.push(Reason::Within);
        }
    }
    let decision = |why: Vec<Reason>| if why.is_empty() { Decision::Remove } else { Decision::Keep(why) };
    Ok(reasons.into_iter().map(decision).collect())
}

fn check_clock(candidates: &[Candidate], now: Time) -> Result<(), ClockFault> {
    let now = timestamp(now);
    let Some(newest) = candidates.iter().map(|c| timestamp(c.at)).max() else { return Ok(()) };
    if now < newest {
        return Err(ClockFault::Behind { now, newest });
    }
    if now.duration_since(newest) > AHEAD_MAX {
        return Err(ClockFault::Ahead { now, newest });
    }
    Ok(())
}

/// Returns one snapshot of each period that has any, newest period first: the newest without problems, or the newest.
fn of_periods(candidates: &[Candidate], newest_first: &[usize], period: Period, zone: &TimeZone) -> Vec<usize> {
    let mut chosen: Vec<(Key, usize)> = Vec::new();
    for &i in newest_first {
        let key = Key::of(period, &timestamp(candidates[i].at).to_zoned(zone.clone()));
        match chosen.iter_mut().find(|(other, _)| *other == key) {
            None => chosen.push((key, i)),
            Some((_, other)) if candidates[*other].has_problems && !candidates[i].has_problems => *other = i,
            Some(_) => {}
        }
    }
    // A clock that was wrong may have put an older snapshot into a later period.
    chosen.sort_by_key(|(key, _)| std::cmp::Reverse(*key));
    chosen.into_iter().map(|(_, i)| i).collect()
}

/// What two snapshots of one period have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// The first day of the period.
    first: Date,
    /// Of an hour: when it began.
    hour: Option<Timestamp>,
}

impl Key {
    fn of(period: Period, at: &Zoned) -> Self {
        let day = at.date();
        let first = match period {
            Period::Hour | Period::Day => day,
            Period::Week => {
                let days = i64::from(day.weekday().to_monday_zero_offset());
                day.checked_sub(SignedDuration::from_hours(24 * days)).unwrap_or(Date::MIN)
            }
            Period::Month => day.first_of_month(),
            Period::Year => day.first_of_year(),
        };
        // Zones with offsets of half an hour have hours of their own: what the clock on the wall shows past the hour is
        // taken off the instant.
        let past = SignedDuration::from_secs(i64::from(at.minute()) * 60 + i64::from(at.second()))
            + SignedDuration::from_nanos(i64::from(at.subsec_nanosecond()));
        let hour = (period == Period::Hour).then(|| at.timestamp().checked_sub(past).unwrap_or(Timestamp::MIN));
        Self { first, hour }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRules => f.write_str("nothing says what may go"),
            Self::Newest => f.write_str("the newest"),
            Self::AtLeast => f.write_str("keep-at-least"),
            Self::Pinned => f.write_str("pinned"),
            Self::Tag(tag) => write!(f, "tag {tag}"),
            Self::Last(number) => write!(f, "last {number}"),
            Self::Period(period, number) => write!(f, "{period} {number}"),
            Self::Within => f.write_str("keep-within"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY_S: i64 = 86_400;

    fn berlin() -> TimeZone {
        TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    fn time(text: &str) -> Time {
        let at: jiff::civil::DateTime = text.parse().unwrap();
        of(at.to_zoned(berlin()).unwrap().timestamp())
    }

    fn of(at: Timestamp) -> Time {
        Time { seconds: at.as_second(), nanos: 0 }
    }

    fn candidates(times: &[Time]) -> Vec<Candidate> {
        (1..)
            .zip(times)
            .map(|(generation, &at)| Candidate {
                generation,
                at,
                has_problems: false,
                is_pinned: false,
                tags: Vec::new(),
            })
            .collect()
    }

    fn rules(periods: &[(Period, usize)]) -> Rules {
        Rules { periods: periods.to_vec(), at_least: 0, ..Rules::default() }
    }

    fn kept(candidates: &[Candidate], rules: &Rules, now: Time) -> Vec<u32> {
        let decisions = decide(candidates, rules, now, &berlin()).unwrap();
        let kept = candidates.iter().zip(decisions).filter(|(_, d)| *d != Decision::Remove);
        kept.map(|(c, _)| c.generation).collect()
    }

    #[test]
    fn without_rules_all_stay() {
        let all = candidates(&[time("2026-01-01T10:00"), time("2026-01-02T10:00")]);
        assert_eq!(kept(&all, &Rules { at_least: 0, ..Rules::default() }, time("2026-01-02T11:00")), [1, 2]);
    }

    #[test]
    fn a_period_keeps_its_newest_and_periods_without_any_do_not_count() {
        let all = candidates(&[
            time("2026-01-01T10:00"),
            time("2026-03-01T09:00"),
            time("2026-03-01T22:00"),
            time("2026-06-01T09:00"),
        ]);
        assert_eq!(kept(&all, &rules(&[(Period::Day, 2)]), time("2026-06-05T00:00")), [3, 4]);
        assert_eq!(kept(&all, &rules(&[(Period::Day, 3)]), time("2026-06-05T00:00")), [1, 3, 4]);
    }

    #[test]
    fn one_with_problems_stands_for_its_period_only_without_a_whole_one() {
        let mut all = candidates(&[
            time("2026-05-01T10:00"),
            time("2026-05-01T20:00"),
            time("2026-05-02T10:00"),
            time("2026-05-03T10:00"),
        ]);
        all[1].has_problems = true;
        all[2].has_problems = true;
        assert_eq!(kept(&all, &rules(&[(Period::Day, 3)]), time("2026-05-03T11:00")), [1, 3, 4]);
        let last = Rules { last: Some(2), at_least: 0, ..Rules::default() };
        assert_eq!(kept(&all, &last, time("2026-05-03T11:00")), [1, 3, 4]);
    }

    #[test]
    fn the_newest_whole_one_stays_behind_any_number_of_broken_ones() {
        let mut all = candidates(&(1..=9).map(|d| time(&format!("2026-05-0{d}T10:00"))).collect::<Vec<_>>());
        all.iter_mut().skip(1).for_each(|c| c.has_problems = true);
        let last = Rules { last: Some(1), at_least: 0, ..Rules::default() };
        assert_eq!(kept(&all, &last, time("2026-05-09T11:00")), [1, 9]);
    }

    #[test]
    fn the_hour_that_clocks_repeat_is_two_and_the_skipped_one_none() {
        let first: Timestamp = "2026-10-25T00:30:00Z".parse().unwrap();
        let hour = SignedDuration::from_hours(1);
        let all = candidates(&[of(first), of(first + hour), of(first + hour + hour)]);
        // 02:30, 02:30 again, 03:30 on the wall.
        assert_eq!(kept(&all, &rules(&[(Period::Hour, 9)]), of(first + hour * 5)), [1, 2, 3]);
        assert_eq!(kept(&all, &rules(&[(Period::Day, 9)]), of(first + hour * 5)), [3]);
        let spring = candidates(&[time("2026-03-29T01:50"), time("2026-03-29T03:10")]);
        assert_eq!(kept(&spring, &rules(&[(Period::Hour, 9)]), time("2026-03-29T12:00")), [1, 2]);
    }

    #[test]
    fn weeks_begin_on_monday_and_cross_years() {
        // Wednesday to Monday, 2025 to 2026.
        let all = candidates(&[
            time("2025-12-28T10:00"),
            time("2025-12-31T10:00"),
            time("2026-01-04T10:00"),
            time("2026-01-05T10:00"),
        ]);
        assert_eq!(kept(&all, &rules(&[(Period::Week, 9)]), time("2026-01-06T00:00")), [1, 3, 4]);
        assert_eq!(kept(&all, &rules(&[(Period::Year, 9)]), time("2026-01-06T00:00")), [2, 4]);
    }

    #[test]
    fn a_clock_that_cannot_be_right_decides_nothing() {
        let all = candidates(&[time("2026-05-01T10:00"), time("2026-05-02T10:00")]);
        let zone = berlin();
        let at = |now| decide(&all, &Rules { last: Some(1), ..Rules::default() }, now, &zone);
        assert!(matches!(at(time("2026-05-02T09:59")), Err(ClockFault::Behind { .. })));
        assert!(matches!(at(time("2027-06-01T00:00")), Err(ClockFault::Ahead { .. })));
        assert!(at(time("2027-04-30T00:00")).is_ok());
    }

    #[test]
    fn pins_tags_and_the_young_stay_and_say_why() {
        let mut all = candidates(&(1..=6).map(|d| time(&format!("2026-05-0{d}T10:00"))).collect::<Vec<_>>());
        all[0].is_pinned = true;
        all[1].tags = vec!["release".into()];
        let rules = Rules {
            within: Some(SignedDuration::from_hours(30)),
            tags: vec!["release".into()],
            at_least: 0,
            ..Rules::default()
        };
        let decisions = decide(&all, &rules, time("2026-05-06T12:00"), &berlin()).unwrap();
        let keep = |reasons: &[Reason]| Decision::Keep(reasons.to_vec());
        assert_eq!(decisions[..2], [keep(&[Reason::Pinned]), keep(&[Reason::Tag("release".into())])]);
        assert_eq!(decisions[2..4], [Decision::Remove, Decision::Remove]);
        assert_eq!(decisions[4..], [keep(&[Reason::Within]), keep(&[Reason::Newest, Reason::Within])]);
    }

    fn any_history() -> impl Strategy<Value = Vec<Candidate>> {
        // Steps back, equal seconds, gaps of years.
        let step = prop_oneof![Just(0), 1..3_600i64, 3_600..3 * DAY_S, DAY_S..400 * DAY_S, -2 * DAY_S..0,];
        prop::collection::vec((step, any::<bool>(), prop::bool::weighted(0.1)), 0..40).prop_map(|steps| {
            let mut seconds = 1_600_000_000;
            (1..)
                .zip(steps)
                .map(|(generation, (step, has_problems, is_pinned))| {
                    seconds += step;
                    let at = Time { seconds, nanos: 0 };
                    Candidate { generation, at, has_problems, is_pinned, tags: Vec::new() }
                })
                .collect()
        })
    }

    fn any_rules() -> impl Strategy<Value = Rules> {
        let periods = [Period::Hour, Period::Day, Period::Week, Period::Month, Period::Year];
        let periods = prop::collection::vec((prop::sample::select(periods.to_vec()), 0..6usize), 0..4);
        (prop::option::of(0..5usize), periods, prop::option::of(0..1_000i64), 0..4usize).prop_map(
            |(last, periods, hours, at_least)| {
                let within = hours.map(SignedDuration::from_hours);
                Rules { last, periods, within, tags: Vec::new(), at_least }
            },
        )
    }

    fn newest_time(all: &[Candidate]) -> Time {
        all.iter().map(|c| c.at).max().unwrap_or_default()
    }

    proptest! {
        #[test]
        fn the_last_good_one_and_all_pins_stay(all in any_history(), rules in any_rules()) {
            let kept = kept(&all, &rules, newest_time(&all));
            if let Some(good) = all.iter().rfind(|c| !c.has_problems) {
                prop_assert!(kept.contains(&good.generation));
            }
            prop_assert!(all.iter().filter(|c| c.is_pinned).all(|c| kept.contains(&c.generation)));
            prop_assert!(kept.len() >= rules.at_least.min(all.iter().filter(|c| !c.has_problems).count()));
        }

        #[test]
        fn the_order_of_the_question_does_not_matter(all in any_history(), rules in any_rules()) {
            let mut turned = all.clone();
            turned.reverse();
            let mut there = kept(&turned, &rules, newest_time(&all));
            there.reverse();
            prop_assert_eq!(kept(&all, &rules, newest_time(&all)), there);
        }

        /// Removing what may go and asking again removes nothing more.
        #[test]
        fn a_second_look_removes_nothing(all in any_history(), rules in any_rules()) {
            let now = newest_time(&all);
            let first = kept(&all, &rules, now);
            let left: Vec<_> = all.iter().filter(|c| first.contains(&c.generation)).cloned().collect();
            prop_assert_eq!(kept(&left, &rules, now), first);
        }

        /// Another failed run is no reason for a whole snapshot to go.
        #[test]
        fn a_failed_run_pushes_no_whole_one_out(all in any_history(), rules in any_rules()) {
            prop_assume!(all.iter().any(|c| !c.has_problems));
            let now = newest_time(&all);
            let before = kept(&all, &rules, now);
            let mut more = all.clone();
            let generation = all.len() as u32 + 1;
            more.push(Candidate { generation, at: now, has_problems: true, is_pinned: false, tags: Vec::new() });
            let after = kept(&more, &rules, now);
            let whole = |g: &&u32| !all[**g as usize - 1].has_problems;
            prop_assert!(before.iter().filter(whole).all(|g| after.contains(g)), "{:?} {:?}", before, after);
        }
    }
}
