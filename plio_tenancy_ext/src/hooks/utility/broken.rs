//! What may run while the registry cannot be read: what ends that state, or changes nothing.

#![forbid(unsafe_code)]

use pgrx::pg_sys::NodeTag;

/// Whether a statement may run while the registry cannot be read. SET and RESET may, since a superuser needs them to set
/// `plio.enforcement` to off. DROP EXTENSION and ALTER EXTENSION have rules of their own. `is_drop_extension`: the statement is
/// DROP EXTENSION.
pub fn may_run(tag: NodeTag, is_drop_extension: bool) -> bool {
    match tag {
        NodeTag::T_VariableSetStmt
        | NodeTag::T_VariableShowStmt
        | NodeTag::T_DiscardStmt
        | NodeTag::T_DeallocateStmt
        | NodeTag::T_CreateExtensionStmt
        | NodeTag::T_AlterExtensionStmt
        | NodeTag::T_AlterExtensionContentsStmt => true,
        NodeTag::T_DropStmt => is_drop_extension,
        _ => false,
    }
}
