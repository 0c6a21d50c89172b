//! Scenes: how statements are put into transactions, sessions and protocols.

use crate::fuzz::Random;
use crate::fuzz::grammar::Grammar;
use crate::fuzz::mutate::Corpus;
use crate::fuzz::oracle::may_enter;
use crate::fuzz::pools::Pools;
use crate::fuzz::wire::{Request, copies_in};
use crate::fuzz::world::ORGS;

/// A request, and how many statements of the attack are in it: savepoints and the like do not count.
pub type Step = (Request, usize);

/// Names of statements of the protocol: parsed in one tenant, bound in another.
const NAMES: &[&str] = &["p1", "p2", "p3"];
/// Rules whose effects stay in the session, and rules that would find them.
const LEAVES: &[&str] =
    &["cursor", "prepared", "sequence", "ddl", "setting", "large", "channel", "settled", "deferred"];
const FINDS: &[&str] = &["cursor", "prepared", "sequence", "select", "names", "catalog", "channel", "found"];

/// Writes scenes.
#[derive(Debug)]
pub struct Author<'a> {
    /// The rules.
    pub grammar: &'a Grammar,
    /// The terminals.
    pub pools: &'a Pools,
    /// What was said before.
    pub corpus: &'a mut Corpus,
    /// The seed's stream.
    pub random: &'a mut Random,
}

