//! DDL: inside a tenant everything that lies in its schema and nothing else; without one, nothing that ties tenants
//! together.

mod house;
mod inside;
mod reach;
mod refused;
mod shares;
mod ties;

#[path = "../common/judge.rs"]
mod judge;
