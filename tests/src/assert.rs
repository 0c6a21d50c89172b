//! What a refusal must look like.

use postgres::Error;
use postgres::error::DbError;

/// The server's error of a statement that must fail with this SQLSTATE; takes the errors of both drivers.
#[track_caller]
pub fn expect_sqlstate<T>(result: Result<T, Error>, code: &str) -> DbError {
    let Err(error) = result else { panic!("expected SQLSTATE {code}, but it succeeded") };
    let Some(db) = error.as_db_error() else { panic!("expected SQLSTATE {code}, got {error:?}") };
    assert_eq!(db.code().code(), code, "{db:?}");
    db.clone()
}

/// A refusal of ours: its SQLSTATE, PostgreSQL's style, a hint, and none of the forbidden words anywhere.
#[track_caller]
pub fn assert_refusal(error: &DbError, code: &str, forbidden: &[&str]) {
    assert_eq!(error.code().code(), code, "{error:?}");
    let message = error.message();
    assert!(
        !message.contains('\n') && !message.ends_with('.'),
        "not one line without a full stop: {message}"
    );
    let hint = error.hint().unwrap_or_else(|| panic!("no hint: {error:?}"));
    for sentence in [Some(hint), error.detail()].into_iter().flatten() {
        assert!(sentence.ends_with(['.', '?']), "hint and detail are full sentences: {sentence}");
    }
    assert_silent_about(error, forbidden);
}

/// No field of the error holds any of these words (names and values of other tenants).
#[track_caller]
pub fn assert_silent_about(error: &DbError, forbidden: &[&str]) {
    let fields = [
        Some(error.message()),
        error.detail(),
        error.hint(),
        error.where_(),
        error.schema(),
        error.table(),
        error.column(),
        error.datatype(),
        error.constraint(),
    ];
    for text in fields.into_iter().flatten() {
        for word in forbidden {
            assert!(!text.contains(word), "the error tells about {word}: {error:?}");
        }
    }
}