impl Author<'_> {
    /// The next scene.
    pub fn scene(&mut self) -> Vec<Step> {
        match self.random.below(100) {
            0..=29 => self.transaction(),
            30..=52 => self.session(),
            53..=58 => self.without(),
            59..=65 => self.residue(),
            66..=70 => self.one_message(),
            71..=74 => self.pipeline(),
            75..=92 => self.story(),
            93..=95 => self.driver(),
            96 => self.function_call(),
            _ => self.nested(),
        }
    }

    fn org(&mut self) -> &'static str {
        if self.random.chance(8) { ORGS[2] } else { ORGS[self.random.below(2)] }
    }

    /// A statement of the grammar, or one made of others.
    pub(super) fn statement(&mut self, rule: &str) -> String {
        let spliced = if self.random.chance(20) { self.corpus.splice(self.random) } else { None };
        let (pools, random) = (self.pools, &mut *self.random);
        let text = spliced.filter(|text| is_fair(text)).unwrap_or_else(|| {
            self.grammar.expand(rule, random, &mut |name, random| pools.terminal(name, random))
        });
        self.corpus.keep(&text, self.random);
        text
    }

    pub(super) fn step(&mut self, rule: &str) -> Step {
        let kind = self.random.below(100);
        let text = match kind {
            0..=78 => self.statement(rule),
            79..=96 => self.statement("extended"),
            _ => String::new(),
        };
        // COPY FROM STDIN in the extended protocol would swallow the Sync.
        let is_simple = kind <= 68 || copies_in(&text);
        let request = if kind == 99 {
            Request::Held(self.random.word(&["c1", "c2", "h"]))
        } else if kind > 96 {
            Request::Bound(NAMES[self.random.below(NAMES.len())], self.parameters("$1"))
        } else if is_simple && kind <= 78 {
            Request::Simple(text)
        } else if is_simple {
            Request::Simple(text.replace("$1", "NULL").replace("$2", "NULL"))
        } else {
            let is_named = self.random.chance(15) && !may_enter(&text);
            let name = if is_named { NAMES[self.random.below(NAMES.len())] } else { "" };
            let parameters = self.parameters(&text);
            Request::Extended(name, text, parameters)
        };
        (request, 1)
    }

    fn parameters(&mut self, text: &str) -> Vec<Option<String>> {
        (1..=2).filter(|n| text.contains(&format!("${n}"))).map(|_| self.parameter()).collect()
    }

    fn parameter(&mut self) -> Option<String> {
        let (pools, random) = (self.pools, &mut *self.random);
        match random.below(8) {
            0 => None,
            1 | 2 => Some(pools.oid(random)),
            3 | 4 => Some(pools.f_name(random)),
            5 => Some(pools.query(random).to_owned()),
            6 => Some(pools.text(random).to_owned()),
            _ => Some(pools.number(random)),
        }
    }

    pub(super) fn begin(&mut self) -> Step {
        let begins = [
            "BEGIN",
            "BEGIN",
            "START TRANSACTION",
            "BEGIN ISOLATION LEVEL REPEATABLE READ",
            "BEGIN ISOLATION LEVEL SERIALIZABLE",
        ];
        (Request::Simple((*self.random.pick(&begins)).to_owned()), 0)
    }

    pub(super) fn enter(&mut self, org: &str) -> Step {
        match self.random.below(4) {
            0 => (Request::Simple(format!("SET LOCAL plio.tenant = '{org}'")), 1),
            1 => (Request::Extended("", "SELECT plio.set_tenant($1)".into(), vec![Some(org.into())]), 1),
            _ => (Request::Simple(format!("SELECT plio.set_tenant('{org}')")), 1),
        }
    }

    fn end(&mut self, steps: &mut Vec<Step>) {
        let ends: &[&str] = match self.random.below(12) {
            0..=5 => &["COMMIT"],
            6..=8 => &["ROLLBACK"],
            9 => &["COMMIT AND CHAIN", "?", "ROLLBACK"],
            10 => &["ROLLBACK AND CHAIN", "?", "COMMIT"],
            // Left open: the next scene begins inside it.
            _ => &["?"],
        };
        for end in ends {
            steps.push(if *end == "?" {
                self.step("statement")
            } else {
                (Request::Simple((*end).to_owned()), 0)
            });
        }
    }

    /// A transaction with a tenant; a statement that fails costs at most the next few.
    fn transaction(&mut self) -> Vec<Step> {
        let mut steps = vec![self.begin()];
        if self.random.chance(10) {
            steps.push(self.step("statement"));
        }
        let org = self.org();
        steps.push(self.enter(org));
        self.inside(&mut steps, "statement");
        self.end(&mut steps);
        steps
    }

    fn inside(&mut self, steps: &mut Vec<Step>, rule: &str) {
        for _ in 0..4 + self.random.below(12) {
            steps.push((Request::Simple("SAVEPOINT s".into()), 0));
            steps.push(self.step(rule));
            match self.random.below(10) {
                0..=7 => steps.push((Request::Simple("ROLLBACK TO s".into()), 0)),
                8 => steps.push((Request::Simple("RELEASE s".into()), 0)),
                _ => {}
            }
        }
    }

    /// A session's tenant, in autocommit.
    fn session(&mut self) -> Vec<Step> {
        let org = self.org();
        let mut steps = vec![
            (Request::Simple("ROLLBACK".into()), 0),
            (Request::Simple(format!("SET plio.tenant = '{org}'")), 1),
        ];
        if self.random.chance(15) {
            steps.push((Request::Simple("LISTEN fuzz".into()), 1));
        }
        for _ in 0..5 + self.random.below(25) {
            steps.push(self.step("statement"));
        }
        let ends = ["RESET plio.tenant", "DISCARD ALL", "RESET ALL", "SET plio.tenant = ''", "SELECT 1"];
        steps.push((Request::Simple((*self.random.pick(&ends)).to_owned()), 1));
        steps
    }

    /// No tenant at all.
    fn without(&mut self) -> Vec<Step> {
        let mut steps =
            vec![(Request::Simple("ROLLBACK".into()), 0), (Request::Simple("RESET plio.tenant".into()), 0)];
        for _ in 0..3 + self.random.below(8) {
            steps.push(self.step("statement"));
        }
        steps
    }

    /// What one tenant leaves in the session, looked for in the other.
    fn residue(&mut self) -> Vec<Step> {
        let mut steps = vec![(Request::Simple("ROLLBACK; RESET plio.tenant".into()), 0)];
        let (from, to) = if self.random.chance(50) { (ORGS[0], ORGS[1]) } else { (ORGS[1], ORGS[0]) };
        for (org, rules) in [(from, LEAVES), (to, FINDS)] {
            let is_session = self.random.chance(40);
            if is_session {
                steps.push((Request::Simple(format!("SET plio.tenant = '{org}'")), 1));
            } else {
                steps.push(self.begin());
                steps.push(self.enter(org));
            }
            for _ in 0..6 {
                let rule = rules[self.random.below(rules.len())];
                if !is_session {
                    steps.push((Request::Simple("SAVEPOINT s".into()), 0));
                }
                steps.push(self.step(rule));
                if !is_session && self.random.chance(30) {
                    steps.push((Request::Simple("ROLLBACK TO s".into()), 0));
                }
            }
            if !is_session {
                let end = if self.random.chance(75) { "COMMIT" } else { "ROLLBACK TO s; COMMIT" };
                steps.push((Request::Simple(end.into()), 0));
            }
        }
        steps
    }

    /// A whole transaction in one message.
    fn one_message(&mut self) -> Vec<Step> {
        let org = self.org();
        let (a, b) = (self.statement("statement"), self.statement("select"));
        let text = match self.random.below(4) {
            0 => format!("SELECT plio.set_tenant('{org}'); {a}; {b}"),
            1 => format!("BEGIN; SELECT plio.set_tenant('{org}'); {a}; ROLLBACK; {b}"),
            2 => format!("ROLLBACK; BEGIN; SET LOCAL plio.tenant = '{org}'; {a}; COMMIT"),
            _ => format!("DO $q$BEGIN PERFORM plio.set_tenant('{org}'); END$q$; {a}"),
        };
        vec![(Request::Simple("ROLLBACK".into()), 0), (Request::Simple(text), 2)]
    }

    /// Several statements before one Sync, without BEGIN.
    fn pipeline(&mut self) -> Vec<Step> {
        let mut statements = Vec::new();
        let org = self.org();
        if self.random.chance(80) {
            statements.push(format!("SELECT plio.set_tenant('{org}')"));
        }
        for _ in 0..1 + self.random.below(4) {
            let text = self.statement("statement");
            if !copies_in(&text) {
                statements.push(text);
            }
        }
        let count = statements.len();
        vec![(Request::Simple("ROLLBACK".into()), 0), (Request::Pipeline(statements), count)]
    }

    /// The tenant is set below a savepoint, undone, and another is set.
    fn nested(&mut self) -> Vec<Step> {
        let mut steps = vec![(Request::Simple("ROLLBACK".into()), 0), self.begin()];
        for org in [self.org(), self.org()] {
            steps.push((Request::Simple("SAVEPOINT outside".into()), 0));
            steps.push(self.enter(org));
            self.inside(&mut steps, "statement");
            steps.push((Request::Simple("ROLLBACK TO outside".into()), 0));
            steps.push(self.step("select"));
            steps.push((Request::Simple("ROLLBACK TO outside".into()), 0));
        }
        self.end(&mut steps);
        steps
    }
}

/// Whether the oracle can tell what a spliced statement may show: entering a tenant, stored where it is run later, would
/// not be seen in the text that runs it. And one tenant's rows put into a setting are open by decision.
fn is_fair(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let stores = [
        "function",
        "procedure",
        "prepare",
        "cursor",
        "trigger",
        "rule",
        "view",
        "policy",
        "$f$",
        "default",
        "check",
    ];
    let is_stored = may_enter(text) && stores.iter().any(|word| lower.contains(word));
    let limits = ["timeout", "pg_sleep", "terminate", "pg_cancel"];
    let is_kept = (lower.contains("set_config") || lower.contains("notify")) && lower.contains("select m");
    // Roles are known by the names that the grammar gives them.
    let makes_role = ["create role", "create user", "create group"].iter().any(|words| lower.contains(words));
    !is_stored && !is_kept && !makes_role && !limits.iter().any(|word| lower.contains(word))
}
