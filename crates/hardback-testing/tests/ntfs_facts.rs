//! NTFS as a source: what it keeps beside the content goes through any target and comes back.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests look at the disk with other code than the product's"
)]

use hardback_engine::{BackupReport, Efs, LimitationKind, Placeholders};
use hardback_testing::bench::Bench;
use hardback_testing::ntfs_zoo::{self, NtfsZoo};
use hardback_testing::volume::{Volume, VolumeKind};
use hardback_testing::{is_slow_run, skip, volume};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const MIB: u64 = 200;

/// Restores a snapshot to a new NTFS.
fn restore(bench: &Bench, report: &BackupReport) -> (Volume, PathBuf) {
    let to = ntfs_zoo::mount(MIB).unwrap();
    let restored = bench.restore_all(report, &to.root().join("restored"));
    (to, restored)
}

fn survives(kind: VolumeKind) {
    let from = volume!(VolumeKind::NtfsStreams, MIB);
    let to = volume!(kind, MIB);
    let zoo = NtfsZoo::make(&from.root().join("zoo"));
    let mut bench = Bench::new(zoo.root(), &to.root().join("target"));
    bench.inventories = false;
    let source = ntfs_zoo::read_all(zoo.root());
    let first = bench.backup_all();
    let second = bench.backup_all();
    assert_eq!((second.bytes_read, second.totals.new_files, second.restamped), (0, 0, 0), "{second:#?}");
    assert_eq!(ntfs_zoo::differences(&source, &ntfs_zoo::read_all(zoo.root())), [""; 0], "a backup changes nothing");
    for report in [&first, &second] {
        let (_volume, restored) = restore(&bench, report);
        let differences = ntfs_zoo::differences(&source, &ntfs_zoo::read_all(&restored));
        assert_eq!(differences, [""; 0], "{} differ", differences.len());
    }
    bench.verify_all();
}

#[test]
fn what_ntfs_has_goes_through_ext4_and_comes_back() {
    survives(VolumeKind::Ext4);
}

#[test]
fn what_ntfs_has_goes_through_another_ntfs_and_comes_back() {
    survives(VolumeKind::NtfsStreams);
}

#[test]
fn programs_that_read_the_image_see_in_a_restored_ntfs_what_they_see_in_the_source() {
    let (from, to) = (volume!(VolumeKind::NtfsStreams, MIB), volume!(VolumeKind::NtfsStreams, MIB));
    let zoo = NtfsZoo::make(&from.root().join("zoo"));
    let mut bench = Bench::new(zoo.root(), &to.root().join("target"));
    bench.inventories = false;
    let report = bench.backup_all();
    let (back, restored) = restore(&bench, &report);
    let all = ntfs_zoo::read_all(zoo.root());
    let seen = ntfs_zoo::seen_by_tools(&from, zoo.root(), &all);
    assert!(seen.len() > 80, "{} entries", seen.len());
    let differences = ntfs_zoo::differences(&seen, &ntfs_zoo::seen_by_tools(&back, &restored, &all));
    assert_eq!(differences, [""; 0], "{} differ", differences.len());
}

#[test]
fn a_changed_fact_of_ntfs_makes_a_new_file_and_the_old_one_stays() {
    let (from, to) = (volume!(VolumeKind::NtfsStreams, MIB), volume!(VolumeKind::NtfsStreams, MIB));
    let source = from.dir("source");
    let names = ["acl", "attributes", "created", "ea", "stream", "new-stream", "no-stream", "same", "archive"];
    for name in names {
        fs::write(source.join(name), "content").unwrap();
        fs::write(source.join(format!("{name}:s")), "stream").unwrap();
    }
    let mut bench = Bench::new(&source, &to.root().join("target"));
    bench.inventories = false;
    let before = ntfs_zoo::read_all(&source);
    let first = bench.backup_all();
    let times = names.map(|name| fs::metadata(source.join(name)).unwrap().modified().unwrap());
    let (_, protected) = ntfs_zoo::descriptors().remove(1);
    ntfs_zoo::set(&source.join("acl"), "system.ntfs_acl", &protected);
    ntfs_zoo::set(&source.join("attributes"), "system.ntfs_attrib_be", &2u32.to_be_bytes());
    ntfs_zoo::set(&source.join("ea"), "system.ntfs_ea", b"\x10\0\0\0\0\x02\x03\0AB\0abc\0\0");
    fs::write(source.join("stream:s"), "STREAM").unwrap();
    fs::write(source.join("new-stream:t"), "").unwrap();
    fs::remove_file(source.join("no-stream:s")).unwrap();
    for (name, time) in names.iter().zip(times) {
        fs::File::options().write(true).open(source.join(name)).unwrap().set_modified(time).unwrap();
    }
    ntfs_zoo::set(&source.join("created"), "system.ntfs_crtime_be", &1_000_000u64.to_be_bytes());
    ntfs_zoo::set(&source.join("archive"), "system.ntfs_attrib_be", &0u32.to_be_bytes());
    let after = ntfs_zoo::read_all(&source);
    let second = bench.backup_all();
    // That a backup program took the archive attribute away is no reason for a new file.
    assert_eq!((second.restamped, second.linked, second.totals.new_files), (7, 2, 0), "{second:#?}");
    for (report, expected) in [(&first, before), (&second, after)] {
        let (_volume, restored) = restore(&bench, report);
        let differences = ntfs_zoo::differences(&expected, &ntfs_zoo::read_all(&restored));
        assert_eq!(differences, [""; 0]);
    }
    bench.verify_all();
}

#[test]
fn streams_that_are_shown_as_attributes_are_the_same_streams() {
    let (from, to) = (volume!(VolumeKind::NtfsStreams, MIB), volume!(VolumeKind::Ext4, MIB));
    let source = from.dir("source");
    fs::write(source.join("file"), "content").unwrap();
    fs::write(source.join("file:zone"), "in a stream").unwrap();
    let expected = ntfs_zoo::read_all(&source);
    // As Debian mounts it where nobody says how.
    from.remount(",streams_interface=xattr");
    let bench = Bench::new(&source, &to.root().join("target"));
    let first = bench.backup_all();
    from.remount("");
    // Shown as files they are what they were: nothing changed.
    let second = bench.backup_all();
    assert_eq!((second.linked, second.restamped, second.totals.new_files), (1, 0, 0), "{second:#?}");
    for report in [&first, &second] {
        let (_volume, restored) = restore(&bench, report);
        assert_eq!(ntfs_zoo::differences(&expected, &ntfs_zoo::read_all(&restored)), [""; 0]);
    }
}

#[test]
fn what_only_windows_can_read_is_a_problem_and_a_stream_that_is_too_long_too() {
    let (from, to) = (volume!(VolumeKind::NtfsStreams, MIB), volume!(VolumeKind::Ext4, MIB));
    let source = from.dir("source");
    for (name, tag) in [("system.dll", 0x8000_0017u32), ("deduplicated", 0x8000_0013), ("fetched.jpg", 0x9000_601A)] {
        fs::write(source.join(name), "what a driver makes of it").unwrap();
        let reparse = [&tag.to_le_bytes()[..], &[8, 0, 0, 0], &[1; 8]].concat();
        ntfs_zoo::set(&source.join(name), "system.ntfs_reparse_data", &reparse);
        fs::symlink_metadata(source.join(name)).ok();
    }
    fs::write(source.join("long"), "content").unwrap();
    fs::write(source.join("long:stream"), vec![0; (4 << 20) + 1]).unwrap();
    fs::write(source.join("fits"), "content").unwrap();
    fs::write(source.join("fits:stream"), vec![1; 4 << 20]).unwrap();
    let bench = Bench::new(&source, &to.root().join("target"));
    let report = bench.backup();
    let mut problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
    problems.sort();
    assert_eq!(problems.len(), 4, "{problems:#?}");
    for (problem, words) in problems.iter().zip([
        ["source/deduplicated", "only Windows can read its content", "0x80000013"],
        ["source/fetched.jpg", "only Windows can read its content", "0x9000601a"],
        ["source/long", "the stream stream: it has more than 4 MiB", "cannot read the extended attributes"],
        ["source/system.dll", "only Windows can read its content", "0x80000017"],
    ]) {
        assert!(words.iter().all(|word| problem.contains(word)), "{problem} {words:?}");
    }
    assert_eq!(fs::read(bench.stored(&report, "long")).unwrap(), b"content");
    // Told with each run; the content is not copied again for it.
    let second = bench.backup();
    assert_eq!((second.problems.len(), second.totals.problems), (4, 4), "{:#?}", second.problems);
    assert_eq!((second.totals.new_files, second.restamped), (0, 0), "{second:#?}");
    let back = ntfs_zoo::mount(MIB).unwrap();
    let restored = bench.restore_with(&report, &back.root().join("restored"), |options| {
        options.paths = vec![b"source/fits".to_vec()];
    });
    assert_eq!(restored.made, 2);
    let fits = ntfs_zoo::read_all(&back.root().join("restored/source")).remove(&b"fits"[..]).unwrap();
    assert_eq!(fits["stream stream"].len(), 4 << 20);
}

