//! What is denied inside a tenant without a role of its own, because no check of relations sees it.
//!
//! There the login role's own privileges are all that PostgreSQL knows, and they reach every tenant whose schema that
//! role owns. The lists below come from going through pg_proc (functions that take an oid, a name or a process, or
//! run SQL) and the catalogs that hold values; whoever is on none of them is either judged elsewhere (functions that
//! run SQL meet the executor's check; look-ups by name the object access hook) or shows catalog text and sizes only.
//! Pure: hooks/object_access.rs, hooks/check_perms.rs and hooks/sequences.rs ask.

#![forbid(unsafe_code)]

/// Functions that are denied: why, and their names; one that ends with `*` stands for all that begin so.
type Group = (&'static str, &'static [&'static str]);

/// Denied functions of pg_catalog, whatever their arguments.
const DENIED: &[Group] = &[
    (
        "other sessions of the same login role: their query texts, and their end",
        &[
            "pg_stat_get_activity",
            "pg_stat_get_backend_*",
            "pg_cancel_backend",
            "pg_terminate_backend",
            "pg_log_backend_memory_contexts",
        ],
    ),
    (
        "large objects belong to a role, not to a schema: no tenant can be told from another",
        &["lo_*", "loread", "lowrite", "be_lo_*"],
    ),
    (
        "values of sequences by oid, in a row type that nobody checks (18)",
        &["pg_get_sequence_data", "pg_sequence_read_tuple"],
    ),
    (
        "changes another tenant's index by oid: the owner may",
        &["brin_summarize_*", "brin_desummarize_*", "gin_clean_pending_list"],
    ),
    (
        "changes or resets statistics by name or oid: the owner may",
        &[
            "pg_restore_relation_stats",
            "pg_restore_attribute_stats",
            "pg_restore_extended_stats",
            "pg_clear_relation_stats",
            "pg_clear_attribute_stats",
            "pg_clear_extended_stats",
            "pg_stat_reset*",
        ],
    ),
    (
        "the server's files, which hold every tenant's data and texts; native privileges are the login role's",
        &[
            "pg_read_file*",
            "pg_read_binary_file*",
            "pg_stat_file*",
            "pg_ls_*",
            "pg_file_*",
            "pg_logdir_ls",
            "pg_current_logfile",
            "pg_hba_file_rules",
            "pg_ident_file_mappings",
            "pg_show_all_file_settings",
        ],
    ),
    (
        "the write-ahead log and its slots carry every tenant's rows",
        &[
            "pg_logical_*",
            "pg_create_logical_replication_slot",
            "pg_create_physical_replication_slot",
            "pg_copy_logical_replication_slot",
            "pg_copy_physical_replication_slot",
            "pg_drop_replication_slot",
            "pg_replication_*",
            "pg_sync_replication_slots",
        ],
    ),
    (
        "the server as a whole",
        &[
            "pg_reload_conf",
            "pg_rotate_logfile*",
            "pg_promote",
            "pg_switch_wal",
            "pg_backup_*",
            "pg_create_restore_point",
            "pg_wal_replay_*",
        ],
    ),
];

/// Extensions whose functions read query texts, pages or files of the whole database, by oid or number.
pub const DENIED_EXTENSIONS: [&str; 11] = [
    "amcheck",
    "lo",
    "pageinspect",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_prewarm",
    "pg_stat_statements",
    "pg_surgery",
    "pg_visibility",
    "pg_walinspect",
    "pgstattuple",
];

/// Catalogs that hold values of tenants' rows: `pg_stats`, `pg_stats_ext` and `pg_stats_ext_exprs` are views of the first
/// two. Their oids are fixed (pg_statistic.h, pg_statistic_ext_data.h, pg_largeobject.h).
const DENIED_CATALOGS: [(u32, &str); 3] =
    [(2619, "pg_statistic"), (3429, "pg_statistic_ext_data"), (2613, "pg_largeobject")];

/// Whether a catalog shows values of the tables that a role owns or may read, by `pg_stats` and the like. Large objects are
/// nobody's table.
pub fn shows_statistics(oid: u32) -> bool {
    matches!(oid, 2619 | 3429)
}

/// Whether a function of pg_catalog is denied.
pub fn is_function_denied(name: &str) -> bool {
    DENIED.iter().flat_map(|(_, names)| *names).any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *pattern,
    })
}

/// The name of a catalog that is denied.
pub fn denied_catalog(oid: u32) -> Option<&'static str> {
    DENIED_CATALOGS.iter().find(|(catalog, _)| *catalog == oid).map(|(_, name)| *name)
}

/// The functions on sequences by oid, which are judged by their argument (pg_proc.dat).
pub const SEQUENCE_FUNCTIONS: [u32; 5] = [NEXTVAL, CURRVAL, SETVAL, SETVAL3, LAST_VALUE];
/// `nextval(regclass)`.
pub const NEXTVAL: u32 = 1574;
/// `currval(regclass)`.
pub const CURRVAL: u32 = 1575;
/// `setval(regclass, bigint)`.
pub const SETVAL: u32 = 1576;
/// `setval(regclass, bigint, boolean)`.
pub const SETVAL3: u32 = 1765;
/// `pg_sequence_last_value(regclass)`.
pub const LAST_VALUE: u32 = 4032;

