//! Contenders that take turns, so that what else the machine does meets all of
//! them alike.

use anyhow::{Context, Result};

use super::measure::{Cache, Sample, Spread, digits};
use super::table::{Table, met};
use super::volume::Kind;

const HEADER: &[&str] = &[
    "target",
    "cache",
    "tool",
    "wall s",
    "CPU s",
    "peak MiB",
    "target grew MiB",
    "hardback / tool",
    "expected at most",
    "met",
];

/// One that takes part.
pub struct Contender<'l> {
    pub name: String,
    pub run: Box<dyn FnMut(Cache) -> Result<Sample> + 'l>,
    /// What hardback's wall time may be of its own.
    pub ratio_max: Option<f64>,
    /// By how much the target may grow; the ratio has precedence.
    pub written_mib_max: Option<f64>,
    /// Stands for the part of its runs before the last sync, by the field of
    /// their report that the function names.
    pub unsynced: Option<fn(Cache) -> &'static str>,
}

impl<'l> Contender<'l> {
    /// One of which nothing is expected.
    pub fn new(name: impl Into<String>, run: impl FnMut(Cache) -> Result<Sample> + 'l) -> Self {
        Self { name: name.into(), run: Box::new(run), ratio_max: None, written_mib_max: None, unsynced: None }
    }

    pub fn ratio_at_most(mut self, ratio: impl Into<Option<f64>>) -> Self {
        self.ratio_max = ratio.into();
        self
    }

    pub fn written_at_most(mut self, mib: impl Into<Option<f64>>) -> Self {
        self.written_mib_max = mib.into();
        self
    }
}

/// The table of a case that is a race.
pub fn table(title: impl Into<String>) -> Table {
    Table::new(title, HEADER)
}

/// Lets all run, turn by turn, and adds a row for each; the first is hardback. `warm_up` reads what they read: where the
/// cache is to be warm it comes before each, as what one writes drives out what the next would find.
pub fn race(
    table: &mut Table,
    (volume, cache): (Kind, Cache),
    runs: usize,
    warm_up: &dyn Fn() -> Result<()>,
    mut contenders: Vec<Contender>,
) -> Result<()> {
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); contenders.len()];
    for run in 1..=runs {
        for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
            let name = &contender.name;
            if cache == Cache::Warm {
                warm_up()?;
            }
            let sample = (contender.run)(cache).with_context(|| format!("{name} on {}", volume.name()))?;
            println!("    {} {} {run}/{runs}: {:>8.2} s  {name}", volume.name(), cache.name(), sample.wall_s);
            samples.push(sample);
        }
    }
    for (contender, its) in contenders.iter().zip(&samples) {
        let is_first = std::ptr::eq(its, &samples[0]);
        let ours = (!is_first).then_some(&samples[0]);
        add_row(table, (volume, cache), contender, its, ours)?;
    }
    Ok(())
}

fn add_row(
    table: &mut Table,
    (volume, cache): (Kind, Cache),
    contender: &Contender,
    samples: &[Sample],
    ours: Option<&Vec<Sample>>,
) -> Result<()> {
    let spread = |of: fn(&Sample) -> f64| Spread::of(samples.iter().map(of));
    let walls = walls(contender, cache, samples)?;
    let wall = Spread::of(walls.iter().copied());
    let written: Vec<f64> = samples.iter().filter_map(|sample| sample.written_mib).collect();
    let written = (!written.is_empty()).then(|| Spread::of(written));
    let ratio = ours.map(|ours| {
        let by_run = ours.iter().zip(&walls).map(|(ours, wall)| ours.wall_s / wall);
        let median = Spread::of(ours.iter().map(|ours| ours.wall_s)).median / wall.median;
        Spread { median, ..Spread::of(by_run) }
    });
    let (expected, verdict) = match (ratio, contender.ratio_max, written, contender.written_mib_max) {
        (Some(ratio), Some(max), ..) => (digits(max), met(ratio.median, max)),
        (_, _, Some(written), Some(max)) => (format!("{} MiB", digits(max)), met(written.most, max)),
        _ => Default::default(),
    };
    table.row([
        volume.name().to_owned(),
        cache.name().to_owned(),
        contender.name.clone(),
        wall.text(),
        spread(|sample| sample.cpu_s).text(),
        spread(|sample| sample.peak_mib).text(),
        written.map_or_else(String::new, |written| written.text()),
        ratio.map_or_else(String::new, |ratio| ratio.text()),
        expected,
        verdict,
    ]);
    Ok(())
}

fn walls(contender: &Contender, cache: Cache, samples: &[Sample]) -> Result<Vec<f64>> {
    let wall = |sample: &Sample| match contender.unsynced {
        None => Ok(sample.wall_s),
        Some(field) => sample.report[field(cache)].as_f64().context("no time before the sync"),
    };
    samples.iter().map(wall).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contender<'l>(name: &str, walls: &'l [f64]) -> Contender<'l> {
        let mut walls = walls.iter();
        Contender::new(name, move |_| Ok(Sample { wall_s: *walls.next().unwrap(), ..Sample::default() }))
    }

    #[test]
    fn ratios_are_hardbacks_time_by_the_others_and_are_judged() {
        let mut found = table("t");
        let contenders = vec![
            contender("hardback", &[1.0, 2.0, 3.0]),
            contender("slow", &[4.0, 4.0, 4.0]).ratio_at_most(0.5),
            contender("quick", &[1.0, 1.0, 1.0]).ratio_at_most(0.5),
        ];
        race(&mut found, (Kind::Xfs, Cache::Warm), 3, &|| Ok(()), contenders).unwrap();
        let text = found.markdown();
        let rows: Vec<String> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert!(rows[2].contains("| hardback | 2.00 (1.00–3.00) |"), "{text}");
        assert!(rows[3].ends_with("| 0.500 (0.250–0.750) | 0.500 | yes |"), "{text}");
        assert!(rows[4].ends_with("| 2.00 (1.00–3.00) | 0.500 | **no** |"), "{text}");
    }
}
