//! What is called: scenes of calls of plio's functions, with arguments of all kinds.

use super::Function;
use crate::fuzz::calls;
use crate::fuzz::pools::{Pools, literal};
use crate::fuzz::random::Random;
use crate::fuzz::scene::Step;
use crate::fuzz::wire::Request;
use crate::fuzz::world::ORGS;

/// Functions that take long: called less often.
const SLOW: &[&str] = &["selftest", "audit", "_audit_"];
/// What plio's arguments of type text stand for, and what is nearly that.
const WORDS: &[&str] = &[
    "acme",
    "bravo",
    "coral",
    "nova",
    "zeta",
    "tenant_acme",
    "tenant_bravo",
    "tenant_nova",
    "Co\"ral ü",
    "\"Co\"\"ral ü\"",
    "public",
    "lookup",
    "plio",
    "pg_catalog",
    "information_schema",
    "pg_temp",
    "plio_reports",
    "public.board",
    "public.countries",
    "public.secrets",
    "lookup.codes",
    "lookup.counter",
    "tenant_acme.users",
    "plio.tenants",
    "public.nothing",
    "users",
    "read",
    "write",
    "READ",
    "critical",
    "warning",
    "info",
    "org",
    "id",
    "plio_admin",
    "plio_tenant",
    "plio_reporter",
    "pg_monitor",
    "nobody",
    "postgres",
    "public.\"",
    "a.b.c.d",
    "\"\"",
    "\"\".\"\"",
    ".",
    "acme ",
    "-acme",
    "ACME",
    "SELECT * FROM users",
    "SELECT count(*) FROM users",
    "SELECT 1; SELECT 2",
    "DELETE FROM users RETURNING *",
    "SELECT plio.set_tenant('coral')",
    "SELECT pg_sleep(9)",
    "SELECT * FROM \"Co\"\"ral ü\".users",
    "VALUES (1)",
    "TABLE users",
    "WITH w AS (UPDATE users SET n = 0 RETURNING *) SELECT * FROM w",
    "COPY users TO STDOUT",
    "SELECT $1",
    "SELECT name::int FROM users",
    "%s%n%I",
    "\u{202e}acme",
    "ａcme",
    "🦀",
    "a\u{301}",
    "\u{7f}\u{1b}[0m",
    "'; DROP SCHEMA plio CASCADE; --",
    "",
];

/// Writes scenes of calls.
pub struct Author<'a> {
    pub functions: &'a [Function],
    pub pools: &'a Pools,
    pub random: &'a mut Random,
}

