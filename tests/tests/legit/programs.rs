//! PostgreSQL's own programs: psql with its backslash commands and scripts, pg_dump of one schema, pgbench.

use super::{column, run, world};
use plio_tests::{Cluster, Db, psql};
use std::fs;

/// What psql sends catalog queries for.
const BACKSLASH: &str = r"
\d
\d+
\d users
\d+ users
\d+ orders
\d+ summary
\d events
\dt *.*
\dt+
\di+
\ds+
\dv
\dm+
\df
\df+ public.*
\da
\dT+
\dD
\dn+
\l
\du+
\dg
\dp
\ddp
\dx+
\dy
\dF
\dO
\dL
\dc
\dC
\do
\drds
\dRp+
\dew
\des
\det
\dconfig search_path
\db
\dA+
\dX
\dP+
\sf public.audit
\conninfo
\encoding
\timing off
\echo done
";

#[track_caller]
fn quiet(db: &Db, role: &str, script: &str) -> String {
    let output = psql(db, role, script);
    assert_eq!(output.stderr, "", "{script}");
    output.stdout
}

#[test]
fn psqls_backslash_commands_work_inside_a_tenant_and_outside() {
    let fixture = world(Cluster::shared());
    for (role, enter) in [
        (fixture.app.as_str(), "SET plio.tenant = 'acme';"),
        (fixture.app.as_str(), "BEGIN; SELECT plio.set_tenant('acme');"),
        (fixture.app.as_str(), ""),
        ("postgres", ""),
        ("postgres", "SET plio.tenant = 'acme';"),
    ] {
        let commands = if enter.is_empty() {
            let inside = [r"\d users", r"\d+ users", r"\d+ orders", r"\d+ summary", r"\d events"];
            BACKSLASH.lines().filter(|line| !inside.contains(line)).collect::<Vec<_>>().join("\n")
        } else {
            BACKSLASH.to_owned()
        };
        let answer = quiet(&fixture.db, role, &format!("{enter}\n{commands}"));
        assert!(answer.ends_with("done\n"), "{answer}");
        if !enter.is_empty() {
            assert!(answer.contains("country|text"), "{answer}");
        }
    }
}

#[test]
fn psql_copies_and_includes_migrations() {
    let fixture = world(Cluster::shared());
    let folder = tempfile::tempdir().unwrap();
    let (rows, migration) = (folder.path().join("rows.csv"), folder.path().join("migration.sql"));
    fs::write(&rows, "7,seven\n8,eight\n").unwrap();
    fs::write(&migration, "ALTER TABLE users ADD COLUMN age int DEFAULT 1;\nCREATE INDEX ON users (age);\nCREATE TABLE added (id int);\n").unwrap();
    let script = format!(
        "\\set ON_ERROR_STOP 1\nBEGIN;\nSELECT plio.set_tenant('acme');\n\\copy users (id, name) FROM '{}' CSV\n\\i {}\n\\copy users TO '{}' CSV\nCOMMIT;\n",
        rows.display(),
        migration.display(),
        folder.path().join("out.csv").display()
    );
    quiet(&fixture.db, &fixture.app, &script);
    let out = fs::read_to_string(folder.path().join("out.csv")).unwrap();
    assert!(out.contains("8,eight,1") && out.lines().count() == 5, "{out}");
}

#[test]
fn pg_dump_of_one_schema_in_every_format() {
    let cluster = Cluster::start(&[]);
    let fixture = world(&cluster);
    let folder = tempfile::tempdir().unwrap();
    for (format, jobs) in [("plain", None), ("custom", None), ("directory", Some("2"))] {
        let file = folder.path().join(format);
        let mut dump = cluster.program("pg_dump");
        dump.args(["--schema=tenant_acme", "--format", format, "--file"]).arg(&file);
        dump.args(jobs.map(|jobs| format!("--jobs={jobs}"))).arg(fixture.db.name());
        let output = dump.output().unwrap();
        assert!(output.status.success(), "{format}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let plain = fs::read_to_string(folder.path().join("plain")).unwrap();
    assert!(plain.contains("canary-acme") && !plain.contains("canary-bravo"), "{plain}");
    // One tenant's schema, by sections and in parallel, into a database that knows nothing of us.
    let copy = cluster.database("copy");
    run(&mut copy.superuser(), "CREATE TABLE public.countries (code text PRIMARY KEY, name text); INSERT INTO public.countries VALUES ('IN', 'India');
        CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    for section in ["pre-data", "data", "post-data"] {
        let restore = cluster
            .program("pg_restore")
            .args(["--exit-on-error", "--jobs=2", "--section", section, "--dbname", copy.name()])
            .arg(folder.path().join("directory"))
            .output()
            .unwrap();
        assert!(restore.status.success(), "{section}: {}", String::from_utf8_lossy(&restore.stderr));
    }
    assert_eq!(column(&mut copy.superuser(), "SELECT count(*) FROM tenant_acme.orders"), ["3"]);
}

#[test]
fn pgbench_runs_a_tenants_script() {
    let fixture = world(Cluster::shared());
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("script.sql");
    fs::write(&script, "\\set id random(1, 3)\nBEGIN;\nSELECT plio.set_tenant('acme');\nSELECT name FROM users WHERE id = :id;\nUPDATE users SET name = name WHERE id = :id;\nCOMMIT;\n").unwrap();
    for mode in ["simple", "extended", "prepared"] {
        let output = fixture
            .db
            .cluster()
            .program("pgbench")
            .args([
                "--no-vacuum",
                "--client=2",
                "--transactions=20",
                "--protocol",
                mode,
                "--username",
                &fixture.app,
                "--file",
            ])
            .arg(&script)
            .arg(fixture.db.name())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("actually processed: 40/40"), "{mode}: {output:?}");
    }
}
