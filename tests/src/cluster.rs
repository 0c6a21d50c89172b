//! A cluster: one server and what tests do to it as a whole.

use std::env;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Config, NoTls};

use crate::database::Db;
use crate::server::Server;
use crate::watchdog::Watchdog;

/// The superuser that initdb makes.
pub const SUPERUSER: &str = "postgres";

/// Nothing has to survive a crash of the machine; a server that dies alone recovers all the same.
const SETTINGS: &str = "
fsync = off
synchronous_commit = off
full_page_writes = off
shared_buffers = 64MB
max_connections = 200
max_prepared_transactions = 10
listen_addresses = '127.0.0.1'
log_line_prefix = '%m [%p] %u@%d '
timezone = 'UTC'
";

/// A running throw-away cluster; clones are handles to the same one, the last of them ends it.
#[derive(Clone, Debug)]
pub struct Cluster(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    server: Server,
    port: u16,
    /// Numbers databases and roles, so that no two tests meet.
    counter: AtomicU32,
    // Last: it ends the server.
    _watchdog: Watchdog,
}

impl Inner {
    /// Starts a prepared server with a data directory.
    fn run(server: Server, watchdog: Watchdog) -> Inner {
        let port = start_on_a_free_port(&server);
        Inner { server, port, counter: AtomicU32::new(1), _watchdog: watchdog }
    }
}

