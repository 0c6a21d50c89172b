//! Where the server is, as psql finds it: connection string, options, service file, PG* variables, password file.
//!
//! In this order, as in psql: what a connection string says counts more than an option, an option more than the
//! service file, that more than the environment. What this client cannot do (TLS, above all) is refused, never
//! silently left out.

mod conninfo;
mod files;

use std::env;
use std::path::Path;

use postgres::{Client, Config, NoTls};

use self::conninfo::Parameters;
use crate::failure::{Failure, Result, chain};

/// Printed below the help.
pub const HELP: &str = "\
Connection options, PG* variables, service and password files work as in psql. A connection string (\"host=... dbname=...\"
or postgresql://...) is given with -d. Without TLS: sslmode=require, verify-ca and verify-full are refused. No prompt for
a password: use PGPASSWORD or the password file.

Exit codes: 0 all is well; 1 the answer is bad; 2 there is no answer.";

/// psql's options of these names.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Server's host, or the directory of its socket
    #[arg(short = 'h', long, global = true, value_name = "HOST")]
    host: Option<String>,
    /// Server's port
    #[arg(short = 'p', long, global = true, value_name = "PORT")]
    port: Option<String>,
    /// Login role
    #[arg(short = 'U', long, global = true, value_name = "ROLE")]
    username: Option<String>,
    /// Database, or a connection string
    #[arg(short = 'd', long, global = true, value_name = "DBNAME")]
    dbname: Option<String>,
}

/// How a parameter of a connection string is treated.
enum Use {
    /// The driver knows it.
    Driver,
    /// Read here.
    Here,
    /// Without effect on a connection without TLS and Kerberos.
    Ignore,
    /// Admitted only with these values, and then without effect.
    Only(&'static [&'static str]),
}

/// libpq's parameters (libpq, "Parameter Key Words") with their environment variables.
const PARAMETERS: &[(&str, &str, Use)] = &[
    ("host", "PGHOST", Use::Driver),
    ("hostaddr", "PGHOSTADDR", Use::Driver),
    ("port", "PGPORT", Use::Driver),
    ("dbname", "PGDATABASE", Use::Driver),
    ("user", "PGUSER", Use::Driver),
    ("password", "PGPASSWORD", Use::Driver),
    ("options", "PGOPTIONS", Use::Driver),
    ("application_name", "PGAPPNAME", Use::Driver),
    ("connect_timeout", "PGCONNECT_TIMEOUT", Use::Driver),
    ("target_session_attrs", "PGTARGETSESSIONATTRS", Use::Driver),
    ("load_balance_hosts", "PGLOADBALANCEHOSTS", Use::Driver),
    ("keepalives", "", Use::Driver),
    ("keepalives_idle", "", Use::Driver),
    ("tcp_user_timeout", "", Use::Driver),
    ("passfile", "PGPASSFILE", Use::Here),
    ("service", "PGSERVICE", Use::Here),
    ("servicefile", "PGSERVICEFILE", Use::Here),
    ("fallback_application_name", "", Use::Here),
    ("sslmode", "PGSSLMODE", Use::Only(&["disable", "allow", "prefer"])),
    ("gssencmode", "PGGSSENCMODE", Use::Only(&["disable", "prefer"])),
    ("channel_binding", "PGCHANNELBINDING", Use::Only(&["disable", "prefer"])),
    ("client_encoding", "PGCLIENTENCODING", Use::Ignore),
    ("sslcert", "PGSSLCERT", Use::Ignore),
    ("sslkey", "PGSSLKEY", Use::Ignore),
    ("sslrootcert", "PGSSLROOTCERT", Use::Ignore),
    ("sslcrl", "PGSSLCRL", Use::Ignore),
    ("sslcompression", "PGSSLCOMPRESSION", Use::Ignore),
    ("keepalives_interval", "", Use::Ignore),
    ("keepalives_count", "", Use::Ignore),
];

impl Options {
    /// Connects.
    ///
    /// # Errors
    /// What the user says makes no sense, or the server cannot be reached or refuses.
    pub fn open(&self) -> Result<Client> {
        let parameters = complete(self.given()?, |variable| env::var(variable).ok())?;
        Ok(config(&parameters)?.connect(NoTls)?)
    }

    /// What the options say; a connection string's parts count more.
    fn given(&self) -> Result<Parameters> {
        let mut given = match &self.dbname {
            Some(text) if conninfo::is_connection_string(text) => conninfo::parse(text)?,
            Some(name) => Parameters::from([("dbname".to_owned(), name.clone())]),
            None => Parameters::new(),
        };
        for (keyword, value) in [("host", &self.host), ("port", &self.port), ("user", &self.username)] {
            if let Some(value) = value {
                given.entry(keyword.to_owned()).or_insert_with(|| value.clone());
            }
        }
        Ok(given)
    }
}

