//! Whose code tenants may meet.

use plio_tests::Cluster;

use crate::case::{Case, check};

pub const CASES: &[Case] = &[
    Case::new(
        "untrusted_code",
        "warning",
        None,
        "public.touch(pg_catalog.text)",
        "CREATE FUNCTION public.touch(text) RETURNS text LANGUAGE sql AS 'SELECT 1';
         ALTER FUNCTION public.touch(text) OWNER TO trust_stranger",
    )
    .before("CREATE ROLE trust_stranger")
    .after("DROP FUNCTION public.touch(text)"),
    Case::new(
        "untrusted_code",
        "warning",
        None,
        "public.%",
        "CREATE OPERATOR public.% (leftarg = text, rightarg = text, function = textne);
         ALTER OPERATOR public.% (text, text) OWNER TO trust_stranger",
    )
    .mend("ALTER OPERATOR public.% (text, text) OWNER TO CURRENT_USER")
    .after("DROP OPERATOR public.% (text, text)"),
    Case::new("open_schema", "warning", None, "public", "GRANT CREATE ON SCHEMA public TO PUBLIC"),
    Case::new("open_schema", "warning", None, "public", "GRANT CREATE ON SCHEMA public TO trust_stranger"),
    Case::new(
        "untrusted_extension",
        "info",
        None,
        "hstore",
        "SET ROLE @app; CREATE EXTENSION hstore SCHEMA public; RESET ROLE",
    )
    .before("DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO @app', current_database()); END $$")
    .mend("DROP EXTENSION hstore"),
];

#[test]
fn strangers_code_is_found() {
    check(&Cluster::shared().database("trust").two_tenants(), CASES);
}
