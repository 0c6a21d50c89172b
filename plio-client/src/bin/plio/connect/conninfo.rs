//! Connection strings: libpq's `keyword = value` form and URIs.

use std::collections::BTreeMap;

use crate::failure::{Failure, Result};

/// Parameters by keyword.
pub type Parameters = BTreeMap<String, String>;

const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];

/// Whether psql would take a database's name for a connection string (`recognized_connection_string`, fe-connect.c).
pub fn is_connection_string(text: &str) -> bool {
    SCHEMES.iter().any(|scheme| text.starts_with(scheme)) || text.contains('=')
}

/// Reads either form.
///
/// # Errors
/// It is none.
pub fn parse(text: &str) -> Result<Parameters> {
    match SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme)) {
        Some(rest) => parse_uri(rest),
        None => parse_pairs(text),
    }
}

fn bad(why: &str) -> Failure {
    // Never the string itself: it may hold a password.
    Failure::Usage(format!("invalid connection string: {why}"))
}

/// `keyword = value`, the value in single quotes where it has spaces or is empty; a backslash takes what follows.
fn parse_pairs(text: &str) -> Result<Parameters> {
    let mut found = Parameters::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (keyword, after) = rest.split_once('=').ok_or_else(|| bad("a keyword without \"=\""))?;
        let keyword = keyword.trim_end();
        if keyword.is_empty() || keyword.contains(char::is_whitespace) {
            return Err(bad("a keyword without \"=\""));
        }
        let (value, after) = parse_value(after.trim_start())?;
        found.insert(keyword.to_owned(), value);
        rest = after.trim_start();
    }
    Ok(found)
}

fn parse_value(text: &str) -> Result<(String, &str)> {
    let (is_quoted, body) = text.strip_prefix('\'').map_or((false, text), |body| (true, body));
    let mut value = String::new();
    let mut characters = body.char_indices();
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => value.extend(characters.next().map(|(_, c)| c)),
            '\'' if is_quoted => return Ok((value, &body[at + 1..])),
            c if !is_quoted && c.is_whitespace() => return Ok((value, &body[at..])),
            c => value.push(c),
        }
    }
    if is_quoted { Err(bad("a quote without its end")) } else { Ok((value, "")) }
}

/// What follows the scheme: `[user[:password]@][host[:port],...][/dbname][?keyword=value&...]`.
fn parse_uri(text: &str) -> Result<Parameters> {
    let mut found = Parameters::new();
    let (text, query) = text.split_once('?').unwrap_or((text, ""));
    // A password may hold neither "/" nor "@" unless written with %.
    let (authority, dbname) = text.split_once('/').unwrap_or((text, ""));
    let (login, places) = authority.split_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (hosts, ports) = parse_places(places)?;
    for (keyword, value) in
        [("user", user), ("password", password), ("host", &hosts), ("port", &ports), ("dbname", dbname)]
    {
        if !value.is_empty() {
            found.insert(keyword.to_owned(), decode(value)?);
        }
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (keyword, value) = pair.split_once('=').ok_or_else(|| bad("a keyword without \"=\""))?;
        found.insert(decode(keyword)?, decode(value)?);
    }
    Ok(found)
}

/// Hosts and ports as two lists with commas; an IPv6 address stands in brackets.
fn parse_places(text: &str) -> Result<(String, String)> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for place in text.split(',') {
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or_else(|| bad("a bracket without its end"))?;
                (host, after.strip_prefix(':').unwrap_or(after))
            }
            None => place.split_once(':').unwrap_or((place, "")),
        };
        hosts.push(host);
        ports.push(port);
    }
    let joined = |parts: Vec<&str>| {
        if parts.iter().all(|part| part.is_empty()) { String::new() } else { parts.join(",") }
    };
    // One port goes for all hosts; where only some have one, the others have the default.
    if ports.iter().any(|port| !port.is_empty()) {
        ports.iter_mut().filter(|port| port.is_empty()).for_each(|port| *port = "5432");
    }
    Ok((joined(hosts), joined(ports)))
}

/// Percent-decoding.
fn decode(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) if high + low > 0 => bytes.push((high * 16 + low) as u8),
            _ => return Err(bad("\"%\" must be followed by two hexadecimal digits, not 00")),
        }
    }
    String::from_utf8(bytes).map_err(|_| bad("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).into_iter().collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(keyword, value)| ((*keyword).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn keywords_and_values() {
        assert_eq!(parsed("host = h  port=1"), pairs(&[("host", "h"), ("port", "1")]));
        assert_eq!(
            parsed(r"password='a \'b\' \\ c' user=''"),
            pairs(&[("password", r"a 'b' \ c"), ("user", "")])
        );
        assert_eq!(parsed(r"user=a\ b"), pairs(&[("user", "a b")]));
        for text in ["host h=1", "=1", "host='x", "host"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn uris() {
        assert_eq!(
            parsed("postgresql://o%27neil:p%40ss@[::1]:6432/my%20db?application_name=x&sslmode=disable"),
            pairs(&[
                ("application_name", "x"),
                ("dbname", "my db"),
                ("host", "::1"),
                ("password", "p@ss"),
                ("port", "6432"),
                ("sslmode", "disable"),
                ("user", "o'neil"),
            ])
        );
        assert_eq!(parsed("postgres://"), []);
        assert_eq!(
            parsed("postgres://a:1,b/d"),
            pairs(&[("dbname", "d"), ("host", "a,b"), ("port", "1,5432")])
        );
        let socket = parsed("postgresql://%2Fvar%2Frun/d?user=u");
        assert_eq!(socket, pairs(&[("dbname", "d"), ("host", "/var/run"), ("user", "u")]));
        for text in ["postgres://h/d?x", "postgres://h/%zz", "postgres://[::1/d", "postgres://h/%00"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_error_does_not_repeat_a_password() {
        let error = parse("password='geheim").unwrap_err().to_string();
        assert!(!error.contains("geheim"), "{error}");
    }
}
