//! DDL: inside a tenant everything that lies in its schema and nothing else; without one, nothing that ties tenants
//! together.

mod inside;
mod refused;
mod shares;
mod ties;

#[path = "../common/judge.rs"]
mod judge;
