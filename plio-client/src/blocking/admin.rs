//! [`Admin`] over the [`postgres`] crate.

use postgres::{Client, GenericClient, Row};

use crate::error::Error;
use crate::org::Org;
use crate::sql::{self, Call};
use crate::types::{Finding, ShareMode, Tenant, TenantOptions};

/// Management calls on a [`postgres::Client`] or a [`postgres::Transaction`], one round trip each.
///
/// # Errors
/// As those of the async [`Admin`](crate::Admin), whose methods tell what these do.
pub struct Admin<'a, C = Client> {
    client: &'a mut C,
}

impl<'a, C: GenericClient> Admin<'a, C> {
    /// Management calls on this client.
    pub fn new(client: &'a mut C) -> Admin<'a, C> {
        Admin { client }
    }

    fn call(&mut self, call: Call) -> Result<Row, Error> {
        self.client.query_typed_one(call.text, &call.parameters()).map_err(Error::admin)
    }

    fn run(&mut self, call: Call) -> Result<(), Error> {
        self.call(call).map(drop)
    }

    /// Creates a tenant and returns its schema's name.
    ///
    /// # Errors
    /// As the async [`create_tenant`](crate::Admin::create_tenant).
    pub fn create_tenant(&mut self, org: &Org, options: &TenantOptions) -> Result<String, Error> {
        self.call(Call::create_tenant(org, options))?.try_get(0).map_err(Error::admin)
    }

    /// Suspends a tenant.
    ///
    /// # Errors
    /// As the async [`suspend_tenant`](crate::Admin::suspend_tenant).
    pub fn suspend_tenant(&mut self, org: &Org) -> Result<(), Error> {
        self.run(Call::suspend_tenant(org))
    }

    /// Resumes a suspended tenant.
    ///
    /// # Errors
    /// As the async [`resume_tenant`](crate::Admin::resume_tenant).
    pub fn resume_tenant(&mut self, org: &Org) -> Result<(), Error> {
        self.run(Call::resume_tenant(org))
    }

    /// Gives an organization another name.
    ///
    /// # Errors
    /// As the async [`rename_tenant`](crate::Admin::rename_tenant).
    pub fn rename_tenant(&mut self, org: &Org, new_org: &Org) -> Result<(), Error> {
        self.run(Call::rename_tenant(org, new_org))
    }

    /// Drops a tenant and everything in it; `confirm` repeats the organization.
    ///
    /// # Errors
    /// As the async [`drop_tenant`](crate::Admin::drop_tenant).
    pub fn drop_tenant(&mut self, org: &Org, confirm: &Org) -> Result<(), Error> {
        self.run(Call::drop_tenant(org, confirm))
    }

    /// Makes an existing schema a tenant without a role of its own.
    ///
    /// # Errors
    /// As the async [`adopt_tenant`](crate::Admin::adopt_tenant).
    pub fn adopt_tenant(&mut self, org: &Org, schema_name: &str) -> Result<(), Error> {
        self.run(Call::adopt_tenant(org, schema_name))
    }

    /// Takes [`adopt_tenant`](Self::adopt_tenant) back, the data stay; `confirm` repeats the organization.
    ///
    /// # Errors
    /// As the async [`release_tenant`](crate::Admin::release_tenant).
    pub fn release_tenant(&mut self, org: &Org, confirm: &Org) -> Result<(), Error> {
        self.run(Call::release_tenant(org, confirm))
    }

    /// Gives an adopted tenant a role of its own, which owns its schema and all in it from then on.
    ///
    /// # Errors
    /// As the async [`assign_role`](crate::Admin::assign_role).
    pub fn assign_role(&mut self, org: &Org) -> Result<(), Error> {
        self.run(Call::assign_role(org))
    }

    /// Takes [`assign_role`](Self::assign_role) back.
    ///
    /// # Errors
    /// As the async [`unassign_role`](crate::Admin::unassign_role).
    pub fn unassign_role(&mut self, org: &Org) -> Result<(), Error> {
        self.run(Call::unassign_role(org))
    }

    /// Lets a login role enter one tenant.
    ///
    /// # Errors
    /// As the async [`grant_access`](crate::Admin::grant_access).
    pub fn grant_access(&mut self, role: &str, org: &Org) -> Result<(), Error> {
        self.run(Call::grant_access(role, org))
    }

    /// Takes back what [`grant_access`](Self::grant_access) gave.
    ///
    /// # Errors
    /// As the async [`revoke_access`](crate::Admin::revoke_access).
    pub fn revoke_access(&mut self, role: &str, org: &Org) -> Result<(), Error> {
        self.run(Call::revoke_access(role, org))
    }

    /// Lets a login role enter every tenant.
    ///
    /// # Errors
    /// As the async [`grant_access_to_every_tenant`](crate::Admin::grant_access_to_every_tenant).
    pub fn grant_access_to_every_tenant(&mut self, role: &str) -> Result<(), Error> {
        self.run(Call::grant_access_to_every_tenant(role))
    }

    /// Takes back what [`grant_access_to_every_tenant`](Self::grant_access_to_every_tenant) gave.
    ///
    /// # Errors
    /// As the async [`revoke_access_to_every_tenant`](crate::Admin::revoke_access_to_every_tenant).
    pub fn revoke_access_to_every_tenant(&mut self, role: &str) -> Result<(), Error> {
        self.run(Call::revoke_access_to_every_tenant(role))
    }

    /// Shares an object with all tenants.
    ///
    /// # Errors
    /// As the async [`share`](crate::Admin::share).
    pub fn share(&mut self, object: &str, mode: ShareMode) -> Result<(), Error> {
        self.run(Call::share(object, mode))
    }

    /// Ends the sharing of an object.
    ///
    /// # Errors
    /// As the async [`unshare`](crate::Admin::unshare).
    pub fn unshare(&mut self, object: &str) -> Result<(), Error> {
        self.run(Call::unshare(object))
    }

    /// All tenants, by organization.
    ///
    /// # Errors
    /// As the async [`list`](crate::Admin::list).
    pub fn list(&mut self) -> Result<Vec<Tenant>, Error> {
        self.rows(sql::LIST, Tenant::from_row)
    }

    /// What `plio.health()` finds.
    ///
    /// # Errors
    /// As the async [`health`](crate::Admin::health).
    pub fn health(&mut self) -> Result<Vec<Finding>, Error> {
        self.rows(sql::HEALTH, Finding::from_row)
    }

    fn rows<T>(
        &mut self,
        text: &str,
        from_row: fn(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<Vec<T>, Error> {
        let rows = self.client.query_typed(text, &[]).map_err(Error::admin)?;
        rows.iter().map(from_row).collect::<Result<_, _>>().map_err(Error::admin)
    }
}
