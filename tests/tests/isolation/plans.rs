//! What was prepared, planned or opened under one tenant, or none, and is used under another.

use plio_tests::{assert_refusal, expect_sqlstate};
use postgres::Client;

use crate::judge::{BRAVOS, Judge};
use crate::world::{plain_twin, unguarded, value, world};

fn enter(client: &mut Client, org: &str) {
    client.batch_execute(&format!("BEGIN; SELECT plio.set_tenant('{org}')")).unwrap();
}

fn leave(client: &mut Client) {
    client.batch_execute("ROLLBACK").unwrap();
}

/// An unqualified statement prepared in one tenant reads the tenant in which it is executed, generic plan or custom.
#[test]
fn a_prepared_statement_follows_the_tenant() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    for mode in ["auto", "force_generic_plan", "force_custom_plan"] {
        app.batch_execute(&format!("SET plan_cache_mode = {mode}")).unwrap();
        enter(&mut app, "bravo");
        let statement = app.prepare("SELECT name FROM users WHERE id = $1").unwrap();
        app.batch_execute("PREPARE p (bigint) AS SELECT name FROM users WHERE id = $1").unwrap();
        for _ in 0..7 {
            assert_eq!(app.query_one(&statement, &[&1i64]).unwrap().get::<_, &str>(0), "canary-bravo");
            assert_eq!(value(&mut app, "EXECUTE p (1)"), "canary-bravo");
        }
        leave(&mut app);
        enter(&mut app, "acme");
        assert_eq!(app.query_one(&statement, &[&1i64]).unwrap().get::<_, &str>(0), "canary-acme");
        // What SQL's PREPARE made is bravo's alone.
        expect_sqlstate(app.simple_query("EXECUTE p (1)"), "26000");
        app.batch_execute("ROLLBACK").unwrap();
        // With no tenant the names lead nowhere.
        expect_sqlstate(app.query(&statement, &[&1i64]), "42P01");
    }
}

/// A statement that names bravo, prepared where that was allowed, is refused in acme: in bravo, or with no tenant by an
/// administrator; over both protocols.
#[test]
fn a_plan_made_elsewhere_is_judged_where_it_runs() {
    let world = world();
    for (role, org) in
        [(world.app.as_str(), "bravo"), (plio_tests::SUPERUSER, ""), (plio_tests::SUPERUSER, "bravo")]
    {
        for mode in ["auto", "force_generic_plan"] {
            let mut client = world.db.connect(role);
            client.batch_execute(&format!("SET plan_cache_mode = {mode}")).unwrap();
            client.batch_execute("BEGIN").unwrap();
            if !org.is_empty() {
                client.batch_execute(&format!("SELECT plio.set_tenant('{org}')")).unwrap();
            }
            let select = client.prepare("SELECT name FROM tenant_bravo.users WHERE id = $1").unwrap();
            let update = client.prepare("UPDATE tenant_bravo.users SET name = 'x' WHERE false").unwrap();
            client.batch_execute("PREPARE p AS SELECT tenant_bravo.peek()").unwrap();
            client.batch_execute("PREPARE q (tenant_bravo.mood) AS SELECT $1").unwrap();
            for _ in 0..7 {
                let row = client.query_one(&select, &[&1i64]).unwrap();
                assert_eq!(row.get::<_, &str>(0), "canary-bravo");
                client.execute(&update, &[]).unwrap();
                if !org.is_empty() {
                    client.batch_execute("EXECUTE p; EXECUTE q ('calm')").unwrap();
                }
            }
            client.batch_execute("COMMIT").unwrap();
            // What SQL's PREPARE made in bravo goes when acme is entered (residue.rs).
            let attempts = if org.is_empty() { 4 } else { 2 };
            for attempt in 0..attempts {
                enter(&mut client, "acme");
                assert_eq!(value(&mut client, "SELECT min(name) FROM users"), "canary-acme");
                let refused = match attempt {
                    0 => client.query(&select, &[&1i64]).map(|_| ()),
                    1 => client.execute(&update, &[]).map(|_| ()),
                    2 => client.batch_execute("EXPLAIN EXECUTE p"),
                    _ => client.batch_execute("EXECUTE p"),
                };
                let refused = match refused {
                    // Planning alone does not run the function.
                    Ok(()) if attempt == 2 => continue_after(&mut client),
                    other => other,
                };
                if let Err(error) = refused {
                    assert_refusal(&expect_sqlstate::<()>(Err(error), "42501"), "42501", BRAVOS);
                    leave(&mut client);
                } else {
                    assert_eq!(attempt, 2, "{role} {org} {mode}: attempt {attempt} went through");
                }
            }
        }
    }
}

fn continue_after(client: &mut Client) -> Result<(), postgres::Error> {
    client.batch_execute("ROLLBACK")
}

/// plpgsql keeps plans as long as the session: a function's own follow the tenant, and those that name bravo are refused
/// although they ran in bravo before.
#[test]
fn plans_kept_by_functions_are_judged_again() {
    let world = world();
    world
        .db
        .superuser()
        .batch_execute(
            "SET check_function_bodies = off;
             CREATE FUNCTION public.first_name() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT min(name) FROM users); END';
             CREATE FUNCTION public.first_name_sql() RETURNS text LANGUAGE sql AS 'SELECT min(name) FROM users';
             CREATE FUNCTION public.first_row() RETURNS text LANGUAGE plpgsql
               AS 'DECLARE r users%ROWTYPE; BEGIN SELECT * INTO r FROM users ORDER BY id LIMIT 1; RETURN r.name; END';
             CREATE FUNCTION public.named() RETURNS text LANGUAGE plpgsql
               AS 'BEGIN RETURN (SELECT min(name) FROM tenant_bravo.users); END';
             CREATE FUNCTION public.named_on_a_path() RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
               AS 'BEGIN RETURN (SELECT min(name) FROM tenant_bravo.users); END';
             CREATE FUNCTION public.calls() RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
               AS 'BEGIN RETURN tenant_bravo.peek(); END'",
        )
        .unwrap();
    let mut app = world.db.connect(&world.app);
    for mode in ["auto", "force_generic_plan"] {
        app.batch_execute(&format!("SET plan_cache_mode = {mode}")).unwrap();
        for org in ["bravo", "acme", "bravo"] {
            enter(&mut app, org);
            for function in ["first_name", "first_name_sql", "first_row"] {
                for _ in 0..7 {
                    assert_eq!(value(&mut app, &format!("SELECT {function}()")), format!("canary-{org}"));
                }
            }
            leave(&mut app);
        }
        for _ in 0..7 {
            enter(&mut app, "bravo");
            assert_eq!(value(&mut app, "SELECT named() || named_on_a_path()"), "canary-bravocanary-bravo");
            leave(&mut app);
        }
        let mut acme = Judge::inside(&mut app, "acme");
        for function in ["named", "named_on_a_path", "calls"] {
            acme.refused(&format!("SELECT {function}()"), "42501");
        }
    }
}

/// A constant that an IMMUTABLE function became in a plan of bravo's does not reach acme, even where the plan was made
/// under a path that is the same in both.
#[test]
fn a_constant_folded_in_one_tenant_stays_there() {
    let world = world();
    unguarded(
        &world.db,
        "CREATE FUNCTION public.motto() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
           DECLARE found text; BEGIN
             EXECUTE format('SELECT min(name) FROM %I.users', 'tenant_' || plio.current_tenant()) INTO found;
             RETURN found; END $$;
         CREATE FUNCTION public.fixed_path() RETURNS text LANGUAGE plpgsql SET search_path = public, pg_temp
           AS 'BEGIN RETURN public.motto(); END';
         CREATE FUNCTION public.fixed_path_query() RETURNS text LANGUAGE plpgsql SET search_path = public, pg_temp
           AS 'DECLARE found text; BEGIN SELECT public.motto() INTO found FROM public.countries LIMIT 1; RETURN found; END'",
    );
    let mut app = world.db.connect(&world.app);
    for org in ["bravo", "acme"] {
        enter(&mut app, org);
        app.batch_execute("DEALLOCATE ALL; PREPARE p AS SELECT public.motto()").unwrap();
        for _ in 0..7 {
            for query in ["SELECT public.fixed_path()", "SELECT public.fixed_path_query()", "EXECUTE p"] {
                assert_eq!(value(&mut app, query), format!("canary-{org}"), "{query}");
            }
        }
        leave(&mut app);
    }
}

