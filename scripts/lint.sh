#!/bin/sh
# lint.sh 15 16 17 18: rustfmt, clippy and rustdoc over the workspace; the extension once for each PostgreSQL.
set -eu
cd "$(dirname "$0")/.."
newest=18

step() {
    echo "lint: $*" >&2
    "$@"
}

step cargo fmt --all --check
for pg in "$@"; do
    "${PYTHON:-python3}" scripts/setup.py --pg "$pg"
done
. ./target/pg/$newest/env.sh
step cargo clippy -p plio-client -p plio-tests --all-targets --all-features -- -D warnings
# Left out of the targets, since it is not run with them.
step cargo clippy -p plio-client -p plio-tests --test adopted_more --all-features -- -D warnings
for pg in "$@"; do
    . "./target/pg/$pg/env.sh"
    step cargo clippy -p plio_tenancy --all-targets --no-default-features --features "pg$pg" -- -D warnings
done
. ./target/pg/$newest/env.sh
export RUSTDOCFLAGS="-D warnings"
step cargo doc --no-deps -p plio-client -p plio-tests --all-features
step cargo doc --no-deps -p plio_tenancy --no-default-features --features pg$newest
