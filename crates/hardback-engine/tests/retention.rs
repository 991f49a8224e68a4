//! The rules of retention on histories that other tools lost; each is told by whoever lost it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use hardback_engine::retention::{Candidate, Decision, Period, Rules, Span, decide};
use hardback_platform::Time;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

fn berlin() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn at(text: &str) -> Time {
    let local: DateTime = text.parse().unwrap();
    time(local.to_zoned(berlin()).unwrap().timestamp())
}

fn time(at: Timestamp) -> Time {
    Time { seconds: at.as_second(), nanos: 0 }
}

fn history(times: &[&str]) -> Vec<Candidate> {
    let candidate =
        |(generation, at)| Candidate { generation, at, has_problems: false, is_pinned: false, tags: vec![] };
    (1..).zip(times.iter().map(|text| at(text))).map(candidate).collect()
}

/// Returns the days, and the hours where they are not ten, of what stays.
fn kept(all: &[Candidate], rules: &Rules, now: &str) -> Vec<String> {
    let decisions = decide(all, rules, at(now), &berlin()).unwrap();
    let stays = all.iter().zip(decisions).filter(|(_, decision)| *decision != Decision::Remove);
    let shown = |candidate: &Candidate| {
        let at = Timestamp::new(candidate.at.seconds, 0).unwrap().to_zoned(berlin());
        let text = at.strftime("%Y-%m-%dT%H").to_string();
        text.trim_end_matches("T10").to_owned()
    };
    stays.map(|(candidate, _)| shown(candidate)).collect()
}

fn rules(periods: &[(Period, usize)]) -> Rules {
    Rules { periods: periods.to_vec(), at_least: 1, ..Rules::default() }
}

/// rsnapshot #33, #107, #141, #284: a laptop that was away, while rotations went on, had no backups in the end.
#[test]
fn a_laptop_that_was_away_loses_nothing_however_often_it_is_asked() {
    let days = ["2026-03-02T10", "2026-03-03T10", "2026-03-09T10", "2026-03-10T10", "2026-03-11T10"];
    let mut all = history(&days);
    let rules = rules(&[(Period::Day, 3), (Period::Week, 4)]);
    let expected = ["2026-03-03", "2026-03-09", "2026-03-10", "2026-03-11"];
    for now in ["2026-03-11T11", "2026-04-20T10", "2026-05-30T10", "2026-12-24T10"] {
        assert_eq!(kept(&all, &rules, now), expected, "{now}");
        all.retain(|candidate| expected.iter().any(|day| at(&format!("{day}T10")) == candidate.at));
    }
}

/// timeshift #272: "keep 5 daily" kept those of the last five days, which after a pause were one.
#[test]
fn a_number_of_days_is_a_number_of_days_that_have_a_snapshot() {
    let all = history(&[
        "2026-06-01T10",
        "2026-06-02T10",
        "2026-06-03T10",
        "2026-06-04T10",
        "2026-06-05T10",
        "2026-06-19T10",
    ]);
    let expected = ["2026-06-02", "2026-06-03", "2026-06-04", "2026-06-05", "2026-06-19"];
    assert_eq!(kept(&all, &rules(&[(Period::Day, 5)]), "2026-06-19T11"), expected);
}

/// rsync-time-backup #121: eleven at night and two in the morning are two days, not three hours.
#[test]
fn days_are_those_of_the_calendar_and_not_spans_of_hours() {
    let all = history(&["2026-06-01T23", "2026-06-02T02", "2026-06-03T23", "2026-06-04T02"]);
    let expected = ["2026-06-01T23", "2026-06-02T02", "2026-06-03T23", "2026-06-04T02"];
    assert_eq!(kept(&all, &rules(&[(Period::Day, 4)]), "2026-06-04T03"), expected);
}

/// rsync-time-backup #227: of several in a day it is the newest that stays.
#[test]
fn a_day_is_stood_for_by_its_newest() {
    let all = history(&["2026-06-01T08", "2026-06-01T12", "2026-06-01T20", "2026-06-02T10"]);
    assert_eq!(kept(&all, &rules(&[(Period::Day, 2)]), "2026-06-02T11"), ["2026-06-01T20", "2026-06-02"]);
}

/// rsync-time-backup #175: the very first backup was never removed, whatever its age.
#[test]
fn the_oldest_one_is_no_exception() {
    let all = history(&["2024-05-31T10", "2025-07-30T10", "2026-05-01T10", "2026-06-01T10"]);
    let within = Span::new("365 days").unwrap().before(at("2026-06-01T11"), &berlin()).unwrap();
    let rules = Rules { within: Some(within), at_least: 1, ..Rules::default() };
    assert_eq!(kept(&all, &rules, "2026-06-01T11"), ["2025-07-30", "2026-05-01", "2026-06-01"]);
}

/// backintime #18, #281: at New Year all monthly ones of the old year were removed but one.
#[test]
fn months_are_counted_across_new_year() {
    let all = history(&[
        "2025-09-30T10",
        "2025-10-31T10",
        "2025-11-30T10",
        "2025-12-31T10",
        "2026-01-01T10",
        "2026-01-02T10",
    ]);
    let expected = ["2025-10-31", "2025-11-30", "2025-12-31", "2026-01-02"];
    assert_eq!(kept(&all, &rules(&[(Period::Month, 4)]), "2026-01-02T11"), expected);
}

/// Clocks that go forward and back, and runs in one second: each is one snapshot, and none counts twice.
#[test]
fn hours_that_are_missing_or_there_twice_count_as_they_are() {
    let spring = history(&["2026-03-29T00", "2026-03-29T01", "2026-03-29T03", "2026-03-29T04"]);
    let expected = ["2026-03-29T00", "2026-03-29T01", "2026-03-29T03", "2026-03-29T04"];
    assert_eq!(kept(&spring, &rules(&[(Period::Hour, 4)]), "2026-03-29T05"), expected);
    let first: Timestamp = "2026-10-25T00:30:00Z".parse().unwrap();
    let hour = jiff::SignedDuration::from_hours(1);
    let candidate =
        |(generation, at)| Candidate { generation, at, has_problems: false, is_pinned: false, tags: vec![] };
    let times = [first, first + hour, first + hour, first + hour + hour].map(time);
    let autumn: Vec<Candidate> = (1..).zip(times).map(candidate).collect();
    let decisions = decide(&autumn, &rules(&[(Period::Hour, 9)]), time(first + hour * 5), &berlin()).unwrap();
    let stays: Vec<bool> = decisions.iter().map(|decision| *decision != Decision::Remove).collect();
    assert_eq!(stays, [true, false, true, true], "of two in a second the later generation");
}

#[test]
fn spans_of_time_are_those_of_the_calendar() {
    let days = |text: &str, now: &str| Span::new(text).unwrap().before(at(now), &berlin()).unwrap().as_hours();
    assert_eq!(days("36h", "2026-06-01T10"), 36);
    assert_eq!(days("1 month", "2026-03-31T10"), 31 * 24 - 1, "from February's last day, over a lost hour");
    assert_eq!(days("1 year 6 months", "2026-06-01T10"), 547 * 24 - 1);
    for wrong in ["", "sometime", "-1 day", "0s", "5"] {
        assert!(Span::new(wrong).is_none(), "{wrong:?}");
    }
}
