#!/bin/sh
# Builds the extension and installs it: into target/pg/$PG, or where $PG_CONFIG says.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if [ -n "${PG_CONFIG:-}" ]; then
    # "PostgreSQL 16.4 (Debian ...)", "PostgreSQL 18beta1"
    major=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
    "$python" scripts/setup.py --pg-config "$PG_CONFIG"
    env_file=target/pg/env-custom.sh
else
    major=${PG:-18}
    "$python" scripts/setup.py --pg "$major"
    env_file=target/pg/$major/env.sh
fi
. "./$env_file"

# The library has one name for every PostgreSQL: nobody may build for another between our build and the copy.
exec 9>target/.install.lock
flock 9
cargo build --release -p plio_tenancy --no-default-features --features "pg$major"

libdir=$("$PGRX_PG_CONFIG_PATH" --pkglibdir)
sharedir=$("$PGRX_PG_CONFIG_PATH" --sharedir)/extension

# A file that running servers have mapped is replaced, never written into.
put() {
    if ! cmp -s "$1" "$2/$3"; then
        rm -f "$2/.new-$3"
        install -m "$4" "$1" "$2/.new-$3"
        mv -f "$2/.new-$3" "$2/$3"
    fi
}

mkdir -p "$libdir" "$sharedir"
put "${CARGO_TARGET_DIR:-target}/release/libplio_tenancy.so" "$libdir" plio_tenancy.so 755
put plio_tenancy_ext/plio_tenancy.control "$sharedir" plio_tenancy.control 644
for script in sql/plio_tenancy--*.sql; do
    [ -e "$script" ] || { echo "install: no install script in sql/, run: make schema" >&2; exit 1; }
    put "$script" "$sharedir" "${script##*/}" 644
done
echo "installed for $("$PGRX_PG_CONFIG_PATH" --version) in $libdir" >&2