#[test]
fn files_that_are_in_a_cloud_only_are_kept_as_they_are_and_listed() {
    let (from, to) = (volume!(VolumeKind::NtfsStreams, MIB), volume!(VolumeKind::Ext4, MIB));
    let zoo = NtfsZoo::make(&from.root().join("zoo"));
    let mut bench = Bench::new(zoo.root(), &to.root().join("target"));
    for _ in 0..2 {
        let report = bench.backup_all();
        assert_eq!(report.placeholders.first, [b"zoo/reparse/cloud.jpg"]);
        assert_eq!(report.placeholders.entries, 1);
        assert!(!bench.stored(&report, "reparse/cloud.jpg").exists(), "a placeholder is no file");
    }
    bench.options.placeholders = Placeholders::Download;
    let refusal = bench.try_backup().unwrap_err();
    assert!(refusal.to_string().contains("by Windows alone"), "{refusal}");
}

#[test]
fn files_that_are_encrypted_at_the_source_come_back_so_or_are_left_out() {
    let to = volume!(VolumeKind::Ext4, MIB);
    // As root, who mounts it so, has the bytes as they are on the disk.
    let from = match Volume::mount_with(VolumeKind::NtfsStreams, MIB, ",efs_raw") {
        Ok(volume) => volume,
        Err(why) => skip!("{why}"),
    };
    let source = from.dir("source");
    fs::write(source.join("plain"), "content").unwrap();
    // Whole sectors, and how many bytes of the last one are none of the file's.
    fs::write(source.join("secret"), [&[7; 512][..], &[12, 0]].concat()).unwrap();
    let mut keys = [1; 640];
    keys[..4].copy_from_slice(&640u32.to_le_bytes());
    ntfs_zoo::set(&source.join("secret"), "user.ntfs.efsinfo", &keys);
    let mut bench = Bench::new(&source, &to.root().join("target"));
    let expected = ntfs_zoo::read_all(&source);
    assert_eq!(expected[&b"secret"[..]]["efsinfo"].len(), 640);
    for _ in 0..2 {
        // What is on the disk, and the keys: nothing of it is in plain.
        let report = bench.backup_all();
        assert_eq!(report.encrypted.entries, 0);
        let back = Volume::mount_with(VolumeKind::NtfsStreams, MIB, ",efs_raw").unwrap();
        let restored = bench.restore_all(&report, &back.root().join("restored"));
        assert_eq!(ntfs_zoo::differences(&expected, &ntfs_zoo::read_all(&restored)), [""; 0]);
    }
    bench.options.efs = Efs::Skip;
    let report = bench.backup_all();
    assert_eq!((report.encrypted.entries, report.totals.excluded, report.totals.entries), (0, 1, 2));
    assert!(!bench.stored(&report, "secret").exists());
}

