//! What follows from what `lvs` tells; the answers were recorded with LVM 2.03.16.

use super::super::tool::Done;
use super::report::{FIELDS, LogicalVolume, check, parse, removable};
use super::*;

const GOOD: &str = include_str!("fixtures/good.json");
const INVALID: &str = include_str!("fixtures/invalid.json");
const POOL_FULL: &str = include_str!("fixtures/pool-full.json");

/// A snapshot of the thick volume thick/ext4, and one of a thin volume.
const THICK: &str = "hardback-shadow-aa-0";
const THIN: &str = "hardback-shadow-aa-1";

fn volume(json: &str, group: &str, name: &str) -> LogicalVolume {
    parse(json).unwrap().into_iter().find(|volume| volume.group == group && volume.name == name).unwrap()
}

#[test]
fn every_field_that_is_asked_for_is_read() {
    let volumes = parse(GOOD).unwrap();
    assert_eq!(volumes.len(), 7);
    for field in FIELDS.split(',') {
        assert!(GOOD.contains(&format!("\"{field}\":")), "{field} is not in what was recorded");
    }
    let thick = volume(GOOD, "thick", "ext4");
    assert_eq!((thick.path().as_str(), thick.device(), thick.is_thin()), ("thick/ext4", Some((253, 0)), false));
    assert_eq!((thick.size_bytes(), thick.extent_bytes(), thick.free_extents()), (192 << 20, 4 << 20, 253));
    assert_eq!(thick.uuid.len(), 38);
    let thin = volume(GOOD, "thin", "xfs");
    assert_eq!((thin.pool.as_str(), thin.device(), thin.is_thin()), ("pool", Some((253, 7)), true));
    assert!(thin.is_device((253, 7)) && !thin.is_device((253, 0)) && !thin.is_device((8, 7)));
    // The pool itself is no thin volume.
    assert!(!volume(GOOD, "thin", "pool").is_thin());
}

#[test]
fn a_volume_that_is_not_active_has_no_device() {
    let json = GOOD.replace(
        r#""lv_kernel_major":"253", "lv_kernel_minor":"0""#,
        r#""lv_kernel_major":"-1", "lv_kernel_minor":"-1""#,
    );
    assert_eq!(volume(&json, "thick", "ext4").device(), None);
}

