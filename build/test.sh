#!/usr/bin/env bash
# All tests on real parts. `test.sh long` runs their long seeds, with the race
# detector where it can be built.
set -euo pipefail
cd "$(dirname "$0")/.."

build/deps.sh run test ${1:+"$1"}
args=(-count=1 -timeout 20m -p 2)
if [[ ${1:-} == long ]]; then
	export VOLVOX_TEST_LONG=1 CGO_ENABLED=1
	args=(-count=1 -timeout 90m -p 1 -race)
fi
before=$(mktemp)
trap 'rm -f "$before"' EXIT
build/leftovers.sh >"$before"
make --no-print-directory bin/volvox
go vet ./...
go test "${args[@]}" ./...
build/leftovers.sh "$before"
