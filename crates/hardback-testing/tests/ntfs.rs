//! NTFS that ntfs-3g mounts, as a target: it takes what it does not keep, and names that Windows cannot open.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, reason = "tests look at the disk with other code than the product's")]

use hardback_engine::{BackupReport, LimitationKind, Overwrite, Place, RestoreAction, RestoreOptions};
use hardback_testing::bench::Bench;
use hardback_testing::compare::{self, Strictness};
use hardback_testing::rig::{JOB, Rig, Seams};
use hardback_testing::volume::{Volume, VolumeKind};
use hardback_testing::zoo::{Zoo, ZooOptions};
use hardback_testing::{skip, volume};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

const MIB: u64 = 400;

fn zoo(from: &Volume) -> Zoo {
    let options = ZooOptions { symlink_bytes_max: 1000, levels: 50, privileged: true, foreign_names: true };
    let zoo = Zoo::make(&from.root().join("zoo"), options);
    fs::remove_file(zoo.root().join("contents/huge")).unwrap();
    zoo
}

fn kinds(report: &BackupReport) -> Vec<LimitationKind> {
    report.limitations.iter().map(|l| l.kind).collect()
}

/// Restores a snapshot to a volume that holds everything, and compares all there is.
fn assert_comes_back(bench: &Bench, report: &BackupReport, zoo: &Zoo) {
    let back = Volume::mount(VolumeKind::Ext4, MIB).unwrap();
    let restored = bench.restore_all(report, &back.root().join("restored"));
    compare::assert_same(zoo.root(), &restored, Strictness::FULL);
    compare::assert_rsync_agrees(zoo.root(), &restored);
}

/// Every file of the first tree is the same file in the second, under the same stored name.
fn assert_shared(first: &Path, second: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(first).unwrap() {
        let entry = entry.unwrap();
        let there = second.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files += assert_shared(&entry.path(), &there);
        } else if kind.is_file() {
            let ids = [entry.path(), there].map(|p| fs::symlink_metadata(p).unwrap().ino());
            assert_eq!(ids[0], ids[1], "{}", entry.path().display());
            files += 1;
        }
    }
    files
}

/// Windows can open every name of a tree.
fn assert_fits_windows(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let stem = name.split('.').next().unwrap().to_ascii_uppercase();
        let is_bad = name.ends_with(['.', ' '])
            || name.contains(|c: char| c < ' ' || "\"*:<>?\\|".contains(c))
            || ["CON", "PRN", "AUX", "NUL"].contains(&&*stem);
        assert!(!is_bad, "{name:?} in {}", dir.display());
        if entry.file_type().unwrap().is_dir() {
            assert_fits_windows(&entry.path());
        }
    }
}

fn survives(options: &str, keeps_modes: bool) {
    let from = volume!(VolumeKind::Ext4, MIB);
    let to = match Volume::mount_with(VolumeKind::Ntfs3g, MIB, options) {
        Ok(volume) => volume,
        Err(why) => skip!("{why}"),
    };
    let zoo = zoo(&from);
    let mut bench = Bench::new(zoo.root(), &to.root().join("target"));
    bench.inventories = false;
    let first = bench.backup_all();
    let met = kinds(&first);
    for kind in [LimitationKind::Names, LimitationKind::TimeSteps, LimitationKind::Xattrs] {
        assert!(met.contains(&kind), "{kind:?} is missing in {met:?}");
    }
    assert!(!met.contains(&LimitationKind::Times), "{:?}", first.limitations);
    for kind in [LimitationKind::Modes, LimitationKind::Owners] {
        assert_eq!(met.contains(&kind), !keeps_modes, "{options:?}: {kind:?} in {:?}", first.limitations);
    }
    let second = bench.backup_all();
    assert_eq!((second.bytes_read, second.totals.new_files, second.restamped), (0, 0, 0));
    assert!(assert_shared(&bench.snapshot(&first), &bench.snapshot(&second)) > 100);
    assert_fits_windows(&bench.snapshot(&second));
    bench.verify_all();
    assert_comes_back(&bench, &second, &zoo);
    zoo.change(1);
    let third = bench.backup_all();
    bench.verify_all();
    assert_comes_back(&bench, &third, &zoo);
}

#[test]
fn a_disk_that_ignores_modes_and_owners_verifies_and_comes_back() {
    survives("", false);
}

#[test]
fn a_disk_that_keeps_modes_and_owners_verifies_and_comes_back() {
    survives(",permissions", true);
}

#[test]
fn a_disk_that_refuses_names_verifies_and_comes_back() {
    survives(",permissions,windows_names", true);
}