impl Cluster {
    /// The one cluster of this test binary, with no settings of its own: nothing is preloaded, so the
    /// extension protects by what CREATE EXTENSION puts into the database's `session_preload_libraries`.
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Cluster::start(&[]))
    }

    /// A cluster of its own with more lines in postgresql.conf, such as
    /// `"shared_preload_libraries = 'plio_tenancy'"`.
    pub fn start(conf: &[&str]) -> Cluster {
        Self::start_in(&[], conf)
    }

    /// The same, with these variables in the environment of the server's processes.
    pub fn start_in(environment: &[(&'static str, &'static str)], conf: &[&str]) -> Cluster {
        let base = short_folder();
        let watchdog = Watchdog::over(&base);
        let mut server = Server::prepare(base, &Self::major());
        server.environment = environment.to_vec();
        let socket = format!("unix_socket_directories = '{}'\n", server.base.display());
        server.initdb(&format!("{SETTINGS}{socket}{}\n", conf.join("\n")));
        Self(Arc::new(Inner::run(server, watchdog)))
    }

    /// A hot standby of this cluster, made by pg_basebackup, that streams from it.
    pub fn standby(&self) -> Cluster {
        let base = short_folder();
        let watchdog = Watchdog::over(&base);
        let server = Server::prepare(base, &Self::major());
        server.copy_of(self.socket_dir(), self.port(), SUPERUSER);
        Self(Arc::new(Inner::run(server, watchdog)))
    }

    /// Waits until this standby has replayed what `primary` has written up to now.
    pub fn wait_replayed(&self, primary: &Cluster) {
        let connect = |cluster: &Cluster| cluster.config(SUPERUSER, "postgres").connect(NoTls);
        // At the very start of a segment the position lies behind a page's header, and nothing is there to be replayed
        // until somebody writes: so we do.
        let written = connect(primary)
            .and_then(|mut client| {
                client.batch_execute("SELECT pg_logical_emit_message(true, 'written', '')")?;
                client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[])
            })
            .expect("the primary's position");
        let position: String = written.get(0);
        let mut client = connect(self).expect("the standby");
        let query = "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
        wait_until("the standby has replayed the log", || {
            client.query_one(query, &[&position]).is_ok_and(|row| row.get(0))
        });
    }

    /// Makes a standby a primary, and waits for that.
    pub fn promote(&self) {
        let mut client = self.config(SUPERUSER, "postgres").connect(NoTls).expect("the standby");
        client.batch_execute("SELECT pg_promote()").expect("pg_promote");
    }

    /// PostgreSQL's major version under test: `PLIO_TEST_PG`, by default 18.
    pub fn major() -> String {
        env::var("PLIO_TEST_PG").ok().filter(|major| !major.is_empty()).unwrap_or_else(|| "18".to_owned())
    }

    /// A fresh database named `prefix` and a number.
    pub fn database(&self, prefix: &str) -> Db {
        Db::create(self, self.unique(prefix))
    }

    /// A name that nobody else in this cluster has.
    pub fn unique(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.0.counter.fetch_add(1, Ordering::Relaxed))
    }

    /// The driver's settings for a connection over the socket.
    pub fn config(&self, role: &str, database: &str) -> Config {
        let mut config = Config::new();
        config
            .host_path(self.socket_dir())
            .port(self.port())
            .user(role)
            .dbname(database)
            .application_name("plio-tests");
        config
    }

    /// The port, on 127.0.0.1 and in the name of the socket.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The directory of the socket. Only the server's user and root may enter it.
    pub fn socket_dir(&self) -> &Path {
        &self.0.server.base
    }

    /// PostgreSQL's tree (bin, lib, share) as the server sees it.
    pub fn tree(&self) -> &Path {
        &self.0.server.tree
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.0.server.data()
    }

    /// One of PostgreSQL's programs (`pg_dump`, `pgbench`, ...), told by environment where this cluster is.
    pub fn program(&self, name: &str) -> Command {
        let mut command = self.0.server.program(name);
        command
            .env("PGHOST", self.socket_dir())
            .env("PGPORT", self.port().to_string())
            .env("PGUSER", SUPERUSER);
        command
    }

    /// Makes a command run as the server's user, in a folder which that user may enter.
    pub fn hand_to_server_user(&self, command: &mut Command) {
        self.0.server.hand_over(command);
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        self.0.server.log()
    }

    /// Ends all sessions and stops; [`Cluster::resume`] starts again.
    pub fn stop(&self) {
        self.0.server.stop("fast").unwrap_or_else(|error| panic!("{error}"));
    }

    /// Stops without a checkpoint, as after a loss of power; [`Cluster::resume`] recovers.
    pub fn crash(&self) {
        self.0.server.stop("immediate").unwrap_or_else(|error| panic!("{error}"));
    }

    /// Starts a stopped server again, on the same port.
    pub fn resume(&self) {
        self.0.server.start(self.port()).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Stops and starts.
    pub fn restart(&self) {
        self.stop();
        self.resume();
    }

    /// SIGKILL for one backend (its `pg_backend_pid()`), and waits for the recovery that follows: the server
    /// ends every other session.
    pub fn kill_backend(&self, pid: i32) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running backend");
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).map(str::trim);
        let postmaster = self.0.server.postmaster().map(|pid| pid.to_string());
        assert_eq!(parent, postmaster.as_deref(), "{pid} is no backend of this cluster");
        let killed = Command::new("sh").args(["-c", "kill -KILL \"$0\"", &pid.to_string()]).status();
        assert!(killed.is_ok_and(|status| status.success()), "kill {pid}");
        // Once the postmaster has reaped it, it admits nobody before recovery is done.
        wait_until("the killed backend is reaped", || !Path::new(&format!("/proc/{pid}")).exists());
        self.wait_ready();
    }

    /// Waits until the server accepts connections.
    pub fn wait_ready(&self) {
        wait_until("the server accepts connections", || {
            self.config(SUPERUSER, "postgres").connect(NoTls).is_ok()
        });
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "waited a minute until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A new folder whose path leaves room for the socket's name (108 bytes in all).
fn short_folder() -> PathBuf {
    let temporary = env::temp_dir();
    let parent = if temporary.as_os_str().len() <= 60 { temporary.as_path() } else { Path::new("/tmp") };
    let folder = tempfile::Builder::new().prefix("plio-").tempdir_in(parent).expect("a temporary folder");
    // The watchdog removes it.
    folder.keep().canonicalize().expect("the temporary folder")
}

/// Somebody else may take the port between our look and the server's start: then try another.
fn start_on_a_free_port(server: &Server) -> u16 {
    let mut failure = String::new();
    for _ in 0..3 {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("the port").port();
        drop(listener);
        match server.start(port) {
            Ok(()) => return port,
            Err(error) => failure = error,
        }
    }
    panic!("the server does not start: {failure}");
}