/// The same where no table was read: a large object, a statistic, the last value of a sequence, in functions that are declared
/// IMMUTABLE and are not.
#[test]
fn a_constant_folded_without_a_table_stays_there() {
    let world = world();
    unguarded(
        &world.db,
        "CREATE FUNCTION public.last() RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN lastval(); END';
         CREATE FUNCTION public.who() RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN plio.current_tenant(); END';
         CREATE FUNCTION public.nested() RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN public.who(); END';
         CREATE FUNCTION public.seen(name text) RETURNS text LANGUAGE plpgsql SET search_path = public, pg_temp AS
             'DECLARE found text; BEGIN
                  CASE name WHEN ''last'' THEN SELECT public.last() INTO found FROM public.countries LIMIT 1;
                            WHEN ''who'' THEN SELECT public.who() INTO found FROM public.countries LIMIT 1;
                            ELSE SELECT public.nested() INTO found FROM public.countries LIMIT 1; END CASE;
                  RETURN found; END'",
    );
    let mut app = world.db.connect(&world.app);
    for round in 0..3 {
        for (org, start) in [("bravo", 1000), ("acme", 2000)] {
            enter(&mut app, org);
            let last = start + round;
            app.batch_execute(&format!("CREATE SEQUENCE s START {last}; SELECT nextval('s')")).unwrap();
            // A caught error in the middle of a plan's making leaves the next ones noted.
            app.batch_execute("DO $$ BEGIN PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN NULL; END $$")
                .unwrap();
            for _ in 0..7 {
                for (name, expected) in
                    [("last", last.to_string()), ("who", org.to_owned()), ("nested", org.to_owned())]
                {
                    assert_eq!(value(&mut app, &format!("SELECT public.seen('{name}')")), expected);
                }
            }
            app.batch_execute("DROP SEQUENCE s").unwrap();
            leave(&mut app);
        }
    }
}

/// A cursor opened before set_tenant would go on giving the old rows: set_tenant refuses, SQL cursors, cursors of
/// functions and portals of the protocol alike.
#[test]
fn no_cursor_crosses_into_a_tenant() {
    let world = world();
    let mut admin = world.db.superuser();
    for open in [
        "DECLARE c CURSOR FOR SELECT name FROM tenant_bravo.users",
        "DECLARE c CURSOR WITH HOLD FOR SELECT name FROM tenant_bravo.users",
        "DECLARE c SCROLL CURSOR FOR SELECT name FROM tenant_bravo.users; FETCH c",
        "DO $$ DECLARE c refcursor := 'c'; BEGIN OPEN c FOR SELECT name FROM tenant_bravo.users; END $$",
    ] {
        admin.batch_execute(&format!("BEGIN; {open}")).unwrap();
        let error = expect_sqlstate(admin.batch_execute("SELECT plio.set_tenant('acme')"), "25001");
        assert_refusal(&error, "25001", BRAVOS);
        leave(&mut admin);
    }
    let mut transaction = admin.transaction().unwrap();
    let portal = transaction.bind("SELECT name FROM tenant_bravo.users", &[]).unwrap();
    assert_eq!(transaction.query_portal(&portal, 1).unwrap().len(), 1);
    expect_sqlstate(transaction.execute("SELECT plio.set_tenant('acme')", &[]), "25001");
    drop(transaction);
    // Inside a tenant cursors work, and one that is held does not reach the next tenant.
    let mut app = world.db.connect(&world.app);
    app.batch_execute("SET plio.tenant = 'bravo'").unwrap();
    app.batch_execute("DECLARE held CURSOR WITH HOLD FOR SELECT name FROM users ORDER BY id").unwrap();
    assert_eq!(value(&mut app, "FETCH held"), "canary-bravo");
    enter(&mut app, "acme");
    expect_sqlstate(app.batch_execute("FETCH held"), "34000");
    leave(&mut app);
}