/// Fills in what is not given: service file, environment, defaults, password file.
fn complete(mut given: Parameters, variable: impl Fn(&str) -> Option<String>) -> Result<Parameters> {
    let from_environment: Parameters = PARAMETERS
        .iter()
        .filter_map(|(keyword, name, _)| Some(((*keyword).to_owned(), variable(name)?)))
        .filter(|(_, value)| !value.is_empty())
        .collect();
    if let Some(service) = given.get("service").or_else(|| from_environment.get("service")).cloned() {
        let named = given.get("servicefile").or_else(|| from_environment.get("servicefile"));
        let found = files::service(&service, named.map(Path::new), &variable)?;
        for (keyword, value) in found {
            given.entry(keyword).or_insert(value);
        }
    }
    // A host that was given is not to be overridden by the environment's address, nor the other way round.
    let has_place = given.contains_key("host") || given.contains_key("hostaddr");
    for (keyword, value) in from_environment {
        if !(has_place && (keyword == "host" || keyword == "hostaddr")) {
            given.entry(keyword).or_insert(value);
        }
    }
    given.retain(|_, value| !value.is_empty());
    fill_defaults(&mut given)?;
    if !given.contains_key("password")
        && let Some(password) = files::password(&given, &variable)
    {
        given.insert("password".to_owned(), password);
    }
    Ok(given)
}

fn fill_defaults(given: &mut Parameters) -> Result<()> {
    let port = given.entry("port".to_owned()).or_insert_with(|| "5432".to_owned()).clone();
    if !given.contains_key("host") && !given.contains_key("hostaddr") {
        given.insert("host".to_owned(), default_host(&port));
    }
    if !given.contains_key("user") {
        let name = whoami::username()
            .map_err(|error| Failure::Usage(format!("cannot tell who you are: {error}")))?;
        given.insert("user".to_owned(), name);
    }
    let user = given["user"].clone();
    given.entry("dbname".to_owned()).or_insert(user);
    let name = given.remove("fallback_application_name").unwrap_or_else(|| "plio".to_owned());
    given.entry("application_name".to_owned()).or_insert(name);
    Ok(())
}

/// libpq has one directory compiled in: Debian's or PostgreSQL's own.
fn default_host(port: &str) -> String {
    let has_socket = |directory: &&str| Path::new(directory).join(format!(".s.PGSQL.{port}")).exists();
    ["/var/run/postgresql", "/tmp"].into_iter().find(has_socket).unwrap_or("localhost").to_owned()
}

/// The driver's settings; its own parser reads the values.
fn config(parameters: &Parameters) -> Result<Config> {
    let mut text = String::new();
    for (keyword, value) in parameters {
        let known = PARAMETERS.iter().find(|(known, _, _)| known == keyword);
        let Some((_, _, treatment)) = known else {
            return Err(Failure::Usage(format!(
                "this client does not know the connection parameter \"{keyword}\""
            )));
        };
        match treatment {
            Use::Driver => {
                let value = value.replace('\\', "\\\\").replace('\'', "\\'");
                text.push_str(&format!("{keyword}='{value}' "));
            }
            Use::Only(values) if !values.contains(&value.as_str()) => {
                return Err(Failure::Usage(format!(
                    "this client cannot do {keyword}={value}: it has neither TLS nor Kerberos"
                )));
            }
            Use::Here | Use::Ignore | Use::Only(_) => {}
        }
    }
    text.parse().map_err(|error: postgres::Error| Failure::Usage(chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dbname: &str, host: Option<&str>) -> Options {
        Options { host: host.map(str::to_owned), port: None, username: None, dbname: Some(dbname.to_owned()) }
    }

    fn completed(options: &Options, environment: &[(&str, &str)]) -> Result<Parameters> {
        let variable = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        complete(options.given()?, variable)
    }

    #[test]
    fn a_connection_string_counts_more_than_options_and_these_more_than_the_environment() {
        let environment = [("PGHOST", "env"), ("PGPORT", "7"), ("PGUSER", "u"), ("PGHOSTADDR", "10.0.0.1")];
        let found = completed(&options("host=string dbname=d", Some("option")), &environment).unwrap();
        assert_eq!(
            (found["host"].as_str(), found["port"].as_str(), found["user"].as_str()),
            ("string", "7", "u")
        );
        assert!(!found.contains_key("hostaddr"), "{found:?}");
        let found = completed(&options("plain", Some("option")), &environment).unwrap();
        assert_eq!((found["host"].as_str(), found["dbname"].as_str()), ("option", "plain"));
        let config = config(&found).unwrap();
        assert_eq!((config.get_ports(), config.get_application_name()), (&[7][..], Some("plio")));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for (text, word) in [
            ("host=h sslmode=require", "TLS"),
            ("host=h sslmode=verify-full", "TLS"),
            ("host=h gssencmode=require", "Kerberos"),
            ("host=h sslrotcert=x", "sslrotcert"),
            ("host=h port=none", "port"),
        ] {
            let error = completed(&options(text, None), &[]).and_then(|found| config(&found)).unwrap_err();
            assert!(error.to_string().contains(word), "{text}: {error}");
        }
        let found = completed(&options("host=h", None), &[("PGSSLMODE", "verify-ca")]).unwrap();
        assert!(config(&found).is_err());
        let found =
            completed(&options("host=h sslmode=prefer sslrootcert=/x client_encoding=UTF8", None), &[]);
        assert!(config(&found.unwrap()).is_ok());
    }

    #[test]
    fn values_reach_the_driver_as_they_are() {
        let found = completed(&options(r"user='o\'neil \\ x' password=' p ' host=h", None), &[]).unwrap();
        let config = config(&found).unwrap();
        assert_eq!(
            (config.get_user(), config.get_password()),
            (Some(r"o'neil \ x"), Some(b" p ".as_slice()))
        );
    }
}
