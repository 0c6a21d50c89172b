//! The grammar's file: read once, expanded with random choices; a depth ends recursion.

use std::collections::HashMap;

use crate::fuzz::Random;

/// Beyond it the first alternative is taken, which every recursive rule keeps plain.
const DEPTH: usize = 9;

/// Rules by name.
#[derive(Clone, Debug)]
pub struct Grammar(HashMap<&'static str, Rule>);

#[derive(Clone, Debug, Default)]
struct Rule {
    alternatives: Vec<(usize, Vec<Part>)>,
    total: usize,
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Text(&'static str),
    Rule(&'static str),
    Terminal(&'static str),
}

impl Grammar {
    /// The one in `tests/fuzz/grammar.txt`.
    ///
    /// # Panics
    /// When a rule is used but not there.
    pub fn read() -> Self {
        let mut rules: HashMap<&'static str, Rule> = HashMap::new();
        let mut name = "";
        for line in include_str!("../../fuzz/grammar.txt").lines() {
            if line.starts_with('#') || line.is_empty() {
                continue;
            }
            let Some(alternative) = line.strip_prefix(' ') else {
                name = line.trim();
                continue;
            };
            let (weight, text) = alternative.split_once('|').unwrap_or(("", alternative));
            let weight = weight.trim().parse().unwrap_or(1);
            let rule = rules.entry(name).or_default();
            rule.total += weight;
            rule.alternatives.push((weight, parts(text.trim_start())));
        }
        let grammar = Self(rules);
        grammar.ensure_complete();
        grammar
    }

    fn ensure_complete(&self) {
        for (name, rule) in &self.0 {
            for (_, parts) in &rule.alternatives {
                for part in parts {
                    if let Part::Rule(used) = part {
                        assert!(
                            self.0.contains_key(used),
                            "the grammar's {name} uses {used}, which is not there"
                        );
                    }
                }
            }
        }
    }

    /// One text of a rule; `terminal` gives what the catalogs have.
    pub fn expand(
        &self,
        rule: &str,
        random: &mut Random,
        terminal: &mut dyn FnMut(&str, &mut Random) -> String,
    ) -> String {
        let mut out = String::new();
        self.expand_into(rule, 0, random, terminal, &mut out);
        out
    }

    fn expand_into(
        &self,
        rule: &str,
        depth: usize,
        random: &mut Random,
        terminal: &mut dyn FnMut(&str, &mut Random) -> String,
        out: &mut String,
    ) {
        let Some(rule) = self.0.get(rule) else { return };
        let mut left = if depth > DEPTH { 0 } else { random.below(rule.total) };
        let chosen = rule.alternatives.iter().find(|(weight, _)| {
            let is_it = left < *weight;
            left = left.saturating_sub(*weight);
            is_it
        });
        for part in chosen.map(|(_, parts)| parts.as_slice()).unwrap_or_default() {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Rule(name) => self.expand_into(name, depth + 1, random, terminal, out),
                Part::Terminal(name) => out.push_str(&terminal(name, random)),
            }
        }
    }
}

fn parts(text: &'static str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}') else { break };
        let name = &rest[open + 1..open + close];
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if open > 0 {
            parts.push(Part::Text(&rest[..open]));
        }
        parts.push(match is_name {
            false => Part::Text(&rest[open..=open + close]),
            true if name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_') => Part::Terminal(name),
            true => Part::Rule(name),
        });
        rest = &rest[open + close + 1..];
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}
