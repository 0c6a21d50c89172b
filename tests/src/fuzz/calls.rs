//! Calls of every function that everybody may execute, taken from the running server, with arguments of the right types
//! from a pool of what could cross.

use postgres::Client;

use crate::fuzz::Random;
use crate::fuzz::pools::{Pools, literal};

/// Left out, each with its reason. What else is in `pg_proc` and open to PUBLIC is called.
const LEFT_OUT: &[(&str, &str)] = &[
    ("pg_sleep", "waits"),
    ("pg_sleep_for", "waits"),
    ("pg_sleep_until", "waits"),
    ("pg_terminate_backend", "ends the other attacker's session"),
    ("pg_cancel_backend", "cancels the other attacker's statement, so that the run is no longer the seed's"),
    (
        "pg_advisory_lock",
        "waits for the other attacker; the keys are the database's, as docs/guarantees.md says",
    ),
    ("pg_advisory_lock_shared", "waits"),
    ("pg_advisory_xact_lock", "waits"),
    ("pg_advisory_xact_lock_shared", "waits"),
    ("set_config", "the grammar calls it: any setting would switch the attacker's own time limit off"),
    ("pg_wal_replay_wait", "waits"),
];

/// Types that no value can be written for.
const NO_VALUES: &str = "'internal', 'trigger', 'event_trigger', 'language_handler', 'fdw_handler', 'index_am_handler', \
     'tsm_handler', 'table_am_handler', 'pg_ddl_command'";

/// A function as it is called.
#[derive(Clone, Debug)]
struct Function {
    name: String,
    arguments: Vec<String>,
    is_variadic_any: bool,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Calls(Vec<Function>);

impl Calls {
    /// Asks the server.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn read(admin: &mut Client, attacker: &str) -> Self {
        let left_out: Vec<&str> = LEFT_OUT.iter().map(|(name, _)| *name).collect();
        let query = format!(
            "SELECT format('%I.%I', n.nspname, p.proname), p.provariadic = '\"any\"'::regtype,
                    ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY a(t, i) ORDER BY i)
               FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
              WHERE has_function_privilege($1, p.oid, 'EXECUTE') AND p.prokind <> 'p' AND n.nspname IN ('pg_catalog', 'information_schema')
                AND NOT p.proname = ANY ($2)
                AND NOT EXISTS (SELECT FROM unnest(p.proargtypes::oid[] || p.prorettype) a(t) WHERE format_type(t, NULL) IN ({NO_VALUES}))
              ORDER BY p.oid"
        );
        let rows = admin.query(&query, &[&attacker, &left_out]).unwrap_or_else(|error| panic!("{error:?}"));
        let function = |row: &postgres::Row| Function {
            name: row.get(0),
            is_variadic_any: row.get(1),
            arguments: row.get(2),
        };
        let all: Vec<Function> = rows.iter().map(function).collect();
        // Half of the list once more: those whose arguments can name something.
        let naming = ["oid", "reg", "text", "name", "xml", "cstring"];
        let names = |f: &&Function| f.arguments.iter().any(|a| naming.iter().any(|n| a.starts_with(n)));
        let more: Vec<Function> = all.iter().filter(names).cloned().collect();
        Self([all, more.clone(), more].concat())
    }

    /// How many functions can be called.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// One call.
    pub fn call(&self, random: &mut Random, pools: &Pools) -> String {
        if self.0.is_empty() {
            return "now()".to_owned();
        }
        let function = random.pick(&self.0);
        let mut arguments: Vec<String> =
            function.arguments.iter().map(|kind| argument(kind, random, pools)).collect();
        if function.is_variadic_any {
            arguments.pop();
            arguments.push(argument("text", random, pools));
        }
        format!("{}({})", function.name, arguments.join(", "))
    }
}

