//! `postgres --single`: nothing is judged there, and health() says so.

use std::io::Write;
use std::process::Stdio;

use plio_tests::Cluster;

#[test]
fn health_says_that_nothing_is_judged_in_single_user_mode() {
    let cluster = Cluster::start(&[super::flush::PRELOADED]);
    let fixture = cluster.database("single").two_tenants();
    let finding = "SELECT count(*) FROM plio.health() WHERE finding = 'single_user'";
    assert_eq!(super::first::<i64>(&mut fixture.db.superuser(), finding), 0);
    cluster.stop();
    let mut command = cluster.program("postgres");
    cluster.hand_to_server_user(&mut command);
    command.arg("--single").arg("-D").arg(cluster.data_dir()).arg(fixture.db.name());
    let mut server =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let query = "SELECT 'found: ' || severity AS answer FROM plio.health() WHERE finding = 'single_user'\n";
    server.stdin.take().unwrap().write_all(query.as_bytes()).unwrap();
    let output = server.wait_with_output().unwrap();
    let answer = String::from_utf8_lossy(&output.stdout);
    assert!(answer.contains("found: critical"), "{answer}");
    cluster.resume();
}
