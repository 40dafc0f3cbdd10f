#!/bin/sh
# seed (job): copies the data of the primary for a new replica.
. /scripts/lib.sh
fail_as_asked seed

busybox mkdir -p /data/www
fetch "$DB_PRIMARY_HOST" items /data/www/items || exit 20
fetch "$DB_PRIMARY_HOST" history /data/www/history || exit 20
printf '%s\n' "$DB_PRIMARY_HOST" > /data/primary.new
busybox sync /data/primary.new
busybox mv /data/primary.new /data/primary
busybox sync /data /data/www
echo "copied $(count) items"