/// The sequences that a default, as PostgreSQL writes its nodes, names in calls of those functions.
///
/// `None` when there is a call that is not of this form: another argument than a constant, an operator that stands for the
/// function. Text of the user's cannot look like a node: strings are written as bytes, names with their blanks escaped
/// (outfuncs.c).
pub fn constant_sequences(nodes: &str) -> Option<Vec<(u32, u32)>> {
    if numbers_after(nodes, ":opfuncid ").any(|(oid, _)| SEQUENCE_FUNCTIONS.contains(&oid)) {
        return None;
    }
    let calls = numbers_after(nodes, ":funcid ").filter(|(oid, _)| SEQUENCE_FUNCTIONS.contains(oid));
    calls.map(|(function, rest)| Some((function, constant_argument(rest)?))).collect()
}

/// Whether an expression, as PostgreSQL writes its nodes, calls a function whose oid is that or higher.
pub fn calls_any_from(nodes: &str, first: u32) -> bool {
    [":funcid ", ":opfuncid "].iter().any(|label| numbers_after(nodes, label).any(|(oid, _)| oid >= first))
}

fn numbers_after<'a>(nodes: &'a str, label: &'a str) -> impl Iterator<Item = (u32, &'a str)> {
    nodes.match_indices(label).filter_map(move |(at, _)| {
        let rest = &nodes[at + label.len()..];
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        Some((rest[..digits].parse().ok()?, &rest[digits..]))
    })
}

/// The first argument of a function call whose fields follow, if it is a constant of type regclass (or oid).
fn constant_argument(rest: &str) -> Option<u32> {
    let (fields, arguments) = rest.split_once(":args (")?;
    // Another node in between would mean that these arguments are somebody else's.
    if fields.contains('{') {
        return None;
    }
    let constant = arguments.strip_prefix("{CONST :consttype ")?;
    let constant = constant.split_once('}')?.0;
    if !(constant.starts_with("2205 ") || constant.starts_with("26 ")) {
        return None;
    }
    let bytes = constant.split_once(":constvalue 4 [")?.1.split_once(']')?.0;
    let bytes: Vec<u8> = bytes
        .split_whitespace()
        .map(|byte| byte.parse::<i16>().ok().map(|byte| byte as u8))
        .collect::<Option<_>>()?;
    let value = bytes.get(..4)?.try_into().ok()?;
    Some(if cfg!(target_endian = "little") {
        u32::from_le_bytes(value)
    } else {
        // By value: the four bytes stand at the end of the eight.
        u32::from_be_bytes(bytes.get(4..8)?.try_into().ok()?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXTVAL_OF_16385: &str = "{FUNCEXPR :funcid 1574 :funcresulttype 20 :funcretset false :funcvariadic false :funcformat 0 :funccollid 0 :inputcollid 0 :args ({CONST :consttype 2205 :consttypmod -1 :constcollid 0 :constlen 4 :constbyval true :constisnull false :location 9 :constvalue 4 [ 1 64 0 0 0 0 0 0 ]}) :location 1}";

    #[test]
    fn lists() {
        assert!(is_function_denied("lo_get") && is_function_denied("pg_read_file"));
        assert!(is_function_denied("pg_stat_get_backend_activity"));
        assert!(!is_function_denied("nextval") && !is_function_denied("lower") && !is_function_denied("log"));
        assert_eq!(denied_catalog(2619), Some("pg_statistic"));
        assert_eq!(denied_catalog(1259), None);
    }

    #[test]
    fn constants_are_read() {
        assert_eq!(constant_sequences(NEXTVAL_OF_16385), Some(vec![(1574, 16385)]));
        let high = NEXTVAL_OF_16385.replace("[ 1 64", "[ -1 -64");
        assert_eq!(constant_sequences(&high), Some(vec![(1574, 0xc0ff)]));
        assert_eq!(constant_sequences("{FUNCEXPR :funcid 870 :args ()}"), Some(vec![]));
    }

    #[test]
    fn calls_of_users_functions_are_found() {
        assert!(calls_any_from("{OPEXPR :opno 20000 :opfuncid 20001 :args ()}", 16384));
        assert!(!calls_any_from(NEXTVAL_OF_16385, 16384));
    }

    #[test]
    fn whatever_is_not_a_constant_is_unknown() {
        for nodes in [
            NEXTVAL_OF_16385.replace("{CONST", "{PARAM"),
            NEXTVAL_OF_16385.replace(":args (", ":args ({RELABELTYPE :arg "),
            NEXTVAL_OF_16385.replace(":consttype 2205", ":consttype 25"),
            NEXTVAL_OF_16385.replace(":constvalue 4 [ 1 64 0 0 0 0 0 0 ]", ":constvalue <>"),
            "{OPEXPR :opno 20000 :opfuncid 1574 :args ()}".to_owned(),
            "{FUNCEXPR :funcid 1574".to_owned(),
        ] {
            assert_eq!(constant_sequences(&nodes), None, "{nodes}");
        }
    }
}
