CREATE FUNCTION plio._on_ddl_command_end() RETURNS event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'plio_on_ddl_command_end';
REVOKE ALL ON FUNCTION plio._on_ddl_command_end() FROM PUBLIC;
CREATE FUNCTION plio._on_sql_drop() RETURNS event_trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'plio_on_sql_drop';
REVOKE ALL ON FUNCTION plio._on_sql_drop() FROM PUBLIC;

CREATE EVENT TRIGGER plio_ddl_command_end ON ddl_command_end EXECUTE FUNCTION plio._on_ddl_command_end();
COMMENT ON EVENT TRIGGER plio_ddl_command_end IS
    'plio_tenancy: refuses objects outside the active tenant, and ties between tenants';
CREATE EVENT TRIGGER plio_sql_drop ON sql_drop EXECUTE FUNCTION plio._on_sql_drop();
COMMENT ON EVENT TRIGGER plio_sql_drop IS
    'plio_tenancy: refuses dropping what lies outside the active tenant; forgets the shares of what is dropped';
-- Whatever session_replication_role says.
ALTER EVENT TRIGGER plio_ddl_command_end ENABLE ALWAYS;
ALTER EVENT TRIGGER plio_sql_drop ENABLE ALWAYS;