impl Author<'_> {
    /// A scene: statements around calls.
    pub fn scene(&mut self, is_privileged: bool) -> Vec<Step> {
        let mut steps = vec![
            simple("ROLLBACK; RESET plio.tenant", 0),
            simple("SET statement_timeout = '2s'; SET lock_timeout = '30ms'", 0),
        ];
        let count = 1 + self.random.below(6);
        match self.random.below(10) {
            // Outside, each call a transaction.
            0..=2 => (0..count).for_each(|_| steps.push(self.step())),
            // Outside, in one transaction.
            3 | 4 => {
                steps.push(simple(
                    self.random.word(&["BEGIN", "BEGIN READ ONLY", "BEGIN ISOLATION LEVEL SERIALIZABLE"]),
                    0,
                ));
                self.guarded(count, &mut steps);
                // What was done is undone as often as it is kept.
                let keeps = !is_privileged || self.random.chance(50);
                steps.push(simple(if keeps { "COMMIT" } else { "ROLLBACK" }, 0));
            }
            5..=7 => {
                let org = self.random.word(&ORGS);
                steps.push(simple(&format!("BEGIN; SELECT plio.set_tenant('{org}')"), 0));
                self.guarded(count, &mut steps);
                steps.push(simple(self.random.word(&["COMMIT", "ROLLBACK"]), 0));
            }
            8 => {
                let org = self.random.word(&ORGS);
                steps.push(simple(&format!("SET plio.tenant = '{org}'"), 0));
                (0..count).for_each(|_| steps.push(self.step()));
            }
            _ => {
                let calls: Vec<String> = (0..count).map(|_| self.call()).collect();
                steps.push((Request::Pipeline(calls), count));
            }
        }
        steps
    }

    fn guarded(&mut self, count: usize, steps: &mut Vec<Step>) {
        for _ in 0..count {
            steps.push(simple("SAVEPOINT s", 0));
            steps.push(self.step());
            steps.push(simple(
                self.random.word(&["ROLLBACK TO s", "RELEASE s", "ROLLBACK TO s; RELEASE s"]),
                0,
            ));
        }
    }

    fn step(&mut self) -> Step {
        if self.random.chance(70) {
            return simple(&self.call(), 1);
        }
        let function = self.function();
        let values: Vec<Option<String>> = function.kinds.iter().map(|_| self.parameter()).collect();
        let places: Vec<String> = (1..=values.len()).map(|i| format!("${i}")).collect();
        (Request::Extended("", format!("SELECT {}({})", function.name, places.join(", ")), values), 1)
    }

    fn function(&mut self) -> Function {
        loop {
            let function = self.random.pick(self.functions);
            let is_slow = SLOW.iter().any(|slow| function.name.contains(slow));
            if !is_slow || self.random.chance(15) {
                return function.clone();
            }
        }
    }

    /// A call as a statement.
    fn call(&mut self) -> String {
        let function = self.function();
        // One word for all, so that what must agree does.
        let word = self.random.chance(40).then(|| literal(self.random.word(WORDS)));
        let arguments: Vec<String> = function
            .kinds
            .iter()
            .map(|kind| match &word {
                Some(word) if kind == "text" => word.clone(),
                _ => self.argument(kind),
            })
            .collect();
        let call = format!("{}({})", function.name, arguments.join(", "));
        match self.random.below(8) {
            _ if function.is_record => format!("SELECT * FROM {call} AS t (org text, a text)"),
            0 => format!("SELECT * FROM {call}"),
            1 => format!("DO $d$BEGIN PERFORM {call}; END$d$"),
            2 => format!("EXPLAIN ANALYZE SELECT {call}"),
            _ => format!("SELECT {call}"),
        }
    }

    /// A value of a type, as an expression.
    fn argument(&mut self, kind: &str) -> String {
        let random = &mut *self.random;
        match (kind, random.below(12)) {
            (_, 0) => format!("NULL::{kind}"),
            ("text", 1) => format!("repeat({}, 1000000)", literal(random.word(WORDS))),
            ("text", 2) => random
                .word(&[
                    "repeat('a', 63)",
                    "repeat('a', 64)",
                    "repeat('é', 63)",
                    "repeat('\"', 8000000)",
                    "E'\\x01\\n\\t'",
                ])
                .into(),
            ("text", 3..=10) => literal(random.word(WORDS)),
            ("text[]", _) => {
                random
                    .word(&[
                        "'{}'",
                        "'{NULL}'",
                        "'{acme,coral}'",
                        "'{{acme},{bravo}}'",
                        "'{acme,acme}'",
                        "array_fill('x'::text, '{100000}')",
                        "'[0:0]={acme}'",
                        "'{\"\"}'",
                    ])
                    .to_owned()
                    + "::text[]"
            }
            ("jsonb", 1) => "jsonb_build_object('k', repeat('x', 2000000))".into(),
            ("jsonb", 2) => "(repeat('[', 5000) || repeat(']', 5000))::jsonb".into(),
            ("bigint", 1) => random.word(&["9223372036854775807", "-9223372036854775808::bigint"]).into(),
            _ => calls::argument(kind, random, self.pools),
        }
    }

    /// A value of any type, as the text that the protocol carries.
    fn parameter(&mut self) -> Option<String> {
        let (pools, random) = (self.pools, &mut *self.random);
        match random.below(12) {
            0 => None,
            1 => Some(random.word(WORDS).repeat(50_000)),
            2 => Some(pools.oid(random)),
            3 => Some(pools.f_name(random)),
            4 => Some(pools.query(random).to_owned()),
            5 => Some(pools.text(random).to_owned()),
            6 => Some(pools.number(random)),
            7 => Some(pools.boolean(random).to_owned()),
            8 => Some(random.word(&["{}", "{acme}", "{\"a\": 1}", "99999999999999999999"]).to_owned()),
            _ => Some(random.word(WORDS).to_owned()),
        }
    }
}

fn simple(text: &str, counts: usize) -> Step {
    (Request::Simple(text.to_owned()), counts)
}
