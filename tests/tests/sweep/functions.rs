//! Every function that SQL can call, with the names and oids of bravo's objects as arguments, inside acme.

use std::collections::HashMap;

use plio_tests::SUPERUSER;
use postgres::Client;

use crate::world::{CANARIES, World, column, has_canary, state_of_bravo, world};

/// Runs one query and gives its rows, or its error with every field, as text: a subtransaction of its own.
const TRY: &str = "CREATE OR REPLACE FUNCTION pg_temp.try(query text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE result text; message text; detail text; hint text; context text;
    BEGIN
        EXECUTE 'SELECT string_agg(left(x::text, 5000), E''\\n'') FROM (SELECT * FROM (' || query || ') y LIMIT 100) x'
           INTO result;
        RETURN 'R: ' || coalesce(result, '');
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
                                context = PG_EXCEPTION_CONTEXT;
        RETURN 'E: ' || concat_ws(' / ', SQLSTATE, message, detail, hint, replace(context, query, ''));
    END $$";

/// What would wait; and what gives so many digits that a canary may be among them.
const LEFT_OUT: [&str; 4] = ["pg_sleep", "pg_sleep_for", "pg_sleep_until", "factorial"];

/// A function and the types of its arguments.
struct Function {
    name: String,
    arguments: Vec<String>,
}

fn functions(admin: &mut Client) -> Vec<Function> {
    let rows = column(
        admin,
        "SELECT quote_ident(n.nspname) || '.' || quote_ident(p.proname) || '|' ||
                array_to_string(ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) t), '|')
           FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
          WHERE p.prokind IN ('f', 'a') AND n.nspname !~ '^(tenant_|pg_temp)'
            AND p.prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype, 'internal'::regtype)
            AND NOT 'internal'::regtype = ANY (p.proargtypes::oid[])
          ORDER BY 1",
    );
    let function = |row: String| {
        let mut parts = row.split('|').map(str::to_owned);
        let name = parts.next().unwrap_or_default();
        Function { name, arguments: parts.filter(|part| !part.is_empty()).collect() }
    };
    let is_left_out = |name: &str| LEFT_OUT.iter().any(|left| name == format!("pg_catalog.{left}"));
    rows.into_iter().map(function).filter(|function| !is_left_out(&function.name)).collect()
}

/// What to pass for an argument of each kind: bravo's objects by oid and by name, a session of bravo's.
struct Values {
    oids: Vec<String>,
    texts: Vec<String>,
    numbers: Vec<String>,
}

impl Values {
    fn collect(admin: &mut Client, pid: i32) -> Values {
        let oids = column(
            admin,
            "SELECT 'tenant_bravo.secrets'::regclass::oid UNION ALL SELECT 'tenant_bravo.counter'::regclass::oid
             UNION ALL SELECT 'tenant_bravo.secrets_pkey'::regclass::oid UNION ALL SELECT 'tenant_bravo.listing'::regclass::oid
             UNION ALL SELECT 'tenant_bravo.peek'::regproc::oid UNION ALL SELECT 'tenant_bravo.mood'::regtype::oid
             UNION ALL SELECT max(oid) FROM pg_largeobject_metadata UNION ALL SELECT 'tenant_bravo'::regnamespace::oid
             UNION ALL SELECT nspowner FROM pg_namespace WHERE nspname = 'tenant_bravo'
             UNION ALL SELECT oid FROM pg_statistic_ext WHERE stxnamespace = 'tenant_bravo'::regnamespace",
        );
        let texts = [
            "tenant_bravo.secrets",
            "SELECT word FROM tenant_bravo.secrets",
            "tenant_bravo",
            "secrets",
            "word",
            "SELECT word, word, doc FROM tenant_bravo.secrets",
            "tenant_bravo.counter",
            "SELECT doc FROM tenant_bravo.secrets",
        ];
        let mut texts: Vec<String> = texts.into_iter().map(str::to_owned).collect();
        texts.extend([oids[0].clone(), oids[1].clone()]);
        let numbers =
            vec!["1".to_owned(), pid.to_string(), oids[6].clone(), "262144".to_owned(), "131072".to_owned()];
        Values { oids, texts, numbers }
    }

