# Installs what Debian must give, then builds, shows or tests. Needs Rust, make and root.

PACKAGES := gcc libc6-dev charon-systemd strongswan-swanctl libstrongswan-standard-plugins \
	libstrongswan-extra-plugins libcharon-extra-plugins iproute2 iputils-ping procps tcpdump strace python3-venv

.PHONY: build demo test lint deps

build: deps
	cargo build --release --locked

demo: deps
	cargo build --locked --bin cygnet --example demo
	./target/debug/examples/demo

test: deps
	cargo test --locked

lint:
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

# Only what is missing is fetched, so that a machine that has it all needs no network.
deps:
	@missing=$$(for p in $(PACKAGES); do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || echo $$p; done); \
	if [ -n "$$missing" ]; then \
		echo "installing:" $$missing; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi
