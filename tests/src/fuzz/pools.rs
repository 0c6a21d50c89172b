//! What the grammar's terminals stand for: names and oids of every tenant from the running catalogs, in every spelling
//! that PostgreSQL takes; hostile texts, numbers, settings, queries.

use postgres::Client;

use crate::fuzz::Random;
use crate::fuzz::calls::Calls;
use crate::fuzz::grammar::Grammar;
use crate::fuzz::world::{ORGS, SCHEMAS, VICTIM, World};

const TEXTS: &[&str] = &[
    "",
    "x",
    "IN",
    "users",
    "c1",
    "a'b\"c",
    "'; DROP TABLE users; --",
    "$$",
    "%s %I %L",
    "\\",
    "{1,2",
    "\u{202e}\u{0}x",
    "é́🦀",
    "plio.tenant",
    "utf8",
    "SELECT",
    "pg_catalog",
    "public.users",
    "plio.tenants",
    "UTC",
    "0",
    "-1",
    "NaN",
    "off",
    "english",
    "(1,x,2,y,3)",
    "<x/>",
    "simple",
    "^(a+)+$",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
    "1 day",
    "default",
    "SQL_ASCII",
    "sha256",
];
const NUMBERS: &[&str] =
    &["0", "1", "2", "3", "-1", "7", "63", "64", "100", "32767", "65536", "2147483647", "-2147483648"];
const SETTINGS: &[&str] = &[
    "search_path",
    "role",
    "session_authorization",
    "plio.tenant",
    "plio.enforcement",
    "plio.allowed_connections",
    "row_security",
    "session_replication_role",
    "default_table_access_method",
    "temp_tablespaces",
    "lo_compat_privileges",
    "session_preload_libraries",
    "local_preload_libraries",
    "dynamic_library_path",
    "default_transaction_read_only",
    "application_name",
    "bytea_output",
    "xmlbinary",
    "app.own",
    "plio.nothing",
    "quote_all_identifiers",
    "event_triggers",
    "createrole_self_grant",
    "restrict_nonsystem_relation_kind",
    "extra_float_digits",
    "constraint_exclusion",
    "DateStyle",
];
const PLIO: &[&str] = &[
    "plio.allow_partial_reports",
    "plio.allowed_connections",
    "plio.enforcement",
    "plio.denials_log_rate",
    "plio.counted_tenants",
    "plio.denials_history_rows",
];
const UNSHARED: &[&str] = &[
    "public.users",
    "public.secrets",
    "public.every_name",
    "secrets",
    "plio.tenants",
    "plio.access",
    "plio.shares",
    "plio.history",
    "U&\"publi\\0063\".users",
];
const OWN_FUNCTIONS: &[&str] = &[
    "peek()",
    "peek_slow()",
    "peek_folded()",
    "peek_definer()",
    "peek_id(1)::text",
    "same(current_user, 'x')::text",
    "current_user::text",
];
const EXTENSIONS: &[&str] =
    &["dblink", "postgres_fdw", "file_fdw", "pageinspect", "pg_trgm", "citext", "hstore", "plio_tenancy"];

/// The terminals' values.
#[derive(Clone, Debug, Default)]
pub struct Pools {
    tables: Vec<String>,
    sequences: Vec<String>,
    functions: Vec<String>,
    types: Vec<String>,
    schemas: Vec<String>,
    roles: Vec<String>,
    oids: Vec<u32>,
    large_objects: Vec<u32>,
    catalogs: Vec<String>,
    queries: Vec<String>,
    calls: Calls,
    database: String,
    group: String,
    /// Oids of functions for the protocol's function call.
    by_oid: Vec<(String, u32)>,
}

