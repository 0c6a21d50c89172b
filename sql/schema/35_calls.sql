-- Functions that hand on to PostgreSQL's own code without a guard, so that its errors reach the client whole.
CREATE FUNCTION plio.set_tenant(org text) RETURNS void
    VOLATILE PARALLEL UNSAFE LANGUAGE c AS 'MODULE_PATHNAME', 'set_tenant_wrapper';

-- The checked form of set_config(), which the planner hook puts into plans.
CREATE FUNCTION plio._set_config(text, text, boolean) RETURNS text
    VOLATILE PARALLEL UNSAFE LANGUAGE c AS 'MODULE_PATHNAME', '_set_config_wrapper';
