//! One table of names for both sides: what `Org` refuses the server refuses as a bad name, and nothing else.

use plio_client::{Error, ErrorKind, Org};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::world::{admin_config, blocking};

/// The server's word on a name: the kind of its refusal, none if it creates the tenant (which is undone).
fn server_refuses(client: &mut postgres::Client, name: &str) -> Option<ErrorKind> {
    let mut transaction = client.transaction().unwrap();
    let created = transaction.query_one("SELECT plio.create_tenant($1)", &[&name]);
    created.err().map(|error| Error::from(error).kind())
}

#[test]
fn client_and_server_agree_on_names() {
    let mut client = blocking(admin_config());
    let (longest, too_long) = ("a".repeat(63), "a".repeat(64));
    let table = [
        "a", "7", "acme-2_x", "0-_", &longest, "", &too_long, "-a", "_a", "Acme", "ac me", " acme", "acme\n",
        "a'b", "a\"b", "a\\b", "a.b", "a$b", "é", "ａ", "٣", "ß", "K",
    ];
    for name in table {
        let refused = server_refuses(&mut client, name);
        assert_eq!(
            refused == Some(ErrorKind::InvalidName),
            name.parse::<Org>().is_err(),
            "{name:?}: {refused:?}"
        );
    }
}

#[test]
fn client_and_server_agree_on_names_that_nobody_thought_of() {
    let client = std::cell::RefCell::new(blocking(admin_config()));
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    let names = prop_oneof!["[a-z0-9_-]{1,66}", "[ -~]{0,8}", "[^\\x00]{0,6}"];
    let judged = runner.run(&names, |name| {
        let refused = server_refuses(&mut client.borrow_mut(), &name);
        prop_assert_eq!(
            refused == Some(ErrorKind::InvalidName),
            name.parse::<Org>().is_err(),
            "{:?}",
            refused
        );
        Ok(())
    });
    judged.unwrap();
}
