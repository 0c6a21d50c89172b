//! Names in front of a dot in a text that may be SQL: by its words, not by a grammar. Pure.
//!
//! Comments are left out; what stands in quotes is read as well, since it may be SQL that is run later. Whoever reads says
//! at each step how much was looked at: for a text of any kind that is a few times its length.

use std::collections::{BTreeSet, HashMap};

/// Quoted text inside quoted text inside ... is read so deep and no deeper.
const DEEPEST: usize = 4;
/// PostgreSQL cuts longer names.
const LONGEST_NAME: usize = 63;

/// Every name that a dot follows, as SQL folds it: lower case unless in double quotes. `step` is told how many bytes were
/// looked at, word by word.
pub fn qualifiers(text: &str, step: &mut impl FnMut(usize)) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(text, DEEPEST, &mut found, step);
    found
}

fn collect(text: &str, depth: usize, found: &mut BTreeSet<String>, step: &mut impl FnMut(usize)) {
    let dollars = Dollars::of(text, step);
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        let length = if rest.starts_with("--") {
            rest.find('\n').map_or(rest.len(), |end| end + 1)
        } else if rest.starts_with("/*") {
            comment(rest)
        } else if let Some(after) = rest.strip_prefix('\'') {
            let (inner, length) = quoted(after, '\'');
            if depth > 0 {
                collect(&inner, depth - 1, found, step);
            }
            1 + length
        } else if let Some(after) = rest.strip_prefix('"') {
            let (name, length) = quoted(after, '"');
            note(name, &after[length..], found);
            1 + length
        } else if let Some(quote) = dollars.quote_at(at) {
            if depth > 0 {
                collect(&text[quote.body.0..quote.body.1], depth - 1, found, step);
            }
            quote.end - at
        } else if is_start(first) {
            let length = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            note(rest[..length].to_lowercase(), &rest[length..], found);
            length
        } else if first.is_ascii_digit() {
            // 1.5 and 1e5 are numbers, not names.
            rest.find(|c: char| !is_part(c) && c != '.').unwrap_or(rest.len())
        } else if first.is_whitespace() {
            rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        step(length);
        at += length;
    }
}

fn is_start(c: char) -> bool {
    c.is_alphabetic() || c == '_' || !c.is_ascii()
}

fn is_part(c: char) -> bool {
    is_start(c) || c.is_ascii_digit() || c == '$'
}

/// Remembers the name if a dot follows.
fn note(mut name: String, after: &str, found: &mut BTreeSet<String>) {
    if after.trim_start().starts_with('.') {
        let end = (0..=LONGEST_NAME.min(name.len())).rev().find(|end| name.is_char_boundary(*end));
        name.truncate(end.unwrap_or(0));
        found.insert(name);
    }
}

/// The text up to the closing quote, doubled ones undone, and how long it is with that quote.
fn quoted(text: &str, quote: char) -> (String, usize) {
    let mut inner = String::new();
    let mut at = 0;
    while let Some(end) = text[at..].find(quote) {
        inner.push_str(&text[at..at + end]);
        at += end + 1;
        if !text[at..].starts_with(quote) {
            return (inner, at);
        }
        inner.push(quote);
        at += 1;
    }
    inner.push_str(&text[at..]);
    (inner, text.len())
}

