-- Denials that outlive the ring: written by a worker (plio.denials_flush_interval) or by plio.flush_denials().
-- The time is in the key, too: ids begin at the clock's when a server starts, and a clock can be put back.
CREATE TABLE plio.denials_history (
    at         timestamptz NOT NULL,
    denial_id  bigint NOT NULL,
    pid        integer NOT NULL,
    session_id text,
    login_role text,
    org        text,
    kind       text NOT NULL,
    message    text NOT NULL,
    sqlstate   text NOT NULL,
    query_id   bigint,
    enforced   boolean NOT NULL,
    times      bigint NOT NULL DEFAULT 1,
    last_at    timestamptz,
    PRIMARY KEY (at, denial_id)
);
-- How many rows a login role has.
CREATE INDEX denials_history_login_role ON plio.denials_history (login_role);
REVOKE ALL ON plio.denials_history FROM PUBLIC;
GRANT SELECT ON plio.denials_history TO plio_admin, plio_auditor;
COMMENT ON TABLE plio.denials_history IS
    'What was refused in this database, as plio.denials had it: kept over crashes, for plio.denials_history_retention; only ever appended to';
COMMENT ON COLUMN plio.denials_history.at IS 'When';
COMMENT ON COLUMN plio.denials_history.denial_id IS 'As in plio.denials';
COMMENT ON COLUMN plio.denials_history.pid IS 'As in plio.denials';
COMMENT ON COLUMN plio.denials_history.session_id IS 'As in plio.denials';
COMMENT ON COLUMN plio.denials_history.login_role IS 'The role that logged in';
COMMENT ON COLUMN plio.denials_history.org IS 'The tenant in force; null when there was none';
COMMENT ON COLUMN plio.denials_history.kind IS 'What was tried, as in plio.denials';
COMMENT ON COLUMN plio.denials_history.message IS 'Our own message; never another tenant''s object or data';
COMMENT ON COLUMN plio.denials_history.sqlstate IS 'The error''s code';
COMMENT ON COLUMN plio.denials_history.query_id IS 'The statement, as in pg_stat_statements; null when it was not known';
COMMENT ON COLUMN plio.denials_history.enforced IS 'Whether it was refused; false when it was only reported';
COMMENT ON COLUMN plio.denials_history.times IS 'How often, as in plio.denials';
COMMENT ON COLUMN plio.denials_history.last_at IS 'When for the last time; null in rows from before 0.2.0';

-- What is older than the retention goes by itself; nothing else does.
CREATE TRIGGER only_appended BEFORE UPDATE OR DELETE OR TRUNCATE ON plio.denials_history
    FOR EACH STATEMENT EXECUTE FUNCTION plio._refuse_history_change();
ALTER TABLE plio.denials_history ENABLE ALWAYS TRIGGER only_appended;
SELECT pg_catalog.pg_extension_config_dump('plio.denials_history', '');

REVOKE ALL ON FUNCTION plio.flush_denials() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION plio.flush_denials() TO plio_admin;
COMMENT ON FUNCTION plio.flush_denials() IS
    'Writes this database''s denials from the ring to plio.denials_history now, and takes out what is too old; returns how many were new';
