//! Values with a unit.

use hardback_engine::Amount;
use hardback_engine::retention::Span;
use hardback_shadow::ShadowSize;
use std::time::Duration;

/// Bytes of one unit, by its letter.
const UNITS: [(char, u64); 5] = [('B', 1), ('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1 << 40)];

/// A part of a whole, in hundredths of a percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Percent(u16);

impl Percent {
    /// Returns the part, between 0 and 1.
    pub(crate) fn part(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// Returns it in hundredths of a percent, from 1 to 10,000.
    pub(crate) fn hundredths(self) -> u32 {
        u32::from(self.0)
    }
}

/// Parses `100`, `500M`, `1.5GiB`: units are powers of 1024.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || "write a number and a unit, such as 500M or 1.5G (units: K, M, G, T; powers of 1024)".to_owned();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim().to_ascii_uppercase();
    let unit_bytes = match unit.trim_end_matches("IB").trim_end_matches('B') {
        "" if unit == "IB" => return Err(wrong()),
        "" => 1,
        letter => UNITS.iter().find(|(l, _)| letter.chars().eq([*l])).map(|(_, bytes)| *bytes).ok_or_else(wrong)?,
    };
    let thousandths = decimal(number, 3).ok_or_else(wrong)?;
    let bytes = u128::from(thousandths) * u128::from(unit_bytes) / 1000;
    u64::try_from(bytes).map_err(|_| "this is larger than any file".to_owned())
}

/// Parses `5%`, `5` or `0.25%`.
pub(crate) fn percent(text: &str) -> Result<Percent, String> {
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    match decimal(number, 2) {
        Some(hundredths @ 1..=10_000) => Ok(Percent(u16::try_from(hundredths).unwrap_or(10_000))),
        _ => Err("write a part between 0.01% and 100%, such as 5%".to_owned()),
    }
}

/// Parses a size, or a part of the volume: `50G`, `10%`.
pub(crate) fn amount_of_bytes(text: &str) -> Result<Amount, String> {
    if text.ends_with('%') { percent(text).map(|p| Amount::Part(p.part())) } else { size(text).map(Amount::Number) }
}

/// Parses how much room a shadow copy gets: `10G`, `30%`.
pub(crate) fn shadow_size(text: &str) -> Result<ShadowSize, String> {
    if text.ends_with('%') {
        return percent(text).map(|percent| ShadowSize::Part(percent.hundredths()));
    }
    match size(text) {
        Ok(0) => Err("write a size such as 10G, or a part of the volume such as 20%".to_owned()),
        other => other.map(ShadowSize::Bytes),
    }
}

/// Parses a number, or a part of a whole: `100000`, `5%`.
pub(crate) fn amount(text: &str) -> Result<Amount, String> {
    if text.ends_with('%') {
        return percent(text).map(|p| Amount::Part(p.part()));
    }
    text.parse().map(Amount::Number).map_err(|_| "write a number or a part, such as 100000 or 5%".to_owned())
}

/// Parses how many there are to be: 0 would keep nothing, which nobody means by it.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("0 would keep nothing; leave the option out to switch it off".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("write a number".to_owned()),
    }
}

/// Parses a stretch of time: `36h`, `30 days`.
pub(crate) fn span(text: &str) -> Result<Span, String> {
    Span::new(text).ok_or_else(|| "write a time such as 36h, \"30 days\" or \"1 year 6 months\"".to_owned())
}

/// Parses how long something may take: `90s`, `5m`, `500ms`, `2` (seconds).
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write a number and a unit, such as 90s, 5m or 500ms".to_owned();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let milliseconds = match unit.trim() {
        "ms" => 1,
        "" | "s" => 1000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let thousandths = decimal(number, 3).ok_or_else(wrong)?;
    match thousandths.checked_mul(milliseconds).map(|n| n / 1000) {
        Some(ms @ 1..) => Ok(Duration::from_millis(ms)),
        _ => Err(wrong()),
    }
}

/// Parses a decimal number into units of `10^-digits`.
fn decimal(text: &str, digits: u32) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || part.len() > digits as usize || !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let scale = 10u64.pow(digits);
    let padded = format!("{part:0<width$}", width = digits as usize);
    whole.parse::<u64>().ok()?.checked_mul(scale)?.checked_add(padded.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        let good = [("0", 0), ("100", 100), ("1k", 1024), ("500M", 500 << 20), ("1.5GiB", 3 << 29), ("2TB", 2 << 40)];
        for (text, bytes) in good {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "M", "1X", "-1", "1.2.3", "1..2", "1e3", "1iB", "99999999999T", "1 000"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_shadow_copy_gets_bytes_or_a_part_of_its_volume() {
        assert_eq!(shadow_size("10G"), Ok(ShadowSize::Bytes(10 << 30)));
        assert_eq!(shadow_size("12.5%"), Ok(ShadowSize::Part(1250)));
        assert_eq!(ShadowSize::Part(1250).of_volume(8 << 40), 1 << 40);
        for bad in ["", "0", "0%", "101%", "x"] {
            assert!(shadow_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_sample_is_a_part_of_the_whole() {
        assert_eq!(percent("5%"), Ok(Percent(500)));
        assert_eq!(percent("0.25"), Ok(Percent(25)));
        assert_eq!(percent("100%"), Ok(Percent(10_000)));
        for bad in ["0", "101%", "%", "five", "0.001%"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }
}