    /// The candidates for a type; `None` when there are none but NULL.
    fn of(&self, type_name: &str) -> Option<Vec<String>> {
        let quoted = |texts: &[String]| texts.iter().map(|text| format!("'{text}'::{type_name}")).collect();
        Some(match type_name {
            "oid" | "regclass" | "regproc" | "regprocedure" | "regtype" | "regnamespace" | "regrole" => {
                self.oids.iter().map(|oid| format!("{oid}::oid::{type_name}")).collect()
            }
            "text" | "name" | "character varying" | "cstring" | "refcursor" => quoted(&self.texts),
            "integer" | "bigint" => quoted(&self.numbers),
            "text[]" | "name[]" => vec![format!("ARRAY['tenant_bravo', 'secrets']::{type_name}")],
            _ => return fixed(type_name).map(|value| vec![format!("{value}::{type_name}")]),
        })
    }

    /// The calls of a function: each argument takes its candidates in turn, once in step and once each a step on.
    fn calls(&self, function: &Function) -> Vec<String> {
        let lists: Option<Vec<Vec<String>>> = function.arguments.iter().map(|name| self.of(name)).collect();
        let Some(lists) = lists else { return Vec::new() };
        let most = lists.iter().map(Vec::len).max().unwrap_or(1);
        let mut calls: Vec<String> = Vec::new();
        for step in [0, 1] {
            for turn in 0..most {
                let pick =
                    |(place, list): (usize, &Vec<String>)| list[(turn + step * place) % list.len()].clone();
                let arguments: Vec<String> = lists.iter().enumerate().map(pick).collect();
                let call = format!("SELECT {}({}) AS r", function.name, arguments.join(", "));
                if !calls.contains(&call) {
                    calls.push(call);
                }
            }
        }
        calls
    }
}

/// One value of a type whose value says nothing about bravo.
fn fixed(type_name: &str) -> Option<&'static str> {
    Some(match type_name {
        "boolean" => "true",
        "\"char\"" => "'r'",
        "smallint" => "1",
        "double precision" | "real" | "numeric" => "1",
        "tid" => "'(0,1)'",
        "xid" | "xid8" | "cid" => "'1'",
        "bytea" => "'x'",
        "json" | "jsonb" => "'{}'",
        "xml" => "'<a/>'",
        "tsquery" | "tsvector" => "'canary'",
        "regconfig" => "'simple'",
        "regdictionary" => "'simple'",
        "timestamp with time zone" | "timestamp without time zone" | "date" => "now()",
        "interval" => "'1 s'",
        "pg_lsn" => "'0/0'",
        "pg_snapshot" | "txid_snapshot" => "'1:1:'",
        "anyelement" | "anynonarray" | "anycompatible" | "anycompatiblenonarray" => return None,
        "oidvector" | "int2vector" => "'1'",
        "integer[]" | "bigint[]" | "smallint[]" | "oid[]" => "'{1}'",
        "char" | "bpchar" | "character" => "'r'",
        "path" | "point" | "box" | "line" | "lseg" | "polygon" | "circle" => return None,
        "inet" | "cidr" => "'127.0.0.1'",
        _ => return None,
    })
}

/// What was called, what it gave: leaks, and how many calls there were and how many gave rows.
struct Sweep {
    leaks: Vec<String>,
    calls: usize,
    answered: usize,
    refusals: HashMap<String, usize>,
}

fn sweep(client: &mut Client, begin: &str, functions: &[Function], values: &Values) -> Sweep {
    let mut found = Sweep { leaks: Vec::new(), calls: 0, answered: 0, refusals: HashMap::new() };
    for function in functions {
        let calls = values.calls(function);
        if calls.is_empty() {
            continue;
        }
        let tries: Vec<String> =
            calls.iter().map(|call| format!("SELECT pg_temp.try($try${call}$try$)")).collect();
        client
            .batch_execute(&format!("BEGIN; {begin}; {TRY}"))
            .unwrap_or_else(|error| panic!("{begin}: {error:?}"));
        let answers = column(client, &tries.join(" UNION ALL "));
        client.batch_execute("ROLLBACK").expect("ROLLBACK");
        for (call, answer) in calls.iter().zip(answers) {
            found.calls += 1;
            found.answered += usize::from(answer.starts_with("R: "));
            if let Some(error) = answer.strip_prefix("E: ") {
                *found.refusals.entry(error[..5].to_owned()).or_default() += 1;
            }
            if has_canary(&answer) || answer.contains("internal error in plio_tenancy") {
                found.leaks.push(format!("{call}\n    {}", &answer[..answer.len().min(300)]));
            }
        }
    }
    found
}

