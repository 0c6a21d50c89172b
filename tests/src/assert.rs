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

/// A refusal of ours with this SQLSTATE, as [`assert_refusal`] wants it, that tells no tenant's canary.
#[track_caller]
pub fn refused<T>(result: Result<T, Error>, sqlstate: &str) -> DbError {
    let error = expect_sqlstate(result, sqlstate);
    assert_refusal(&error, sqlstate, &["canary"]);
    error
}

/// No field of the error holds any of these words (names and values of other tenants).
#[track_caller]
pub fn assert_silent_about(error: &DbError, forbidden: &[&str]) {
    assert!(is_silent_about(error, forbidden), "the error tells about one of {forbidden:?}: {error:?}");
}

/// Whether no field of the error holds any of these words.
pub fn is_silent_about(error: &DbError, forbidden: &[impl AsRef<str>]) -> bool {
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
    !fields.into_iter().flatten().any(|text| forbidden.iter().any(|word| text.contains(word.as_ref())))
}
