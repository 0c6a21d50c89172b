//! Errors that are not ours arrive as PostgreSQL raised them: every field, inside a tenant, with no tenant and in a
//! database without the extension alike.

use std::io::{Read, Write};

use plio_tests::{Cluster, Db, TwoTenants};
use postgres::Client;
use postgres::error::{DbError, ErrorPosition};

use crate::statements::FAILURES;

mod statements;

/// The same objects everywhere; `users` is the fixture's.
const OBJECTS: &str = "
    CREATE TABLE orders (id int PRIMARY KEY, code text NOT NULL UNIQUE, amount int CONSTRAINT positive CHECK (amount > 0),
      buyer bigint REFERENCES users, EXCLUDE USING btree (amount WITH =) DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO orders VALUES (1, 'one', 10, 1);
    CREATE DOMAIN short AS text CONSTRAINT brief CHECK (length(VALUE) < 4);
    CREATE TYPE mood AS ENUM ('calm');
    CREATE FUNCTION fail_custom() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
      RAISE EXCEPTION 'custom failure of %', 'mine' USING ERRCODE = 'PL001', DETAIL = 'a detail', HINT = 'a hint',
        COLUMN = 'a_column', CONSTRAINT = 'a_constraint', DATATYPE = 'a_type', TABLE = 'a_table', SCHEMA = 'a_schema';
    END $$;
    CREATE FUNCTION fail_odd() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE SQLSTATE 'ZZ9ZZ'; END $$;
    CREATE FUNCTION fail_deep(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
      IF n = 0 THEN INSERT INTO orders VALUES (1, 'again', 5); END IF; RETURN fail_deep(n - 1); END $$;
    CREATE FUNCTION fail_sql() RETURNS int LANGUAGE sql AS 'SELECT 1 / (SELECT 0)';
    CREATE PROCEDURE fail_procedure() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO orders VALUES (2, 'one', 5); END $$;
    CREATE FUNCTION on_guarded() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF NEW.n = 0 THEN PERFORM fail_custom(); END IF;
      INSERT INTO orders VALUES (NEW.n, 'one', NEW.n); RETURN NEW; END $$;
    CREATE TABLE guarded (n int); CREATE TRIGGER guard BEFORE INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION on_guarded();
    CREATE VIEW checked AS SELECT id, code FROM orders WHERE id < 100 WITH CHECK OPTION;
    CREATE TABLE dependent (id int REFERENCES orders);
    INSERT INTO dependent VALUES (1);";

/// COPY FROM STDIN: the rows are at fault. (The line; the table and its columns.)
const COPIES: &[(&str, &str)] = &[
    ("orders", "2\tone\t5\t\\N\n"),
    ("orders", "2\ttwo\tx\t\\N\n"),
    ("orders", "2\n"),
    ("orders (id, code, amount)", "2\ttwo\t-5\n"),
    ("guarded", "0\n"),
    ("guarded", "3\n"),
];

/// Every field that a client sees, but the schema's name, which differs; the line in PostgreSQL's source included.
fn fields(error: &DbError) -> Vec<(&'static str, Option<String>)> {
    let position = error.position().map(|position| match position {
        ErrorPosition::Original(at) => at.to_string(),
        ErrorPosition::Internal { position, query } => format!("{position} in {query}"),
    });
    let text = |text: Option<&str>| text.map(|text| text.replace("tenant_acme", "home"));
    vec![
        ("severity", Some(error.severity().to_owned())),
        ("code", Some(error.code().code().to_owned())),
        ("message", text(Some(error.message()))),
        ("detail", text(error.detail())),
        ("hint", text(error.hint())),
        ("position", text(position.as_deref())),
        ("where", text(error.where_())),
        ("schema", text(error.schema())),
        ("table", text(error.table())),
        ("column", text(error.column())),
        ("datatype", text(error.datatype())),
        ("constraint", text(error.constraint())),
        ("file", text(error.file())),
        ("line", error.line().map(|line| line.to_string())),
        ("routine", text(error.routine())),
    ]
}

fn failure(result: Result<(), postgres::Error>, statement: &str) -> Vec<(&'static str, Option<String>)> {
    let error = result.expect_err(statement);
    fields(error.as_db_error().unwrap_or_else(|| panic!("{statement}: {error:?}")))
}

/// The schema `home` in a database without the extension, with the same objects, and in it the application's role.
fn plain(app: &str) -> Db {
    let db = Cluster::shared().database("plain");
    db.superuser()
        .batch_execute(&format!(
            "CREATE SCHEMA home AUTHORIZATION {app}; SET ROLE {app}; SET search_path = home;
             CREATE TABLE users (id bigserial PRIMARY KEY, name text); INSERT INTO users (name) VALUES ('x'); {OBJECTS}"
        ))
        .unwrap();
    db
}

fn fixture() -> TwoTenants {
    let fixture = Cluster::shared().database("errors").two_tenants();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('acme'); {OBJECTS} COMMIT")).unwrap();
    fixture
}

/// One statement in a transaction of its own, over the simple and the extended protocol.
fn failures(
    client: &mut Client,
    preamble: &str,
    statement: &str,
) -> Vec<Vec<(&'static str, Option<String>)>> {
    let mut found = Vec::new();
    client.batch_execute(&format!("BEGIN; {preamble}")).unwrap();
    found.push(failure(client.batch_execute(statement), statement));
    client.batch_execute("ROLLBACK; DEALLOCATE ALL").unwrap();
    if !statement.contains("; ") || statement.starts_with("DO ") || statement.starts_with("CREATE FUNCTION") {
        client.batch_execute(&format!("BEGIN; {preamble}")).unwrap();
        found.push(failure(client.execute(statement, &[]).map(|_| ()), statement));
        client.batch_execute("ROLLBACK").unwrap();
    }
    found
}

fn compare(
    of: &str,
    theirs: &[(&'static str, Option<String>)],
    ours: &[(&'static str, Option<String>)],
    faults: &mut Vec<String>,
) {
    for ((name, theirs), (_, ours)) in theirs.iter().zip(ours) {
        if theirs != ours {
            faults.push(format!("{of}: {name} should be {theirs:?}, is {ours:?}"));
        }
    }
}

/// Inside a tenant every failure has the very fields that it has without the extension, file and line included.
#[test]
fn errors_of_others_keep_every_field() {
    let fixture = fixture();
    let twin = plain(&fixture.app);
    let mut here = fixture.db.connect(&fixture.app);
    let mut there = twin.connect(&fixture.app);
    let mut faults = Vec::new();
    for statement in FAILURES {
        let theirs = failures(&mut there, "SET LOCAL search_path = home, public, pg_temp", statement);
        let ours = failures(&mut here, "SELECT plio.set_tenant('acme')", statement);
        assert_eq!(theirs.len(), ours.len());
        for (theirs, ours) in theirs.iter().zip(&ours) {
            compare(statement, theirs, ours, &mut faults);
        }
    }
    assert!(faults.is_empty(), "{} fields differ:\n{}", faults.len(), faults.join("\n"));
}

/// The same with no tenant, in the application's own schema of a database with the extension; and for a superuser.
#[test]
fn with_no_tenant_errors_are_untouched_too() {
    let fixture = fixture();
    fixture
        .db
        .superuser()
        .batch_execute(&format!(
            "CREATE SCHEMA home AUTHORIZATION {app}; SET ROLE {app}; SET search_path = home;
             CREATE TABLE users (id bigserial PRIMARY KEY, name text); INSERT INTO users (name) VALUES ('x'); {OBJECTS}",
            app = fixture.app
        ))
        .unwrap();
    let twin = plain(&fixture.app);
    let preamble = "SET LOCAL search_path = home, public, pg_temp";
    let mut faults = Vec::new();
    for role in [fixture.app.as_str(), plio_tests::SUPERUSER] {
        let mut here = fixture.db.connect(role);
        let mut there = twin.connect(role);
        for statement in FAILURES {
            let pairs = failures(&mut there, preamble, statement)
                .into_iter()
                .zip(failures(&mut here, preamble, statement));
            for (theirs, ours) in pairs {
                compare(statement, &theirs, &ours, &mut faults);
            }
        }
    }
    assert!(faults.is_empty(), "{} fields differ:\n{}", faults.len(), faults.join("\n"));
}

/// COPY both ways: the context says the line, the constraint its name. A new connection each, as the driver needs it.
#[test]
fn copy_errors_keep_every_field() {
    let fixture = fixture();
    let twin = plain(&fixture.app);
    let mut faults = Vec::new();
    for (target, rows) in COPIES {
        let copy = |db: &Db, preamble: &str| {
            let mut client = db.connect(&fixture.app);
            client.batch_execute(&format!("BEGIN; {preamble}")).unwrap();
            let mut writer = client.copy_in(&format!("COPY {target} FROM STDIN")).unwrap();
            writer.write_all(rows.as_bytes()).unwrap();
            failure(writer.finish().map(|_| ()), target)
        };
        let theirs = copy(&twin, "SET LOCAL search_path = home, public, pg_temp");
        let ours = copy(&fixture.db, "SELECT plio.set_tenant('acme')");
        compare(&format!("COPY {target} of {rows:?}"), &theirs, &ours, &mut faults);
    }
    let copy_out = |db: &Db, preamble: &str| {
        let mut client = db.connect(&fixture.app);
        client.batch_execute(&format!("BEGIN; {preamble}")).unwrap();
        let mut reader = client.copy_out("COPY (SELECT fail_custom()) TO STDOUT").unwrap();
        let error = reader.read_to_end(&mut Vec::new()).expect_err("COPY TO");
        let error = error.into_inner().unwrap().downcast::<postgres::Error>().unwrap();
        failure(Err(*error), "COPY TO")
    };
    let theirs = copy_out(&twin, "SET LOCAL search_path = home, public, pg_temp");
    let ours = copy_out(&fixture.db, "SELECT plio.set_tenant('acme')");
    compare("COPY TO", &theirs, &ours, &mut faults);
    assert!(faults.is_empty(), "{} fields differ:\n{}", faults.len(), faults.join("\n"));
}

/// Deferred constraints fail at COMMIT, a statement's timeout and a cancelled lock in the middle of it: their codes and
/// fields arrive as well.
#[test]
fn errors_from_commit_and_from_outside_keep_their_fields() {
    let fixture = fixture();
    let twin = plain(&fixture.app);
    let ends = |db: &Db, preamble: &str| {
        let mut client = db.connect(&fixture.app);
        let begin = format!("BEGIN; {preamble}");
        client.batch_execute(&format!("{begin}; INSERT INTO orders VALUES (5, 'five', 10)")).unwrap();
        let mut found = vec![failure(client.batch_execute("COMMIT"), "COMMIT")];
        client.batch_execute(&format!("{begin}; SET LOCAL statement_timeout = 50")).unwrap();
        found.push(failure(client.batch_execute("SELECT pg_sleep(5) FROM users"), "timeout"));
        client.batch_execute(&format!("ROLLBACK; {begin}; LOCK TABLE orders")).unwrap();
        let mut other = db.connect(&fixture.app);
        other.batch_execute(&format!("{begin}; SET LOCAL lock_timeout = 50")).unwrap();
        found.push(failure(other.batch_execute("SELECT * FROM orders"), "lock"));
        other.batch_execute(&format!("ROLLBACK; {begin}; SET LOCAL lock_timeout = 50")).unwrap();
        found.push(failure(other.batch_execute("TRUNCATE orders CASCADE"), "lock"));
        other.batch_execute(&format!("ROLLBACK; {begin}")).unwrap();
        found.push(failure(other.batch_execute("LOCK TABLE orders NOWAIT"), "nowait"));
        found
    };
    let theirs = ends(&twin, "SET LOCAL search_path = home, public, pg_temp");
    let ours = ends(&fixture.db, "SELECT plio.set_tenant('acme')");
    let mut faults = Vec::new();
    for (theirs, ours) in theirs.iter().zip(&ours) {
        compare("at the end", theirs, ours, &mut faults);
    }
    assert!(faults.is_empty(), "{} fields differ:\n{}", faults.len(), faults.join("\n"));
}

/// Notices and warnings pass as well: the same texts, codes and fields.
#[test]
fn notices_pass() {
    let fixture = fixture();
    let twin = plain(&fixture.app);
    let script = |preamble: &str| {
        format!(
            "BEGIN;\n{preamble};\nDROP TABLE IF EXISTS missing;\nDO $$ BEGIN RAISE NOTICE 'a notice' USING HINT = 'a hint', DETAIL = 'a detail'; END $$;\n\
             DO $$ BEGIN RAISE WARNING SQLSTATE '01ABC'; END $$;\nDROP TABLE orders CASCADE;\nROLLBACK;\nROLLBACK;\n"
        )
    };
    let here = plio_tests::psql(&fixture.db, &fixture.app, &script("SELECT plio.set_tenant('acme')"));
    let there =
        plio_tests::psql(&twin, &fixture.app, &script("SET LOCAL search_path = home, public, pg_temp"));
    assert_eq!(here.stderr.replace("tenant_acme", "home"), there.stderr);
    assert!(there.stderr.contains("01ABC") && there.stderr.contains("a hint"), "{}", there.stderr);
}
