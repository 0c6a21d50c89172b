#!/bin/sh
# schema.sh write | check: generates the install script with cargo-pgrx; check compares it with the committed one.
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
trap 'rm -f "$new" "$new.dot" "$new.sql"' EXIT

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

if [ "$mode" = write ]; then
    if cmp -s "$new.sql" "$committed"; then
        echo "$committed is up to date" >&2
    else
        mkdir -p sql
        install -m 644 "$new.sql" "$committed"
        echo "wrote $committed" >&2
    fi
elif ! diff -u "$committed" "$new.sql"; then
    echo "check-schema: $committed is out of date, run: make schema" >&2
    exit 1
fi
