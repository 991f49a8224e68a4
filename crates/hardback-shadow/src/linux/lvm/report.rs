//! What `lvs` tells, lvs(8): parsed, and what follows from it. No tool is started here.

use crate::error::ShadowError;
use serde::Deserialize;

/// What is asked. No field of segments (`segtype`): with one of them, `lvs` has a line for each segment.
pub(super) const FIELDS: &str = "lv_uuid,vg_name,lv_name,lv_attr,pool_lv,origin,lv_size,lv_kernel_major,\
    lv_kernel_minor,data_percent,metadata_percent,lv_snapshot_invalid,vg_extent_size,vg_free_count";

/// The answer in JSON.
#[derive(Deserialize)]
struct Answer {
    report: Vec<Part>,
}

#[derive(Deserialize)]
struct Part {
    #[serde(default)]
    lv: Vec<LogicalVolume>,
}

/// A logical volume; each field is text, and empty where it means nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct LogicalVolume {
    /// Stays when it is renamed.
    #[serde(rename = "lv_uuid")]
    pub(super) uuid: String,
    #[serde(rename = "vg_name")]
    pub(super) group: String,
    #[serde(rename = "lv_name")]
    pub(super) name: String,
    /// Ten letters: what it is, and its state.
    #[serde(rename = "lv_attr")]
    attributes: String,
    /// The pool of a thin volume.
    #[serde(rename = "pool_lv")]
    pub(super) pool: String,
    /// What it is a snapshot of.
    pub(super) origin: String,
    lv_size: String,
    lv_kernel_major: String,
    lv_kernel_minor: String,
    data_percent: String,
    metadata_percent: String,
    #[serde(rename = "lv_snapshot_invalid")]
    invalid: String,
    vg_extent_size: String,
    vg_free_count: String,
}

/// Parses the answer.
pub(super) fn parse(json: &str) -> Result<Vec<LogicalVolume>, String> {
    let answer: Answer = serde_json::from_str(json).map_err(|e| e.to_string())?;
    Ok(answer.report.into_iter().flat_map(|part| part.lv).collect())
}

impl LogicalVolume {
    /// Returns the name as the tools take it.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.group, self.name)
    }

    /// Returns whether it is the device with a number.
    pub(super) fn is_device(&self, (major, minor): (u32, u32)) -> bool {
        self.device() == Some((major, minor))
    }

    /// Returns the number of its device, while it is active.
    pub(super) fn device(&self) -> Option<(u32, u32)> {
        Some((self.lv_kernel_major.parse().ok()?, self.lv_kernel_minor.parse().ok()?))
    }

    /// Returns whether it is thin: its snapshots share the room of its pool.
    pub(super) fn is_thin(&self) -> bool {
        self.attributes.starts_with('V') && !self.pool.is_empty()
    }

    /// Returns its size.
    pub(super) fn size_bytes(&self) -> u64 {
        self.lv_size.parse().unwrap_or(0)
    }

    /// Returns how large the pieces are that its group gives room in; at least one byte.
    pub(super) fn extent_bytes(&self) -> u64 {
        self.vg_extent_size.parse().unwrap_or(0).max(1)
    }

    /// Returns how many of these its group has free.
    pub(super) fn free_extents(&self) -> u64 {
        self.vg_free_count.parse().unwrap_or(0)
    }

    /// Returns why there can be no snapshot of it, if that is so.
    pub(super) fn refusal(&self) -> Option<ShadowError> {
        let shown = self.path();
        if !self.is_thin() && !self.origin.is_empty() {
            return Some(ShadowError::refused(
                format!("the logical volume {shown} is a snapshot itself, and LVM makes none of those"),
                "back up its origin, or use a thin pool, in which snapshots can have snapshots",
            ));
        }
        if !self.is_thin() && self.free_extents() == 0 {
            return Some(ShadowError::refused(
                format!("the volume group {} has no room left for a snapshot of {shown}", self.group),
                "a snapshot needs room for what is overwritten while it is there: add a disk with vgextend, or make a \
                 volume smaller",
            ));
        }
        None
    }

    /// Returns why what is read from this snapshot cannot be trusted, if that is so.
    fn loss(&self, pool: Option<&Self>) -> Option<(String, &'static str)> {
        if self.is_thin() {
            let pool = pool?;
            let full = [(&pool.data_percent, "room"), (&pool.metadata_percent, "room for metadata")];
            let (_, what) = full.into_iter().find(|(percent, _)| is_full(percent))?;
            return Some((
                format!("the {what} of its thin pool {} is used up, and nothing can be written", pool.path()),
                "make the pool larger with lvextend, or have LVM do so: lvmthin(7), thin_pool_autoextend_threshold",
            ));
        }
        // The fifth letter is the state: invalid, or suspended and invalid.
        let is_invalid = matches!(self.attributes.as_bytes().get(4), Some(b'I' | b'S'))
            || matches!(self.invalid.as_str(), "snapshot invalid" | "1");
        (is_invalid || is_full(&self.data_percent)).then(|| {
            (
                "more was overwritten on the volume than there was room for in its snapshot".to_owned(),
                "give it more room: --shadow-size 50%, or run when less is written",
            )
        })
    }
}

/// Tells whether a snapshot that was made is still good.
pub(super) fn check(volumes: &[LogicalVolume], name: &str, volume: &str) -> Result<(), ShadowError> {
    let lost = |why: String, hint: &str| {
        Err(ShadowError::Lost { volume: volume.to_owned(), why, hint: Some(hint.to_owned()) })
    };
    let Some(snapshot) = volumes.iter().find(|found| found.name == name) else {
        return lost(format!("the snapshot {name} is not there any more"), "who removed it?");
    };
    let pool = volumes.iter().find(|found| found.group == snapshot.group && found.name == snapshot.pool);
    match snapshot.loss(pool) {
        Some((why, hint)) => lost(why, hint),
        None => Ok(()),
    }
}

/// Returns what is to be removed under the name of a copy of ours: `None` where nothing has it.
pub(super) fn removable(volumes: &[LogicalVolume], name: &str) -> Result<Option<String>, ShadowError> {
    match volumes.iter().find(|found| found.name == name) {
        None => Ok(None),
        Some(found) if found.origin.is_empty() => Err(ShadowError::refused(
            format!("{} is no snapshot of another volume, so it is none of ours", found.path()),
            "look at it with lvs, and remove it by hand",
        )),
        Some(found) => Ok(Some(found.path())),
    }
}

/// `100.00`: all of it is used.
fn is_full(percent: &str) -> bool {
    percent.split('.').next().and_then(|whole| whole.parse::<u32>().ok()).is_some_and(|whole| whole >= 100)
}
