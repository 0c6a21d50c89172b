# plio_tenancy: the one door. `make` lists the targets; PG=15|16|17|18 chooses the embedded PostgreSQL.
PG ?= 18
PG_CONFIG ?=
T ?=
SUDO ?=
export PG PG_CONFIG SUDO

PYTHON ?= python3
EVERY_PG := 15 16 17 18
ENV = . target/pg/$(PG)/env.sh
DEMO = cargo run --quiet --release -p plio-tests --bin demo --

.DEFAULT_GOAL := help
.PHONY: help setup build install demo demo-stop psql test test-all lint schema check-schema doc bench fuzz asserts neighbours regress clean

help: ## this list
	@echo 'usage: make <target> [PG=15|16|17|18]'; echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
		awk -F'|' '{ printf "%-16s %s\n", $$1, $$2 }'

setup: ## fetch PostgreSQL (and libclang where the system has none) below target/
	@$(PYTHON) scripts/setup.py --pg $(PG)

build: setup ## compile the extension for PG
	$(ENV) && cargo build --release -p plio_tenancy --no-default-features --features pg$(PG)

install: ## compile and install into target/pg/$PG, or into another PostgreSQL: PG_CONFIG=/path/to/pg_config [SUDO=sudo]
	@scripts/install.sh

demo: install ## forty organizations share one PostgreSQL: the story, then a server that stays up
	@$(DEMO) start

demo-stop: ## end the demo's server and remove its files
	@$(DEMO) stop

psql: ## a shell into the running demo; ARGS='-U postgres' are handed to psql
	@$(DEMO) psql $(ARGS)

neighbours: setup ## fetch what the tests run beside the extension: PgBouncer, pgaudit, PostgreSQL's own tests, ORMs, a browser
	@$(PYTHON) scripts/neighbours.py --pg $(PG)

test: install neighbours ## all tests on PG; one file: T=isolation; ARGS='-- --nocapture name' are handed to cargo test
	PLIO_TEST_PG=$(PG) cargo test --no-fail-fast -p plio-tests -p plio-client --features plio-client/cli $(addprefix --test ,$(T)) $(ARGS)

test-all: ## all tests on 15, 16, 17 and 18
	@set -e; for pg in $(EVERY_PG); do echo "PostgreSQL $$pg"; $(MAKE) --no-print-directory test PG=$$pg PG_CONFIG=; done

regress: install neighbours ## PostgreSQL's own regression suite, without and with us
	PLIO_TEST_PG=$(PG) cargo test -p plio-tests --test regression -- --include-ignored --nocapture

lint: ## rustfmt, clippy and rustdoc over everything, warnings are errors
	@scripts/lint.sh $(EVERY_PG)

schema: ## regenerate sql/plio_tenancy--<version>.sql from the Rust source and sql/schema/
	@scripts/schema.sh write

check-schema: ## fail when the committed install script is out of date
	@scripts/schema.sh check

doc: setup ## rustdoc of the workspace, in target/doc
	$(ENV) && cargo doc --no-deps -p plio-client -p plio-tests && \
		cargo doc --no-deps -p plio_tenancy --no-default-features --features pg$(PG)

bench: install ## what tenancy costs, as ratios against plain PostgreSQL
	PLIO_TEST_PG=$(PG) cargo run --quiet --release -p plio-tests --bin bench -- $(ARGS)

fuzz: install ## a random attack on three tenants: SEED=.. STATEMENTS=1000000; ARGS='--tenants adopted', ARGS=--surface and more (--help)
	PLIO_TEST_PG=$(PG) cargo run --quiet --release -p plio-tests --bin fuzz -- $(addprefix --seed ,$(SEED)) $(addprefix --statements ,$(STATEMENTS)) $(ARGS)

# Suites that look into memory, plans and catalogs from every side.
ASSERT_SUITES = $(filter-out $(NOT_ASSERTED),$(patsubst tests/tests/%.rs,%,$(wildcard tests/tests/*.rs)) $(patsubst tests/tests/%/main.rs,%,$(wildcard tests/tests/*/main.rs)))
# They need what `make neighbours` fetches for the ordinary tree, measure, or have no server.
NOT_ASSERTED = regression legit pooling neighbours docs guarantees pure_rules common
ASSERTED = $(CURDIR)/target/asserts/$(PG)

asserts: ## the suite against a PostgreSQL built with assertions from Debian's source (PG=15, 17 or 18); one file: T=isolation
	@$(PYTHON) scripts/asserts.py --pg $(PG)
	@CARGO_TARGET_DIR=target/asserts/cargo-$(PG) PG_CONFIG=$(ASSERTED)/bin/pg_config scripts/install.sh
	PLIO_TEST_PG=$(PG) PLIO_TEST_TREE=$(ASSERTED) cargo test --no-fail-fast -p plio-tests $(addprefix --test ,$(or $(T),$(ASSERT_SUITES))) $(ARGS)

clean: ## remove what was built; the fetched PostgreSQL and tools stay (rm -rf target removes them too)
	cargo clean --profile dev
	cargo clean --profile release
	rm -rf target/doc
