//! Trigger functions, which no object access announces as they fire: of another tenant, and one that sends from C.

use plio_tests::{Layers, SUPERUSER, expect_sqlstate};
use postgres::fallible_iterator::FallibleIterator;

use crate::judge::Judge;
use crate::world::{administrator, inside, unguarded, value, world};
use std::time::Duration;

/// The contrib module tcn sends NOTIFY with the keys of changed rows: not inside a tenant, whoever made the trigger.
#[test]
fn a_trigger_sends_no_notification_from_inside_a_tenant() {
    let world = world();
    let mut admin = world.db.superuser();
    admin
        .batch_execute(&format!(
            "CREATE EXTENSION tcn; CREATE TABLE public.seen (id text PRIMARY KEY); GRANT INSERT ON public.seen TO {app};
             CREATE TRIGGER tell AFTER INSERT ON public.seen FOR EACH ROW EXECUTE FUNCTION triggered_change_notification('news')",
            app = world.app
        ))
        .unwrap();
    let tell = "CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON users FOR EACH ROW EXECUTE FUNCTION public.triggered_change_notification('news')";
    let mut app = world.db.connect(&world.app);
    inside(&mut app, "acme", tell);
    let mut listener = world.db.connect(&world.app);
    listener.batch_execute("LISTEN news").unwrap();
    // As it comes, as its owner's, and under a SET clause: these two are looked up in another way.
    for nature in ["SECURITY INVOKER", "SECURITY DEFINER", "SET work_mem = '1MB'"] {
        admin.batch_execute(&format!("ALTER FUNCTION triggered_change_notification {nature}")).unwrap();
        for role in [world.app.as_str(), SUPERUSER] {
            let mut client = world.db.connect(role);
            let mut acme = Judge::inside(&mut client, "acme");
            acme.refused("INSERT INTO users VALUES (99, 'canary-acme')", "42501");
            acme.refused("UPDATE users SET name = 'x'", "42501");
            acme.refused("DELETE FROM users", "42501");
            acme.allowed("SELECT * FROM users");
        }
    }
    // What was refused was not sent: the first that arrives is the control's, without a tenant.
    app.batch_execute("INSERT INTO public.seen VALUES ('first')").unwrap();
    let first = listener.notifications().timeout_iter(Duration::from_secs(30)).next().unwrap().unwrap();
    assert_eq!(first.payload(), "\"seen\",I,\"id\"='first'");
}

/// Tied with enforcement off: another tenant's trigger function does not run, in whatever form, nor does it without a tenant.
#[test]
fn a_trigger_function_of_another_tenant_does_not_run() {
    let world = world();
    let mut admin = world.db.superuser();
    inside(
        &mut admin,
        "bravo",
        "CREATE FUNCTION sign() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.a := NEW.a || ''-signed''; RETURN NEW; END';
         CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS 'BEGIN NEW.a := NEW.a || ''-signed''; RETURN NEW; END';
         CREATE FUNCTION spy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.a := (SELECT name FROM tenant_bravo.users LIMIT 1); RETURN NEW; END'",
    );
    inside(
        &mut admin,
        "acme",
        "CREATE TABLE signed (a text); CREATE TABLE owned (a text); CREATE TABLE late (a text); CREATE TABLE fine (a text);
         CREATE FUNCTION sign() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.a := NEW.a || ''-mine''; RETURN NEW; END';
         CREATE TRIGGER t BEFORE INSERT ON fine FOR EACH ROW EXECUTE FUNCTION sign()",
    );
    let trigger = |on: &str, function: &str| {
        format!(
            "CREATE TRIGGER t BEFORE INSERT ON {on} FOR EACH ROW EXECUTE FUNCTION tenant_bravo.{function}()"
        )
    };
    unguarded(
        &world.db,
        &format!(
            "{}; {}; CREATE CONSTRAINT TRIGGER t AFTER INSERT ON tenant_acme.late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tenant_bravo.sign();
             CREATE TABLE public.signed (a text); CREATE TABLE public.spied (a text); {}; {};
             GRANT SELECT, INSERT ON public.signed, public.spied TO {app}",
            trigger("tenant_acme.signed", "sign"),
            trigger("tenant_acme.owned", "own"),
            trigger("public.signed", "sign"),
            trigger("public.spied", "spy"),
            app = world.app
        ),
    );
    for role in [world.app.as_str(), SUPERUSER] {
        let mut client = world.db.connect(role);
        let mut acme = Judge::inside(&mut client, "acme");
        acme.gives("INSERT INTO fine VALUES ('x') RETURNING a", &["x-mine"]);
        acme.refused("INSERT INTO signed VALUES ('x') RETURNING a", "42501");
        acme.refused("INSERT INTO owned VALUES ('x') RETURNING a", "42501");
        acme.refused("INSERT INTO late VALUES ('x'); SET CONSTRAINTS ALL IMMEDIATE", "42501");
    }
    let mut app = world.db.connect(&world.app);
    // The function's own name stands in the context.
    let mut nobody = Judge::outside(&mut app).silent_about(&["canary"]);
    nobody.refused("INSERT INTO public.signed VALUES ('x') RETURNING a", "55000");
    nobody.refused("INSERT INTO public.spied VALUES ('x')", "55000");
}

