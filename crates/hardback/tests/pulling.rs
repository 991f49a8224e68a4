//! A live machine is pulled from by ssh: by the stock rsync, by rsnapshot, by dirvish. The rsync that it starts here is
//! ours, and reads a shadow copy.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "tests start servers and stop at what is wrong"
)]
#![cfg(target_os = "linux")]

use hardback_testing::pair::{PairWriter, number_in};
use hardback_testing::run;
use hardback_testing::volume::{Volume, VolumeKind};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A volume with a writer at work, and an sshd that lets us in.
struct Server {
    temp: tempfile::TempDir,
    volume: Volume,
    _writer: PairWriter,
    sshd: Child,
    before: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.sshd.kill().ok();
        self.sshd.wait().ok();
    }
}

impl Server {
    fn start() -> Result<Self, String> {
        if !Path::new("/usr/sbin/sshd").exists() {
            return Err("there is no sshd".into());
        }
        let volume = Volume::mount(VolumeKind::Btrfs, 600)?;
        for name in ["data", "data/inner"] {
            run!("btrfs", "subvolume", "create", volume.root().join(name));
        }
        std::fs::write(volume.root().join("data/inner/file"), "inner").unwrap();
        for n in 0..200 {
            std::fs::write(volume.root().join(format!("data/f{n}")), n.to_string()).unwrap();
        }
        let before = subvolumes(&volume);
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_hardback"), dir.join("hardback-rsync")).unwrap();
        for key in ["host", "user"] {
            run!("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", dir.join(key));
        }
        std::fs::copy(dir.join("user.pub"), dir.join("authorized_keys")).unwrap();
        std::fs::create_dir_all("/run/sshd").unwrap();
        // Whoever takes it from us between here and there makes the test fail, not lie.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let shown = dir.display();
        let server = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {shown}/host\nAuthorizedKeysFile {shown}/authorized_keys\n\
             PermitRootLogin yes\nStrictModes no\nUsePAM no\nPidFile none\nSetEnv HARDBACK_STATE_DIR={shown}/state\n"
        );
        std::fs::write(dir.join("sshd_config"), server).unwrap();
        let client = format!(
            "Host *\nPort {port}\nUser root\nIdentityFile {shown}/user\nUserKnownHostsFile /dev/null\n\
             StrictHostKeyChecking no\nLogLevel ERROR\nBatchMode yes\n"
        );
        std::fs::write(dir.join("ssh_config"), client).unwrap();
        let mut sshd = Command::new("/usr/sbin/sshd");
        let sshd = sshd.arg("-D").arg("-f").arg(dir.join("sshd_config")).stderr(Stdio::null()).spawn().unwrap();
        let writer = PairWriter::start(&volume.root().join("data"));
        let server = Self { temp, volume, _writer: writer, sshd, before };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "sshd does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn data(&self) -> String {
        self.volume.root().join("data").display().to_string()
    }

    fn ssh(&self) -> String {
        format!("ssh -F {}", self.path("ssh_config").display())
    }

    /// A copy is of one moment and whole, and nothing is left behind.
    #[track_caller]
    fn assert_pulled(&self, copy: &Path) -> u64 {
        let number = number_in(copy);
        assert_eq!(std::fs::read_to_string(copy.join("inner/file")).unwrap(), "inner");
        assert_eq!(std::fs::read_to_string(copy.join("f199")).unwrap(), "199");
        assert_eq!(subvolumes(&self.volume), self.before);
        assert_eq!(std::fs::read_dir(self.path("state/shadow")).unwrap().count(), 0, "records");
        number
    }
}

macro_rules! server {
    () => {
        match Server::start() {
            Ok(server) => server,
            Err(why) => hardback_testing::skip!("{why}"),
        }
    };
}

fn subvolumes(volume: &Volume) -> String {
    let list = run!("btrfs", "subvolume", "list", volume.root());
    list.lines().map(|line| format!("{}\n", line.rsplit(' ').next().unwrap())).collect()
}

fn is_there(program: &str) -> bool {
    ["/usr/bin", "/usr/sbin"].iter().any(|dir| Path::new(dir).join(program).exists())
}

#[test]
fn a_stock_rsync_pulls_and_pushes() {
    let server = server!();
    let (from, copy) = (format!("root@127.0.0.1:{}/", server.data()), server.path("copy"));
    let words = format!("--rsync-path={} with-shadow --rsync-compat", env!("CARGO_BIN_EXE_hardback"));
    let mut numbers = Vec::new();
    for _ in 0..5 {
        run!("rsync", "-aHAX", "--delete", "-e", server.ssh(), &words, &from, &copy);
        numbers.push(server.assert_pulled(&copy));
    }
    numbers.dedup();
    assert!(numbers.len() > 1, "the writer did nothing: {numbers:?}");
    // A push through the same words, and a pull of something that is not there.
    let to = format!("root@127.0.0.1:{}/", server.path("pushed").display());
    run!("rsync", "-a", "-e", server.ssh(), &words, format!("{}/", copy.display()), to);
    assert!(server.path("pushed/inner/file").is_file());
    let missing = format!("root@127.0.0.1:{}/missing", server.data());
    let output = Command::new("rsync").args(["-a", "-e", &server.ssh(), &words, &missing]).arg(&copy).output().unwrap();
    assert_eq!(output.status.code(), Some(23), "{}", String::from_utf8_lossy(&output.stderr));
    // What rsync keeps to itself must be named.
    let secret = ["-a", "-s", "-e", &server.ssh(), &words, &from];
    let output = Command::new("rsync").args(secret).arg(&copy).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("--source PATH --rsync-compat"), "{said}");
    let words = format!("{words} --source {}", server.data());
    run!("rsync", "-a", "-s", "-e", server.ssh(), &words, &from, &copy);
    server.assert_pulled(&copy);
}

