//! The processes and files of one server: whom it runs as, its tree, initdb, start, stop.
//!
//! PostgreSQL refuses to run as root, and whom root hands the server to may be unable to read the checkout;
//! so root's servers run as `postgres` or `nobody`, from a copy of the tree where that is needed.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A user of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// Its number.
    pub uid: u32,
    /// That of its group.
    pub gid: u32,
}

/// Where one server lives.
#[derive(Debug)]
pub struct Server {
    /// Everything of this server; also the directory of its socket.
    pub base: PathBuf,
    /// PostgreSQL's bin, lib and share, readable for the server's user.
    pub tree: PathBuf,
    /// Whom the server runs as, when not as the caller.
    pub user: Option<User>,
    /// What its processes find in their environment besides.
    pub environment: Vec<(&'static str, &'static str)>,
}

impl Server {
    /// Prepares `base`, an existing and empty folder, and the tree for PostgreSQL `major`.
    pub fn prepare(base: PathBuf, major: &str) -> Self {
        let built = embedded_tree(major);
        let user = (own_uid() == 0).then(unprivileged_user);
        if let Some(user) = user {
            chown(&base, Some(user.uid), Some(user.gid)).expect("chown of the cluster's folder");
        }
        let tree = if user.is_none() || is_open_to_everybody(&built) {
            built
        } else {
            let copy = base.join("pg");
            for part in ["bin", "lib", "share"] {
                link_tree(&built.join(part), &copy.join(part))
                    .expect("a copy of PostgreSQL for the server's user");
            }
            copy
        };
        Self { base, tree, user, environment: Vec::new() }
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    /// The server's log file.
    pub fn log_file(&self) -> PathBuf {
        self.base.join("log")
    }

    /// One of PostgreSQL's programs, run as the caller, with its own libpq and none of the caller's settings.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.tree.join("bin").join(name));
        // RUST_BACKTRACE makes pgrx put backtraces into the DETAIL that clients see.
        for variable in env::vars_os().map(|(variable, _)| variable) {
            let text = variable.to_string_lossy();
            if text == "RUST_BACKTRACE" || text == "RUST_LIB_BACKTRACE" || text.starts_with("PG") {
                command.env_remove(&variable);
            }
        }
        command.env("LD_LIBRARY_PATH", self.tree.join("lib")).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command
    }

    /// The same as the server's user, in a folder which that user may enter.
    pub fn program_as_server(&self, name: &str) -> Command {
        let mut command = self.program(name);
        self.hand_over(&mut command);
        command
    }

    /// Makes a command run as the server's user, in a folder which that user may enter.
    pub fn hand_over(&self, command: &mut Command) {
        command.current_dir(&self.base);
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
    }

    /// Makes the data directory; `conf` is appended to postgresql.conf.
    pub fn initdb(&self, conf: &str) {
        let output = self
            .program_as_server("initdb")
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "-D",
            ])
            .arg(self.data())
            .output()
            .expect("initdb can be run: is target/pg complete? (make setup)");
        assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
        let file = self.data().join("postgresql.conf");
        let text = fs::read_to_string(&file).expect("postgresql.conf");
        // Written in place: the file keeps its owner.
        fs::write(&file, text + conf).expect("postgresql.conf");
    }

    /// Makes the data directory as a standby of the server that listens in the folder `socket` at `port`.
    pub fn copy_of(&self, socket: &Path, port: u16, superuser: &str) {
        let output = self
            .program_as_server("pg_basebackup")
            .arg("--host")
            .arg(socket)
            .args(["--port", &port.to_string(), "--username", superuser, "--no-sync", "--checkpoint=fast"])
            .args(["--wal-method=stream", "--write-recovery-conf", "-D"])
            .arg(self.data())
            .output()
            .expect("pg_basebackup");
        assert!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
        let file = self.data().join("postgresql.conf");
        let text = fs::read_to_string(&file).expect("postgresql.conf");
        let socket = format!("unix_socket_directories = '{}'\n", self.base.display());
        fs::write(&file, text + &socket).expect("postgresql.conf");
    }

    /// Starts on `port` and waits until it accepts connections.
    pub fn start(&self, port: u16) -> Result<(), String> {
        let options = format!("-p {port}");
        self.pg_ctl(&["start", "-w", "-t", "60", "-o", &options, "-l"], Some(&self.log_file()))
            .map_err(|error| format!("{error}\nthe server's log:\n{}", self.log()))
    }

    /// Stops in the given mode (`fast`, `immediate`) and waits for the end.
    pub fn stop(&self, mode: &str) -> Result<(), String> {
        self.pg_ctl(&["stop", "-w", "-t", "60", "-m", mode], None)
    }

    /// All that the server has logged so far.
    pub fn log(&self) -> String {
        fs::read(self.log_file()).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// The postmaster's process id, as it wrote it down.
    pub fn postmaster(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    fn pg_ctl(&self, arguments: &[&str], last: Option<&Path>) -> Result<(), String> {
        // Not output(): the server would inherit the pipe and hold it open.
        let status = self
            .program_as_server("pg_ctl")
            .arg("-D")
            .arg(self.data())
            .args(arguments)
            .args(last)
            .envs(self.environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map_err(|error| format!("pg_ctl: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("pg_ctl {arguments:?}: {status}")) }
    }
}

/// The tree that `make setup` unpacked, or the one that PLIO_TEST_TREE names (`make asserts`).
fn embedded_tree(major: &str) -> PathBuf {
    if let Some(tree) = env::var_os("PLIO_TEST_TREE") {
        return tree.into();
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace's folder");
    let tree = root.join("target/pg").join(major);
    assert!(
        tree.join("bin/postgres").exists(),
        "no PostgreSQL {major} below target/pg: run `make setup PG={major}`"
    );
    tree
}

fn own_uid() -> u32 {
    fs::metadata("/proc/self").expect("/proc/self").uid()
}

fn unprivileged_user() -> User {
    let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd");
    let find = |name: &str| {
        passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [found, _, uid, gid, ..] = fields[..] else { return None };
            (found == name).then_some(User { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
        })
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .expect("root needs a user postgres or nobody to run PostgreSQL")
}

/// Whether every folder on the way may be passed by anybody.
fn is_open_to_everybody(path: &Path) -> bool {
    let path = path.canonicalize().expect("PostgreSQL's tree");
    path.ancestors().all(|folder| fs::metadata(folder).is_ok_and(|found| found.mode() & 0o005 == 0o005))
}

/// Hard links where the file system allows it, else copies.
fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            link_tree(&entry.path(), &target)?;
        } else if entry.file_type()?.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path())?, &target)?;
        } else if fs::hard_link(entry.path(), &target).is_err() {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
