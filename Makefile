# The one front door. `make help` lists the targets; `make test PG=18` takes another major version.
#
# Every target first lets tools/setup.sh look for what is missing on this machine, so that each one
# works on a fresh Debian 12 with git, make, cargo and apt, as root or as a user with sudo.

# PostgreSQL's major version, or the pg_config of any PostgreSQL. A version that this system does not have is fetched
# into a folder of its own by tools/postgres.sh.
ifdef PG_CONFIG
PG ?= $(shell "$(PG_CONFIG)" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
else
PG ?= 15
PG_CONFIG := $(shell tools/postgres.sh pg_config $(PG))
endif

# Crates that must never depend on PostgreSQL.
CORE := scram-core password-audit sha256-lanes audit-report

# pgrx keeps its settings in the checkout: a user's own ~/.pgrx stays as it is. Each version but the default one has a
# folder of its own, because cargo rebuilds the pgrx crates whenever the file in it changes.
export PGRX_HOME := $(CURDIR)/target/pgrx$(filter-out 15,$(PG))
export CARGO_TARGET_DIR := $(CURDIR)/target
# tools/setup.sh puts a cargo-pgrx there unless the right one is on the PATH already.
export PATH := $(CURDIR)/target/tools/bin:$(PATH)
export PG PG_CONFIG

# RUSTFLAGS would replace the linker flag that keeps the schema section in the library, and with
# RUST_BACKTRACE each error that passes through Rust carries a backtrace in its DETAIL.
unexport RUSTFLAGS
unexport RUST_BACKTRACE

FEATURES := --no-default-features --features pg$(PG)

# One file, one test: `make clienttest TEST=file NAME=test`, `make pgtest NAME=test`. From the command line only,
# because some systems have a NAME in the environment.
ifneq ($(origin TEST),command line)
TEST :=
endif
ifneq ($(origin NAME),command line)
NAME :=
endif

.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: advisories all uninstall baseline coexistence freeze ha upgradetest deb debtest dist disttest help demo test test-all install check installcheck order bench fuzz clean setup core pgtest clients clienttest expected

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

demo: install ## the main job on a throwaway server, shown step by step (KEEP=1 leaves the server running)
	@tools/demo.sh

test: setup core pgtest install order clienttest ## set-up, then every test; PG=16, PG=17, PG=18 for another version

test-all: ## every test with each of PostgreSQL 15 to 18, and a table at the end (VERSIONS="16 17": only these; CHOICE=1: a choice with 16 and later)
	@tools/test-all.sh $(if $(CHOICE),choice)

install: setup ## release build into this machine's PostgreSQL
	@tools/install.sh

uninstall: ## remove what install copied; first read docs/install.md
	@tools/uninstall.sh

check: setup ## format, lints, docs, core tests: no server needed
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(FEATURES) -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps $(FEATURES)
	@tools/no-pgrx.sh $(CORE)
	@tools/layers.sh
	@tools/lint.sh
	@$(MAKE) --no-print-directory core

installcheck: setup pgtest install clienttest ## tests that need a server: in it, then from clients

order: install ## the schema, generated and installed ten times: its order changes from run to run
	@tools/order.sh

deb: setup ## Debian package of this version in target/deb
	@tools/deb.sh

debtest: deb ## lintian on it, and its installation, use and removal in a chroot without Rust (as root)
	@tools/debtest.sh

dist: ## zip for PGXN with all crates in target/dist
	@tools/dist.sh

disttest: setup dist ## builds and tests the zip in an empty folder without a network (as root)
	@tools/disttest.sh

coexistence: install ## with the other extensions that Debian has for this version
	@tools/coexistence.sh

ha: install ## Patroni with three nodes and etcd: handshakes and audits across switch-overs (SWITCHOVERS=3: fewer than ten)
	@tools/ha.sh

upgradetest: ## a cluster with the extension, by pg_upgrade from 15 to 17 and from 16 to 18, and by pg_dump from 15 to 18
	@for version in 15 16 17 18; do $(MAKE) --no-print-directory install PG=$$version PG_CONFIG=$$(tools/postgres.sh pg_config $$version) || exit; done
	@tools/upgradetest.sh pg_upgrade 15 17
	@tools/upgradetest.sh pg_upgrade 16 18
	@tools/upgradetest.sh pg_dump 15 18

freeze: setup ## at a release: makes the SQL of this version a script that never changes again
	@tools/freeze.sh

baseline: install ## the installed library on a CPU without SHA extensions and AVX, by QEMU
	@tools/baseline.sh

advisories: ## security advisories on dependencies, from github.com
	@tools/lint.sh advisories

bench: install ## what handshakes cost and how fast candidates are tried (DOCS=1 writes docs/benchmarks.md)
	@tools/bench.sh
	@echo
	@tools/bench-engine.sh
	@echo
	@tools/bench-audit.sh

fuzz: ## every fuzz target of the core for T=60 seconds
	@tools/fuzz.sh $(T)

clean: ## remove what was built here, but for cargo-pgrx; nothing that was installed
	[ ! -d target ] || find target -mindepth 1 -maxdepth 1 ! -name tools -exec rm -rf {} +

# ---- parts of the above, and what PGXN's client calls -------------------------------------------------------------------------

all: setup
	@tools/build.sh

setup:
	@tools/setup.sh

core:
	cargo test --no-fail-fast $(addprefix -p ,$(CORE))

pgtest: setup
	@tools/pgtest.sh $(NAME)

# The programs that the client tests log in with.
clients:
	@tools/clients.sh

# Last in `make test`, so that its closing lines are the last ones.
clienttest: clients
	@tools/clienttest.sh "$(TEST)" $(NAME)

# Rewrites pgrx-tests/expected/ and the output blocks of the pages from the installed extension: read the diff.
expected: install
	UPDATE_EXPECTED=1 cargo test -p scram-ext-client-tests --test catalog --test docs --test errors
