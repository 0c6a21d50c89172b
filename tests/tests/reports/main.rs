//! Reports across tenants: who may, what comes out, the proof of coverage, and what a tenant can try against a reporter.

#![forbid(unsafe_code)]

mod coverage;
mod malice;
mod odd;
mod plio;
mod query;
mod rows;
mod views;
mod world;