/// A tenant's own trigger would run with the rights of the administrator who changes its rows without a tenant.
#[test]
fn a_tenants_trigger_does_not_run_without_it() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    inside(
        &mut app,
        "acme",
        "CREATE TABLE orders (id int, PRIMARY KEY (id)); INSERT INTO orders VALUES (1);
         CREATE FUNCTION rise() RETURNS trigger LANGUAGE plpgsql
             AS 'BEGIN EXECUTE ''ALTER ROLE CURRENT_USER CONNECTION LIMIT 77''; RETURN NULL; END';
         CREATE TRIGGER rows AFTER INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION rise();
         CREATE TRIGGER emptied AFTER TRUNCATE ON orders EXECUTE FUNCTION rise()",
    );
    let mut admin = world.db.superuser();
    let ann = administrator(&world);
    admin
        .batch_execute(&format!(
            "GRANT USAGE ON SCHEMA tenant_acme TO {ann}; GRANT ALL ON tenant_acme.orders TO {ann}"
        ))
        .unwrap();
    let mut ann = world.db.connect(&ann);
    ann.batch_execute("SELECT * FROM tenant_acme.orders").unwrap();
    for client in [&mut admin, &mut ann] {
        for statement in [
            "INSERT INTO tenant_acme.orders VALUES (2)",
            "UPDATE tenant_acme.orders SET id = 3",
            "DELETE FROM tenant_acme.orders",
            "TRUNCATE tenant_acme.orders",
        ] {
            // The function's own name stands in no error.
            expect_sqlstate(client.batch_execute(statement), "55000");
        }
    }
    inside(&mut admin, "acme", "DROP TRIGGER rows ON orders; DROP TRIGGER emptied ON orders");
    admin.batch_execute("TRUNCATE tenant_acme.orders").unwrap();
}

/// The contrib module lo unlinks the large object that a row names as the row goes: whosever it is, where the login role
/// owns all of them.
#[test]
fn a_trigger_unlinks_no_large_object_of_another_tenant() {
    let world = world();
    world.db.superuser().batch_execute("CREATE EXTENSION lo").unwrap();
    let mut app = world.db.connect(&world.app);
    let make = "SELECT lo_from_bytea(0, 'canary-bravo')";
    let bravos = match crate::LAYERS {
        Layers::Two => {
            app.batch_execute("BEGIN; SELECT plio.set_tenant('bravo')").unwrap();
            value(&mut app, make)
        }
        // Inside such a tenant there are none.
        Layers::One => value(&mut app, make),
    };
    app.batch_execute("COMMIT").unwrap();
    inside(
        &mut app,
        "acme",
        &format!(
            "CREATE TABLE pictures (picture oid); INSERT INTO pictures VALUES ({bravos});
             CREATE TRIGGER t BEFORE DELETE ON pictures FOR EACH ROW EXECUTE FUNCTION public.lo_manage(picture)"
        ),
    );
    let mut acme = Judge::inside(&mut app, "acme");
    match crate::LAYERS {
        Layers::Two => acme.denied("DELETE FROM pictures", "42501"),
        Layers::One => acme.refused("DELETE FROM pictures", "42501"),
    }
}
