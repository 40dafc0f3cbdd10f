#!/bin/sh
# start: the program of the container: serves the items, and copies them from
# the primary if this is a replica.
. /scripts/lib.sh

busybox rm -f /run/serving /run/copied
[ "$slow" = false ] || busybox sleep 2
umask 077
printf '/:admin:%s\n' "$(busybox cat "$DB_SECRETS/admin")" > /run/httpd.conf
busybox httpd -f -p "$DB_HOST:$DB_PORT" -h /data/www -c /run/httpd.conf &
server=$!
trap 'busybox rm -f /run/serving; kill $server; exit 0' TERM INT
echo "serving on $DB_HOST:$DB_PORT"
: > /run/serving

pause=$((copy_every / 1000)).$(printf %03d $((copy_every % 1000)))
while kill -0 $server 2>/dev/null; do
	if [ -f /data/primary ]; then
		if fetch "$(busybox cat /data/primary)" items /data/www/items; then : > /run/copied; else busybox rm -f /run/copied; fi
	fi
	busybox sleep "$pause" &
	wait $!
done
echo "the server has ended"
exit 1
