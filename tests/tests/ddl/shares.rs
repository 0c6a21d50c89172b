//! DDL on shared objects keeps `plio.shares` true: renamed, moved, dropped, created later.

use plio_tests::{Cluster, Db, Layers, TwoTenants};
use postgres::Client;

use super::judge::Judge;

fn fixture() -> TwoTenants {
    let fixture = Cluster::shared().database("shares").tenants(Layers::of(module_path!()));
    fixture
        .db
        .superuser()
        .batch_execute(
            "CREATE SCHEMA lookup; CREATE TABLE lookup.colours (name text); INSERT INTO lookup.colours VALUES ('red');
             SELECT plio.share('lookup', 'read');
             CREATE TABLE public.notes (id serial PRIMARY KEY, text text); SELECT plio.share('public.notes', 'write');
             CREATE SCHEMA depot",
        )
        .unwrap();
    fixture
}

fn shares(client: &mut Client) -> Vec<String> {
    let query =
        "SELECT concat_ws('.', schema_name, relation_name) || ' ' || mode FROM plio.shares ORDER BY 1";
    client.query(query, &[]).unwrap().iter().map(|row| row.get(0)).collect()
}

fn reads(db: &Db, app: &str, query: &str, rows: &[&str]) {
    Judge::inside(&mut db.connect(app), "acme").gives(query, rows);
}

/// A renamed or moved table stays shared under its new name; its old name, taken by another table, is not shared.
#[test]
fn a_share_follows_its_table() {
    let fixture = fixture();
    let mut admin = fixture.db.superuser();
    let mut app = fixture.db.connect(&fixture.app);
    Judge::inside(&mut app, "acme").allowed("INSERT INTO notes (text) VALUES ('x')");
    admin.batch_execute("ALTER TABLE public.notes RENAME TO memos").unwrap();
    assert_eq!(
        shares(&mut admin),
        ["lookup read", "public.countries read", "public.memos write", "public.notes_id_seq write"]
    );
    let mut acme = Judge::inside(&mut app, "acme");
    acme.allowed("INSERT INTO memos (text) VALUES ('x')");
    acme.denied("SELECT * FROM notes", "42P01");
    drop(acme);
    admin.batch_execute("CREATE TABLE public.notes (id int); GRANT ALL ON public.notes TO PUBLIC").unwrap();
    Judge::inside(&mut app, "acme").refused("SELECT * FROM notes", "42501");
    admin.batch_execute("ALTER TABLE public.memos SET SCHEMA depot").unwrap();
    // Its sequence goes with it.
    assert_eq!(
        shares(&mut admin),
        ["depot.memos write", "depot.notes_id_seq write", "lookup read", "public.countries read"]
    );
    // The schema is another one: to look into it is a privilege of its own.
    admin.batch_execute("GRANT USAGE ON SCHEMA depot TO plio_tenant").unwrap();
    Judge::inside(&mut app, "acme").allowed("SELECT * FROM depot.memos");
    admin.batch_execute("ALTER SCHEMA depot RENAME TO store").unwrap();
    assert!(shares(&mut admin).contains(&"store.memos write".to_owned()), "{:?}", shares(&mut admin));
    Judge::inside(&mut app, "acme").allowed("INSERT INTO store.memos (text) VALUES ('y')");
}

/// A shared table dropped and made again is not shared; a rollback keeps everything as it was.
#[test]
fn a_share_ends_with_its_table() {
    let fixture = fixture();
    let mut admin = fixture.db.superuser();
    let before = shares(&mut admin);
    let mut app = fixture.db.connect(&fixture.app);
    Judge::inside(&mut app, "acme").allowed("SELECT * FROM notes");
    for undone in [
        "DROP TABLE public.notes",
        "DROP SCHEMA lookup CASCADE",
        "ALTER TABLE public.notes RENAME TO memos",
        "DROP TABLE public.countries CASCADE",
    ] {
        admin.batch_execute(&format!("BEGIN; {undone}; ROLLBACK")).unwrap();
        assert_eq!(shares(&mut admin), before, "{undone}");
    }
    Judge::inside(&mut app, "acme").allowed("SELECT * FROM notes");
    admin.batch_execute("DROP TABLE public.notes; CREATE TABLE public.notes (id int); GRANT ALL ON public.notes TO PUBLIC").unwrap();
    assert_eq!(shares(&mut admin), ["lookup read", "public.countries read"]);
    Judge::inside(&mut app, "acme").refused("SELECT * FROM notes", "42501");
    admin.batch_execute("DROP SCHEMA lookup CASCADE; CREATE SCHEMA lookup; CREATE TABLE lookup.colours (a int); GRANT USAGE ON SCHEMA lookup TO PUBLIC; GRANT ALL ON lookup.colours TO PUBLIC").unwrap();
    assert_eq!(shares(&mut admin), ["public.countries read"]);
    Judge::inside(&mut app, "acme").refused("SELECT * FROM lookup.colours", "42501");
}

