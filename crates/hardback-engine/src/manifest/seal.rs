//! The seal: a small text that makes a manifest final. A snapshot without one does not exist.

use super::{Digest, FORMAT_VERSION, Totals};
use hardback_platform::Time;

/// What a seal says. It repeats the sums of the manifest so that listing snapshots reads nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Name of the snapshot.
    pub snapshot: String,
    /// Generation.
    pub generation: u32,
    /// When the run started.
    pub started: Time,
    /// Seconds that local time was ahead of UTC then.
    pub utc_offset_s: i32,
    /// When it was sealed.
    pub sealed: Time,
    /// BLAKE3 of the compressed manifest.
    pub manifest: Digest,
    /// Length of the compressed manifest.
    pub manifest_bytes: u64,
    /// BLAKE3 of this generation's digest list.
    pub digests: Digest,
    /// Generations whose digest lists the manifest refers to.
    pub generations: Vec<u32>,
    /// The sums.
    pub totals: Totals,
    /// Kinds of limitation that were met.
    pub limitations: Vec<String>,
    /// Files whose content the base has in a file of another name.
    pub renamed: u64,
    /// What the snapshot was made on; none for the first of a job.
    pub base: Option<SealBase>,
}

/// The base of a snapshot as it was then: it may be pruned when somebody wants to know how much changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealBase {
    /// Generation.
    pub generation: u32,
    /// When its run started.
    pub started: Time,
    /// Its entries, folders among them.
    pub entries: u64,
    /// Its folders.
    pub dirs: u64,
    /// Its bytes.
    pub bytes: u64,
}

impl From<&Seal> for SealBase {
    fn from(seal: &Seal) -> Self {
        let Totals { entries, dirs, bytes, .. } = seal.totals;
        Self { generation: seal.generation, started: seal.started, entries, dirs, bytes }
    }
}

const MAGIC: &str = "hardback seal ";

impl Seal {
    /// Returns the text.
    pub fn to_text(&self) -> String {
        let t = &self.totals;
        let generations: Vec<String> = self.generations.iter().map(u32::to_string).collect();
        let base = self.base.map(|base| base.to_line()).unwrap_or_default();
        let body = format!(
            "{MAGIC}{FORMAT_VERSION}\nsnapshot {}\ngeneration {}\nstarted {}.{:09}\nutc-offset {}\nsealed {}.{:09}\n\
             manifest {}\nmanifest-bytes {}\ndigests {}\ngenerations {}\nentries {}\ndirs {}\nbytes {}\nnew-files {}\n\
             new-bytes {}\nproblems {}\nexcluded {}\nlimitations {}\nrenamed {}\n{base}",
            self.snapshot,
            self.generation,
            self.started.seconds,
            self.started.nanos,
            self.utc_offset_s,
            self.sealed.seconds,
            self.sealed.nanos,
            hex(&self.manifest),
            self.manifest_bytes,
            hex(&self.digests),
            generations.join(" "),
            t.entries,
            t.dirs,
            t.bytes,
            t.new_files,
            t.new_bytes,
            t.problems,
            t.excluded,
            self.limitations.join(" "),
            self.renamed,
        );
        let digest = blake3::hash(body.as_bytes());
        format!("{body}seal {}\n", digest.to_hex())
    }

    /// Parses the text; `None` for anything that is no whole seal of this version.
    pub fn from_text(text: &str) -> Option<Self> {
        let end = text.rfind("seal ")?;
        let (body, last) = text.split_at(end);
        let digest = last.strip_prefix("seal ")?.strip_suffix('\n')?;
        if blake3::hash(body.as_bytes()).to_hex().as_str() != digest {
            return None;
        }
        let mut lines = body.lines();
        if lines.next()?.strip_prefix(MAGIC)?.parse::<u32>().ok()? != FORMAT_VERSION {
            return None;
        }
        let mut field = |key: &str| lines.next()?.strip_prefix(key).map(str::trim_start);
        Some(Self {
            snapshot: field("snapshot")?.to_owned(),
            generation: field("generation")?.parse().ok()?,
            started: time(field("started")?)?,
            utc_offset_s: field("utc-offset")?.parse().ok()?,
            sealed: time(field("sealed")?)?,
            manifest: unhex(field("manifest")?)?,
            manifest_bytes: field("manifest-bytes")?.parse().ok()?,
            digests: unhex(field("digests")?)?,
            generations: field("generations")?.split_whitespace().map(|g| g.parse().ok()).collect::<Option<_>>()?,
            totals: Totals {
                entries: field("entries")?.parse().ok()?,
                dirs: field("dirs")?.parse().ok()?,
                bytes: field("bytes")?.parse().ok()?,
                new_files: field("new-files")?.parse().ok()?,
                new_bytes: field("new-bytes")?.parse().ok()?,
                problems: field("problems")?.parse().ok()?,
                excluded: field("excluded")?.parse().ok()?,
            },
            limitations: field("limitations")?.split_whitespace().map(str::to_owned).collect(),
            renamed: field("renamed")?.parse().ok()?,
            base: match lines.next() {
                Some(line) => Some(SealBase::from_line(line)?),
                None => None,
            },
        })
    }
}

impl SealBase {
    fn to_line(self) -> String {
        let Self { generation, started, entries, dirs, bytes } = self;
        format!("base {generation} {}.{:09} {entries} {dirs} {bytes}\n", started.seconds, started.nanos)
    }

    fn from_line(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.strip_prefix("base ")?.split(' ').collect();
        let [generation, started, entries, dirs, bytes] = words[..] else { return None };
        Some(Self {
            generation: generation.parse().ok()?,
            started: time(started)?,
            entries: entries.parse().ok()?,
            dirs: dirs.parse().ok()?,
            bytes: bytes.parse().ok()?,
        })
    }
}

fn time(text: &str) -> Option<Time> {
    let (seconds, nanos) = text.split_once('.')?;
    Some(Time { seconds: seconds.parse().ok()?, nanos: nanos.parse().ok().filter(|&n| n < 1_000_000_000)? })
}

fn hex(digest: &Digest) -> String {
    blake3::Hash::from_bytes(*digest).to_hex().to_string()
}

fn unhex(text: &str) -> Option<Digest> {
    blake3::Hash::from_hex(text).ok().map(|h| *h.as_bytes())
}
