//! A cursor opened before would go on returning the rows of before.

use super::{assert_inside, refused, text, two_tenants};

#[test]
fn a_declared_cursor_must_be_closed_first() {
    let fixture = two_tenants("declared");
    let mut app = fixture.db.connect(&fixture.app);
    for (options, hold) in [("", ""), ("SCROLL", ""), ("BINARY", "WITHOUT HOLD"), ("", "WITH HOLD")] {
        let declare = format!(
            "BEGIN; SAVEPOINT s; DECLARE \"a Cursor\" {options} CURSOR {hold} FOR SELECT * FROM pg_catalog.pg_class"
        );
        app.batch_execute(&declare).unwrap();
        refused(app.batch_execute("SELECT plio.set_tenant('acme')"), "25001");
        app.batch_execute("ROLLBACK TO s").unwrap();
        app.batch_execute("SELECT plio.set_tenant('acme')").unwrap();
        app.batch_execute("ROLLBACK").unwrap();
        app.batch_execute(&format!("{declare}; FETCH 1 FROM \"a Cursor\"; CLOSE \"a Cursor\"")).unwrap();
        app.batch_execute("SELECT plio.set_tenant('acme')").unwrap();
        assert_inside(&mut app, "acme");
        app.batch_execute("ROLLBACK").unwrap();
    }
}

// The leak without us: the cursor of a superuser who looked at bravo would still show bravo inside acme.
#[test]
fn a_cursor_over_another_tenants_rows_does_not_survive_the_entering() {
    let fixture = two_tenants("over");
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute("BEGIN; DECLARE c CURSOR FOR SELECT name FROM tenant_bravo.users ORDER BY id")
        .unwrap();
    assert_eq!(text(&mut admin, "FETCH 1 FROM c").as_deref(), Some("canary-bravo"));
    refused(admin.batch_execute("SELECT plio.set_tenant('acme')"), "25001");
    admin.batch_execute("ROLLBACK").unwrap();
    // Held over from a transaction without a tenant.
    admin
        .batch_execute("BEGIN; DECLARE h CURSOR WITH HOLD FOR SELECT name FROM tenant_bravo.users; COMMIT")
        .unwrap();
    admin.batch_execute("BEGIN").unwrap();
    if admin.batch_execute("SELECT plio.set_tenant('acme')").is_ok() {
        assert!(admin.batch_execute("FETCH 1 FROM h").is_err(), "bravo's row inside acme");
    }
}

#[test]
fn a_plpgsql_loop_over_a_query_is_an_open_cursor() {
    let fixture = two_tenants("loop");
    let mut app = fixture.db.connect(&fixture.app);
    let looped = |query: &str| {
        format!(
            "DO $$ DECLARE r record; BEGIN
             FOR r IN {query} LOOP PERFORM plio.set_tenant('acme'); END LOOP;
         END $$"
        )
    };
    for query in ["SELECT * FROM pg_catalog.pg_class", "EXECUTE 'SELECT * FROM pg_catalog.pg_class'"] {
        refused(app.batch_execute(&looped(query)), "25001");
    }
    // A cursor variable is one, too; a loop over an array or numbers is none.
    refused(
        app.batch_execute(
            "DO $$ DECLARE c CURSOR FOR SELECT * FROM pg_catalog.pg_class; BEGIN
                 OPEN c; PERFORM plio.set_tenant('acme');
             END $$",
        ),
        "25001",
    );
    app.batch_execute(
        "DO $$ DECLARE org text; i int; BEGIN
             FOR i IN 1..2 LOOP
                 FOREACH org IN ARRAY ARRAY['acme'] LOOP PERFORM plio.set_tenant(org); END LOOP;
             END LOOP;
             ASSERT (SELECT count(*) FROM users WHERE name LIKE 'canary-acme%') = 3;
         END $$",
    )
    .unwrap();
    // Inside a tenant a loop may set the same tenant again.
    app.batch_execute("BEGIN; SELECT plio.set_tenant('acme')").unwrap();
    app.batch_execute(&looped("SELECT * FROM users")).unwrap();
    assert_inside(&mut app, "acme");
}

