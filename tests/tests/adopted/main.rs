//! Tests of other targets, on tenants without a role of their own: schemas that the application's login role owns, adopted.
//! The same files, another fixture ([`Layers::of`](plio_tests::Layers::of)); `isolation_adopted` does it for the attacks of
//! `isolation`.
//!
//! Left out, since both kinds run the same code there, or for another target's sake: `context` (entering, leaving and the
//! locks are in `isolation_adopted`), `paths` (what a connection keeps is in `isolation_adopted`, too; the rest is about what
//! native privileges stop: what holds without is in `adoption::one_layer`), and of `races` what the registry alone decides, the standby and the dropped extension.

#[path = "../ddl/refused.rs"]
mod ddl;
#[path = "../races/behind.rs"]
mod races;
#[path = "../residue.rs"]
mod residue;
#[path = "../session_scope.rs"]
mod session_scope;

#[path = "../common/judge.rs"]
mod judge;
#[path = "../races/sessions.rs"]
mod sessions;
