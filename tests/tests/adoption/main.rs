//! Schemas that were there before: adopted as tenants, given a role, and back; and `plio.enforcement = report`.

mod adopt;
mod one_layer;
mod path;
mod report;
mod roles;
mod trust;
mod upkeep;

#[path = "../common/judge.rs"]
mod judge;

pub use plio_tests::value;
use plio_tests::{Cluster, Db};

/// A legacy database: `app` owns the schemas acme and bravo, one table of users in each, and public.plans, which it
/// shares; none of them is a tenant yet.
pub struct Legacy {
    /// The database, with the extension.
    pub db: Db,
    /// The application's login role.
    pub app: String,
}

/// See [`Legacy`].
pub fn legacy() -> Legacy {
    let db = Cluster::shared().database("legacy");
    db.extension();
    let app = db.login_role("legacy_app");
    let mut admin = db.superuser();
    admin
        .batch_execute(&format!(
            "CREATE TABLE public.plans (id int PRIMARY KEY, name text);
             INSERT INTO public.plans VALUES (1, 'one'); ALTER TABLE public.plans OWNER TO {app}"
        ))
        .unwrap();
    for org in ["acme", "bravo"] {
        admin
            .batch_execute(&format!(
                "CREATE SCHEMA {org} AUTHORIZATION {app};
                 BEGIN; SET LOCAL ROLE {app}; SET LOCAL search_path = {org}, public;
                 CREATE TABLE users (id bigserial PRIMARY KEY, name text, plan int REFERENCES public.plans);
                 CREATE TABLE events (id int GENERATED ALWAYS AS IDENTITY, name text);
                 INSERT INTO users (name, plan) VALUES ('canary-{org}', 1), ('canary-{org}-2', 1);
                 COMMIT"
            ))
            .unwrap();
    }
    Legacy { db, app }
}

impl Legacy {
    /// Adopts both schemas, shares public.plans, and lets `app` in.
    pub fn adopted(self) -> Self {
        let mut admin = self.db.superuser();
        admin
            .batch_execute("SELECT plio.adopt_tenant('acme', 'acme'), plio.adopt_tenant('bravo', 'bravo'), plio.share('public.plans', 'read')")
            .unwrap();
        for org in ["acme", "bravo"] {
            admin.execute("SELECT plio.grant_access($1, $2)", &[&self.app, &org]).unwrap();
        }
        self
    }
}
