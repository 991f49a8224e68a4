//! What to keep: the words of `prune`, and of `backup`, which prunes behind its snapshot.

use super::values::{self, Percent};
use clap::{Args, ValueEnum};
use hardback_engine::retention::{Period, Rules, Span};
use hardback_engine::{Amount, Clock, Error, GuardLimits, PruneOptions, Room};

/// Which snapshots stay.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What to keep (without any of these, everything)")]
pub(crate) struct RetentionArgs {
    /// Keep by a scheme; the other options add to it
    #[arg(long, value_enum, value_name = "SCHEME")]
    pub(crate) keep: Option<KeepScheme>,
    /// Keep the newest N snapshots
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) keep_last: Option<usize>,
    /// Keep one snapshot an hour, for N hours that have any; so for the other periods
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) keep_hourly: Option<usize>,
    /// Keep one a day
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) keep_daily: Option<usize>,
    /// Keep one a week
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) keep_weekly: Option<usize>,
    /// Keep one a month
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) keep_monthly: Option<usize>,
    /// Keep one a year
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) keep_yearly: Option<usize>,
    /// Keep all that are younger: 36h, "30 days", "1 year 6 months"
    #[arg(long, value_name = "DURATION", value_parser = values::span)]
    pub(crate) keep_within: Option<Span>,
    /// Keep all with this tag; see `hardback tag`
    #[arg(long, value_name = "TAG")]
    pub(crate) keep_tag: Vec<String>,
    /// Never go below this many of the newest snapshots, nor of those without problems [default: 3 when snapshots go for
    /// room, none when no rule keeps them]
    #[arg(long, value_name = "N")]
    pub(crate) keep_at_least: Option<usize>,
    /// Remove the oldest snapshots, also kept ones, until so much is free on the target: 50G, 10%
    #[arg(long, value_name = "SIZE|PERCENT", value_parser = values::amount_of_bytes)]
    pub(crate) min_free: Option<Amount>,
    /// The same for the entries (inodes) that the volume can still hold: 100000, 5%
    #[arg(long, value_name = "N|PERCENT", value_parser = values::amount)]
    pub(crate) min_free_inodes: Option<Amount>,
    /// Remove the oldest snapshots, also kept ones, until the job takes no more than this: 500G. Counting takes a while
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    pub(crate) max_size: Option<u64>,
    /// Part of the entries or bytes that may be gone since the snapshot before; more stops all removing
    #[arg(long, value_name = "PERCENT", value_parser = values::percent, default_value = "50%")]
    pub(crate) max_shrink: Percent,
    /// Part of the files that may have changed, or got another name, where as many never did before
    #[arg(long, value_name = "PERCENT", value_parser = values::percent, default_value = "30%")]
    pub(crate) max_change: Percent,
}

/// Rules that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeepScheme {
    /// Hourly for 24 hours, daily for 30 days, weekly until the target is full
    TimeMachine,
    /// 6 hourly, 7 daily, 4 weekly and 3 monthly ones
    Rsnapshot,
    /// Everything
    Forever,
}

impl RetentionArgs {
    /// Returns whether anything may be removed by these words.
    pub(crate) fn is_asked(&self) -> bool {
        self.keep.is_some_and(|scheme| scheme != KeepScheme::Forever)
            || self.keep_last.is_some()
            || self.periods().next().is_some()
            || self.keep_within.is_some()
            || !self.keep_tag.is_empty()
            || self.min_free.is_some()
            || self.min_free_inodes.is_some()
            || self.max_size.is_some()
    }

