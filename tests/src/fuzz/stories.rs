//! Scenes whose order is the point: the grammar's stories, a driver whose statements SQL inside a tenant tampers with, and
//! the protocol's function call.

use crate::fuzz::scene::{Author, Step};
use crate::fuzz::session::DRIVERS;
use crate::fuzz::wire::Request;
use crate::fuzz::world::ORGS;

impl Author<'_> {
    /// A story of the grammar, some of its steps left out, others put in.
    pub(super) fn story(&mut self) -> Vec<Step> {
        let (pools, grammar) = (self.pools, self.grammar);
        let text = grammar.expand("story", self.random, &mut |name, random| pools.terminal(name, random));
        // Where a probe says what was kept, nothing else may have been there.
        let probes = text.contains("kept:");
        let mut steps = vec![simple("ROLLBACK", 0), simple("RESET plio.tenant", 0)];
        if probes || self.random.chance(40) {
            steps.push(simple("DISCARD ALL", 0));
        }
        for part in text.split(" ;; ") {
            if !probes && self.random.chance(16) {
                continue;
            }
            if !probes && self.random.chance(12) {
                steps.push(self.step("statement"));
            }
            steps.push(simple(part, 1));
        }
        steps
    }

    /// What a driver prepared without a tenant, it uses to enter the next, whatever was said in the first.
    pub(super) fn driver(&mut self) -> Vec<Step> {
        let name = DRIVERS[self.random.below(DRIVERS.len())];
        let enter = |org: &str| Request::Bound(name, vec![Some(org.to_owned())]);
        let (one, other) = (ORGS[0], ORGS[1]);
        let mut steps = vec![
            simple("ROLLBACK", 0),
            simple("RESET plio.tenant", 0),
            simple("DEALLOCATE ALL", 0),
            simple("BEGIN", 0),
            (Request::Extended(name, "SELECT plio.set_tenant($1)".into(), vec![Some(one.to_owned())]), 1),
        ];
        for _ in 0..1 + self.random.below(2) {
            // What a client sends as a message of its own is its own; what is injected comes behind something else.
            let injected = self.statement("injected");
            let text = if injected.starts_with("DO ") { injected } else { format!("SELECT 1; {injected}") };
            steps.push(simple("SAVEPOINT s", 0));
            steps.push(simple(&text, 1));
            if self.random.chance(20) {
                steps.push(simple("ROLLBACK TO s", 0));
            }
        }
        steps.extend([simple("COMMIT", 0), simple("BEGIN", 0), (enter(other), 1)]);
        steps.extend([simple("SELECT max(name) FROM users", 1), simple("COMMIT", 0)]);
        steps
    }

    /// Functions called by oid over the protocol, inside a tenant and without one.
    pub(super) fn function_call(&mut self) -> Vec<Step> {
        let mut steps = vec![simple("ROLLBACK", 0)];
        if self.random.chance(70) {
            steps.push(simple(&format!("SET plio.tenant = '{}'", ORGS[self.random.below(2)]), 1));
        }
        for _ in 0..1 + self.random.below(4) {
            let (oid, arguments) = self.pools.function_call(self.random);
            steps.push((Request::Function(oid, arguments), 1));
        }
        steps
    }
}

fn simple(text: &str, counts: usize) -> Step {
    (Request::Simple(text.to_owned()), counts)
}
