#!/bin/sh
# schema.sh write | check: generates the install script with cargo-pgrx, and the upgrade scripts to it; check compares them
# with the committed ones.
set -eu
cd "$(dirname "$0")/.."
mode=$1
pg=18
cargo_pgrx_version=0.18.1
version=$(sed -n "s/^default_version *= *'\(.*\)'.*/\1/p" plio_tenancy_ext/plio_tenancy.control)
committed=sql/plio_tenancy--$version.sql

"${PYTHON:-python3}" scripts/setup.py --pg $pg
. ./target/pg/$pg/env.sh
tools=$PWD/target/tools
if [ "$("$tools/bin/cargo-pgrx" pgrx --version 2>/dev/null)" != "cargo-pgrx $cargo_pgrx_version" ]; then
    echo "schema: installing cargo-pgrx $cargo_pgrx_version below target/tools (some minutes, once)" >&2
    # Unoptimized: it is built in every cold run and works for a second.
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_TARGET_DIR=target/tools/build \
        cargo install cargo-pgrx --version $cargo_pgrx_version --locked --debug --root "$tools"
    rm -rf target/tools/build
fi

new=$(mktemp)
trap 'rm -f "$new" "$new.dot" "$new.sql" "$new.upgrade"' EXIT

# The entities are read from the very library that is installed (Rust marks their section as used, so the
# linker keeps it); the lock is that of install.sh.
exec 9>target/.install.lock
flock 9
cargo build --release -p plio_tenancy --no-default-features --features pg$pg
# PGRX_PG_CONFIG_PATH stands for a config.toml in PGRX_HOME; an own one keeps any other out of it. Only here: pgrx is
# compiled anew when it changes.
mkdir -p "$tools/pgrx"
PGRX_HOME="$tools/pgrx" PATH="$tools/bin:$PATH" cargo pgrx schema --skip-build --release -p plio_tenancy \
    --no-default-features --features pg$pg --out "$new" --dot "$new.dot" >&2
exec 9>&-

"${PYTHON:-python3}" scripts/schema.py "$new" "$new.dot" "$version" > "$new.sql"
if grep -n -F -e "$PWD" -e "${CARGO_HOME:-$HOME/.cargo}" "$new.sql" >&2; then
    echo "schema: the script names a folder of this machine" >&2
    exit 1
fi

# settle MADE COMMITTED: writes the committed file, or compares it.
settle() {
    if [ "$mode" = write ]; then
        if cmp -s "$1" "$2"; then
            echo "$2 is up to date" >&2
        else
            install -m 644 "$1" "$2"
            echo "wrote $2" >&2
        fi
    elif ! diff -u "$2" "$1"; then
        echo "check-schema: $2 is out of date, run: make schema" >&2
        exit 1
    fi
}

settle "$new.sql" "$committed"
# The upgrades to this version. Those between older releases are never written again.
for hand in sql/schema/upgrade/*--"$version".sql; do
    from=${hand##*/}
    from=${from%%--*}
    "${PYTHON:-python3}" scripts/upgrade.py "sql/plio_tenancy--$from.sql" "$new.sql" "$hand" "$from" "$version" > "$new.upgrade"
    settle "$new.upgrade" "sql/plio_tenancy--$from--$version.sql"
done
