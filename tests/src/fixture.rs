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

/// What holds a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layers {
    /// The access check alone: an adopted schema, owned by the application's login role.
    One,
    /// A role of the tenant's own as well, as `plio.create_tenant` makes it.
    Two,
}

impl Layers {
    /// What the tests of a module attack, by its `module_path!()`: the targets `adopted` and `adopted_more` compile the tests of
    /// others once more, for tenants without a role of their own.
    pub const fn of(module: &str) -> Self {
        match module.as_bytes() {
            [b'a', b'd', b'o', b'p', b't', b'e', b'd', b':' | b'_', ..] => Self::One,
            _ => Self::Two,
        }
    }
}

impl Db {
    /// As [`Db::two_tenants`], with one layer or two.
    pub fn tenants(&self, layers: Layers) -> TwoTenants {
        match layers {
            Layers::Two => self.two_tenants(),
            Layers::One => self.two_adopted_tenants(),
        }
    }

    /// The same tenants as adopted schemas: `app` owns them, and what is in them.
    fn two_adopted_tenants(&self) -> TwoTenants {
        self.extension();
        let (app, carol) = (self.login_role("app"), self.login_role("carol"));
        let mut admin = self.superuser();
        admin
            .batch_execute(&format!(
                "{COUNTRIES}; GRANT SELECT, REFERENCES ON public.countries TO {app};
                 ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO {app}; ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO {app};
                 ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO {app}"
            ))
            .expect("a shared table");
        for org in ["acme", "bravo"] {
            admin
                .batch_execute(&format!(
                    "CREATE SCHEMA tenant_{org} AUTHORIZATION {app}; GRANT USAGE ON SCHEMA tenant_{org} TO PUBLIC;
                     BEGIN; SET LOCAL ROLE {app}; SET LOCAL search_path = tenant_{org};
                     {}; COMMIT;
                     SELECT plio.adopt_tenant('{org}', 'tenant_{org}'), plio.grant_access('{app}', '{org}')",
                    users(org)
                ))
                .unwrap_or_else(|error| panic!("the tables of {org}: {error:?}"));
        }
        TwoTenants { db: self.clone(), app, carol }
    }

    /// Makes the extension, the tenants acme and bravo, in each of them
    /// `users(id bigserial primary key, name text)` with ids 1 to 3 and the names canary-acme, canary-acme-2,
    /// canary-acme-3 (canary-bravo ...), `public.countries(code, name)` shared read, and two login roles.
    pub fn two_tenants(&self) -> TwoTenants {
        self.extension();
        let (app, carol) = (self.login_role("app"), self.login_role("carol"));
        let mut admin = self.superuser();
        admin.batch_execute(COUNTRIES).expect("a shared table");
        for org in ["acme", "bravo"] {
            admin.execute("SELECT plio.create_tenant($1)", &[&org]).expect("create_tenant");
            admin.execute("SELECT plio.grant_access($1, $2)", &[&app, &org]).expect("grant_access");
            admin
                .batch_execute(&format!(
                    "BEGIN;
                     SELECT plio.set_tenant('{org}');
                     {}; COMMIT",
                    users(org)
                ))
                .unwrap_or_else(|error| panic!("the tables of {org}: {error:?}"));
        }
        TwoTenants { db: self.clone(), app, carol }
    }
}

const COUNTRIES: &str = "CREATE TABLE public.countries (code text PRIMARY KEY, name text NOT NULL);
     INSERT INTO public.countries VALUES ('IN', 'India'), ('KE', 'Kenya');
     SELECT plio.share('public.countries', 'read')";

fn users(org: &str) -> String {
    format!(
        "CREATE TABLE users (id bigserial PRIMARY KEY, name text);
         INSERT INTO users (name) VALUES ('canary-{org}'), ('canary-{org}-2'), ('canary-{org}-3')"
    )
}
