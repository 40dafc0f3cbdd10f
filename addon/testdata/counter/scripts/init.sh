#!/bin/sh
# init (job): makes the data of the first member.
. /scripts/lib.sh
fail_as_asked init

if [ -f /data/www/history ]; then
	echo "the data is there already"
	exit 0
fi
busybox mkdir -p /data/www
: > /data/www/items
busybox cat /proc/sys/kernel/random/uuid > /data/www/history.new
busybox sync /data/www/items /data/www/history.new
busybox mv /data/www/history.new /data/www/history
busybox sync /data /data/www