impl Pools {
    /// Reads the catalogs anew: acme and bravo have other oids after each rebuild.
    ///
    /// # Panics
    /// When the server does not answer.
    pub fn read(admin: &mut Client, world: &World, grammar: &Grammar, random: &mut Random) -> Self {
        let mut column = |query: &str| -> Vec<String> {
            let rows = admin.query(query, &[&SCHEMAS.to_vec()]);
            rows.unwrap_or_else(|error| panic!("{query}: {error:?}")).iter().map(|row| row.get(0)).collect()
        };
        let in_tenants = "JOIN pg_namespace n ON n.nspname = ANY ($1) AND n.oid =";
        let mut pools = Self {
            tables: column(&format!("SELECT quote_ident(n.nspname) || '.' || quote_ident(relname) FROM pg_class c {in_tenants} relnamespace WHERE relkind IN ('r', 'p', 'v', 'm') ORDER BY 1")),
            sequences: column(&format!("SELECT quote_ident(n.nspname) || '.' || quote_ident(relname) FROM pg_class c {in_tenants} relnamespace WHERE relkind = 'S' ORDER BY 1")),
            functions: column(&format!("SELECT quote_ident(n.nspname) || '.' || quote_ident(proname) FROM pg_proc p {in_tenants} pronamespace ORDER BY 1")),
            types: column(&format!("SELECT quote_ident(n.nspname) || '.' || quote_ident(typname) FROM pg_type t {in_tenants} typnamespace WHERE typtype IN ('e', 'd', 'c') ORDER BY 1")),
            schemas: column("SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname = ANY ($1) ORDER BY 1"),
            roles: column("SELECT quote_ident(r.rolname) FROM pg_roles r JOIN pg_namespace n ON n.nspowner = r.oid AND n.nspname = ANY ($1) ORDER BY 1"),
            catalogs: column("SELECT c.oid::regclass::text FROM pg_class c WHERE relnamespace IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) AND relkind IN ('r', 'v') AND $1::text[] IS NOT NULL ORDER BY 1"),
            oids: numbers(column(&format!("SELECT c.oid::text FROM pg_class c {in_tenants} relnamespace WHERE relkind <> 't'
                UNION ALL SELECT p.oid::text FROM pg_proc p {in_tenants} pronamespace UNION ALL SELECT t.oid::text FROM pg_type t {in_tenants} typnamespace
                UNION ALL SELECT c.reltoastrelid::text FROM pg_class c {in_tenants} relnamespace WHERE c.reltoastrelid <> 0
                UNION ALL SELECT k.oid::text FROM pg_constraint k {in_tenants} connamespace
                UNION ALL SELECT n.oid::text FROM pg_namespace n WHERE n.nspname = ANY ($1) UNION ALL SELECT n.nspowner::text FROM pg_namespace n WHERE n.nspname = ANY ($1)
                UNION ALL SELECT oid::text FROM pg_class WHERE oid IN ('public.users'::regclass, 'public.secrets'::regclass, 'plio.tenants'::regclass, 'pg_statistic'::regclass)"))),
            large_objects: numbers(column("SELECT oid::text FROM pg_largeobject_metadata WHERE $1::text[] IS NOT NULL ORDER BY oid")),
            calls: Calls::read(admin, &world.attacker),
            database: world.db.name().to_owned(),
            group: world.group.clone(),
            by_oid: Vec::new(),
            queries: vec!["SELECT 1".to_owned()],
        };
        let by_oid = admin.query("SELECT p.oid::regprocedure::text, p.oid FROM pg_proc p WHERE p.oid IN
                (to_regprocedure('plio.set_tenant(text)'), 'nextval(regclass)'::regprocedure, 'lo_get(oid)'::regprocedure, 'lastval()'::regprocedure, 'pg_notify(text,text)'::regprocedure,
                 'query_to_xml(text,boolean,boolean,text)'::regprocedure, 'loread(integer,integer)'::regprocedure, 'lo_open(oid,integer)'::regprocedure, to_regprocedure('lookup.through()'),
                 to_regprocedure('public.peek_definer(text)')) OR pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname = ANY ($1)) AND proretset = false AND prokind = 'f' AND pronargs = 0 ORDER BY 1", &[&SCHEMAS.to_vec()]);
        let by_oid = by_oid.unwrap_or_else(|error| panic!("{error:?}"));
        pools.by_oid = by_oid.iter().map(|row| (row.get(0), row.get(1))).collect();
        // Named more often: what belongs to nobody the attacker may enter.
        let victims: Vec<String> =
            pools.tables.iter().filter(|name| name.starts_with("\"Co")).cloned().collect();
        pools.tables.extend(victims);
        pools.queries = (0..80)
            .map(|i| {
                let rule = if i % 4 == 3 {
                    "dml"
                } else if i % 4 == 2 {
                    "catalog"
                } else {
                    "select"
                };
                grammar.expand(rule, random, &mut |name, random| pools.terminal(name, random))
            })
            .collect();
        pools
    }

    /// A function's oid, and arguments for it.
    pub fn function_call(&self, random: &mut Random) -> (u32, Vec<String>) {
        let Some((signature, oid)) = (!self.by_oid.is_empty()).then(|| random.pick(&self.by_oid)) else {
            return (0, Vec::new());
        };
        let kinds = signature.split_once('(').map_or("", |(_, rest)| rest.trim_end_matches(')'));
        let argument = |kind: &str| match kind {
            "" => None,
            "oid" | "regclass" => Some(self.oid(random)),
            "integer" => Some("262144".to_owned()),
            "boolean" => Some("t".to_owned()),
            _ if signature.contains("set_tenant") => Some(random.word(&ORGS).to_owned()),
            _ if signature.contains("pg_notify") => {
                Some(random.word(&["plio:1:fuzz", "plio:2:fuzz", "plio:3:fuzz", "fuzz"]).to_owned())
            }
            _ => Some(self.query(random).to_owned()),
        };
        (*oid, kinds.split(',').filter_map(argument).collect())
    }

    /// How many functions are called.
    pub fn callable(&self) -> usize {
        self.calls.count()
    }

    /// A value for a terminal of the grammar.
    ///
    /// # Panics
    /// When the grammar uses a terminal that is not here.
    pub fn terminal(&self, name: &str, random: &mut Random) -> String {
        match name {
            "F_TABLE" => self.f_table(random),
            "F_SEQ" => spelled(&pick(&self.sequences, random), &self.database, random),
            "F_FUNC" => spelled(&pick(&self.functions, random), &self.database, random),
            "F_TYPE" => pick(&self.types, random),
            "F_SCHEMA" => pick(&self.schemas, random),
            "F_ROLE" => pick(&self.roles, random),
            "F_LITERAL" => literal(&self.f_name(random)),
            "F_NSLITERAL" => literal(&pick(&self.schemas, random)),
            "OID" => self.oid(random),
            "OIDLITERAL" => literal(&self.oid(random)),
            "OWNFN" => (*random.pick(OWN_FUNCTIONS)).to_owned(),
            "P_TABLE" => (*random.pick(UNSHARED)).to_owned(),
            "CATALOG" => pick(&self.catalogs, random),
            "INT" => self.number(random),
            "SMALL" => (1 + random.below(6)).to_string(),
            "TEXT" => literal(self.text(random)),
            "QUERY" => literal(self.query(random)),
            "BOOL" => self.boolean(random).to_owned(),
            "ORGLITERAL" => literal(random.word(&ORGS)),
            "SETTING" => (*random.word(SETTINGS)).to_owned(),
            "SETTINGLITERAL" => literal(random.word(SETTINGS)),
            "EXTENSION" => (*random.pick(EXTENSIONS)).to_owned(),
            "DATABASE" => self.database.clone(),
            "LO" if self.large_objects.is_empty() => "1".to_owned(),
            "LO" => random.pick(&self.large_objects).to_string(),
            "CALL" => self.calls.call(random, self),
            "PLIO" => (*random.pick(PLIO)).to_owned(),
            "PLIOLITERAL" => literal(random.word(PLIO)),
            "TRUSTED" => (*random.pick(&["hstore", "citext", "pg_trgm"])).to_owned(),
            "GROUP" => self.group.clone(),
            "ONE" => ORGS[0].to_owned(),
            "OTHER" => ORGS[1].to_owned(),
            "LONGSUM" => ["1"; 3000].join("+"),
            "CURSORLITERAL" => literal(random.word(&["c1", "c2"])),
            other => panic!("the grammar's terminal {other} is unknown"),
        }
    }

    /// Any tenant's table or view, qualified, in some spelling.
    pub fn f_table(&self, random: &mut Random) -> String {
        spelled(&pick(&self.tables, random), &self.database, random)
    }

    /// The same as a text that look-ups by name take.
    pub fn f_name(&self, random: &mut Random) -> String {
        match random.below(6) {
            0 => pick(&self.sequences, random),
            1 => format!("{}()", pick(&self.functions, random)),
            2 => pick(&self.types, random),
            _ => pick(&self.tables, random),
        }
    }

    /// An oid of somebody's object.
    pub fn oid(&self, random: &mut Random) -> String {
        if self.oids.is_empty() || random.chance(3) {
            return (*random.pick(&["0", "1", "1259", "4294967295", "999999"])).to_owned();
        }
        random.pick(&self.oids).to_string()
    }

    /// A number as a text.
    pub fn number(&self, random: &mut Random) -> String {
        (*random.pick(NUMBERS)).to_owned()
    }

    /// A hostile or a meaningful text.
    pub fn text(&self, random: &mut Random) -> &'static str {
        random.word(TEXTS)
    }

    /// A query of the grammar's.
    pub fn query(&self, random: &mut Random) -> &str {
        &self.queries[random.below(self.queries.len())]
    }

    /// A tenant's schema, unquoted.
    pub fn schema_name(&self, random: &mut Random) -> &'static str {
        if random.chance(50) { SCHEMAS[VICTIM] } else { SCHEMAS[random.below(SCHEMAS.len())] }
    }

    /// `true` or `false`.
    pub fn boolean(&self, random: &mut Random) -> &'static str {
        if random.chance(50) { "true" } else { "false" }
    }
}