/// How long a comment is, whose nested ones count.
fn comment(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

/// A `$tag$ ... $tag$`: where the text in between begins and ends, and where what follows begins.
struct Quote {
    body: (usize, usize),
    end: usize,
}

/// Every dollar sign of a text, and for each the next one that begins with the same tag. Found once, from the end on: to
/// look for each tag's end anew would take the square of the text's length.
struct Dollars {
    places: Vec<usize>,
    /// By the index of a dollar sign: the index of the one that begins the same tag again, behind this one's end.
    closing: Vec<Option<usize>>,
}

impl Dollars {
    fn of(text: &str, step: &mut impl FnMut(usize)) -> Self {
        let places: Vec<usize> = text.match_indices('$').map(|(place, _)| place).collect();
        let mut closing = vec![None; places.len()];
        let mut next_same: Vec<Option<usize>> = vec![None; places.len()];
        let mut next: HashMap<&str, usize> = HashMap::new();
        for index in (0..places.len().saturating_sub(1)).rev() {
            let name = &text[places[index] + 1..places[index + 1]];
            step(name.len() + 1);
            if is_tag(name) {
                let same = next.insert(name, index);
                next_same[index] = same;
                // The tags of an opening and a closing quote share no dollar sign.
                closing[index] =
                    same.and_then(|same| if same == index + 1 { next_same[same] } else { Some(same) });
            }
        }
        Self { places, closing }
    }

    /// The quoted text that begins at that byte; `None` when there is no such thing.
    fn quote_at(&self, at: usize) -> Option<Quote> {
        let index = self.places.binary_search(&at).ok()?;
        let closing = self.closing[index]?;
        let body = (self.places.get(index + 1)? + 1, self.places[closing]);
        Some(Quote { body, end: self.places.get(closing + 1)? + 1 })
    }
}

/// Whether a name may stand between the dollar signs.
fn is_tag(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| is_part(c) && c != '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        qualifiers(text, &mut |_| {}).into_iter().collect()
    }

    #[test]
    fn names_in_front_of_a_dot() {
        assert_eq!(names("SELECT * FROM Tenant_A.users u WHERE u.id = 1.5"), ["tenant_a", "u"]);
        assert_eq!(names("SELECT \"We\"\"ird\" . t, b .c, 7.d"), ["We\"ird", "b"]);
        assert_eq!(names("a, b -- c.d\n/* e.f /* g.h */ i.j */ k.l"), ["k"]);
        assert_eq!(names("EXECUTE 'SELECT 1 FROM x.y' || quote_ident(n); it''s"), ["x"]);
        assert_eq!(names("EXECUTE $q$ SELECT FROM x.y $q$; $1.z"), ["x"]);
        assert_eq!(names("'an ''inner.quote'' here'"), ["inner"]);
        assert_eq!(names("schéma.t"), ["schéma"]);
        assert_eq!(names("$a$ $b$ x.y $a$ $b$ c.d"), ["c", "x"]);
        assert_eq!(names("$a$a$ x.y $a$"), ["x"]);
        assert_eq!(names("$$$$ x.y $$ a.b"), ["a", "x"]);
        assert_eq!(names(&format!("\"{}\".x", "ä".repeat(40))), ["ä".repeat(31)]);
    }

    #[test]
    fn broken_text_ends() {
        for text in [
            "'",
            "\"",
            "/*",
            "/* /* */",
            "$a$ x.y",
            "$",
            "$$",
            "--",
            "a.",
            "'a''",
            "\u{1f600}.x",
            "$\u{e9}$",
            "1.",
            "*/",
            "/*/",
            "$$$",
            "$$$$",
            "$a$a$",
        ] {
            let _ = names(text);
        }
        assert_eq!(names(&"'".repeat(5000)), Vec::<String>::new());
    }

    /// How many bytes are looked at.
    fn steps(text: &str) -> usize {
        let mut steps = 0;
        let _ = qualifiers(text, &mut |bytes| steps += bytes);
        steps
    }

    // Whatever the text is: ten times the text is ten times the work, and each byte is looked at a few times only.
    #[test]
    fn the_work_grows_with_the_text() {
        let tags = |length: usize| (0..length / 8).map(|tag| format!("$t{tag}$ ")).collect::<String>();
        let nested = |length: usize| {
            let pairs = (0..length / 16).map(|tag| format!("$t{tag}$ ")).collect::<Vec<_>>();
            pairs.iter().chain(pairs.iter().rev()).map(String::as_str).collect::<String>()
        };
        type Make<'a> = &'a dyn Fn(usize) -> String;
        let texts: [Make<'_>; 12] = [
            &tags,
            &nested,
            &|length| "/*".repeat(length / 2),
            &|length| "/*/".repeat(length / 3),
            &|length| "'".repeat(length),
            &|length| "a.b".repeat(length / 11),
            &|length| "\"".repeat(length),
            &|length| "$".repeat(length),
            &|length| "a ".repeat(length / 2),
            &|length| format!("a{}", " ".repeat(length)),
            &|length| "$a$ ".repeat(length / 4),
            &|length| "x".repeat(length),
        ];
        for (number, text) in texts.iter().enumerate() {
            let (short, long) = (text(20_000), text(200_000));
            assert!(steps(&long) <= 12 * steps(&short), "{number}: {} {}", steps(&short), steps(&long));
            assert!(steps(&long) <= (DEEPEST + 1) * 2 * long.len() + 16, "{number}: {}", steps(&long));
        }
    }

    // Looked at in the square of the length, some megabytes would take hours.
    #[test]
    fn some_megabytes_are_read() {
        let tags: String = (0..400_000).map(|tag| format!("$t{tag}$ ")).collect();
        assert_eq!(names(&format!("{tags} x.y")), ["x"]);
        assert_eq!(names(&"/*".repeat(2_000_000)), Vec::<String>::new());
    }
}
