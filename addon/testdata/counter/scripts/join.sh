#!/bin/sh
# join (engine, on the primary): notes a new member.
. /scripts/lib.sh
fail_as_asked join

busybox mkdir -p /data/www/members
printf '%s\n' "$DB_MEMBER_HOST" > "/data/www/members/$DB_MEMBER_NAME"