/// A session inside bravo, in the middle of a transaction, that somebody might signal.
fn victim(world: &World) -> (Client, i32) {
    let mut client = world.fixture.db.connect(&world.fixture.app);
    let pid = client.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    client.batch_execute("BEGIN; SELECT plio.set_tenant('bravo'); SELECT 'canary-bravo'").unwrap();
    (client, pid)
}

/// Without a tenant the superuser gets canaries from the very same calls: the sweep would see a leak.
#[test]
fn the_sweep_sees_leaks() {
    let world = world();
    let (_victim, pid) = victim(world);
    let mut admin = world.fixture.db.superuser();
    let values = Values::collect(&mut admin, pid);
    // Only what reads: the superuser may do anything.
    let reading = [
        "lo_get",
        "pg_sequence_last_value",
        "table_to_xml",
        "query_to_xml",
        "ts_stat",
        "pg_stat_get_activity",
    ];
    let mut chosen = functions(&mut admin);
    chosen.retain(|function| reading.iter().any(|name| function.name == format!("pg_catalog.{name}")));
    admin.batch_execute(TRY).unwrap();
    let found = sweep(&mut admin, "SELECT 1", &chosen, &values);
    for name in ["lo_get", "pg_sequence_last_value", "table_to_xml", "query_to_xml", "pg_stat_get_activity"] {
        assert!(
            found.leaks.iter().any(|leak| leak.contains(name)),
            "{name} is not seen to leak: {:?}",
            found.leaks
        );
    }
}

/// No function gives, tells or changes anything of bravo's, for the application, and for a superuser inside acme.
#[test]
fn no_function_reaches_another_tenant() {
    let world = world();
    let (mut victim, pid) = victim(world);
    let mut admin = world.fixture.db.superuser();
    let values = Values::collect(&mut admin, pid);
    let functions = functions(&mut admin);
    assert!(
        functions.len() > 2500 && world.extensions.len() > 20,
        "{} {:?}",
        functions.len(),
        world.extensions
    );
    let before = state_of_bravo(&mut admin);
    for role in [world.fixture.app.as_str(), SUPERUSER] {
        let mut client = world.fixture.db.connect(role);
        let enter = "SELECT plio.set_tenant('acme')";
        client.batch_execute(&format!("BEGIN; {enter}; {TRY}; COMMIT")).unwrap();
        let found = sweep(&mut client, enter, &functions, &values);
        println!("{role}: {} calls, {} answered, refused: {:?}", found.calls, found.answered, found.refusals);
        assert!(found.calls > 5000 && found.answered > 1000, "{} {}", found.calls, found.answered);
        assert!(found.refusals.get("42501").is_some_and(|count| *count > 500), "{:?}", found.refusals);
        assert!(found.leaks.is_empty(), "{role}: {CANARIES:?} in\n{}", found.leaks.join("\n"));
        assert_eq!(state_of_bravo(&mut admin), before, "{role}: bravo has changed");
    }
    // Without a tenant: one that may enter both, and one that may enter none. The former sees what its own sessions run, and may
    // end them, as anybody may.
    let on_sessions = ["pg_stat_get_activity", "pg_terminate_backend", "pg_cancel_backend"];
    for role in [&world.fixture.app, &world.fixture.carol] {
        let is_own = role == &world.fixture.app;
        let is_on_sessions = |name: &str| on_sessions.iter().any(|other| name.ends_with(other));
        let mut chosen = self::functions(&mut admin);
        chosen.retain(|function| !(is_own && is_on_sessions(&function.name)));
        let mut client = world.fixture.db.connect(role);
        let found = sweep(&mut client, "SELECT 1", &chosen, &values);
        println!("{role}: {} calls, {} answered, refused: {:?}", found.calls, found.answered, found.refusals);
        assert!(found.calls > 5000 && found.answered > 1000, "{} {}", found.calls, found.answered);
        assert!(found.refusals.get("55000").is_some_and(|count| *count > 100), "{:?}", found.refusals);
        assert!(found.leaks.is_empty(), "{role}: {CANARIES:?} in\n{}", found.leaks.join("\n"));
        assert_eq!(state_of_bravo(&mut admin), before, "{role}: bravo has changed");
    }
    // Nobody has ended or cancelled bravo's session.
    assert_eq!(column(&mut victim, "SELECT word FROM secrets WHERE id = 1"), ["canary-bravo"]);
}
