//! Many tenants as Plio's own look, and what a session's server process costs: for measurements.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use postgres::Client;

use crate::database::Db;

fn script(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

impl Db {
    /// That many tenants t0, t1, ... of 14 tables each, with the demo's keys, sequences and shared tables, and no rows.
    pub fn plio_shaped_tenants(&self, tenants: usize) {
        fill(self, tenants);
    }
}

fn fill(db: &Db, tenants: usize) {
    let mut admin = db.superuser();
    let app = "SELECT FROM pg_roles WHERE rolname = 'app'";
    if admin.query_opt(app, &[]).unwrap().is_none() {
        admin.batch_execute("CREATE ROLE app LOGIN").unwrap();
    }
    admin
        .batch_execute(&format!(
            "SET search_path = public; {} {}",
            script("shared.sql"),
            script("tenant.sql")
        ))
        .unwrap();
    admin.batch_execute(&script("sharing.sql")).unwrap();
    for first in (0..tenants).step_by(50) {
        let create = format!(
            "SELECT plio.create_tenant('t' || i) FROM generate_series({first}, {}) i",
            (first + 50).min(tenants) - 1
        );
        admin.batch_execute(&create).unwrap();
    }
    let tables = script("tenant.sql");
    thread::scope(|scope| {
        for half in 0..2 {
            let tables = &tables;
            scope.spawn(move || {
                let mut admin = db.superuser();
                for tenant in (half..tenants).step_by(2) {
                    let text = format!("BEGIN; SELECT plio.set_tenant('t{tenant}'); {tables}; COMMIT");
                    admin.batch_execute(&text).unwrap_or_else(|error| panic!("t{tenant}: {error:?}"));
                }
            });
        }
    });
}

/// A clock that shows what the session's server process has used of the processor.
pub fn processor_clock(client: &mut Client) -> impl Fn() -> Duration + use<> {
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    // Linux: the first number is nanoseconds.
    let path = format!("/proc/{pid}/schedstat");
    move || {
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let spent = text.split_whitespace().next().and_then(|number| number.parse().ok());
        Duration::from_nanos(spent.unwrap_or_else(|| panic!("{path}: {text}")))
    }
}
