//! What autovacuum runs: a tenant's functions, in the expressions of its indexes and statistics, as the table's owner, in a
//! process that is nobody's session.

use plio_tests::{Cluster, Layers, TwoTenants};
use postgres::Client;
use std::thread;
use std::time::{Duration, Instant};

use crate::judge::Judge;
use crate::world::{inside, unguarded, value};

/// Autovacuum looks at each database every second,
const EAGER: &str = "autovacuum_naptime = 1s";
/// and one changed row of this table is reason enough.
const SET_EAGER: &str = "SET (autovacuum_analyze_threshold = 0, autovacuum_analyze_scale_factor = 0)";
const PRELOADED: &str = "shared_preload_libraries = 'plio_tenancy'";

/// In acme: a function that tries what `attempts` holds and tells who ran it and what came of it. Autovacuum has no application's
/// name, every session of these tests has one.
const SPY: &str = "
    CREATE TABLE attempts (attempt text); CREATE TABLE seen (who text, attempt text, found text);
    CREATE FUNCTION look(text) RETURNS text LANGUAGE plpgsql SET search_path = tenant_acme AS $$
        DECLARE one text; found text;
        BEGIN
            FOR one IN SELECT attempt FROM attempts LOOP
                BEGIN
                    EXECUTE 'SELECT (' || one || ')::text' INTO found;
                EXCEPTION WHEN OTHERS THEN found := SQLSTATE;
                END;
                INSERT INTO seen VALUES (current_setting('application_name'), one, found);
            END LOOP;
            RETURN $1;
        END $$;
    CREATE FUNCTION spy(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
        'BEGIN RETURN tenant_acme.look($1); END'";

/// On columns that the tenant's own code makes an expression of.
const INDEX: &str = "CREATE INDEX ON tenant_acme.users (tenant_acme.spy(name))";
const STATISTICS: &str =
    "CREATE STATISTICS tenant_acme.spied ON (tenant_acme.spy(name)), id FROM tenant_acme.users";

const BRAVOS: &str = "SELECT min(name) FROM tenant_bravo.users";
/// A superuser's definer function.
const READER: &str = "CREATE FUNCTION public.reader() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
    AS 'BEGIN RETURN (SELECT min(name) FROM tenant_bravo.users); END'";

/// A world with a spy that knows what to try, in no index yet.
fn world(cluster: &Cluster, layers: Layers, attempts: &[&str]) -> TwoTenants {
    let world = cluster.database("upkeep").tenants(layers);
    unguarded(&world.db, READER);
    let mut app = world.db.connect(&world.app);
    inside(&mut app, "acme", &format!("{SPY}; ALTER TABLE users {SET_EAGER}"));
    for attempt in attempts {
        let attempt = attempt.replace('\'', "''");
        inside(&mut app, "acme", &format!("INSERT INTO attempts VALUES ('{attempt}')"));
    }
    world
}

fn wait_for(client: &mut Client, query: &str) -> String {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let found = value(client, query);
        if found != "NULL" {
            return found;
        }
        assert!(Instant::now() < end, "waited a minute for {query}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// What autovacuum found, once a row is new in acme and it has been there.
fn found(world: &TwoTenants, attempt: &str) -> String {
    // A session that ends has counted its rows; one that stays takes its time.
    inside(&mut world.db.connect(&world.app), "acme", "INSERT INTO users (name) VALUES ('canary-acme-4')");
    let attempt = attempt.replace('\'', "''");
    let query = format!(
        "SELECT string_agg(DISTINCT found, ' ') FROM tenant_acme.seen WHERE who = '' AND attempt = '{attempt}'"
    );
    wait_for(&mut world.db.superuser(), &query)
}

/// The control, and what is open: where only sessions load the library, nobody judges what autovacuum runs. A tenant's own
/// role may read no other tenant's table, by itself. The login role of adopted tenants may: there no such index can be made
/// inside, and one that an administrator made leaks.
#[test]
fn autovacuum_has_the_owners_privileges() {
    let cluster = Cluster::start(&[EAGER]);
    let two = world(&cluster, Layers::Two, &[BRAVOS, "public.reader()"]);
    inside(&mut two.db.connect(&two.app), "acme", INDEX);
    assert_eq!(found(&two, BRAVOS), "42501");
    assert_eq!(found(&two, "public.reader()"), "canary-bravo");

    for tie in [INDEX, STATISTICS] {
        let one = world(&cluster, Layers::One, &[BRAVOS]);
        let mut app = one.db.connect(&one.app);
        Judge::inside(&mut app, "acme").refused(tie, "42501");
        one.db.superuser().batch_execute(tie).unwrap();
        assert_eq!(found(&one, BRAVOS), "canary-bravo", "{tie}");
        // So does ANALYZE by an administrator, to whom no tenant is closed.
        let mut admin = one.db.superuser();
        admin.batch_execute("DELETE FROM tenant_acme.seen; ANALYZE tenant_acme.users").unwrap();
        let told = "SELECT string_agg(DISTINCT found, ' ') FROM tenant_acme.seen WHERE who <> ''";
        assert_eq!(value(&mut admin, told), "canary-bravo", "{tie}");
    }
}

/// Loaded by the server the library judges autovacuum, too: it is in the tenant whose table it is at, and what belongs to
/// that tenant, or is shared with it, is all that it reads.
#[test]
fn autovacuum_is_in_the_tables_tenant_where_the_server_loads_the_library() {
    let cluster = Cluster::start(&[EAGER, PRELOADED]);
    let expected = [
        (BRAVOS, "42501"),
        ("public.reader()", "42501"),
        ("SELECT min(name) FROM tenant_acme.users", "canary-acme"),
        ("SELECT min(name) FROM public.countries", "India"),
        ("SELECT min(name) FROM public.unshared", "42501"),
        ("plio.set_tenant('bravo')", "25001"),
        ("SELECT count(*) FROM pg_stats", "42501"),
        // The tenant's own listeners are told.
        ("pg_notify('news', 'x')", ""),
        ("plio.current_tenant()", "acme"),
    ];
    for layers in [Layers::Two, Layers::One] {
        let world = world(&cluster, layers, &expected.map(|(attempt, _)| attempt));
        let mut admin = world.db.superuser();
        admin
            .batch_execute(&format!(
                "CREATE TABLE public.unshared AS SELECT 'canary-unshared' AS name; GRANT SELECT ON public.unshared TO PUBLIC, {};
                 {INDEX}; {STATISTICS}",
                world.app
            ))
            .unwrap();
        for (attempt, answer) in expected {
            assert_eq!(found(&world, attempt), answer, "{layers:?}: {attempt}");
        }
        let analyzed = "SELECT max(last_autoanalyze) FROM pg_stat_all_tables WHERE relid = 'tenant_acme.users'::regclass";
        wait_for(&mut admin, analyzed);
    }
    // What nobody is a tenant of: the table's owner has no more rights than without a tenant.
    let world = world(&cluster, Layers::One, &[]);
    world
        .db
        .superuser()
        .batch_execute(&format!(
            "CREATE SCHEMA own AUTHORIZATION {app}; SET ROLE {app}; SET search_path = own; {}; INSERT INTO attempts VALUES ('{BRAVOS}');
             CREATE TABLE notes AS SELECT 'x' AS note; ALTER TABLE notes {SET_EAGER}; CREATE INDEX ON notes (spy(note)); INSERT INTO notes VALUES ('y')",
            SPY.replace("tenant_acme", "own"),
            app = world.app
        ))
        .unwrap();
    let found = "SELECT string_agg(DISTINCT found, ' ') FROM own.seen WHERE who = ''";
    assert_eq!(
        wait_for(&mut world.db.superuser(), &format!("{found} AND session_user = 'postgres'")),
        "55000"
    );
    assert!(!cluster.log().contains("automatic analyze of table \"upkeep_"), "no error while it analyzed");
}
