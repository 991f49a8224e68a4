//! What must not go wrong while a run is at work.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "tests look at the disk with other code")]

use hardback_platform::Op;
use hardback_testing::bench::Bench;
use hardback_testing::watch;
use std::fs;
use std::os::unix::fs::FileExt;

#[test]
fn a_sparse_file_that_shrinks_while_it_is_read_is_read_again() {
    let temp = tempfile::tempdir().unwrap();
    let docs = temp.path().join("docs");
    fs::create_dir(&docs).unwrap();
    let mut bench = Bench::new(&docs, &temp.path().join("target"));
    let path = docs.join("sparse");
    let file = fs::File::create(&path).unwrap();
    file.set_len(8 << 20).unwrap();
    file.write_at(b"data", 4 << 20).unwrap();
    // The calls on the open file: where the data begins, where it ends, the data, and what is behind it.
    for at in 1..=4 {
        let path = path.clone();
        file.set_len(8 << 20).unwrap();
        file.write_at(b"data", 4 << 20).unwrap();
        bench.source_seam = watch::before(Op::Read, "sparse", move |call| {
            if call == at {
                fs::File::options().write(true).open(&path).unwrap().set_len(1 << 20).unwrap();
            }
        });
        let report = bench.backup_all();
        assert_eq!(fs::metadata(bench.stored(&report, "sparse")).unwrap().len(), 1 << 20, "at {at}");
        bench.source_seam = Default::default();
    }
}