#[test]
fn a_disk_may_be_mounted_with_more_options_later() {
    let (from, to) = (volume!(VolumeKind::Ext4, MIB), volume!(VolumeKind::Ntfs3g, MIB));
    let zoo = zoo(&from);
    let mut bench = Bench::new(zoo.root(), &to.root().join("target"));
    bench.inventories = false;
    let first = bench.backup_all();
    to.remount(",permissions,windows_names");
    zoo.change(1);
    let second = bench.backup_all();
    assert!(second.linked > 0);
    bench.verify_all();
    assert_comes_back(&bench, &second, &zoo);
    assert_fits_windows(&bench.snapshot(&first));
}

#[test]
fn a_restore_that_deletes_keeps_what_the_place_lists_in_another_case() {
    let (from, place) = (volume!(VolumeKind::Ext4, 20), volume!(VolumeKind::NtfsFolding, 20));
    let source = from.dir("docs");
    fs::create_dir(source.join("Inner")).unwrap();
    let files = ["README.md", "Changed", "Inner/Below", "Éa"];
    for path in files {
        fs::write(source.join(path), path).unwrap();
    }
    let bench = Bench::new(&source, &from.root().join("target"));
    let report = bench.backup_all();
    let to = place.root().join("restored");
    assert_eq!(bench.restore_with(&report, &to, |_| {}).kept, 0);
    let restored = to.join("docs");
    fs::write(restored.join("Changed"), "something else").unwrap();
    for path in ["new", "Inner/new"] {
        fs::write(restored.join(path), "new").unwrap();
    }
    let report = bench.restore_with(&report, &to, |options| {
        (options.overwrite, options.delete) = (Overwrite::Always, true);
    });
    let deleted: Vec<_> = report.actions.iter().filter(|(_, action)| *action == RestoreAction::Delete).collect();
    for path in files {
        assert_eq!(fs::read_to_string(restored.join(path)).unwrap(), path);
    }
    let paths: Vec<_> = deleted.iter().map(|(path, _)| String::from_utf8_lossy(path)).collect();
    assert_eq!(paths, ["docs/Inner/new", "docs/new"]);
}

/// Restores `docs` of a snapshot onto a place; returns paths and details of the problems.
fn restore_folding(
    rig: &Rig,
    snapshot: &str,
    to: &Path,
    choose: impl Fn(&mut RestoreOptions),
) -> Vec<(String, String)> {
    let mut options = RestoreOptions::new(JOB, snapshot, Place::To(to.to_owned()));
    choose(&mut options);
    let report = rig.restore(&options).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    report.problems.iter().map(|p| (text(&p.path), p.detail.clone())).collect()
}

/// Panics unless one of two names was restored and stays, and the other is a problem.
fn assert_one_of(problems: &[(String, String)], restored: &Path, names: [&str; 2], content: impl Fn(&str) -> String) {
    let is_told = |name: &&str| problems.iter().any(|(path, _)| *path == format!("docs/{name}"));
    let told: Vec<&str> = names.into_iter().filter(|name| is_told(name)).collect();
    let [lost] = told[..] else { panic!("{names:?}: {problems:#?}") };
    let stays = names.into_iter().find(|name| *name != lost).unwrap();
    let detail = &problems.iter().find(|(path, _)| *path == format!("docs/{lost}")).unwrap().1;
    assert!(detail.starts_with(&format!("the place does not tell it from {stays}, which stays")), "{lost}: {detail}");
    for name in names {
        assert_eq!(fs::read_to_string(restored.join(name)).unwrap(), content(stays), "{name}");
    }
}

#[test]
fn of_names_that_the_place_takes_for_one_the_first_stays_and_the_other_is_a_problem() {
    let (from, place) = (volume!(VolumeKind::Ext4, 20), volume!(VolumeKind::NtfsFolding, 20));
    let rig = Rig::below(from.root());
    for folder in ["Sub", "sub"] {
        fs::create_dir_all(rig.source.join(folder)).unwrap();
        fs::write(rig.source.join(folder).join("in"), folder).unwrap();
    }
    for name in ["A", "a", "Éa", "éa", "linked"] {
        fs::write(rig.source.join(name), name).unwrap();
    }
    for other in ["LINKED", "Other"] {
        fs::hard_link(rig.source.join("linked"), rig.source.join(other)).unwrap();
    }
    symlink("A", rig.source.join("Link")).unwrap();
    symlink("a", rig.source.join("link")).unwrap();
    let snapshot = rig.backup(Seams::default()).unwrap().snapshot.unwrap();
    for workers in [1, 4] {
        let to = place.root().join(format!("restored-{workers}"));
        let restored = to.join("docs");
        for round in 0..4 {
            if round == 2 {
                // What is there is another version: it may be replaced, once.
                fs::write(restored.join("a"), "an edit").unwrap();
                fs::write(restored.join("éa"), "an edit").unwrap();
            }
            let problems = restore_folding(&rig, &snapshot, &to, |options| {
                options.workers = workers;
                options.overwrite = if round == 0 { Overwrite::Never } else { Overwrite::Always };
                options.delete = round == 3;
            });
            assert_one_of(&problems, &restored, ["A", "a"], str::to_owned);
            assert_one_of(&problems, &restored, ["Éa", "éa"], str::to_owned);
            assert_one_of(&problems, &restored, ["LINKED", "linked"], |_| "linked".into());
            let sub = problems.iter().find(|(path, _)| path == "docs/sub").unwrap();
            assert!(sub.1.starts_with("the place does not tell it from Sub, which stays"), "{sub:?}");
            assert!(sub.1.ends_with("; 1 entry below it is not restored either"), "{sub:?}");
            assert_eq!(fs::read_to_string(restored.join("sub/in")).unwrap(), "Sub");
            let links = problems.iter().filter(|(path, _)| path.eq_ignore_ascii_case("docs/link")).count();
            assert_eq!((links, problems.len()), (1, 5), "{problems:#?}");
            assert_eq!(fs::read_to_string(restored.join("Other")).unwrap(), "linked");
            // Nothing that came back was moved out of the way of its twin.
            let aside = fs::read_dir(&restored).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
            let aside: Vec<_> = aside.filter(|name| name.contains("before-restore")).collect();
            assert_eq!(aside.len(), if round < 2 { 0 } else { 2 }, "{aside:?}");
        }
    }
}

