//! The server's log: a line for each denial, and no flood of them.

use super::{cluster, first, two_tenants};
use postgres::Client;

/// Catches that many refusals in one transaction.
fn refused_in_a_loop(app: &mut Client, times: u32) {
    app.batch_execute(&format!(
        "BEGIN; SELECT plio.set_tenant('acme');
         DO $$ BEGIN FOR i IN 1..{times} LOOP
             BEGIN PERFORM * FROM tenant_bravo.users; EXCEPTION WHEN insufficient_privilege THEN NULL; END;
         END LOOP; END $$; COMMIT"
    ))
    .unwrap();
}

fn lines_of(role: &str) -> Vec<String> {
    let login = format!("login=\"{role}\"");
    let log = cluster().log();
    log.lines()
        .filter(|line| line.contains("plio denial: ") && line.contains(&login))
        .map(str::to_owned)
        .collect()
}

// PostgreSQL itself logs nothing of an error that a function catches: this line is all there is.
#[test]
fn what_a_function_catches_is_logged_too_a_line_each() {
    let fixture = two_tenants("caught");
    refused_in_a_loop(&mut fixture.db.connect(&fixture.app), 50);
    let lines = lines_of(&fixture.app);
    assert_eq!(lines.len(), 50);
    assert!(lines.iter().all(|line| line.contains(" LOG:  plio denial: kind=other_tenant ")), "{lines:?}");
    // One line each: neither the statement nor its context follows, which would name the other's table.
    let log = cluster().log();
    let mut all = log.lines().skip_while(|line| !line.contains(&format!("login=\"{}\"", fixture.app)));
    let after = all.nth(1).unwrap_or_default();
    assert!(!after.contains("STATEMENT") && !after.contains("CONTEXT"), "{after}");
}

// Suppressed lines are counted in the next line; the ring has all of them.
#[test]
fn a_loop_cannot_fill_the_disk() {
    let fixture = two_tenants("flood");
    let mut admin = fixture.db.superuser();
    admin.batch_execute(&format!("ALTER ROLE {} SET plio.denials_log_rate = 3", fixture.app)).unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    refused_in_a_loop(&mut app, 500);
    assert_eq!(first::<i64>(&mut admin, "SELECT sum(times)::bigint FROM plio.denials"), 500);
    // The rest, whatever second each fell into, is told by the first line of a later second.
    super::wait_until("a later line tells of those left out", || {
        refused_in_a_loop(&mut app, 1);
        lines_of(&fixture.app).last().is_some_and(|line| line.contains(" suppressed="))
    });
    let lines = lines_of(&fixture.app);
    assert!(lines.len() < 100, "{}", lines.len());
    let told: u64 = lines
        .iter()
        .filter_map(|line| line.split_once(" suppressed=")?.1.split(' ').next()?.parse::<u64>().ok())
        .sum();
    let all: i64 = first(&mut admin, "SELECT sum(times)::bigint FROM plio.denials");
    assert_eq!(told + lines.len() as u64, all as u64);
}