#[test]
fn a_module_of_a_daemon_behind_ssh_is_frozen_or_refused() {
    let server = server!();
    let config = server.path("rsyncd.conf");
    std::fs::write(&config, format!("uid = 0\ngid = 0\n[data]\npath = {}\n", server.data())).unwrap();
    let pull = |more: &str| {
        let hardback = env!("CARGO_BIN_EXE_hardback");
        let words = format!("--rsync-path={hardback} with-shadow {more} --rsync-compat --config={}", config.display());
        let ssh = server.ssh();
        let args = ["-aHAX", "--delete", "-e", &ssh, &words, "root@127.0.0.1::data/"];
        Command::new("rsync").args(args).arg(server.path("copy")).output().unwrap()
    };
    let refused = pull("");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("an rsync daemon does not say"), "{said}");
    assert!(!server.path("copy").exists());
    for _ in 0..3 {
        let pulled = pull(&format!("--source {}", server.data()));
        assert!(pulled.status.success(), "{}", String::from_utf8_lossy(&pulled.stderr));
        server.assert_pulled(&server.path("copy"));
    }
}

#[test]
fn rsnapshot_pulls_a_busy_volume() {
    if !is_there("rsnapshot") {
        hardback_testing::skip!("there is no rsnapshot");
    }
    let server = server!();
    let (root, dir) = (server.path("snapshots"), server.temp.path().display());
    let lines = [
        vec!["config_version".into(), "1.2".into()],
        vec!["snapshot_root".into(), format!("{}/", root.display())],
        vec!["cmd_cp".into(), "/bin/cp".into()],
        vec!["cmd_rm".into(), "/bin/rm".into()],
        vec!["cmd_rsync".into(), "/usr/bin/rsync".into()],
        vec!["cmd_ssh".into(), "/usr/bin/ssh".into()],
        vec!["ssh_args".into(), format!("-F {dir}/ssh_config")],
        vec!["rsync_long_args".into(), format!("--delete --numeric-ids --relative --rsync-path={dir}/hardback-rsync")],
        vec!["retain".into(), "alpha".into(), "6".into()],
        vec!["lockfile".into(), format!("{dir}/lock")],
        vec!["backup".into(), format!("root@127.0.0.1:{}/", server.data()), "live/".into()],
    ];
    let config = server.path("rsnapshot.conf");
    std::fs::write(&config, lines.map(|line| line.join("\t") + "\n").concat()).unwrap();
    for _ in 0..3 {
        run!("rsnapshot", "-c", &config, "alpha");
        server.assert_pulled(&root.join("alpha.0/live").join(server.data().trim_start_matches('/')));
    }
}

#[test]
fn dirvish_pulls_a_busy_volume() {
    if !is_there("dirvish") {
        hardback_testing::skip!("there is no dirvish");
    }
    let server = server!();
    let (bank, dir) = (server.path("bank"), server.temp.path().display());
    std::fs::create_dir_all(bank.join("vault/dirvish")).unwrap();
    std::fs::create_dir(server.path("etc")).unwrap();
    std::fs::write(server.path("etc/master.conf"), format!("bank:\n\t{}\n", bank.display())).unwrap();
    let vault = format!(
        "client: root@127.0.0.1\ntree: {}\nxdev: 0\nindex: none\nimage-default: %Y%m%d%H%M%S\nexpire-default: never\n\
         rsh: {}\nrsync-client: {dir}/hardback-rsync\n",
        server.data(),
        server.ssh(),
    );
    std::fs::write(bank.join("vault/dirvish/default.conf"), vault).unwrap();
    // It looks for its configuration in one place only.
    for (image, more) in [("one", "--init"), ("two", ""), ("three", "")] {
        let script = format!("mount --bind '{dir}/etc' /etc/dirvish && dirvish --vault vault --image {image} {more}");
        run!("unshare", "--mount", "--propagation", "private", "sh", "-c", script);
        let image = bank.join("vault").join(image);
        let summary = std::fs::read_to_string(image.join("summary")).unwrap();
        assert!(summary.contains("Status: success"), "{summary}");
        server.assert_pulled(&image.join("tree"));
    }
}
