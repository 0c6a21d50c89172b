//! The harness itself, on plain PostgreSQL: needs no extension.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use plio_tests::{Cluster, SUPERUSER, assert_refusal, expect_sqlstate, psql};
use postgres::NoTls;

/// Names the file into which the copy of this test binary that a test starts and kills writes its folder.
const CHILD: &str = "PLIO_HARNESS_CHILD";

#[test]
fn runs_the_version_under_test_over_socket_and_tcp() {
    let db = Cluster::shared().database("version");
    let version: i32 =
        db.superuser().query_one("SELECT current_setting('server_version_num')::int", &[]).unwrap().get(0);
    assert_eq!((version / 10_000).to_string(), Cluster::major());
    let mut tcp = postgres::Client::connect(&db.conninfo(SUPERUSER), NoTls).unwrap();
    let database: String = tcp.query_one("SELECT current_database()", &[]).unwrap().get(0);
    assert_eq!(database, db.name());
}

#[test]
fn databases_and_roles_are_fresh_and_unprivileged() {
    let (one, two) = (Cluster::shared().database("fresh"), Cluster::shared().database("fresh"));
    assert_ne!(one.name(), two.name());
    let role = one.login_role("app");
    let mut client = one.connect(&role);
    let row = client
        .query_one("SELECT rolsuper, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = $1", &[&role]);
    let row = row.unwrap();
    assert!(!row.get::<_, bool>(0) && !row.get::<_, bool>(1) && !row.get::<_, bool>(2));
    expect_sqlstate(client.batch_execute("CREATE TABLE public.t ()"), "42501");
}

#[test]
fn expect_sqlstate_hands_over_the_servers_error() {
    let mut client = Cluster::shared().database("errors").superuser();
    let raise = "DO $$ BEGIN RAISE 'no tenant is set' USING ERRCODE = '55000', HINT = 'Call it.'; END $$";
    let error = expect_sqlstate(client.batch_execute(raise), "55000");
    assert_refusal(&error, "55000", &["canary"]);
    let telling = std::panic::catch_unwind(|| assert_refusal(&error, "55000", &["tenant"]));
    assert!(telling.is_err());
}

#[tokio::test]
async fn connects_asynchronously() {
    // CREATE DATABASE goes over the blocking client, which may not run inside a runtime.
    let db = tokio::task::spawn_blocking(|| Cluster::shared().database("tokio")).await.unwrap();
    let client = db.connect_async(SUPERUSER).await;
    let one: i32 = client.query_one("SELECT 1", &[]).await.unwrap().get(0);
    assert_eq!(one, 1);
    expect_sqlstate(client.query("SELECT 1/0", &[]).await, "22012");
}

#[test]
fn psql_runs_a_script() {
    let db = Cluster::shared().database("psql");
    let output = psql(&db, SUPERUSER, "SELECT 1, 'a';\nSELECT * FROM missing;\nSELECT 2;\n");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, "1|a\n2\n");
    assert!(output.stderr.contains("42P01"), "{output:?}");
}

#[test]
fn a_cluster_of_its_own_has_its_settings_and_survives_stop_crash_and_kill() {
    let cluster = Cluster::start(&["work_mem = '7MB'"]);
    let db = cluster.database("durable");
    let mut client = db.superuser();
    let work_mem: String = client.query_one("SHOW work_mem", &[]).unwrap().get(0);
    assert_eq!(work_mem, "7MB");
    client.batch_execute("CREATE TABLE kept AS SELECT 1 AS x").unwrap();
    cluster.restart();
    cluster.crash();
    cluster.resume();
    let mut client = db.superuser();
    let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    let mut bystander = db.superuser();
    cluster.kill_backend(pid);
    assert!(client.batch_execute("SELECT 1").is_err());
    assert!(bystander.batch_execute("SELECT 1").is_err());
    db.superuser().batch_execute("SELECT x FROM kept").unwrap();
    assert!(cluster.log().contains("was terminated by signal 9"));
    let folder = cluster.socket_dir().to_owned();
    drop((db, cluster));
    assert!(!folder.exists());
}

#[test]
fn a_killed_test_process_leaves_no_server_behind() {
    if let Some(report) = std::env::var_os(CHILD) {
        wait_to_be_killed(Path::new(&report));
        return;
    }
    let report = tempfile::NamedTempFile::new().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_test_process_leaves_no_server_behind"])
        .env(CHILD, report.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let folder = wait_for(|| fs::read_to_string(report.path()).ok().filter(|text| text.ends_with('\n')));
    let folder = Path::new(folder.trim_end());
    let pid = fs::read_to_string(folder.join("data/postmaster.pid")).unwrap();
    let process = format!("/proc/{}", pid.lines().next().unwrap());
    assert!(Path::new(&process).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    wait_for(|| (!folder.exists() && !Path::new(&process).exists()).then_some(()));
}

fn wait_to_be_killed(report: &Path) {
    let cluster = Cluster::start(&[]);
    fs::write(report, format!("{}\n", cluster.socket_dir().display())).unwrap();
    thread::sleep(Duration::from_secs(120));
}

fn wait_for<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < end, "waited a minute");
        thread::sleep(Duration::from_millis(20));
    }
}
