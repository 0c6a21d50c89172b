//! Two tenants with the same ids in the same tables, one role that may enter both and one that may enter none.

use crate::database::Db;

/// What [`Db::two_tenants`] made.
#[derive(Clone, Debug)]
pub struct TwoTenants {
    /// The database, with the extension.
    pub db: Db,
    /// A login role with access to acme and bravo.
    pub app: String,
    /// A login role without access to anything.
    pub carol: String,
}

impl Db {
    /// Makes the extension, the tenants acme and bravo, in each of them
    /// `users(id bigserial primary key, name text)` with ids 1 to 3 and the names canary-acme, canary-acme-2,
    /// canary-acme-3 (canary-bravo ...), `public.countries(code, name)` shared read, and two login roles.
    pub fn two_tenants(&self) -> TwoTenants {
        self.extension();
        let (app, carol) = (self.login_role("app"), self.login_role("carol"));
        let mut admin = self.superuser();
        admin
            .batch_execute(
                "CREATE TABLE public.countries (code text PRIMARY KEY, name text NOT NULL);
                 INSERT INTO public.countries VALUES ('IN', 'India'), ('KE', 'Kenya');
                 SELECT plio.share('public.countries', 'read')",
            )
            .expect("a shared table");
        for org in ["acme", "bravo"] {
            admin.execute("SELECT plio.create_tenant($1)", &[&org]).expect("create_tenant");
            admin.execute("SELECT plio.grant_access($1, $2)", &[&app, &org]).expect("grant_access");
            admin
                .batch_execute(&format!(
                    "BEGIN;
                     SELECT plio.set_tenant('{org}');
                     CREATE TABLE users (id bigserial PRIMARY KEY, name text);
                     INSERT INTO users (name) VALUES ('canary-{org}'), ('canary-{org}-2'), ('canary-{org}-3');
                     COMMIT"
                ))
                .unwrap_or_else(|error| panic!("the tables of {org}: {error:?}"));
        }
        TwoTenants { db: self.clone(), app, carol }
    }
}
