-- Everybody may call it: it must be tried as the application's own login role, which is nobody special. It gives no right:
-- its tenants are gone when it returns, and what it does as a superuser takes nothing from the caller (selftest.rs).
GRANT EXECUTE ON FUNCTION plio.selftest() TO PUBLIC;
COMMENT ON FUNCTION plio.selftest() IS
    'Tries the known bypasses on two throw-away tenants with the rights of whoever calls it, and undoes everything; one row an attack';
