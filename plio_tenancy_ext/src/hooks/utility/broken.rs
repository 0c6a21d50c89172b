//! What may run while the registry cannot be read: what ends that state, or changes nothing.

#![forbid(unsafe_code)]

use pgrx::pg_sys::NodeTag;

/// Whether a statement may run then. SET and RESET lead to `plio.enforcement = off`; DROP EXTENSION and ALTER EXTENSION are
/// refused by their own rules, if by any. `is_drop_extension`: it is a DROP of extensions.
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
