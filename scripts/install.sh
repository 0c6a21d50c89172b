#!/bin/sh
# Builds the extension and installs it: into target/pg/$PG, or where $PG_CONFIG says.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if [ -n "${PG_CONFIG:-}" ]; then
    # "PostgreSQL 16.4 (Debian ...)", "PostgreSQL 18beta1"
    major=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
    case $major in
        15 | 16 | 17 | 18) ;;
        *) echo "install: PostgreSQL 15, 16, 17 or 18 is needed; $PG_CONFIG is $("$PG_CONFIG" --version)" >&2; exit 1 ;;
    esac
    "$python" scripts/setup.py --pg-config "$PG_CONFIG"
    env_file=target/pg/env-custom.sh
else
    major=${PG:-18}
    "$python" scripts/setup.py --pg "$major"
    env_file=target/pg/$major/env.sh
fi
. "./$env_file"

libdir=$("$PGRX_PG_CONFIG_PATH" --pkglibdir)
sharedir=$("$PGRX_PG_CONFIG_PATH" --sharedir)/extension
# Said before the minutes that the build takes. SUDO runs what writes there, and nothing else.
sudo=${SUDO:-}
$sudo mkdir -p "$libdir" "$sharedir" 2>/dev/null || :
if [ -z "$sudo" ]; then
    for folder in "$libdir" "$sharedir"; do
        [ -w "$folder" ] || { echo "install: you may not write into $folder; try again with SUDO=sudo" >&2; exit 1; }
    done
fi

# The library has one name for every PostgreSQL: nobody may build for another between our build and the copy.
exec 9>target/.install.lock
flock 9
cargo build --release -p plio_tenancy --no-default-features --features "pg$major"

# A file that running servers have mapped is replaced, never written into.
put() {
    if ! cmp -s "$1" "$2/$3"; then
        $sudo rm -f "$2/.new-$3"
        $sudo install -m "$4" "$1" "$2/.new-$3"
        $sudo mv -f "$2/.new-$3" "$2/$3"
    fi
}

put "${CARGO_TARGET_DIR:-target}/release/libplio_tenancy.so" "$libdir" plio_tenancy.so 755
put plio_tenancy_ext/plio_tenancy.control "$sharedir" plio_tenancy.control 644
for script in sql/plio_tenancy--*.sql; do
    [ -e "$script" ] || { echo "install: no install script in sql/, run: make schema" >&2; exit 1; }
    put "$script" "$sharedir" "${script##*/}" 644
done
echo "installed for $("$PGRX_PG_CONFIG_PATH" --version) in $libdir" >&2