/// After a refusal the transaction is as PostgreSQL leaves it: a savepoint or an EXCEPTION block goes on in the same
/// tenant, with the same lock.
#[test]
fn a_caught_refusal_changes_nothing() {
    let world = world();
    let mut app = world.db.connect(&world.app);
    enter(&mut app, "acme");
    for _ in 0..3 {
        app.batch_execute("SAVEPOINT s").unwrap();
        expect_sqlstate(app.batch_execute("SELECT * FROM tenant_bravo.users"), "42501");
        expect_sqlstate(app.batch_execute("SELECT 1"), "25P02");
        app.batch_execute("ROLLBACK TO s").unwrap();
        assert_eq!(value(&mut app, "SELECT min(name) FROM users"), "canary-acme");
    }
    leave(&mut app);
    // The attacker's own words may come back in the context; the data may not.
    let mut acme = Judge::inside(&mut app, "acme").silent_about(&["canary-bravo"]);
    let block = |attack: &str, after: &str| {
        format!(
            "DO $$ BEGIN BEGIN {attack}; RAISE 'went through'; EXCEPTION WHEN insufficient_privilege OR active_sql_transaction THEN NULL; END; {after}; END $$"
        )
    };
    for attack in [
        "PERFORM name FROM tenant_bravo.users",
        "EXECUTE 'SELECT * FROM tenant_bravo.users'",
        "PERFORM plio.set_tenant('bravo')",
        "PERFORM set_config('search_path', 'tenant_bravo', true)",
        "RESET ROLE",
        "SET LOCAL search_path = tenant_bravo",
        "CREATE TABLE public.x ()",
    ] {
        acme.allowed(&block(attack, "PERFORM name FROM users; ASSERT plio.current_tenant() = 'acme'"));
        acme.refused(&block(attack, "PERFORM name FROM tenant_bravo.users"), "42501");
        acme.refused(&block(attack, "PERFORM plio.set_tenant('bravo')"), "25001");
        acme.refused(&block(attack, "SET LOCAL ROLE NONE"), "25001");
    }
}

