//! Object-relational mappers as applications use them, in two tenants on one connection: the programs are below `orms/`, and
//! docs/orms.md shows the part of them that sets the tenant.

use super::{column, world};
use plio_tests::{Cluster, Layers, TwoTenants, neighbour};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/legit/orms")
}

/// Runs a program below `orms/` in its folder, as the application's login role; its output says in which step it failed.
#[track_caller]
fn program(fixture: &TwoTenants, interpreter: &Path, script: &str) {
    let cluster = fixture.db.cluster();
    let path = folder().join(script);
    let output = Command::new(interpreter)
        .arg(path.file_name().expect("a file"))
        .current_dir(path.parent().expect("a folder"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("LD_LIBRARY_PATH", cluster.tree().join("lib"))
        .env("PGHOST", cluster.socket_dir())
        .env("PGPORT", cluster.port().to_string())
        .env("PGUSER", &fixture.app)
        .env("PGDATABASE", fixture.db.name())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", interpreter.display()));
    let (said, wrong) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.ends_with("done\n"), "{script}: {said}\n{wrong}");
    assert_eq!(wrong, "", "{script} is not quiet");
}

/// As a superuser sees it: these tables are in both tenants and nowhere else.
#[track_caller]
fn assert_only_in_tenants(fixture: &TwoTenants, tables: &[&str]) {
    let mut admin = fixture.db.superuser();
    for table in tables {
        let query = format!(
            "SELECT relnamespace::regnamespace FROM pg_class WHERE relname = '{table}' ORDER BY 1::text"
        );
        assert_eq!(column(&mut admin, &query), ["tenant_acme", "tenant_bravo"], "{table}");
    }
}

fn django(fixture: &TwoTenants, python: &Path) {
    program(fixture, python, "django/check.py");
    assert_only_in_tenants(fixture, &["django_migrations", "auth_permission", "shop_book"]);
}

fn sqlalchemy(fixture: &TwoTenants, python: &Path) {
    program(fixture, python, "sqlalchemy/check.py");
    assert_only_in_tenants(fixture, &["authors", "books"]);
}

fn active_record(fixture: &TwoTenants, ruby: &Path) {
    program(fixture, ruby, "active_record/check.rb");
    assert_only_in_tenants(fixture, &["schema_migrations", "ar_internal_metadata", "books"]);
}

#[test]
fn django_migrates_introspects_and_works_in_two_tenants() {
    let Some(folder) = neighbour("python-orms") else { return };
    django(&world(Cluster::shared()), &folder.join("python"));
}

#[test]
fn sqlalchemy_reflects_and_works_in_two_tenants() {
    let Some(folder) = neighbour("python-orms") else { return };
    sqlalchemy(&world(Cluster::shared()), &folder.join("python"));
}

#[test]
fn active_record_migrates_introspects_and_works_in_two_tenants() {
    let Some(folder) = neighbour("active-record") else { return };
    active_record(&world(Cluster::shared()), &folder.join("ruby"));
}

// Schemas that the application's own role owns: the access check alone.
#[test]
fn all_three_work_in_adopted_tenants() {
    let adopted = || Cluster::shared().database("adopted").tenants(Layers::One);
    if let Some(folder) = neighbour("python-orms") {
        django(&adopted(), &folder.join("python"));
        sqlalchemy(&adopted(), &folder.join("python"));
    }
    if let Some(folder) = neighbour("active-record") {
        active_record(&adopted(), &folder.join("ruby"));
    }
}

/// docs/orms.md shows three programs, to be copied; they are the ones that the programs here import.
#[test]
fn the_page_shows_the_code_that_runs_here() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/orms.md");
    let page = fs::read_to_string(page).expect("docs/orms.md");
    let shown: BTreeSet<&str> = page
        .split("\n```")
        .skip(1)
        .step_by(2)
        .map(|block| block.split_once('\n').map_or("", |(_, code)| code.trim_end()))
        .collect();
    let files = ["django/tenants.py", "sqlalchemy/tenants.py", "active_record/tenants.rb"];
    let run = files.map(|file| fs::read_to_string(folder().join(file)).expect(file));
    assert_eq!(shown, run.iter().map(|code| code.trim_end()).collect::<BTreeSet<_>>());
}