/// What is created later in a shared schema, by whatever statement, is shared as the schema is; what moves out is not.
#[test]
fn later_objects_of_a_shared_schema_are_shared() {
    let fixture = fixture();
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "CREATE TABLE lookup.shapes AS SELECT 'round' AS name;
             SELECT 'big' AS name INTO lookup.sizes;
             CREATE VIEW lookup.all_kinds AS SELECT name FROM lookup.shapes UNION ALL SELECT name FROM lookup.sizes;
             CREATE MATERIALIZED VIEW lookup.kept AS SELECT name FROM lookup.shapes;
             CREATE TABLE lookup.numbered (id serial, kind text) PARTITION BY LIST (kind);
             CREATE TABLE lookup.numbered_a PARTITION OF lookup.numbered DEFAULT;
             CREATE TABLE depot.late (name text); INSERT INTO depot.late VALUES ('moved'); ALTER TABLE depot.late SET SCHEMA lookup;
             INSERT INTO lookup.numbered (kind) VALUES ('a')",
        )
        .unwrap();
    let (db, app) = (&fixture.db, fixture.app.as_str());
    reads(db, app, "SELECT name FROM shapes", &["round"]);
    reads(db, app, "SELECT name FROM lookup.sizes", &["big"]);
    reads(db, app, "SELECT name FROM all_kinds ORDER BY 1", &["big", "round"]);
    reads(db, app, "SELECT name FROM kept", &["round"]);
    reads(db, app, "SELECT kind FROM numbered", &["a"]);
    reads(db, app, "SELECT name FROM late", &["moved"]);
    let mut client = db.connect(app);
    Judge::inside(&mut client, "acme").refused("INSERT INTO shapes VALUES ('flat')", "42501");
    admin
        .batch_execute("GRANT USAGE ON SCHEMA depot TO PUBLIC; ALTER TABLE lookup.colours SET SCHEMA depot")
        .unwrap();
    let mut acme = Judge::inside(&mut client, "acme");
    acme.refused("SELECT * FROM depot.colours", "42501");
    drop(acme);
    admin.batch_execute("ALTER SCHEMA lookup RENAME TO books").unwrap();
    assert!(shares(&mut admin).contains(&"books read".to_owned()));
    reads(db, app, "SELECT name FROM books.shapes", &["round"]);
    admin.batch_execute("CREATE TABLE books.later AS SELECT 1 AS a").unwrap();
    reads(db, app, "SELECT a FROM later", &["1"]);
}

/// An ordinary owner of a shared schema's table creates and renames as before: keeping the registry is not its business.
#[test]
fn ordinary_owners_are_not_hindered() {
    let fixture = fixture();
    let mut admin = fixture.db.superuser();
    admin.batch_execute(&format!("GRANT ALL ON SCHEMA lookup TO {}", fixture.app)).unwrap();
    let mut app = fixture.db.connect(&fixture.app);
    app.batch_execute(
        "CREATE TABLE lookup.mine AS SELECT 7 AS seven; ALTER TABLE lookup.mine RENAME TO ours",
    )
    .unwrap();
    reads(&fixture.db, &fixture.app, "SELECT seven FROM ours", &["7"]);
    app.batch_execute("DROP TABLE lookup.ours").unwrap();
    assert_eq!(shares(&mut admin).first().map(String::as_str), Some("lookup read"));
}
