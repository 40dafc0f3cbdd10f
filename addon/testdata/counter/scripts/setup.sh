#!/bin/sh
# setup (engine, first member): leaves a mark and a result.
. /scripts/lib.sh
fail_as_asked setup

printf 'set up by %s\n' "$DB_MEMBER" > /data/www/setup
printf '{"items":%d}\n' "$(count)" > "$DB_OUT"
