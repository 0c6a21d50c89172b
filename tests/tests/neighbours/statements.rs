//! pg_stat_statements: statements are the tenant's role's, and a tenant reads no other tenant's.

use crate::{assert_bound, inside, orders, value, world};

#[test]
fn statements_are_counted_by_tenant_and_hidden_from_other_tenants() {
    for order in orders("pg_stat_statements") {
        let fixture = world(&[&order, "pg_stat_statements.track = all"], &["pg_stat_statements"]);
        assert_bound(&fixture);
        let mut app = fixture.db.connect(&fixture.app);
        for org in ["acme", "bravo"] {
            for _ in 0..3 {
                value(&mut app, &inside(org, &format!("SELECT name AS secret_of_{org} FROM users")));
            }
        }
        let seen = "SELECT coalesce(string_agg(query, '; '), '') FROM pg_stat_statements WHERE query LIKE '%secret_of_%'";
        let own = value(&mut app, &inside("acme", seen));
        assert!(own.contains("secret_of_acme") && !own.contains("secret_of_bravo"), "{order}: {own}");
        // The control: an administrator sees both, each counted for its tenant's role.
        let calls = "SELECT string_agg(concat_ws(' ', t.org, s.calls), ', ' ORDER BY t.org)
                       FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
                       JOIN plio.tenants t ON t.role_name = r.rolname
                      WHERE s.query LIKE 'SELECT name AS secret_of_%'";
        let mut admin = fixture.db.superuser();
        assert_eq!(value(&mut admin, calls), "acme 3, bravo 3", "{order}");
    }
}
