//! Ties between a tenant that the attacker may enter and the victim, as an application of before may have them: the victim's
//! parts in another's partitioned table, its heirs, its foreign keys. Made with enforcement off.

use postgres::Client;

use crate::fuzz::world::{VICTIM, run, schema};

/// Ties the victim to a tenant.
///
/// # Panics
/// When the server does not do it.
pub fn fasten(admin: &mut Client, tenant: usize) {
    let (own, victims) = (schema(tenant), schema(VICTIM));
    let literal = victims.replace('\'', "''");
    // What an attack has destroyed was found; the next stint wants it again.
    run(
        admin,
        &format!(
            "SET plio.enforcement = off;
             DO $d$DECLARE part text; owner text := (SELECT nspowner::regrole FROM pg_namespace WHERE oid = '{literal}'::regnamespace);
             BEGIN
                 FOREACH part IN ARRAY ARRAY['lot_{tenant}', 'heir_{tenant}', 'anchored_{tenant}'] LOOP
                     CONTINUE WHEN to_regclass('{literal}.' || part) IS NOT NULL;
                     EXECUTE format('CREATE TABLE {literal}.%I (id int, name text)', part);
                     EXECUTE format('ALTER TABLE {literal}.%I OWNER TO %s', part, owner);
                 END LOOP;
             END$d$;
             ALTER TABLE {own}.ledger ATTACH PARTITION {victims}.lot_{tenant} FOR VALUES IN (77);
             ALTER TABLE {victims}.heir_{tenant} INHERIT {own}.heirs;
             ALTER TABLE {victims}.anchored_{tenant} ADD CONSTRAINT anchored_{tenant} FOREIGN KEY (id) REFERENCES {own}.anchors;
             RESET plio.enforcement"
        ),
    );
}

/// Takes the ties away again, those that are left.
pub fn loosen(admin: &mut Client, tenant: usize) {
    let victims = schema(VICTIM);
    let parents = format!(
        "SELECT format('ALTER TABLE %s %s %s', inhparent::regclass, CASE WHEN relispartition THEN 'DETACH PARTITION' END, inhrelid::regclass),
                format('ALTER TABLE %s NO INHERIT %s', inhrelid::regclass, inhparent::regclass), relispartition
           FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid
          WHERE inhrelid IN (to_regclass('{victims}.lot_{tenant}'), to_regclass('{victims}.heir_{tenant}'))"
    );
    let ties = admin.query(&parents, &[]).unwrap_or_default();
    let mut statements = vec![format!(
        "ALTER TABLE IF EXISTS {victims}.anchored_{tenant} DROP CONSTRAINT IF EXISTS anchored_{tenant}"
    )];
    statements.extend(ties.iter().map(|row| row.get(if row.get(2) { 0 } else { 1 })));
    for statement in statements {
        // What the attacker has spoilt was found by the comparison.
        let _ =
            admin.batch_execute(&format!("SET plio.enforcement = off; {statement}; RESET plio.enforcement"));
    }
}