/// A value of a type, as an expression: what could cross, the extremes, NULL.
pub fn argument(kind: &str, random: &mut Random, pools: &Pools) -> String {
    if random.chance(6) {
        return format!("NULL::{}", concrete(kind));
    }
    if let Some(element) = kind.strip_suffix("[]") {
        return format!("ARRAY[{}]::{element}[]", argument(element, random, pools));
    }
    let value = match kind {
        "oid" | "regclass" | "regproc" | "regprocedure" | "regtype" | "regrole" | "regnamespace"
        | "oidvector" | "xid" | "regoper" | "regoperator" | "regconfig" | "regdictionary"
        | "regcollation" => {
            if random.chance(20) && kind.starts_with("reg") {
                pools.f_name(random)
            } else {
                pools.oid(random)
            }
        }
        "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" | "\"char\""
        | "money" => {
            let number = pools.number(random);
            if kind == "smallint" && number.len() > 4 { "7".to_owned() } else { number }
        }
        "boolean" => pools.boolean(random).to_owned(),
        "json" | "jsonb" => random
            .word(&[
                "{\"a\": [1, {\"b\": null}]}",
                "[]",
                "[[[[[[1]]]]]]",
                "null",
                "{\"id\":1,\"name\":\"x\"}",
            ])
            .to_string(),
        "xml" => "<x><y>1</y></x>".to_owned(),
        "jsonpath" => random.word(&["$.**", "$[*] ? (@ > 1)"]).to_string(),
        "bytea" => "\\x00ff41".to_owned(),
        "interval" => random.word(&["1 day", "-178000000 years", "1 microsecond"]).to_string(),
        "date" | "timestamp without time zone" | "timestamp with time zone" => {
            random.word(&["2020-02-29", "infinity", "4713-01-01 BC"]).to_string()
        }
        "time without time zone" | "time with time zone" => "12:34:56".to_owned(),
        "inet" | "cidr" => "10.0.0.0/8".to_owned(),
        "macaddr" | "macaddr8" => "08:00:2b:01:02:03".to_owned(),
        "tid" => "(0,1)".to_owned(),
        "pg_lsn" => "0/1".to_owned(),
        "xid8" | "cid" => "700".to_owned(),
        "pg_snapshot" | "txid_snapshot" => "1:9:".to_owned(),
        "uuid" => "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11".to_owned(),
        "bit" | "bit varying" => "101".to_owned(),
        "point" => "(1,2)".to_owned(),
        "box" | "lseg" | "path" | "polygon" => "((0,0),(1,1))".to_owned(),
        "line" => "{1,1,1}".to_owned(),
        "circle" => "<(0,0),1>".to_owned(),
        "tsvector" | "tsquery" => "'a' & b".replace('&', if kind == "tsquery" { "&" } else { "" }),
        "aclitem" => "=r/postgres".to_owned(),
        "refcursor" => "c1".to_owned(),
        "int4range" | "int8range" | "numrange" => "[1,5)".to_owned(),
        "anyrange" => return "'[1,5)'::int4range".to_owned(),
        "anymultirange" => return "'{[1,5)}'::int4multirange".to_owned(),
        "anyarray" | "anycompatiblearray" => return "ARRAY(SELECT name FROM users)".to_owned(),
        "anyenum" => return "'calm'::mood".to_owned(),
        "record" => return format!("(SELECT u FROM {} u LIMIT 1)", pools.f_table(random)),
        "anyelement" | "anynonarray" | "anycompatible" | "anycompatiblenonarray" | "\"any\"" => {
            return random.word(&["'x'::text", "1", "(SELECT max(name) FROM users)", "now()"]).to_string();
        }
        _ => return format!("{}::{}", text_argument(random, pools), concrete(kind)),
    };
    format!("{}::{}", literal(&value), concrete(kind))
}

fn text_argument(random: &mut Random, pools: &Pools) -> String {
    match random.below(9) {
        0..=2 => literal(&pools.f_name(random)),
        3 | 4 => literal(pools.query(random)),
        5 => "(SELECT max(name) FROM users)".to_owned(),
        6 => literal(pools.schema_name(random)),
        _ => literal(pools.text(random)),
    }
}

/// A type to cast to, for those that stand for others.
fn concrete(kind: &str) -> &str {
    match kind {
        "anyelement" | "anynonarray" | "anycompatible" | "anycompatiblenonarray" | "\"any\"" => "text",
        "anyarray" | "anycompatiblearray" => "text[]",
        "anyrange" | "anycompatiblerange" => "int4range",
        "anymultirange" | "anycompatiblemultirange" => "int4multirange",
        "anyenum" => "mood",
        "record" => "users",
        "character" => "text",
        other => other,
    }
}
