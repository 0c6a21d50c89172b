//! plio.audit(): each check plants its defect, finds exactly that, runs the SQL that mends it, and finds it gone.
//!
//! docs/audit.md is held to the checks (page.rs). Roles belong to the cluster, so each file has one of its own.

#![forbid(unsafe_code)]

mod case;
mod code;
mod frame;
mod objects;
mod outside;
mod page;
mod privileges;
mod registry;
mod roles;
mod scale;
mod several;
mod ties;
mod trust;
