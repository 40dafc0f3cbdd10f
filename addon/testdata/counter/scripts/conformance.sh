#!/bin/sh
# conformance: the workload of the generic tests, see conformance.yaml.
. /scripts/lib.sh

case $1 in
write)
	[ ! -f /data/primary ] || exit 1
	if busybox grep -Fxq "$2" /data/www/items; then exit 0; fi
	[ "$(count)" -lt "$max_items" ] || exit 1
	printf '%s\n' "$2" >> /data/www/items
	busybox sync /data/www/items
	;;
read) busybox cat /data/www/items ;;
count) count ;;
esac
