# The commands people type. Everything is installed inside this checkout.

.DEFAULT_GOAL := help
HATCH := .venv/bin/hatch
BOARD_STUBS := .hatch/board
SITE := site
# Tests and demo need nothing outside the checkout but the package index.
export HATCH_DATA_DIR := $(CURDIR)/.hatch/data
export HATCH_CACHE_DIR := $(CURDIR)/.hatch/cache
# As pip and curl do: a factory's proxy often has a certificate authority of its own.
export UV_SYSTEM_CERTS := true
# `user = yes` of somebody's pip.conf: an environment has no such place.
export PIP_USER := 0
unexport PIP_TARGET PIP_PREFIX PIP_ROOT
CA_BUNDLES := /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem
export NODE_EXTRA_CA_CERTS ?= $(firstword $(wildcard $(CA_BUNDLES)))

.PHONY: help demo test engines check fix docs bench picture build release clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' Makefile

$(HATCH):
	@sh .ci/setup

# What MicroPython offers on an ESP32. Apart: it would hide CPython's own library.
$(BOARD_STUBS): $(HATCH)
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--target $@ 'micropython-esp32-stubs>=1.29' 'micropython-stdlib-stubs>=1.29'

demo: $(HATCH) ## sensors, broker, bridge and archive, live (DEMO_SECONDS=20 to stop by itself)
	@$(HATCH) run demo:demo

test: $(HATCH) ## every test against real servers (installs what is missing on Debian and Ubuntu)
	@sh .ci/servers
	@$(HATCH) run test $(ARGS)

engines: $(HATCH) ## tests on engines as others release them, kept in ~/.cache (ARGS="nats")
	@sh .ci/servers
	@sh .ci/engines $(ARGS)

check: $(HATCH) $(BOARD_STUBS) ## lint, format and types
	@$(HATCH) run lint
	@$(HATCH) run types

fix: $(HATCH) ## let the linter mend and format what it can
	@$(HATCH) run fix

docs: $(HATCH) ## the documentation as a site, into site/; a broken link fails
	@$(HATCH) run docs:build --site-dir $(abspath $(SITE))
	@echo "Open $(SITE)/index.html"

bench: $(HATCH) ## measure, and print ratios and medians
	@sh .ci/servers
	@$(HATCH) run bench $(ARGS)

picture: $(HATCH) ## the README's picture of the demo, from the demo itself
	@$(HATCH) run python .ci/demo_picture.py

build: $(HATCH) ## wheels and sdists of every package, into dist/
	@rm -rf dist
	@$(HATCH) build --all

# From the environment, where make puts its variables: a shell would run `VERSION="1.0.0; x"`.
release: $(HATCH) ## build, try, commit and tag VERSION=x.y.z (DRY_RUN=1 only shows it)
	@$(HATCH) run python .ci/release.py $(if $(DRY_RUN),--dry-run) "$$VERSION"

clean: ## remove everything that these targets made
	rm -rf .venv .hatch dist site demo-* scenario-* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +
