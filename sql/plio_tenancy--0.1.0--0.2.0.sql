-- plio_tenancy: from 0.1.0 to 0.2.0. Written by hand: what sql/schema/ changed since the release, in an order that works.
-- tests/tests/upgrade.rs holds it to a fresh 0.2.0 by a comparison of the catalogs.
\echo Use "ALTER EXTENSION plio_tenancy UPDATE TO '0.2.0'" to load this file. \quit

-- carry
CREATE FUNCTION plio._set_config(text, text, boolean) RETURNS text
    VOLATILE PARALLEL UNSAFE LANGUAGE c AS 'MODULE_PATHNAME', '_set_config_wrapper';