#[test]
fn only_what_can_have_a_snapshot_is_taken() {
    let refusal = |json: &str, group: &str, name: &str| volume(json, group, name).refusal().map(|e| e.to_string());
    assert_eq!(refusal(GOOD, "thick", "ext4"), None);
    assert_eq!(refusal(GOOD, "thin", "ext4"), None);
    // A thin snapshot can have one, a thick one cannot.
    assert_eq!(refusal(GOOD, "thin", THIN), None);
    assert!(refusal(GOOD, "thick", THICK).unwrap().contains("is a snapshot itself"));
    let full = GOOD.replace(r#""vg_free_count":"253""#, r#""vg_free_count":"0""#);
    assert!(refusal(&full, "thick", "ext4").unwrap().contains("volume group thick has no room left"));
    let full = GOOD.replace(r#""vg_free_count":"125""#, r#""vg_free_count":"0""#);
    assert_eq!(refusal(&full, "thin", "xfs"), None);
}

#[track_caller]
fn check_lost(json: &str, name: &str, expected: &str) {
    let error = check(&parse(json).unwrap(), name, "logical volume x").unwrap_err();
    assert!(matches!(error, ShadowError::Lost { .. }), "{error}");
    assert!(error.to_string().contains("logical volume x was lost"), "{error}");
    let told = format!("{error}; {}", error.hint().unwrap());
    assert!(told.contains(expected), "{told}");
}

#[test]
fn a_good_snapshot_is_good() {
    for name in [THICK, THIN] {
        check(&parse(GOOD).unwrap(), name, "x").unwrap();
    }
    // Another's trouble is not its own.
    check(&parse(INVALID).unwrap(), THIN, "x").unwrap();
}

#[test]
fn a_full_snapshot_is_lost() {
    check_lost(INVALID, THICK, "--shadow-size");
    // Each of the three signs is enough.
    let signs = [
        (r#""data_percent":"100.00""#, r#""data_percent":"99.99""#),
        ("sri-I-s---", "sri-a-s---"),
        ("snapshot invalid", ""),
    ];
    for left_in in 0..signs.len() {
        let others = signs.iter().enumerate().filter(|(number, _)| *number != left_in);
        let json = others.fold(INVALID.to_owned(), |json, (_, (from, to))| json.replace(from, to));
        check_lost(&json, THICK, "--shadow-size");
    }
    let none = signs.iter().fold(INVALID.to_owned(), |json, (from, to)| json.replace(from, to));
    check(&parse(&none).unwrap(), THICK, "x").unwrap();
}

#[test]
fn a_thin_snapshot_in_a_full_pool_is_lost() {
    check_lost(POOL_FULL, THIN, "the room of its thin pool thin/small is used up");
    let metadata = POOL_FULL.replace("100.00", "50.00").replace("\"11.52\"", "\"100.00\"");
    check_lost(&metadata, THIN, "the room for metadata of its thin pool thin/small");
    let neither = POOL_FULL.replace("100.00", "99.99");
    check(&parse(&neither).unwrap(), THIN, "x").unwrap();
}

#[test]
fn a_snapshot_that_is_gone_is_lost() {
    check_lost(GOOD, "hardback-shadow-bb-0", "is not there any more");
}

#[test]
fn only_a_snapshot_under_our_name_is_removed() {
    let found = |json: &str, name: &str| removable(&parse(json).unwrap(), name);
    assert_eq!(found(GOOD, THICK).unwrap().as_deref(), Some("thick/hardback-shadow-aa-0"));
    assert_eq!(found(GOOD, THIN).unwrap().as_deref(), Some("thin/hardback-shadow-aa-1"));
    assert_eq!(found(GOOD, "hardback-shadow-bb-0").unwrap(), None);
    // Somebody gave a volume of their own our name.
    let own = GOOD.replace(r#""origin":"ext4""#, r#""origin":"""#);
    assert!(found(&own, THICK).unwrap_err().to_string().contains("no snapshot of another volume"));
}

#[test]
fn a_name_that_is_not_ours_is_not_touched() {
    let lvm = Lvm::new(Arc::default(), ShadowSize::default());
    let volume = volume_of(&volume(GOOD, "thick", "ext4"), "ext4");
    let error = lvm.remove(&Copy { name: "home".into(), volume }).unwrap_err();
    assert!(matches!(error, ShadowError::Refused { .. }), "{error}");
}

#[test]
fn lvs_is_believed_also_where_a_group_lacks_a_disk() {
    let failure = || Some(ShadowError::Tool { message: "failed".into(), hint: None });
    let done = |out: &str, failure| volumes_of(Done { out: out.to_owned(), failure });
    assert_eq!(done(GOOD, failure()).unwrap().len(), 7);
    let none = r#"{"report":[{"lv":[]}]}"#;
    assert_eq!(done(none, failure()).unwrap_err().to_string(), "failed");
    assert_eq!(done("", failure()).unwrap_err().to_string(), "failed");
    assert_eq!(done(none, None).unwrap(), []);
    assert!(done("  LV VG", None).unwrap_err().to_string().contains("nobody understands"));
}

#[test]
fn places_on_one_volume_are_one_volume() {
    let of = |json: &str| volume_of(&volume(json, "thick", "ext4"), "ext4");
    assert_eq!(of(GOOD), of(&GOOD.replace("owi-aos---", "-wi-ao----").replace("253", "252")));
    assert_eq!(of(GOOD).shown, "logical volume thick/ext4");
}

#[test]
fn kinds_that_nobody_knows_are_not_mounted() {
    assert_eq!(options_of("xfs"), Some("nouuid,norecovery"));
    assert_eq!(options_of("ext4"), Some("noload"));
    for kind in ["btrfs", "vfat", "fuseblk", ""] {
        assert_eq!(options_of(kind), None);
    }
}