/// What is shared between tenants and calls, with constant arguments, a function that reads the tenant's rows: PostgreSQL keeps
/// the constant beside the domain, the index and the partitioned table, for as long as the session lasts.
const KEPT_CONSTANTS: &str = "
    CREATE FUNCTION public.motto() RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
      DECLARE found text := 'none'; BEGIN
        IF plio.current_tenant() IS NOT NULL THEN
          EXECUTE format('SELECT min(name) FROM %I.users', 'tenant_' || plio.current_tenant()) INTO found;
        END IF;
        RETURN found; END $$;
    CREATE FUNCTION public.with_motto(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1 || public.motto()';
    CREATE FUNCTION public.of_setting() RETURNS text LANGUAGE plpgsql IMMUTABLE
      AS $$ BEGIN RETURN 'canary-' || current_setting('plio.tenant'); END $$;
    CREATE FUNCTION public.of_sequence(name text) RETURNS text LANGUAGE plpgsql IMMUTABLE
      AS $$ BEGIN RETURN 'canary-' || CASE lastval() WHEN 1001 THEN 'acme' ELSE 'bravo' END; END $$;
    CREATE DOMAIN public.own_sequence AS text CHECK (VALUE = public.of_sequence('x'));
    CREATE DOMAIN public.own AS text CHECK (VALUE = public.motto());
    CREATE DOMAIN public.own_inlined AS text CHECK (VALUE || VALUE = public.with_motto(VALUE));
    CREATE DOMAIN public.own_setting AS text CHECK (VALUE = public.of_setting());
    CREATE TABLE public.uniques (name text);
    CREATE UNIQUE INDEX ON public.uniques ((name || public.motto()));
    CREATE TABLE public.uniques_inlined (name text);
    CREATE UNIQUE INDEX ON public.uniques_inlined (public.with_motto(name));
    CREATE TABLE public.partly (name text);
    CREATE UNIQUE INDEX ON public.partly (name) WHERE name = public.motto();
    CREATE TABLE public.parts (name text) PARTITION BY LIST ((name || public.motto()));
    CREATE TABLE public.parts_acme PARTITION OF public.parts FOR VALUES IN ('xcanary-acme');
    CREATE TABLE public.parts_bravo PARTITION OF public.parts FOR VALUES IN ('xcanary-bravo');
    SELECT plio.share('public.' || name, 'write')
      FROM unnest('{uniques,uniques_inlined,partly,parts,parts_acme,parts_bravo}'::text[]) AS name;";

/// What gives the tenant's own name where no other tenant's constant is used.
const OWN_CONSTANTS: [&str; 9] = [
    "SELECT ('canary-' || plio.current_tenant())::public.own",
    "SELECT v FROM json_to_record(json_build_object('v', 'canary-' || plio.current_tenant())) AS r (v public.own)",
    "SELECT ('canary-' || plio.current_tenant())::public.own_inlined",
    "SELECT ('canary-' || plio.current_tenant())::public.own_setting",
    "SELECT public.last_value()",
    "SELECT public.in_index('uniques')",
    "SELECT public.in_index('uniques_inlined')",
    "SELECT public.insert_twice()",
    "INSERT INTO public.parts VALUES ('x') RETURNING 'canary-' || substring(tableoid::regclass::text FROM '[a-z]+$')",
];

/// What the indexes hold for the tenant's row, by the error of a second one; for whose name the index with a condition holds; and
/// a value without a table, by a function that has run in the transaction before.
const IN_INDEXES: &str = "
    CREATE FUNCTION public.in_index(of text) RETURNS text LANGUAGE plpgsql AS $$ DECLARE detail text; BEGIN
      EXECUTE format('INSERT INTO public.%I VALUES (''x''), (''x'')', of);
      EXCEPTION WHEN unique_violation THEN GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
      RETURN substring(detail FROM 'x(canary-[a-z]+)'); END $$;
    CREATE FUNCTION public.last_value() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
      PERFORM setval('users_id_seq', CASE plio.current_tenant() WHEN 'acme' THEN 1000 ELSE 2000 END), nextval('users_id_seq');
      PERFORM public.of_sequence(relname) FROM pg_class WHERE relname = 'pg_class';
      RETURN ('canary-' || plio.current_tenant())::public.own_sequence; END $$;
    CREATE FUNCTION public.insert_twice() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO public.partly VALUES ('canary-acme'), ('canary-acme'); RETURN 'canary-bravo';
      EXCEPTION WHEN unique_violation THEN RETURN 'canary-acme'; END $$;";

/// The same objects without us: each gives the constant of the tenant before, once the path is the next one's.
#[test]
fn without_us_a_constant_kept_beside_a_shared_object_crosses() {
    let world = world();
    let twin = plain_twin(&world.app);
    let plain = |text: &str| {
        text.replace("current_setting('plio.tenant')", "plio.current_tenant()")
            .replace("plio.current_tenant()", "substring(current_schema() FROM 'tenant_(.*)')")
    };
    let (made, _) = KEPT_CONSTANTS.split_once("SELECT plio.share").expect("the shares come last");
    twin.superuser()
        .batch_execute(&plain(&format!(
            "{made} {IN_INDEXES} GRANT ALL ON ALL TABLES IN SCHEMA public TO PUBLIC"
        )))
        .unwrap();
    for query in OWN_CONSTANTS {
        let mut app = twin.connect(&world.app);
        app.batch_execute("SET search_path = tenant_acme; BEGIN").unwrap();
        assert_eq!(value(&mut app, &plain(query)), "canary-acme", "{query}");
        app.batch_execute("ROLLBACK; SET search_path = tenant_bravo").unwrap();
        let found = app.simple_query(&plain(query)).map(|rows| format!("{rows:?}"));
        assert!(!found.is_ok_and(|found| found.contains("canary-bravo")), "{query}");
    }
}

/// A constant that PostgreSQL keeps beside a domain, an index or a partitioned table does not reach the next tenant, whether
/// the tenant is the transaction's or the session's, and whether its transaction is committed.
#[test]
fn a_constant_kept_beside_a_shared_object_stays_there() {
    let world = world();
    unguarded(&world.db, KEPT_CONSTANTS);
    unguarded(&world.db, IN_INDEXES);
    for (begin, end) in [
        ("BEGIN; SELECT plio.set_tenant('{}')", "ROLLBACK"),
        ("BEGIN; SELECT plio.set_tenant('{}')", "COMMIT"),
        ("BEGIN; SAVEPOINT s; SELECT plio.set_tenant('{}')", "ROLLBACK TO s; COMMIT"),
        ("SET plio.tenant = '{}'; BEGIN", "ROLLBACK; RESET plio.tenant"),
        ("SET plio.tenant = '{}'; BEGIN", "ROLLBACK"),
        ("BEGIN; SET LOCAL plio.tenant = '{}'", "ROLLBACK"),
    ] {
        let mut app = world.db.connect(&world.app);
        for query in OWN_CONSTANTS {
            for org in ["acme", "bravo", "acme"] {
                app.batch_execute(&begin.replace("{}", org)).unwrap();
                assert_eq!(value(&mut app, query), format!("canary-{org}"), "{begin}: {query}");
                app.batch_execute(end).unwrap();
            }
        }
    }
}
