#!/usr/bin/env bash
# What every change must pass, in about a minute: formatting, generated files,
# vet, linters and the tests that need no root.
set -euo pipefail
cd "$(dirname "$0")/.."

unformatted=$(gofmt -l .)
[[ -z $unformatted ]] || { echo "error: not formatted: $unformatted"; echo "try:   gofmt -w ."; exit 1; }
go mod verify >/dev/null
go mod tidy -diff >/dev/null || { echo "error: go.mod is not tidy"; echo "try:   go mod tidy"; exit 1; }
go vet ./...
# staticcheck, its default set and these, each for a reason:
#   SA*     what is certainly wrong: it finds bugs
#   S1*     simpler ways to say the same: the tree should read as one hand's
#   U1000   code that nothing uses: delete what is no longer needed
#   ST1005  errors begin small and end without a dot: they are joined
go tool staticcheck -checks 'SA*,S1*,U1000,ST1005' ./...
for script in build/*.sh .ci/run; do bash -n "$script"; done
for script in addons/*/scripts/*.sh; do sh -n "$script"; done
go test -short ./...