#[test]
fn a_portal_of_the_extended_protocol_is_an_open_cursor() {
    let fixture = two_tenants("portal");
    let mut app = fixture.db.connect(&fixture.app);
    let mut transaction = app.transaction().unwrap();
    // Bound only, and fetched from in part.
    for fetched in [0, 1] {
        let mut inner = transaction.transaction().unwrap();
        let portal = inner.bind("SELECT relname FROM pg_catalog.pg_class", &[]).unwrap();
        if fetched > 0 {
            assert_eq!(inner.query_portal(&portal, fetched).unwrap().len(), 1);
        }
        refused(inner.execute("SELECT plio.set_tenant('acme')", &[]), "25001");
        inner.rollback().unwrap();
    }
    transaction.execute("SELECT plio.set_tenant('acme')", &[]).unwrap();
    // Portals opened inside the tenant are the tenant's.
    let portal = transaction.bind("SELECT name FROM users ORDER BY id", &[]).unwrap();
    let rows = transaction.query_portal(&portal, 1).unwrap();
    transaction.execute("SELECT plio.set_tenant('acme')", &[]).unwrap();
    assert_eq!(rows[0].get::<_, &str>(0), "canary-acme");
    assert_eq!(transaction.query_portal(&portal, 0).unwrap().len(), 2);
}

// A bound portal that calls set_tenant itself, fetched from row by row, with a foreign query beside it.
#[test]
fn a_portal_that_sets_the_tenant_itself_does_so_once() {
    let fixture = two_tenants("self");
    let mut app = fixture.db.connect(&fixture.app);
    let mut transaction = app.transaction().unwrap();
    let query = "SELECT plio.set_tenant(org) FROM (VALUES ('acme'), ('bravo')) AS o (org)";
    let portal = transaction.bind(query, &[]).unwrap();
    transaction.query_portal(&portal, 1).unwrap();
    let row = transaction.query_one("SELECT name FROM users WHERE id = 1", &[]).unwrap();
    assert_eq!(row.get::<_, &str>(0), "canary-acme");
    refused(transaction.query_portal(&portal, 1), "25001");
}

// A query goes on with the rows and the rights it began with: it may not be reading when a tenant is set.
#[test]
fn a_query_that_is_reading_rows_cannot_set_the_tenant() {
    let fixture = two_tenants("reading");
    let mut admin = fixture.db.superuser();
    admin
        .batch_execute(
            "CREATE FUNCTION public.enter() RETURNS int LANGUAGE plpgsql
                 AS $$ BEGIN PERFORM plio.set_tenant('acme'); RETURN 1; END $$;
             CREATE FUNCTION public.entering() RETURNS trigger LANGUAGE plpgsql
                 AS $$ BEGIN PERFORM plio.set_tenant('acme'); RETURN NEW; END $$;
             CREATE FUNCTION public.keep(name text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM plio.set_tenant('acme'); INSERT INTO users (name) VALUES (name); END $$;
             CREATE TABLE public.log (x int); GRANT ALL ON public.log TO PUBLIC;
             CREATE TRIGGER enter BEFORE INSERT ON public.log FOR EACH ROW EXECUTE FUNCTION public.entering()",
        )
        .unwrap();
    let mut accepted = Vec::new();
    for query in [
        "SELECT public.keep(name) FROM tenant_bravo.users",
        "DO $$ BEGIN PERFORM public.keep(name) FROM tenant_bravo.users; END $$",
        "COPY (SELECT name, public.enter() FROM tenant_bravo.users) TO '/dev/null'",
        "SELECT name, public.enter() FROM tenant_bravo.users",
        "SELECT name FROM tenant_bravo.users WHERE public.enter() = id",
        "INSERT INTO tenant_bravo.users (id, name) SELECT id + 10, name FROM tenant_bravo.users WHERE public.enter() = 1",
        "INSERT INTO public.log VALUES (1)",
        "DO $$ DECLARE r record; BEGIN SELECT name, public.enter() INTO r FROM tenant_bravo.users; END $$",
    ] {
        for block in ["", "BEGIN; "] {
            let result = admin.batch_execute(&format!("{block}{query}"));
            let error = result.as_ref().err().and_then(|error| error.as_db_error());
            if error.is_some_and(|error| error.code().code() == "25001") {
                refused(result, "25001");
            } else {
                accepted.push(query);
            }
            admin.batch_execute("ROLLBACK").unwrap();
        }
    }
    assert!(accepted.is_empty(), "{accepted:#?}");
    let names = "SELECT count(*)::text FROM tenant_acme.users WHERE name LIKE 'canary-bravo%'";
    assert_eq!(text(&mut admin, names).as_deref(), Some("0"));
}
