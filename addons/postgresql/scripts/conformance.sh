#!/bin/sh
# conformance: the workload of the generic tests, see conformance.yaml.
set -eu
PATH=/usr/lib/postgresql/$DB_VERSION/bin:$PATH

ask() { psql -X -A -t -q -h /run -p "$DB_PORT" -U postgres -d postgres -v ON_ERROR_STOP=1 -v key="${2-}"; }

case $1 in
prepare) echo "CREATE TABLE IF NOT EXISTS conformance (key text PRIMARY KEY);" | ask ;;
write) echo "INSERT INTO conformance VALUES (:'key') ON CONFLICT DO NOTHING;" | ask "$@" ;;
read) echo "SELECT key FROM conformance ORDER BY key;" | ask ;;
count) echo "SELECT count(*) FROM conformance;" | ask ;;
esac
