# Volvox. `make` lists the targets.

SHELL   := /bin/bash
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/volvox-os/volvox.Version=$(VERSION)
DATA    ?= /var/lib/volvox

export CGO_ENABLED = 0

.PHONY: help run build test test-long check generate bench-idle deps clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## boot this machine as a computer with a database called shop (DATA=/var/lib/volvox)
	@DATA=$(DATA) build/run.sh

build: ## make bin/volvox and install what it needs at run time
	@build/deps.sh run
	@$(MAKE) --no-print-directory bin/volvox

bin/volvox: FORCE
	@go build -ldflags '$(LDFLAGS)' -o $@ ./cmd/volvox

FORCE:

test: ## all tests, on real parts; installs what they need
	@build/test.sh

test-long: ## all tests with their long seeds and the race detector
	@build/test.sh long

check: ## generated files are current, vet, linters, unit tests: about a minute
	@build/check.sh

generate: ## make the generated files anew
	@build/generate.sh

bench-idle: ## what the computer costs when nobody uses it
	@build/deps.sh run
	@$(MAKE) --no-print-directory bin/volvox
	@go run ./bench/idle

deps: ## install what running and testing needs
	@build/deps.sh run test

clean: ## remove what make made
	@rm -rf bin
