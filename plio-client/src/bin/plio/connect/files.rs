//! The service file and the password file.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::conninfo::Parameters;
use crate::failure::{Failure, Result};

/// The parameters of a service: PGSERVICEFILE or `~/.pg_service.conf`, then the system's file.
///
/// # Errors
/// No file has that service, or its part of the file makes no sense.
pub fn service(
    name: &str,
    named: Option<&Path>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Parameters> {
    let own = named.map(Path::to_owned).or_else(|| home(&variable).map(|home| home.join(".pg_service.conf")));
    let system = variable("PGSYSCONFDIR").map(|directory| PathBuf::from(directory).join("pg_service.conf"));
    for path in [own, system].into_iter().flatten() {
        match fs::read_to_string(&path) {
            Ok(text) => {
                if let Some(found) = service_in(&text, name)? {
                    return Ok(found);
                }
            }
            Err(error) if named == Some(path.as_path()) => {
                return Err(Failure::Usage(format!("cannot read service file {}: {error}", path.display())));
            }
            Err(_) => {}
        }
    }
    Err(Failure::Usage(format!("definition of service \"{name}\" not found")))
}

fn service_in(text: &str, name: &str) -> Result<Option<Parameters>> {
    let mut found: Option<Parameters> = None;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    for line in lines {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            if found.is_some() {
                break;
            }
            found = (section == name).then(Parameters::new);
        } else if let Some(found) = &mut found {
            let (keyword, value) = line.split_once('=').ok_or_else(|| {
                Failure::Usage(format!("syntax error in the service file, service \"{name}\""))
            })?;
            found.insert(keyword.trim().to_owned(), value.trim().to_owned());
        }
    }
    Ok(found)
}

/// The password for this place in PGPASSFILE or `~/.pgpass`; `None` when there is none, or the file is open to others
/// (libpq does not use such a file either).
pub fn password(parameters: &Parameters, variable: impl Fn(&str) -> Option<String>) -> Option<String> {
    let named = parameters.get("passfile").map(PathBuf::from);
    let path = named.or_else(|| home(&variable).map(|home| home.join(".pgpass")))?;
    let metadata = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
    if metadata.permissions().mode() & 0o077 != 0 {
        eprintln!(
            "plio: warning: password file \"{}\" has group or world access; permissions should be u=rw (0600) or less",
            path.display()
        );
        return None;
    }
    password_in(&fs::read_to_string(&path).ok()?, parameters)
}

/// Lines of `host:port:database:user:password`, each part or `*`; a backslash takes a colon or a backslash.
fn password_in(text: &str, parameters: &Parameters) -> Option<String> {
    let value = |keyword| parameters.get(keyword).map_or("", String::as_str);
    // The password file knows a socket in the usual place as localhost.
    let host = match parameters.get("host").or_else(|| parameters.get("hostaddr")).map_or("", String::as_str)
    {
        "/tmp" | "/var/run/postgresql" => "localhost",
        host => host,
    };
    let wanted = [host, value("port"), value("dbname"), value("user")];
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut fields = split_fields(line).into_iter();
        let matches = wanted
            .iter()
            .all(|wanted| fields.next().is_some_and(|(raw, field)| raw == "*" || field == *wanted));
        let (_, password) = matches.then(|| fields.next())??;
        (!password.is_empty()).then_some(password)
    })
}

/// The fields as written and as meant.
fn split_fields(line: &str) -> Vec<(String, String)> {
    let mut fields = vec![(String::new(), String::new())];
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        if c == ':' {
            fields.push((String::new(), String::new()));
            continue;
        }
        let meant = if c == '\\' { characters.next().unwrap_or(c) } else { c };
        if let Some((raw, field)) = fields.last_mut() {
            raw.extend((c == '\\').then_some(c));
            raw.push(meant);
            field.push(meant);
        }
    }
    fields
}

fn home(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    variable("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(host: &str, user: &str) -> Parameters {
        let pairs = [("host", host), ("port", "5432"), ("dbname", "d"), ("user", user)];
        pairs.into_iter().map(|(keyword, value)| (keyword.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn the_first_line_that_fits_has_the_password() {
        let text =
            "# comment\nother:5432:d:u:wrong\nlocalhost:*:d:u:local\n*:*:*:a\\:b:co\\:lon\\\\\n*:*:*:*:last";
        for (host, user, password) in [
            ("/tmp", "u", "local"),
            ("localhost", "u", "local"),
            ("h", "a:b", "co:lon\\"),
            ("h", "u", "last"),
        ] {
            assert_eq!(password_in(text, &place(host, user)).as_deref(), Some(password), "{host} {user}");
        }
        assert_eq!(password_in("h:5432:d:u:", &place("h", "u")), None);
        assert_eq!(password_in("\\*:5432:d:u:x", &place("h", "u")), None);
    }

    #[test]
    fn a_service_has_its_own_part_of_the_file() {
        let text = "[a]\nhost=a\n\n# comment\n[b]\nhost = b\nport=7\n[c]\nnonsense";
        let found = service_in(text, "b").unwrap().unwrap();
        assert_eq!((found["host"].as_str(), found["port"].as_str(), found.len()), ("b", "7", 2));
        assert!(service_in(text, "d").unwrap().is_none());
        assert!(service_in(text, "c").is_err());
    }
}