/// Makes snapshots of one file on NTFS; returns how many names each stored file of it has, in the order of the runs.
fn names_after_runs(runs: usize, max_links: Option<u64>) -> Option<Vec<u64>> {
    let to = match ntfs_zoo::mount(MIB) {
        Ok(volume) => volume,
        Err(why) => {
            hardback_testing::skipped(&why);
            return None;
        }
    };
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("file"), "content").unwrap();
    let mut bench = Bench::new(temp.path(), &to.root().join("target"));
    bench.inventories = false;
    bench.options.max_links = max_links;
    let mut files: Vec<(u64, u64)> = Vec::new();
    for _ in 0..runs {
        let stored = fs::metadata(bench.stored(&bench.backup_all(), "file")).unwrap();
        match files.iter_mut().find(|(file, _)| *file == stored.ino()) {
            Some((_, names)) => *names = stored.nlink(),
            None => files.push((stored.ino(), stored.nlink())),
        }
    }
    bench.verify_all();
    Some(files.into_iter().map(|(_, names)| names).collect())
}

#[test]
fn a_file_on_ntfs_has_no_more_names_than_it_may() {
    let Some(names) = names_after_runs(10, Some(3)) else { return };
    assert_eq!(names, [3, 3, 3, 1]);
}

#[test]
fn a_file_on_ntfs_has_no_more_names_than_windows_allows() {
    // In the gate the rule is tried on numbers (fresh_copies_of_a_tree_are_spread_over_runs).
    let runs = if is_slow_run() { 1100 } else { 20 };
    let Some(names) = names_after_runs(runs, None) else { return };
    assert_eq!(names.iter().sum::<u64>(), runs as u64);
    assert!(names.iter().all(|&names| names <= 1000), "{names:?}");
    assert_eq!(names.len(), if runs > 1000 { 2 } else { 1 }, "{names:?}");
}

/// Sets an extended attribute of any name.
fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
}

#[test]
fn a_name_of_an_attribute_leads_to_no_other_file() {
    let (from, to) = (volume!(VolumeKind::Ext4, MIB), volume!(VolumeKind::NtfsStreams, MIB));
    let source = from.dir("source");
    for name in ["file", "dir/x"] {
        fs::create_dir_all(source.join(name).parent().unwrap()).unwrap();
        fs::write(source.join(name), "content").unwrap();
    }
    fs::write(to.root().join("victim"), "precious").unwrap();
    for name in ["user./../../../../../../victim", "user.a/b", "user.a:b", "user.a\\b", "user./../../../../../../made"]
    {
        set_xattr(&source.join("file"), name, b"evil");
        set_xattr(&source.join("dir"), name, b"evil");
    }
    set_xattr(&source.join("file"), "user.note", b"kept");
    let bench = Bench::new(&source, &to.root().join("target"));
    let report = bench.backup_all();
    assert!(report.limitations.iter().any(|l| l.kind == LimitationKind::Xattrs), "{:?}", report.limitations);
    assert_eq!(fs::read(to.root().join("victim")).unwrap(), b"precious");
    assert!(!to.root().join("made").exists());
    let tree = ntfs_zoo::read_all(&bench.stored(&report, ""));
    let streams: Vec<_> = tree[&b"file"[..]].keys().filter(|name| name.starts_with("stream")).collect();
    assert_eq!(streams, ["stream note"]);
    // The record has them all: where names are free they come back.
    let back = Volume::mount(VolumeKind::Ext4, MIB).unwrap();
    let restored = bench.restore_all(&report, &back.root().join("restored"));
    hardback_testing::compare::assert_same(&source, &restored, hardback_testing::compare::Strictness::FULL);
}

#[test]
fn a_file_with_a_colon_in_its_name_becomes_no_stream() {
    let (from, to) = (volume!(VolumeKind::Ext4, MIB), volume!(VolumeKind::NtfsStreams, MIB));
    let source = from.dir("source");
    fs::write(source.join("report"), "content").unwrap();
    fs::write(source.join("report:2020"), "of 2020").unwrap();
    fs::create_dir(source.join("dir:x")).unwrap();
    let bench = Bench::new(&source, &to.root().join("target"));
    let report = bench.backup_all();
    bench.verify_all();
    let place = ntfs_zoo::mount(MIB).unwrap();
    let problems = bench.try_restore(&report, &place.root().join("restored"));
    let mut paths: Vec<_> =
        problems.iter().map(|problem| String::from_utf8_lossy(&problem.path).into_owned()).collect();
    paths.sort();
    assert!(paths.iter().all(|path| path.contains(':')) && paths.len() == 2, "{problems:?}");
    let there = ntfs_zoo::read_all(&place.root().join("restored/source"));
    assert_eq!(there.keys().collect::<Vec<_>>(), [&b""[..], b"report"]);
    assert!(there[&b"report"[..]].keys().all(|name| !name.starts_with("stream")));
}

