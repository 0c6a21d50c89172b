//! DROP SCHEMA and ALTER SCHEMA RENAME of a tenant's schema, which a superuser may run with enforcement off. They wait for the
//! transactions in the tenant. The tenant's lock is taken before the command's own, as every transaction of the tenant does.

use crate::lifecycle;
use crate::pg::{borrowed, catalog, nodes};
use pgrx::pg_sys::{self, NodeTag, ObjectType};

/// Waits for the transactions in the tenants whose schemas the statement drops or renames.
///
/// # Safety
/// `statement` is a utility statement.
pub unsafe fn wait_for_transactions(statement: *const pg_sys::Node) {
    let wait = |schema: &str| {
        if let Some(schema) = catalog::schema_oid(schema) {
            lifecycle::wait_for_transactions(pg_sys::NamespaceRelationId, schema);
        }
    };
    // SAFETY: the caller's promise; the tag says what the statement is. The objects of DROP SCHEMA are String nodes
    // (parsenodes.h); names live as long as the tree.
    unsafe {
        match nodes::tag(statement) {
            NodeTag::T_DropStmt => {
                let drop = statement.cast::<pg_sys::DropStmt>();
                if (*drop).removeType == ObjectType::OBJECT_SCHEMA {
                    let names = nodes::pointers::<pg_sys::String>((*drop).objects);
                    names.iter().filter_map(|name| borrowed((**name).sval)).for_each(|name| wait(&name));
                }
            }
            NodeTag::T_RenameStmt => {
                let rename = statement.cast::<pg_sys::RenameStmt>();
                if (*rename).renameType == ObjectType::OBJECT_SCHEMA
                    && let Some(name) = borrowed((*rename).subname)
                {
                    wait(&name);
                }
            }
            _ => {}
        }
    }
}
