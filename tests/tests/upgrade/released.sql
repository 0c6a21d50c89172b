-- What 0.1.0 made of: share() of a table, create_tenant() of acme, bravo and shut, suspend_tenant() of shut, adopt_tenant() of old
-- and older, assign_role() of older, grant_access(), create_report_view(). {app} is the application's login role.
SET plio.enforcement = off;

CREATE TABLE public.countries (code text PRIMARY KEY, name text NOT NULL);
INSERT INTO public.countries VALUES ('IN', 'India');
INSERT INTO plio.shares (schema_name, relation_name, mode) VALUES ('public', 'countries', 'read');
GRANT USAGE ON SCHEMA public TO plio_tenant;
GRANT SELECT, REFERENCES ON public.countries TO plio_tenant;
INSERT INTO plio.history (action, detail) VALUES ('share', '{"object": "public.countries", "mode": "read"}');

CREATE ROLE "{db}_acme" NOLOGIN IN ROLE plio_tenant;
CREATE ROLE "{db}_bravo" NOLOGIN IN ROLE plio_tenant;
CREATE ROLE "{db}_shut" NOLOGIN IN ROLE plio_tenant;
CREATE ROLE "{db}_older" NOLOGIN IN ROLE plio_tenant;
CREATE SCHEMA tenant_acme AUTHORIZATION "{db}_acme";
CREATE SCHEMA tenant_bravo AUTHORIZATION "{db}_bravo";
CREATE SCHEMA tenant_shut AUTHORIZATION "{db}_shut";
CREATE SCHEMA old AUTHORIZATION {app};
CREATE SCHEMA older AUTHORIZATION "{db}_older";
GRANT USAGE ON SCHEMA tenant_acme, tenant_bravo, tenant_shut, older TO PUBLIC;
INSERT INTO plio.tenants (org, schema_name, role_name, status) VALUES
    ('acme', 'tenant_acme', '{db}_acme', 'active'),
    ('bravo', 'tenant_bravo', '{db}_bravo', 'active'),
    ('shut', 'tenant_shut', '{db}_shut', 'suspended'),
    ('old', 'old', NULL, 'active'),
    ('older', 'older', '{db}_older', 'active');
INSERT INTO plio.previous_owners (tenant_id, object_type, object_name, object_args, owner_name, granted_usage)
    SELECT tenant_id, 'schema', '{}', '{}', '{app}', true FROM plio.tenants WHERE org = 'older';
INSERT INTO plio.history (action, org) SELECT 'create_tenant', org FROM plio.tenants;

INSERT INTO plio.access (role_name, org) VALUES ('{app}', 'acme'), ('{app}', 'bravo'), ('{app}', 'shut'), ('{app}', 'old');
GRANT USAGE ON SCHEMA plio TO {app};

CREATE FOREIGN TABLE plio_reports.users (org text, id bigint, name text) SERVER plio_tenants OPTIONS (table_name 'users');
REVOKE ALL ON plio_reports.users FROM PUBLIC;
GRANT SELECT ON plio_reports.users TO plio_reporter, plio_auditor;

CREATE TABLE tenant_acme.users (id bigserial PRIMARY KEY, name text);
CREATE TABLE tenant_bravo.users (id bigserial PRIMARY KEY, name text);
ALTER TABLE tenant_acme.users OWNER TO "{db}_acme";
ALTER TABLE tenant_bravo.users OWNER TO "{db}_bravo";
INSERT INTO tenant_acme.users (name) VALUES ('canary-acme');
INSERT INTO tenant_bravo.users (name) VALUES ('canary-bravo');
