//! Reports across tenants: who may, what comes out, the proof of coverage, and what a tenant can try against a reporter.

#![forbid(unsafe_code)]

mod changes;
mod coverage;
mod hostile;
mod malice;
mod odd;
mod plio;
mod query;
mod recheck;
mod rows;
mod shapes;
mod views;
mod whole;
mod world;
