//! README.md and docs/guide: the path of a first-time user works as it is written down.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "pages are read and a shell is started")]

mod pages;

const SOURCE: &str = r#"
SOURCE=$HOME/Documents TARGET=$HOME/backup
mkdir -p "$SOURCE/notes" "$SOURCE/photos"
echo "Dear Anna" > "$SOURCE/letter.txt"
echo plan > "$SOURCE/notes/plan.txt"
head -c 100000 /dev/urandom > "$SOURCE/photos/one.jpg"
"#;

#[test]
fn the_first_backup_goes_as_the_guide_says() {
    pages::run("docs/guide/first-backup.md", SOURCE);
}

#[test]
fn files_come_back_as_the_guide_says() {
    let two_snapshots = r#"
hardback backup -q "$SOURCE" "$TARGET"
BEFORE=$(basename "$(readlink "$TARGET"/*/latest)")
echo "See you soon" >> "$SOURCE/letter.txt"
mv "$SOURCE/photos" "$SOURCE/pictures"
hardback backup -q "$SOURCE" "$TARGET"
"#;
    pages::run("docs/guide/restore.md", &format!("{SOURCE}{two_snapshots}"));
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_in_use_is_backed_up_as_the_guide_says() {
    use hardback_testing::volume::{Volume, VolumeKind};
    let volume: Volume = hardback_testing::volume!(VolumeKind::Btrfs, 300);
    let root = volume.root().display();
    let subvolume = format!(
        "SOURCE={root}/data TARGET=$HOME/backup\nbtrfs -q subvolume create \"$SOURCE\"\necho \"Dear Anna\" > \"$SOURCE/letter.txt\"\n"
    );
    pages::run("docs/guide/live.md", &subvolume);
}

#[test]
fn snapshots_are_kept_and_removed_as_the_guide_says() {
    let three_snapshots = r#"
for N in 1 2 3; do echo "$N" > "$SOURCE/notes/plan.txt"; hardback backup -q "$SOURCE" "$TARGET"; done
"#;
    pages::run("docs/guide/keep.md", &format!("{SOURCE}{three_snapshots}"));
}

#[test]
fn bit_rot_is_found_and_repaired_as_the_guide_says() {
    // The byte goes bad behind the second backup, without a trace in size and times.
    let rot = r#"
hardback backup -q "$SOURCE" "$TARGET"
STORED=$(ls -d "$TARGET"/*/2*)/Documents/letter.txt
hardback() {
  case "$*" in *100%*)
    touch -r "$STORED" ../time
    printf d | dd of="$STORED" bs=1 conv=notrunc 2> ../dd
    touch -r ../time "$STORED" ;;
  esac
  ../bin/hardback "$@"
}
"#;
    pages::run("docs/guide/bit-rot.md", &format!("{SOURCE}{rot}"));
}

#[test]
#[cfg(target_os = "linux")]
fn on_windows_it_goes_as_the_guide_says_as_far_as_ntfs_on_linux_tells() {
    use hardback_testing::volume::{Volume, VolumeKind};
    let volume: Volume = hardback_testing::volume!(VolumeKind::Ntfs3g, 64);
    let root = volume.root().display();
    let profile = format!(
        "SOURCE={root}/Documents TARGET=$HOME/backup\nmkdir \"$SOURCE\"\necho \"Dear Anna\" > \"$SOURCE/letter.txt\"\n"
    );
    pages::run("docs/guide/windows.md", &profile);
}

#[test]
fn the_two_commands_of_the_readme_work() {
    // The build is not what is tested here.
    let cargo = r#"
cat > ../bin/cargo <<'EOF'
#!/bin/sh
case "$*" in
  "run --release -- "*) shift 3; exec "$HARDBACK" "$@" ;;
  "xtask test") exit 0 ;;
  *) echo "no such command: cargo $*"; exit 1 ;;
esac
EOF
chmod 755 ../bin/cargo
"#;
    pages::run("README.md", cargo);
}
