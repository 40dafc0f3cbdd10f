#!/usr/bin/env bash
# Makes the generated files anew: the description of the API, the reference of
# the commands, and the expected texts of bad addons. The tests of their
# packages fail when one of them is not current.
set -euo pipefail
cd "$(dirname "$0")/.."
go test -count=1 ./api -run OpenAPI -update >/dev/null
go test -count=1 ./cli -run Reference -update >/dev/null
git status --short docs