fn numbers(texts: Vec<String>) -> Vec<u32> {
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

fn pick(items: &[String], random: &mut Random) -> String {
    if items.is_empty() { "nothing".to_owned() } else { random.pick(items).clone() }
}

/// A string literal.
pub fn literal(text: &str) -> String {
    let text = text.replace('\0', "");
    if text.contains('\\') {
        format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

/// A qualified name as somebody might write it who hopes that nobody reads it.
fn spelled(name: &str, database: &str, random: &mut Random) -> String {
    match random.below(12) {
        0 => format!("{database}.{name}"),
        1 => name.replacen('.', " . ", 1),
        2 => name.replacen('.', "./*.*/", 1),
        3 if !name.starts_with('"') => name.to_uppercase(),
        4 if !name.contains('"') => format!("\"{}\"", name.replace('.', "\".\"")),
        5 if name.starts_with("\"Co") => name.replacen('"', "U&\"", 1).replace('ü', "\\00fc"),
        5 if !name.contains('"') => format!("U&\"{}\"", name.replace('_', "\\005f").replace('.', "\".U&\"")),
        6 if !name.contains('"') => {
            format!(
                "U&\"{}\" UESCAPE '!'",
                name.replacen('t', "!+000074", 1).replace('.', "\" UESCAPE '!'.\"")
            )
        }
        _ => name.to_owned(),
    }
}
