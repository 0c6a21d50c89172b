//! The command `plio`: the real program against a real server. One file a subcommand.

#![forbid(unsafe_code)]

mod audit;
mod connect;
mod denials;
mod program;
mod registry;
mod report;
