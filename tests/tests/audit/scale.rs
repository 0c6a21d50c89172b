//! What audit() costs over a thousand tenants of 14 tables: `make test T=audit ARGS='-- --ignored --nocapture'`; `make bench` says
//! it, too.

use std::time::{Duration, Instant};

use plio_tests::{Cluster, processor_clock};

const TENANTS: usize = 1000;

#[test]
#[ignore = "takes minutes: it makes a thousand tenants"]
fn a_thousand_tenants_are_audited_in_seconds() {
    let db = Cluster::start(&["max_locks_per_transaction = 1024"]).database("audit_scale");
    db.extension();
    db.plio_shaped_tenants(TENANTS);
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
    let clock = processor_clock(&mut admin);
    let before = clock();
    admin.query("SELECT count(*) FROM plio.audit()", &[]).unwrap();
    let spent = clock() - before;
    println!("  processor time: {spent:?}");
    assert!(spent < Duration::from_secs(5), "audit() took {spent:?}");
}
