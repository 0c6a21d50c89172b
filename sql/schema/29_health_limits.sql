-- For health(): what cannot be judged in this session, or be believed.
CREATE FUNCTION plio._health_limits() RETURNS TABLE (severity text, finding text, detail text, fix text)
LANGUAGE sql STABLE PARALLEL RESTRICTED
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $limits$
    SELECT 'critical', 'single_user', 'the server runs in single-user mode: nothing is refused, and every statement runs as a superuser',
           'end this session, and start the server as usual'
      FROM plio._process_kind() AS kind WHERE kind = 'single-user'
    UNION ALL
    SELECT 'warning', 'denials_left_out',
           format('%s denials were not written to plio.denials_history since the server started: it is full, or the share of a login role is',
                  plio._denials_left_out()),
           'raise plio.denials_history_rows, or lower plio.denials_history_retention; find in plio.denials who is refused so often'
     WHERE plio._denials_left_out() > 0
$limits$;
REVOKE ALL ON FUNCTION plio._denials_left_out(), plio._process_kind(), plio._health_limits() FROM PUBLIC;