#[test]
fn of_a_file_and_a_folder_that_the_place_takes_for_one_either_comes_back_whole() {
    let (from, place) = (volume!(VolumeKind::Ext4, 20), volume!(VolumeKind::NtfsFolding, 20));
    let rig = Rig::below(from.root());
    fs::create_dir_all(rig.source.join("kind")).unwrap();
    fs::write(rig.source.join("kind/in"), "in the folder").unwrap();
    fs::write(rig.source.join("Kind"), "the file").unwrap();
    let snapshot = rig.backup(Seams::default()).unwrap().snapshot.unwrap();
    for round in 0..20 {
        let to = place.root().join(format!("restored-{round}"));
        if round % 2 == 1 {
            fs::create_dir_all(to.join("docs")).unwrap();
        }
        let problems = restore_folding(&rig, &snapshot, &to, |options| options.overwrite = Overwrite::Always);
        let [(lost, detail)] = &problems[..] else { panic!("{problems:#?}") };
        assert!(detail.starts_with("the place does not tell it from "), "{lost}: {detail}");
        let (file, folder) = (to.join("docs/Kind"), to.join("docs/kind/in"));
        if lost == "docs/Kind" {
            assert_eq!(fs::read_to_string(folder).unwrap(), "in the folder");
        } else {
            assert_eq!((&lost[..], fs::read_to_string(file).unwrap()), ("docs/kind", "the file".to_owned()));
        }
        assert_eq!(fs::read_dir(to.join("docs")).unwrap().count(), 1);
    }
}

#[test]
fn of_many_such_names_that_are_restored_at_once_none_is_lost_in_silence() {
    const PAIRS: usize = 150;
    let (from, place) = (volume!(VolumeKind::Ext4, 20), volume!(VolumeKind::NtfsFolding, 20));
    let rig = Rig::below(from.root());
    fs::create_dir(&rig.source).unwrap();
    // The twins are in other chunks, for other workers.
    let pairs: Vec<_> = (0..PAIRS).map(|n| [format!("NAME {n}"), format!("name {n}")]).collect();
    pairs.iter().flatten().for_each(|name| fs::write(rig.source.join(name), name).unwrap());
    let snapshot = rig.backup(Seams::default()).unwrap().snapshot.unwrap();
    for is_fresh in [true, false] {
        let to = place.root().join(format!("restored-{is_fresh}"));
        let restored = to.join("docs");
        if !is_fresh {
            fs::create_dir_all(&restored).unwrap();
            pairs.iter().step_by(2).for_each(|[_, small]| fs::write(restored.join(small), "theirs").unwrap());
        }
        let problems = restore_folding(&rig, &snapshot, &to, |options| {
            options.workers = 8;
            options.overwrite = Overwrite::Always;
        });
        assert_eq!(problems.len(), PAIRS, "{problems:#?}");
        for [large, small] in &pairs {
            assert_one_of(&problems, &restored, [large, small], str::to_owned);
        }
        // What was there before is kept once, and nothing that came back was set aside.
        let aside = fs::read_dir(&restored).unwrap().map(|e| e.unwrap().path());
        let aside: Vec<_> = aside.filter(|path| path.to_string_lossy().contains("before-restore")).collect();
        assert_eq!(aside.len(), if is_fresh { 0 } else { PAIRS.div_ceil(2) });
        assert!(aside.iter().all(|path| fs::read_to_string(path).unwrap() == "theirs"));
    }
}