    /// Returns what is to be done.
    pub(crate) fn options(&self, clock: &dyn Clock) -> Result<PruneOptions, Error> {
        let is_forever = self.keep == Some(KeepScheme::Forever);
        if is_forever && (self.min_free.is_some() || self.min_free_inodes.is_some() || self.max_size.is_some()) {
            let hint = "for room snapshots go: leave out --min-free, or --keep forever";
            return Err(Error::refused("everything is to be kept, and room to be made", hint));
        }
        let mut rules = Rules {
            last: self.keep_last,
            periods: self.scheme().iter().copied().chain(self.periods()).collect(),
            within: self.keep_within.map(|span| span.before(clock.now(), &clock.zone())).transpose()?,
            tags: self.keep_tag.clone(),
            at_least: self.keep_at_least.unwrap_or(0),
        };
        if is_forever {
            rules = Rules::default();
        }
        let room = Room {
            at_least: self.keep_at_least.unwrap_or(Room::default().at_least),
            min_free: self.min_free,
            min_free_entries: self.min_free_inodes,
            max_size_bytes: self.max_size,
            until_full: self.keep == Some(KeepScheme::TimeMachine),
        };
        let guards = GuardLimits { max_shrink: self.max_shrink.part(), max_change: self.max_change.part() };
        Ok(PruneOptions { rules, room, guards, ..PruneOptions::default() })
    }

    fn scheme(&self) -> &'static [(Period, usize)] {
        match self.keep {
            Some(KeepScheme::TimeMachine) => &[(Period::Hour, 24), (Period::Day, 30), (Period::Week, usize::MAX)],
            Some(KeepScheme::Rsnapshot) => {
                &[(Period::Hour, 6), (Period::Day, 7), (Period::Week, 4), (Period::Month, 3)]
            }
            Some(KeepScheme::Forever) | None => &[],
        }
    }

    fn periods(&self) -> impl Iterator<Item = (Period, usize)> {
        let asked = [
            (Period::Hour, self.keep_hourly),
            (Period::Day, self.keep_daily),
            (Period::Week, self.keep_weekly),
            (Period::Month, self.keep_monthly),
            (Period::Year, self.keep_yearly),
        ];
        asked.into_iter().filter_map(|(period, count)| Some((period, count?)))
    }
}

#[cfg(test)]
mod tests {
    use crate::args::Cli;
    use clap::Parser;
    use hardback_engine::FixedClock;
    use hardback_engine::retention::{Candidate, Decision, decide};
    use jiff::SignedDuration;
    use jiff::civil::date;
    use jiff::tz::TimeZone;

    /// Returns how many of the snapshots that were made each hour of so many days stay.
    fn kept(words: &[&str], days: i64) -> usize {
        let newest = date(2026, 6, 30).at(23, 30, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp();
        let of = |at: jiff::Timestamp| hardback_engine::Time { seconds: at.as_second(), nanos: 0 };
        let clock = FixedClock { now: of(newest), zone: TimeZone::UTC };
        let cli = Cli::try_parse_from([&["hardback", "prune", "/target"], words].concat()).unwrap();
        let crate::args::Command::Prune(args) = cli.command else { panic!("not prune") };
        let rules = args.retention.options(&clock).unwrap().rules;
        let candidate = |hour: i64| Candidate {
            generation: u32::try_from(days * 24 - hour).unwrap(),
            at: of(newest - SignedDuration::from_hours(hour)),
            has_problems: false,
            is_pinned: false,
            tags: Vec::new(),
        };
        let all: Vec<Candidate> = (0..days * 24).map(candidate).collect();
        let decisions = decide(&all, &rules, clock.now, &clock.zone).unwrap();
        decisions.iter().filter(|decision| **decision != Decision::Remove).count()
    }

    #[test]
    fn each_scheme_keeps_what_its_name_says() {
        // 24 hours of one day, 29 days before it, and the Sundays of the weeks before those: 1 June is a Monday.
        assert_eq!(kept(&["--keep", "time-machine"], 30), 24 + 29);
        assert_eq!(kept(&["--keep", "time-machine"], 30 + 7 * 10), 24 + 29 + 10);
        // 6 hours; six days more, 28 June among them, which ends a week; the weeks to 21 and 14 June; May and April.
        assert_eq!(kept(&["--keep", "rsnapshot"], 100), 6 + 6 + 2 + 2);
        assert_eq!(kept(&["--keep", "forever"], 20), 20 * 24);
        assert_eq!(kept(&["--keep", "rsnapshot", "--keep-last", "10"], 100), 10 + 6 + 2 + 2);
        assert_eq!(kept(&["--keep-within", "2 days"], 20), 49);
    }
}
