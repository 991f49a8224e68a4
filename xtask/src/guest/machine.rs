//! The virtual machine: disks, start, and what its console says.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::verdict::PREFIX;
use crate::process::command;

/// The machine.
pub(super) const PROGRAM: &str = "qemu-system-x86_64";
/// Debian's package of it.
pub(super) const PACKAGE: &str = "qemu-system-x86";

/// Longest that the guest may be at work. It emulates: a program takes ten
/// times as long as here.
const LIMIT: Duration = Duration::from_secs(40 * 60);

/// Its disks, which are empty files, and their sizes: one group of thick
/// volumes, one of thin ones, the target, and a plain one.
const DISKS_MIB: &[(&str, u64)] = &[("thick", 1536), ("thin", 1536), ("target", 2048), ("plain", 64)];

/// Runs the guest to its end; returns all that its console said.
pub(super) fn run(dir: &Path, kernel: &Path, image: &Path, only: &[String]) -> Result<String> {
    let mut qemu = command(PROGRAM);
    // KVM inside of a virtual machine may hang.
    qemu.args(["-accel", "tcg", "-m", "1536", "-smp", "1", "-nodefaults", "-no-user-config", "-display", "none"]);
    qemu.args(["-no-reboot", "-serial", "stdio"]).arg("-kernel").arg(kernel).arg("-initrd").arg(image);
    // Only what is in a panic is worth a line of the kernel's own.
    let only = only.join(",");
    qemu.arg("-append").arg(format!("console=ttyS0 panic=-1 quiet loglevel=1 hardback.only={only}"));
    for (name, mib) in DISKS_MIB {
        let path = dir.join(format!("{name}.disk"));
        fs::File::create(&path)?.set_len(mib << 20)?;
        qemu.arg("-drive").arg(format!("file={},if=virtio,format=raw,cache=unsafe", path.display()));
    }
    let child = qemu.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {PROGRAM}"))?;
    let said = watch(child)?;
    for (name, _) in DISKS_MIB {
        fs::remove_file(dir.join(format!("{name}.disk"))).ok();
    }
    Ok(said)
}

/// Shows what the tests tell, keeps all, and ends the machine when its time is
/// over.
fn watch(mut child: Child) -> Result<String> {
    let console = child.stdout.take().context("the machine has no console")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let mut console = BufReader::new(console);
        let mut line = Vec::new();
        while matches!(console.read_until(b'\n', &mut line), Ok(1..)) {
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
            line.clear();
        }
    });
    let (started, mut said) = (Instant::now(), String::new());
    loop {
        match lines.recv_timeout(LIMIT.saturating_sub(started.elapsed())) {
            Ok(line) => {
                if line.starts_with(PREFIX) {
                    println!("    {:>5.0} s  {line}", started.elapsed().as_secs_f64());
                }
                said.push_str(&line);
                said.push('\n');
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                child.kill()?;
                child.wait()?;
                bail!("the guest was not done after {} s; it said:\n{said}", LIMIT.as_secs());
            }
        }
    }
    let status = child.wait()?;
    match status.success() {
        true => Ok(said),
        false => bail!("{PROGRAM} failed ({status}); the guest said:\n{said}"),
    }
}
