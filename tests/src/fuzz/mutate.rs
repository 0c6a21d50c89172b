//! Mutation: what was said before is cut up and put together again.

use crate::fuzz::Random;

/// The last statements that were said.
#[derive(Clone, Debug, Default)]
pub struct Corpus(Vec<String>);

const KEPT: usize = 400;
const LONGEST: usize = 1500;

impl Corpus {
    /// Remembers a statement in some old one's place.
    pub fn keep(&mut self, statement: &str, random: &mut Random) {
        if statement.len() > LONGEST {
            return;
        }
        if self.0.len() < KEPT {
            self.0.push(statement.to_owned());
        } else {
            let at = random.below(KEPT);
            self.0[at] = statement.to_owned();
        }
    }

    /// A statement made of two; `None` as long as there are too few.
    pub fn splice(&self, random: &mut Random) -> Option<String> {
        if self.0.len() < 20 {
            return None;
        }
        let (a, b) = (words(&self.0[random.below(self.0.len())]), words(&self.0[random.below(self.0.len())]));
        if a.is_empty() || b.is_empty() {
            return None;
        }
        let mut out: Vec<&str> = a.clone();
        match random.below(4) {
            // The beginning of one, the end of another.
            0 => {
                out.truncate(random.below(a.len()));
                out.extend(&b[random.below(b.len())..]);
            }
            // One word for another.
            1 => {
                let at = random.below(out.len());
                out[at] = b[random.below(b.len())];
            }
            // A piece goes in.
            2 => {
                let (at, from) = (random.below(out.len()), random.below(b.len()));
                let piece = &b[from..(from + 1 + random.below(6)).min(b.len())];
                out.splice(at..at, piece.iter().copied());
            }
            // A piece goes out.
            _ => {
                let from = random.below(out.len());
                let to = (from + 1 + random.below(4)).min(out.len());
                out.drain(from..to);
            }
        }
        let text = out.concat();
        (text.len() <= LONGEST).then_some(text)
    }
}

/// Words, numbers, quoted things and single characters, so that they put together give the text again.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '\'' | '"' => rest[1..].find(first).map_or(rest.len(), |at| at + 2),
            c if c.is_alphanumeric() || c == '_' => {
                rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len())
            }
            c => c.len_utf8(),
        };
        words.push(&rest[..end]);
        rest = &rest[end..];
    }
    words
}
