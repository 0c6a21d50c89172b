//! Counts and findings.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

use crate::fuzz::cast::Part;
use crate::fuzz::oracle::{Finding, Kind};

/// How many findings of a kind are kept; all are counted.
const KEPT: usize = 12;

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// The seed that gives the same statements again.
    pub seed: u64,
    /// Statements of the attack; savepoints and transaction control do not count.
    pub statements: usize,
    /// Requests by SQLSTATE, 00000 for success.
    pub outcomes: BTreeMap<String, usize>,
    /// The first findings of each kind, each statement's beginning once.
    pub findings: Vec<Finding>,
    /// How many there were.
    pub found: HashMap<Kind, usize>,
    /// How long it took.
    pub took: Duration,
    /// How many stints there were, after each of which the tenants were compared.
    pub stints: usize,
    /// Who took the second connection, stint for stint.
    pub parts: Vec<Part>,
    /// How many functions could be called.
    pub functions: usize,
}

impl Summary {
    /// Counts an answer. What came too late in a failed transaction was no attack.
    pub fn count(&mut self, statements: usize, code: &str) {
        self.statements += if code == "25P02" { 0 } else { statements };
        match self.outcomes.get_mut(code) {
            Some(count) => *count += 1,
            None => drop(self.outcomes.insert(code.to_owned(), 1)),
        }
    }

    /// Notes a finding.
    pub fn find(&mut self, finding: Finding) {
        let count = self.found.entry(finding.kind).or_default();
        *count += 1;
        let of_kind = self.findings.iter().filter(|other| other.kind == finding.kind);
        let is_known = matches!(finding.kind, Kind::Internal | Kind::Refusal)
            && of_kind.clone().any(|other| other.what == finding.what);
        if of_kind.count() < KEPT && !is_known {
            self.findings.push(finding);
        }
    }

    /// How many findings of a kind.
    pub fn count_of(&self, kind: Kind) -> usize {
        self.found.get(&kind).copied().unwrap_or(0)
    }

    /// Takes in what another connection came to.
    pub fn add(&mut self, other: Self) {
        self.statements += other.statements;
        for (code, count) in other.outcomes {
            *self.outcomes.entry(code).or_default() += count;
        }
        let kept: HashMap<Kind, usize> = other.found;
        for finding in other.findings {
            self.find(finding);
            // Counted below.
        }
        for (kind, count) in kept {
            let seen = self.found.entry(kind).or_default();
            *seen = (*seen).max(count);
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}\n")?;
        }
        let mut outcomes: Vec<_> = self.outcomes.iter().collect();
        outcomes.sort_by(|a, b| b.1.cmp(a.1));
        writeln!(f, "requests by SQLSTATE:")?;
        for line in outcomes.chunks(8) {
            let line: Vec<String> = line.iter().map(|(code, count)| format!("{code} {count}")).collect();
            writeln!(f, "    {}", line.join("   "))?;
        }
        let seconds = self.took.as_secs_f64();
        writeln!(
            f,
            "{} statements in {} stints, {:.0} s, {:.0} a second; {} functions called; seed {}",
            self.statements,
            self.stints,
            seconds,
            self.statements as f64 / seconds.max(0.001),
            self.functions,
            self.seed
        )?;
        use Kind::{Admission, Carry, Change, Crash, Defect, Hang, Internal, Leak, Lock, Refusal, Rights};
        let kinds = [Leak, Change, Rights, Carry, Admission, Lock, Hang, Crash, Internal, Refusal, Defect];
        let found: Vec<String> =
            kinds.iter().map(|kind| format!("{kind:?} {}", self.count_of(*kind))).collect();
        write!(f, "found: {}", found.join(", "))
    }
}
