//! How the program finds the server: as psql does.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use plio_tests::{Cluster, SUPERUSER};

use crate::program::{plio, plio_as};

// Each way leads to the same database: its tenants are listed.
#[test]
fn variables_options_strings_and_services_lead_to_the_server() {
    let fixture = Cluster::shared().database("cli_ways").two_tenants();
    let (db, cluster) = (&fixture.db, fixture.db.cluster());
    let (socket, port) = (cluster.socket_dir().display().to_string(), cluster.port().to_string());
    let folder = tempfile::tempdir().unwrap();
    let service_file = folder.path().join("services").display().to_string();
    fs::write(&service_file, format!("[here]\nhost=127.0.0.1\nport={port}\nuser={SUPERUSER}\n")).unwrap();
    let (name, pairs) = (db.name(), db.conninfo(SUPERUSER));
    let uri = format!("postgresql://{SUPERUSER}@127.0.0.1:{port}/{name}?application_name=x");
    let socket_uri = format!("postgres:///{name}?host={socket}&port={port}&user={SUPERUSER}");
    for (environment, arguments) in [
        (vec![("PGHOST", &*socket), ("PGPORT", &*port), ("PGUSER", SUPERUSER), ("PGDATABASE", name)], vec![]),
        (vec![], vec!["-h", &socket, "-p", &port, "-U", SUPERUSER, "-d", name]),
        (vec![], vec!["-d", &pairs]),
        (vec![("PGPORT", "1")], vec!["--dbname", &uri]),
        (vec![], vec!["-d", &socket_uri]),
        (vec![("PGSERVICEFILE", &*service_file), ("PGSERVICE", "here"), ("PGDATABASE", name)], vec![]),
    ] {
        let run = plio(&environment, &[&["tenants"][..], &arguments].concat());
        assert_eq!(run.code, Some(0), "{environment:?} {arguments:?}: {run:?}");
        assert!(run.stdout.contains("tenant_bravo"), "{environment:?} {arguments:?}: {run:?}");
    }
}

// The password comes from the file only where nobody else can read it.
#[test]
fn a_password_file_that_others_can_read_is_not_used() {
    let cluster = Cluster::start(&[]);
    let fixture = cluster.database("cli_password").two_tenants();
    let mut admin = fixture.db.superuser();
    admin.batch_execute("ALTER ROLE postgres PASSWORD 'se:cret'").unwrap();
    let hba = "local all all trust\nhost all all all scram-sha-256\n";
    fs::write(cluster.data_dir().join("pg_hba.conf"), hba).unwrap();
    admin.execute("SELECT pg_reload_conf()", &[]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passwords");
    fs::write(&file, "127.0.0.1:*:*:postgres:se\\:cret\n").unwrap();
    let path = file.display().to_string();
    let place = fixture.db.conninfo(SUPERUSER);
    let run_with = |mode: u32| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        plio(&[("PGPASSFILE", &path)], &["tenants", "-d", &place])
    };
    let (closed, open) = (run_with(0o600), run_with(0o644));
    assert_eq!(closed.code, Some(0), "{closed:?}");
    assert_eq!(open.code, Some(2), "{open:?}");
    assert!(open.stderr.contains("group or world access"), "{open:?}");
    let wrong = plio(&[("PGPASSWORD", "wrong")], &["tenants", "-d", &place]);
    assert!(wrong.code == Some(2) && wrong.stderr.contains("SQLSTATE: 28P01"), "{wrong:?}");
}

// No answer is exit code 2 and one message, whatever went wrong.
#[test]
fn without_an_answer_the_exit_code_is_2() {
    let fixture = Cluster::shared().database("cli_failures").two_tenants();
    let refused = plio_as(&fixture.db, &fixture.carol, &["tenants"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("plio: error: permission denied") && refused.stderr.contains("42501"));
    for (arguments, word) in [
        (&["tenants", "-h", "/nowhere", "-U", "x"][..], "No such file"),
        (&["tenants", "-d", "host=x sslmode=verify-full"], "TLS"),
        (&["tenants", "-d", "service=none"], "service"),
        (&["nonsense"], "nonsense"),
        (&["health", "--format", "xml"], "xml"),
    ] {
        let run = plio(&[], arguments);
        assert_eq!(run.code, Some(2), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(word) && run.stdout.is_empty(), "{arguments:?}: {run:?}");
    }
    let help = plio(&[], &["--help"]);
    assert!(help.code == Some(0) && help.stdout.contains("audit"), "{help:?}");
}
