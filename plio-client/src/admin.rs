//! [`Admin`]: management of tenants, for members of `plio_admin` and superusers.

use tokio_postgres::{Client, Row};

use crate::error::Error;
use crate::org::Org;
use crate::sql::{self, Call};
use crate::types::{Finding, ShareMode, Tenant, TenantOptions};

/// Management calls on a client, one round trip each.
///
/// Each is a transaction of its own, unless the client is inside one:
/// `Admin::new(transaction.client())` makes several calls one whole.
///
/// ```no_run
/// use plio_client::{Admin, Error, Org, TenantOptions};
///
/// async fn sign_up(client: &tokio_postgres::Client, org: &Org) -> Result<(), Error> {
///     let admin = Admin::new(client);
///     let schema = admin.create_tenant(org, &TenantOptions::new()).await?;
///     admin.grant_access("app", org).await?;
///     println!("{org} lives in {schema}; there are {} tenants", admin.list().await?.len());
///     Ok(())
/// }
/// ```
///
/// # Errors
/// Every call: 42501 if the login is no administrator, 42704 if what it names does not exist, 22023 for a bad
/// argument; no SQLSTATE if the connection is lost. What else a call may meet stands there.
#[derive(Debug, Clone, Copy)]
pub struct Admin<'a> {
    client: &'a Client,
}

impl<'a> Admin<'a> {
    /// Management calls on this client.
    pub fn new(client: &'a Client) -> Admin<'a> {
        Admin { client }
    }

    async fn call(&self, call: Call) -> Result<Row, Error> {
        self.client.query_typed_one(call.text, &call.parameters()).await.map_err(Error::admin)
    }

    async fn run(&self, call: Call) -> Result<(), Error> {
        self.call(call).await.map(drop)
    }

    /// Creates a tenant: its registry row, its role and its schema, whose name is returned.
    ///
    /// # Errors
    /// 42710 the organization exists, 42939 its name is reserved.
    pub async fn create_tenant(&self, org: &Org, options: &TenantOptions) -> Result<String, Error> {
        self.call(Call::create_tenant(org, options)).await?.try_get(0).map_err(Error::admin)
    }

    /// Suspends a tenant: nobody enters it until it is resumed.
    ///
    /// # Errors
    /// 55006 it is in use.
    pub async fn suspend_tenant(&self, org: &Org) -> Result<(), Error> {
        self.run(Call::suspend_tenant(org)).await
    }

    /// Resumes a suspended tenant.
    ///
    /// # Errors
    /// As every call.
    pub async fn resume_tenant(&self, org: &Org) -> Result<(), Error> {
        self.run(Call::resume_tenant(org)).await
    }

    /// Gives an organization another name; its schema keeps its own.
    ///
    /// # Errors
    /// 42710 the new name is taken, 42939 it is reserved, 55006 the tenant is in use.
    pub async fn rename_tenant(&self, org: &Org, new_org: &Org) -> Result<(), Error> {
        self.run(Call::rename_tenant(org, new_org)).await
    }

    /// Drops a tenant with its role, its schema and everything in it; `confirm` repeats the organization.
    ///
    /// # Errors
    /// 22023 `confirm` is another organization, 55006 the tenant is in use.
    pub async fn drop_tenant(&self, org: &Org, confirm: &Org) -> Result<(), Error> {
        self.run(Call::drop_tenant(org, confirm)).await
    }

    /// Makes an existing schema a tenant without a role of its own.
    ///
    /// # Errors
    /// 42704 no such schema, 42710 the tenant exists, 55000 the schema cannot be a tenant's.
    pub async fn adopt_tenant(&self, org: &Org, schema_name: &str) -> Result<(), Error> {
        self.run(Call::adopt_tenant(org, schema_name)).await
    }

    /// Takes [`adopt_tenant`](Self::adopt_tenant) back, the data stay; `confirm` repeats the organization.
    ///
    /// # Errors
    /// 22023 `confirm` is another organization, 55000 the tenant has a role, 55006 it is in use.
    pub async fn release_tenant(&self, org: &Org, confirm: &Org) -> Result<(), Error> {
        self.run(Call::release_tenant(org, confirm)).await
    }

    /// Gives an adopted tenant a role of its own, which owns its schema and all in it from then on.
    ///
    /// # Errors
    /// 42710 it has one, 55006 it is in use.
    pub async fn assign_role(&self, org: &Org) -> Result<(), Error> {
        self.run(Call::assign_role(org)).await
    }

    /// Takes [`assign_role`](Self::assign_role) back.
    ///
    /// # Errors
    /// 55000 no role was assigned, 55006 the tenant is in use.
    pub async fn unassign_role(&self, org: &Org) -> Result<(), Error> {
        self.run(Call::unassign_role(org)).await
    }

    /// Lets a login role enter one tenant.
    ///
    /// # Errors
    /// As every call.
    pub async fn grant_access(&self, role: &str, org: &Org) -> Result<(), Error> {
        self.run(Call::grant_access(role, org)).await
    }

    /// Takes back what [`grant_access`](Self::grant_access) gave.
    ///
    /// # Errors
    /// As every call.
    pub async fn revoke_access(&self, role: &str, org: &Org) -> Result<(), Error> {
        self.run(Call::revoke_access(role, org)).await
    }

    /// Lets a login role enter every tenant, those to come included.
    ///
    /// # Errors
    /// As every call.
    pub async fn grant_access_to_every_tenant(&self, role: &str) -> Result<(), Error> {
        self.run(Call::grant_access_to_every_tenant(role)).await
    }

    /// Takes back what [`grant_access_to_every_tenant`](Self::grant_access_to_every_tenant) gave.
    ///
    /// # Errors
    /// As every call.
    pub async fn revoke_access_to_every_tenant(&self, role: &str) -> Result<(), Error> {
        self.run(Call::revoke_access_to_every_tenant(role)).await
    }

    /// Shares an object with all tenants: `schema` or `schema.relation`, quoted as in SQL.
    ///
    /// # Errors
    /// As every call.
    pub async fn share(&self, object: &str, mode: ShareMode) -> Result<(), Error> {
        self.run(Call::share(object, mode)).await
    }

    /// Ends the sharing of an object.
    ///
    /// # Errors
    /// As every call.
    pub async fn unshare(&self, object: &str) -> Result<(), Error> {
        self.run(Call::unshare(object)).await
    }

    /// All tenants, by organization; for members of `plio_auditor`, too.
    ///
    /// # Errors
    /// As every call.
    pub async fn list(&self) -> Result<Vec<Tenant>, Error> {
        self.rows(sql::LIST, Tenant::from_row).await
    }

    /// What `plio.health()` finds; empty if there is nothing to say. For members of `plio_auditor`, too.
    ///
    /// # Errors
    /// As every call.
    pub async fn health(&self) -> Result<Vec<Finding>, Error> {
        self.rows(sql::HEALTH, Finding::from_row).await
    }

    async fn rows<T>(
        &self,
        text: &str,
        from_row: fn(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<Vec<T>, Error> {
        let rows = self.client.query_typed(text, &[]).await.map_err(Error::admin)?;
        rows.iter().map(from_row).collect::<Result<_, _>>().map_err(Error::admin)
    }
}
