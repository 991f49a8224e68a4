//! Numbers, times, paths and tables for people, and paths for programs.

use hardback_engine::system::display_path;
use jiff::tz::{Offset, TimeZone};
use std::path::Path;
use std::time::Duration;

/// Returns `512 B`, `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut tenths = u128::from(bytes) * 10 / 1024;
    while tenths >= 10_240 && unit + 1 < units.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, units[unit])
}

/// Returns `12,345`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Returns `1 problem`, `2 problems`.
pub(crate) fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(n), if n == 1 { one } else { many })
}

/// Returns `0.4 s`, `12 s`, `3:05`, `1:02:03`.
pub(crate) fn duration(duration: Duration) -> String {
    let s = duration.as_secs();
    match s {
        0..10 => format!("{}.{} s", s, duration.subsec_millis() / 100),
        10..60 => format!("{s} s"),
        60..3600 => format!("{}:{:02} min", s / 60, s % 60),
        _ => format!("{}:{:02}:{:02} h", s / 3600, s / 60 % 60, s % 60),
    }
}

/// Returns `2026-11-20 18:00:00`, as the clocks showed it there and then.
pub(crate) fn local_time(time: jiff::Timestamp, utc_offset_s: i32) -> String {
    let offset = Offset::from_seconds(utc_offset_s).unwrap_or(Offset::UTC);
    time.to_zoned(TimeZone::fixed(offset)).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Returns `2026-11-20 18:00:00` in a zone.
pub(crate) fn time_in(time: jiff::Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Returns a path for a person.
pub(crate) fn path(bytes: &[u8]) -> String {
    display_path(bytes).to_string()
}

/// Returns a path for a program: UTF-8 as it is; `\` and bytes that are no UTF-8 as `\ooo`, so that it can be reversed.
pub(crate) fn json_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(&chunk.valid().replace('\\', "\\134"));
        for byte in chunk.invalid() {
            out.push_str(&format!("\\{byte:03o}"));
        }
    }
    out
}

/// Returns a path as a word that a shell takes as it is.
pub(crate) fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_windows = std::env::consts::FAMILY == "windows";
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%,".contains(c) || (is_windows && c == '\\');
    if !text.is_empty() && text.chars().all(plain) {
        text.into_owned()
    } else if is_windows {
        // No name has such a quote there.
        format!("\"{text}\"")
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// For words.
    Left,
    /// For numbers.
    Right,
}

/// Returns the lines of a table: the heads, then the rows, each column as wide as its widest text.
pub(crate) fn table<const N: usize>(heads: [(&str, Align); N], rows: &[[String; N]]) -> Vec<String> {
    let mut widths = heads.map(|(head, _)| head.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(&widths).zip(&heads).map(|((cell, width), (_, align))| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let head = line(heads.map(|(head, _)| head));
    std::iter::once(head).chain(rows.iter().map(|row| line(row.each_ref().map(String::as_str)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units_and_one_digit() {
        let cases =
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 29, "1.5 GiB"), ((1 << 20) - 1, "1023.9 KiB")];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(u64::MAX), "15.9 EiB");
    }

    #[test]
    fn counts_have_separators() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(n), text);
        }
    }

    #[test]
    fn durations_are_read_at_a_glance() {
        let cases = [(450, "0.4 s"), (12_000, "12 s"), (185_000, "3:05 min"), (3_723_000, "1:02:03 h")];
        for (millis, text) in cases {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn any_bytes_are_json_and_come_back() {
        assert_eq!(json_bytes("ä\\\n".as_bytes()), "ä\\134\n");
        assert_eq!(json_bytes(b"a\xff/b"), "a\\377/b");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_text() {
        let rows = [["a".to_owned(), "1".to_owned()], ["löng".to_owned(), "1,000".to_owned()]];
        let lines = table([("name", Align::Left), ("n", Align::Right)], &rows);
        assert_eq!(lines, ["name      n", "a         1", "löng  1,000"]);
    }
}
