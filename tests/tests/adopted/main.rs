//! Tests of other targets, on tenants without a role of their own: schemas that the application's login role owns, adopted.
//! The same files, another fixture ([`Layers::of`](plio_tests::Layers::of)); `isolation_adopted` does it for the attacks of
//! `isolation`.
//!
//! Left out: what `adopted_more` runs.

#[path = "../ddl/refused.rs"]
mod ddl;
#[path = "../races/behind.rs"]
mod races;
#[path = "../ddl/reach.rs"]
mod reach;
#[path = "../residue.rs"]
mod residue;
#[path = "../session_scope.rs"]
mod session_scope;

#[path = "../common/judge.rs"]
mod judge;
#[path = "../races/sessions.rs"]
mod sessions;
#[path = "../races/waits.rs"]
mod waits;
