//! PostgreSQL's surface, taken from PostgreSQL itself and not from a list of ideas: every statement that psql knows,
//! every function in `pg_proc` (those of the extensions that come with PostgreSQL included), every relation of the
//! system's schemas. Inside acme none of them gives, tells or changes anything of bravo's.

mod catalogs;
mod functions;
mod statements;
mod world;