#[test]
fn an_ntfs_that_is_mounted_otherwise_later_still_verifies() {
    let from = match Volume::mount_with(VolumeKind::Ntfs3g, MIB, "") {
        Ok(volume) => volume,
        Err(why) => skip!("{why}"),
    };
    let to = volume!(VolumeKind::NtfsStreams, MIB);
    let source = from.dir("source");
    for (name, descriptor) in ntfs_zoo::descriptors() {
        fs::write(source.join(name), name).unwrap();
        ntfs_zoo::set(&source.join(name), "system.ntfs_acl", &descriptor);
    }
    let mut bench = Bench::new(&source, &to.root().join("target"));
    bench.inventories = false;
    let first = bench.backup_all();
    bench.verify_all();
    let second = bench.backup_all();
    assert_eq!((second.restamped, second.totals.new_files), (0, 0), "{second:#?}");
    assert_eq!(first.totals.entries, second.totals.entries);
}

#[test]
fn a_volume_that_hides_what_ntfs_has_is_a_problem() {
    let to = volume!(VolumeKind::Ext4, MIB);
    for options in [",streams_interface=none", ",streams_interface=openxattr"] {
        let from = volume!(VolumeKind::NtfsStreams, MIB);
        let source = from.dir("source");
        fs::write(source.join("file"), "content").unwrap();
        fs::write(source.join("file:s"), "stream").unwrap();
        from.remount(options);
        let bench = Bench::new(&source, &to.root().join(options));
        let report = bench.backup();
        let problems: Vec<_> = report.problems.iter().map(ToString::to_string).collect();
        assert_eq!((problems.len(), report.totals.problems), (1, 1), "{options} {problems:?}");
        assert!(problems[0].contains("mount it with ntfs-3g"), "{problems:?}");
    }
}

#[test]
fn what_a_folder_has_that_could_not_be_read_is_not_removed_by_a_restore() {
    let (from, to) = (volume!(VolumeKind::NtfsStreams, MIB), volume!(VolumeKind::Ext4, MIB));
    let source = from.dir("source");
    fs::create_dir(source.join("dir")).unwrap();
    fs::write(source.join("dir:small"), "kept").unwrap();
    fs::write(source.join("dir:large"), vec![0; (4 << 20) + 1]).unwrap();
    let bench = Bench::new(&source, &to.root().join("target"));
    let report = bench.backup();
    assert_eq!(report.totals.problems, 1, "{:?}", report.problems);
    fs::write(source.join("dir:since"), "new").unwrap();
    bench.try_restore(&report, from.root());
    let there = ntfs_zoo::read_all(&source).remove(&b"dir"[..]).unwrap();
    let streams: Vec<_> = there.keys().filter(|name| name.starts_with("stream")).collect();
    assert_eq!(streams, ["stream large", "stream since", "stream small"]);
}

#[test]
fn streams_that_the_snapshot_does_not_have_are_kept_when_a_file_is_replaced() {
    let (from, to) = (volume!(VolumeKind::NtfsStreams, MIB), volume!(VolumeKind::Ext4, MIB));
    let source = from.dir("source");
    for name in ["file", "same"] {
        fs::write(source.join(name), "content").unwrap();
        fs::write(source.join(format!("{name}:s")), "stream").unwrap();
    }
    let bench = Bench::new(&source, &to.root().join("target"));
    let report = bench.backup_all();
    fs::write(source.join("file:since"), "written since").unwrap();
    // What is restored over it is the same but for that.
    assert_eq!(bench.try_restore(&report, from.root()).len(), 0);
    let there = ntfs_zoo::read_all(&source);
    let names: Vec<_> = there.keys().map(|name| String::from_utf8_lossy(name)).collect();
    assert_eq!(names, ["", "file", "file.before-restore", "same"]);
    assert_eq!(there[&b"file.before-restore"[..]]["stream since"], b"written since");
    assert!(!there[&b"file"[..]].contains_key("stream since"));
}
