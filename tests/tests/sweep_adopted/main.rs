//! The relations of the system, read as `sweep` reads them, on tenants without a role of their own.

#[path = "../sweep/catalogs.rs"]
mod catalogs;
#[path = "../sweep/world.rs"]
#[allow(dead_code, reason = "shared with the tests of sweep")]
mod world;
