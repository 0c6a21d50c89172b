//! `plio denials`: what is there, what comes, and how `--follow` ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use plio_tests::{Cluster, Db, SUPERUSER, TwoTenants};
use serde_json::Value;

use crate::program::{binary, plio_as};

fn fixture(prefix: &str) -> TwoTenants {
    use std::sync::OnceLock;
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    let cluster = CLUSTER.get_or_init(|| Cluster::start(&["shared_preload_libraries = 'plio_tenancy'"]));
    cluster.database(prefix).two_tenants()
}

/// One more denial, in acme.
fn be_refused(fixture: &TwoTenants) {
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    assert!(app.batch_execute("SELECT FROM tenant_bravo.users").is_err());
}

fn follow(db: &Db, arguments: &[&str]) -> Child {
    // A shell starts what is in its background with SIGINT ignored, and so would we.
    Command::new("/usr/bin/env")
        .arg("--default-signal=INT")
        .arg(binary())
        .args(["denials", "--follow", "--interval", "0.1"])
        .args(arguments)
        .env_clear()
        .env("PGHOST", db.cluster().socket_dir())
        .env("PGPORT", db.cluster().port().to_string())
        .env("PGUSER", SUPERUSER)
        .env("PGDATABASE", db.name())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("plio")
}

#[test]
fn denials_are_printed_as_a_table_and_as_json() {
    let fixture = fixture("printed");
    assert!(plio_as(&fixture.db, SUPERUSER, &["denials"]).stdout.starts_with("no denials"));
    be_refused(&fixture);
    let table = plio_as(&fixture.db, SUPERUSER, &["denials"]);
    assert_eq!((table.code, table.stdout.lines().count()), (Some(0), 3), "{table:?}");
    let rows = plio_as(&fixture.db, SUPERUSER, &["denials", "--format", "json", "--org", "acme"]).rows();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0]["kind"].as_str(), rows[0]["enforced"].as_bool()), (Some("other_tenant"), Some(true)));
    assert_eq!(rows[0]["login_role"].as_str(), Some(&*fixture.app));
    assert_eq!(
        plio_as(&fixture.db, SUPERUSER, &["denials", "--format", "json", "--org", "bravo"]).rows().len(),
        0
    );
    // The table, once they are written to it.
    assert!(plio_as(&fixture.db, SUPERUSER, &["denials", "--history"]).stdout.starts_with("no denials"));
    fixture.db.superuser().batch_execute("SELECT plio.flush_denials()").unwrap();
    let history = plio_as(&fixture.db, SUPERUSER, &["denials", "--history", "--format", "json"]);
    assert_eq!(history.rows(), rows);
    assert_eq!(plio_as(&fixture.db, SUPERUSER, &["denials", "--history", "--follow"]).code, Some(2));
    // An ordinary role gets the server's refusal.
    assert_eq!(plio_as(&fixture.db, &fixture.app, &["denials"]).code, Some(2));
    assert_eq!(plio_as(&fixture.db, SUPERUSER, &["denials", "--follow", "--interval", "0"]).code, Some(2));
}

// What is there first, then each one as it comes, once; and it ends when nobody reads on.
#[test]
fn follow_prints_each_denial_once_and_ends_with_its_reader() {
    let fixture = fixture("followed");
    be_refused(&fixture);
    let mut following = follow(&fixture.db, &["--format", "json"]);
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let mut next = || {
        serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap()["denial_id"].as_i64().unwrap()
    };
    let mut ids = vec![next()];
    for _ in 0..5 {
        be_refused(&fixture);
        ids.push(next());
    }
    assert!(ids.is_sorted_by(|one, other| one < other), "{ids:?}");
    drop(lines);
    // No further denial: it notices all the same.
    assert_eq!(following.wait().unwrap().code(), Some(0));
}

#[test]
fn follow_ends_on_an_interrupt() {
    use std::os::unix::process::ExitStatusExt;
    let fixture = fixture("interrupted");
    be_refused(&fixture);
    let mut following = follow(&fixture.db, &[]);
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains(" kind=other_tenant enforced=true ") && line.contains(" org=acme "), "{line}");
    let sent =
        Command::new("sh").args(["-c", "kill -INT \"$0\"", &following.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(following.wait().unwrap().signal(), Some(2));
    // Nothing half written is left.
    assert!(lines.next().is_none());
}

#[test]
fn follow_says_so_where_nothing_is_kept() {
    let db = Cluster::shared().database("nothing_kept");
    let run = plio_as(db.extension(), SUPERUSER, &["denials", "--follow"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("shared_preload_libraries"), "{run:?}");
}
