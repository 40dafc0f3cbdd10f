#!/bin/sh
# leave (engine, on the primary): forgets a member.
. /scripts/lib.sh
fail_as_asked leave

busybox rm -f "/data/www/members/$DB_MEMBER_NAME"
