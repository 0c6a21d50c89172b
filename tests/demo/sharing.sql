-- What a tenant may reach outside its own schema, and what the login role `app` may do with no tenant set.

-- Reports and foreign keys need to know who somebody is: 'read' has to grant SELECT and REFERENCES.
SELECT plio.share('public.organization', 'read');
SELECT plio.share('public.users', 'read');
SELECT plio.share('public.role', 'read');
SELECT plio.share('public.organization_user', 'read');

-- The player notes language and last_seen while a learner is at work in some organization.
SELECT plio.share('public.user_meta', 'write');

-- Not shared: keys, one-time passwords and tokens (used before a tenant is set), and the tables of the
-- same names as the tenants', which stand in `public` since the days of personal workspaces there.

GRANT USAGE ON SCHEMA public TO app;
GRANT SELECT, INSERT, UPDATE ON organization, organization_key, users, user_meta, organization_user,
    one_time_password, access_token TO app;
GRANT SELECT ON role TO app;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app;

-- The personal workspaces are a tenant now; nobody needs what they left behind in `public`.
REVOKE ALL ON image, video, plio, item, question, program, program_plio, experiment, experiment_plio,
    tag, model_has_tag, session, session_answer, event FROM app;
