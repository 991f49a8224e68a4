//! Watches that do something at a call: fail it, stop it, or change the source under the run's feet.

use hardback_platform::{Call, Op, Seam, Verdict, Watch};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A watch made of a closure, which gets the call and the path that it is about.
pub struct At<F>(pub F);

impl<F: Fn(&Call<'_>, &PathBuf) -> Verdict + Send + Sync> Watch for At<F> {
    fn before(&self, call: &Call<'_>) -> Verdict {
        (self.0)(call, &path_of(call))
    }
}

/// Returns the path that a call is about.
fn path_of(call: &Call<'_>) -> PathBuf {
    let name = std::ffi::OsStr::from_bytes(call.name);
    let place = std::fs::read_link(format!("/proc/self/fd/{}", call.handle)).unwrap_or_default();
    if call.name.is_empty() { place } else { place.join(name) }
}

/// Makes a seam of a closure.
pub fn seam(f: impl Fn(&Call<'_>, &PathBuf) -> Verdict + Send + Sync + 'static) -> Seam {
    Seam::watched(Arc::new(At(f)))
}

/// Makes a seam that does something before each call of a kind on a path that ends in a name; it gets the number of
/// the call, from 1.
pub fn before(op: Op, name: &'static str, act: impl Fn(u64) + Send + Sync + 'static) -> Seam {
    let calls = AtomicU64::new(0);
    seam(move |call, path| {
        if call.op == op && path.file_name().is_some_and(|n| n == name) {
            act(calls.fetch_add(1, Ordering::SeqCst) + 1);
        }
        Verdict::Go
    })
}

/// Makes a seam that fails the calls of a kind on a path that ends in a name, from the given one on.
pub fn fail_from(op: Op, name: &'static str, first: u64, errno: rustix::io::Errno) -> Seam {
    let calls = AtomicU64::new(0);
    seam(move |call, path| {
        let is_it = call.op == op && path.file_name().is_some_and(|n| n == name);
        match is_it && calls.fetch_add(1, Ordering::SeqCst) + 1 >= first {
            true => Verdict::Fail(io::Error::from(errno)),
            false => Verdict::Go,
        }
    })
}
