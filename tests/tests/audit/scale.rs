//! What audit() costs over a thousand tenants of 14 tables: `make test T=audit ARGS='-- --ignored --nocapture'`.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use plio_tests::{Cluster, Db};
use postgres::Client;

const TENANTS: usize = 1000;

fn script(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn fill(db: &Db) {
    let mut admin = db.superuser();
    admin.batch_execute("CREATE ROLE app LOGIN").unwrap();
    admin
        .batch_execute(&format!(
            "SET search_path = public; {} {}",
            script("shared.sql"),
            script("tenant.sql")
        ))
        .unwrap();
    admin.batch_execute(&script("sharing.sql")).unwrap();
    for first in (0..TENANTS).step_by(50) {
        let create =
            format!("SELECT plio.create_tenant('t' || i) FROM generate_series({first}, {}) i", first + 49);
        admin.batch_execute(&create).unwrap();
    }
    let tables = script("tenant.sql");
    thread::scope(|scope| {
        for half in 0..2 {
            let tables = &tables;
            scope.spawn(move || {
                let mut admin = db.superuser();
                for tenant in (half..TENANTS).step_by(2) {
                    let text = format!("BEGIN; SELECT plio.set_tenant('t{tenant}'); {tables}; COMMIT");
                    admin.batch_execute(&text).unwrap_or_else(|error| panic!("t{tenant}: {error:?}"));
                }
            });
        }
    });
}

/// What the session's server process has used of the processor (proc(5): in ticks, 100 a second on Linux).
fn processor_time(client: &mut Client) -> Duration {
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().unwrap())
        .sum::<u64>();
    Duration::from_millis(ticks * 10)
}

#[test]
#[ignore = "takes minutes: it makes a thousand tenants"]
fn a_thousand_tenants_are_audited_in_seconds() {
    let db = Cluster::start(&["max_locks_per_transaction = 1024"]).database("audit_scale");
    db.extension();
    fill(&db);
    let mut admin = db.superuser();
    let mut time = |what: &str| {
        let began = Instant::now();
        let rows =
            admin.query("SELECT severity, check_name, object FROM plio.audit('warning')", &[]).unwrap();
        let found: Vec<(String, String, Option<String>)> =
            rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
        assert!(found.is_empty(), "{found:?}");
        println!("audit() over {TENANTS} tenants, {what}: {:?}", began.elapsed());
    };
    time("first in a session");
    time("again");
    for group in ["ties", "code", "privileges", "roles", "outside", "registry"] {
        let began = Instant::now();
        db.superuser().query(&format!("SELECT * FROM plio._audit_{group}()"), &[]).unwrap();
        println!("  {group}: {:?}", began.elapsed());
    }
    // Of the processor's time, whatever else the machine is doing.
    let before = processor_time(&mut admin);
    admin.query("SELECT count(*) FROM plio.audit()", &[]).unwrap();
    let spent = processor_time(&mut admin) - before;
    println!("  processor time: {spent:?}");
    assert!(spent < Duration::from_secs(5), "audit() took {spent:?}");
}
