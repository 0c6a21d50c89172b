//! Sessions with warm caches, and statements that wait for another session.

use plio_tests::{Cluster, Db, Layers, TwoTenants, assert_refusal, expect_sqlstate};
use postgres::{Client, Error};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// What the tests attack: the target `adopted` runs them again.
pub const LAYERS: Layers = Layers::of(module_path!());

pub fn two_tenants(prefix: &str) -> TwoTenants {
    Cluster::shared().database(prefix).tenants(LAYERS)
}

#[track_caller]
pub fn refused<T>(result: Result<T, Error>, code: &str) {
    assert_refusal(&expect_sqlstate(result, code), code, &["canary"]);
}

#[track_caller]
pub fn first(client: &mut Client, query: &str) -> String {
    client.query_one(query, &[]).unwrap_or_else(|error| panic!("{query}: {error:?}")).get(0)
}

/// A connection that has been in both tenants.
pub fn warm(fixture: &TwoTenants, role: &str) -> Client {
    let mut client = fixture.db.connect(role);
    for org in ["acme", "bravo", "acme"] {
        let work = format!("BEGIN; SELECT plio.set_tenant('{org}'); SELECT * FROM users, countries; COMMIT");
        client.batch_execute(&work).unwrap();
    }
    client
}

pub fn enter(client: &mut Client, org: &str) -> Result<(), Error> {
    let result = client.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')"));
    if result.is_err() {
        client.batch_execute("ROLLBACK").unwrap();
    }
    result
}

/// Returns once `query` says true; `check` runs each time that it does not yet.
#[track_caller]
pub fn wait_for(watcher: &mut Client, query: &str, check: impl Fn()) {
    let end = Instant::now() + Duration::from_secs(30);
    while !watcher.query_one(query, &[]).unwrap().get::<_, bool>(0) {
        check();
        assert!(Instant::now() < end, "not so within half a minute: {query}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A statement running in a session of its own.
pub struct Running {
    pid: i32,
    thread: JoinHandle<(Client, Result<(), Error>)>,
}

impl Running {
    fn start(mut client: Client, statement: &str) -> Running {
        let pid = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
        Self::of(pid, client, statement)
    }

    fn of(pid: i32, mut client: Client, statement: &str) -> Running {
        let statement = statement.to_owned();
        let thread = thread::spawn(move || {
            let result = client.batch_execute(&statement);
            (client, result)
        });
        Running { pid, thread }
    }

    /// Only `races` itself needs it.
    #[allow(dead_code, reason = "the adopted targets compile this file, and not every test of races")]
    /// Starts a statement and returns once it waits for a lock of another session.
    pub fn blocked(db: &Db, client: Client, statement: &str) -> Running {
        let running = Running::start(client, statement);
        let query = format!("SELECT cardinality(pg_blocking_pids({})) > 0", running.pid);
        wait_for(&mut db.superuser(), &query, || {
            assert!(!running.thread.is_finished(), "it does not wait: {statement}");
        });
        running
    }

    /// Starts a statement and returns once it waits for a lock of another session, or `None` if it does not.
    /// `is_waiting` asks a session that has asked before: a new one might have to wait, too.
    #[allow(dead_code, reason = "the adopted targets compile this file, and not every test of races")]
    pub fn blocked_or_done(
        pid: i32,
        client: Client,
        statement: &str,
        mut is_waiting: impl FnMut() -> bool,
    ) -> Option<Running> {
        let running = Running::of(pid, client, statement);
        while !running.thread.is_finished() {
            if is_waiting() {
                return Some(running);
            }
            thread::sleep(Duration::from_millis(5));
        }
        drop(running.finish());
        None
    }

    pub fn finish(self) -> (Client, Result<(), Error>) {
        self.thread.join().unwrap()
    }
}
