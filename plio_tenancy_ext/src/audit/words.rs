//! Names in front of a dot in a text that may be SQL: by its words, not by a grammar. Pure.
//!
//! Comments are left out; what stands in quotes is read as well, since it may be SQL that is run later.

use std::collections::BTreeSet;

/// Quoted text inside quoted text inside ... is read so deep and no deeper.
const DEEPEST: usize = 4;

/// Every name that a dot follows, as SQL folds it: lower case unless in double quotes.
pub fn qualifiers(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect(text, DEEPEST, &mut found);
    found
}

fn collect(text: &str, depth: usize, found: &mut BTreeSet<String>) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = if let Some(after) = rest.strip_prefix("--") {
            after.split_once('\n').map_or("", |(_, after)| after)
        } else if let Some(after) = rest.strip_prefix("/*") {
            after_comment(after)
        } else if let Some(after) = rest.strip_prefix('\'') {
            let (inner, after) = quoted(after, '\'');
            if depth > 0 {
                collect(&inner, depth - 1, found);
            }
            after
        } else if let Some(after) = rest.strip_prefix('"') {
            let (name, after) = quoted(after, '"');
            note(name, after, found)
        } else if let Some((inner, after)) = dollar_quoted(rest) {
            if depth > 0 {
                collect(inner, depth - 1, found);
            }
            after
        } else if is_start(first) {
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            note(rest[..end].to_lowercase(), &rest[end..], found)
        } else if first.is_ascii_digit() {
            // 1.5 and 1e5 are numbers, not names.
            rest.trim_start_matches(|c: char| is_part(c) || c == '.')
        } else {
            &rest[first.len_utf8()..]
        };
    }
}

fn is_start(c: char) -> bool {
    c.is_alphabetic() || c == '_' || !c.is_ascii()
}

fn is_part(c: char) -> bool {
    is_start(c) || c.is_ascii_digit() || c == '$'
}

/// Remembers the name if a dot follows; gives what is left.
fn note<'a>(name: String, after: &'a str, found: &mut BTreeSet<String>) -> &'a str {
    if after.trim_start().starts_with('.') {
        found.insert(name);
    }
    after
}

/// The text up to the closing quote, doubled ones undone, and what follows it.
fn quoted(text: &str, quote: char) -> (String, &str) {
    let mut inner = String::new();
    let mut rest = text;
    loop {
        match rest.find(quote) {
            None => {
                inner.push_str(rest);
                return (inner, "");
            }
            Some(end) => {
                inner.push_str(&rest[..end]);
                rest = &rest[end + 1..];
                match rest.strip_prefix(quote) {
                    Some(after) => {
                        inner.push(quote);
                        rest = after;
                    }
                    None => return (inner, rest),
                }
            }
        }
    }
}

/// `$tag$ ... $tag$`: the text in between and what follows; `None` when there is no such thing here.
fn dollar_quoted(text: &str) -> Option<(&str, &str)> {
    let tag_end = text.strip_prefix('$')?.find('$')? + 2;
    let tag = &text[..tag_end];
    let name = &tag[1..tag_end - 1];
    let is_tag =
        !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(|c| is_part(c) && c != '$');
    if !is_tag {
        return None;
    }
    let body = &text[tag_end..];
    let end = body.find(tag)?;
    Some((&body[..end], &body[end + tag.len()..]))
}

/// What follows a comment, whose nested ones count.
fn after_comment(text: &str) -> &str {
    let (mut depth, mut rest) = (1, text);
    while depth > 0 {
        let Some(at) = rest.find("/*").into_iter().chain(rest.find("*/")).min() else { return "" };
        depth = if rest[at..].starts_with("/*") { depth + 1 } else { depth - 1 };
        rest = &rest[at + 2..];
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        qualifiers(text).into_iter().collect()
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
        ] {
            let _ = qualifiers(text);
        }
        assert_eq!(names(&"'".repeat(5000)), Vec::<String>::new());
    }
}
