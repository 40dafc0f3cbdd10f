#!/bin/sh
# start: the program of the container. Its configuration, with the passwords,
# is put together in /run, which is in memory only.
set -eu
umask 077
admin=$(cat "$DB_SECRETS/admin")
replication=$(cat "$DB_SECRETS/replication")
{
	cat /config/redis.conf
	echo "port $DB_PORT"
	echo "bind $DB_HOST"
	echo "user default on >$admin ~* &* +@all"
	echo "user replication on >$replication +psync +replconf +ping"
	echo "masteruser replication"
	echo "masterauth $replication"
	# A replica: seed.sh wrote which primary it follows.
	[ ! -f /data/primary.conf ] || cat /data/primary.conf
} > /run/redis.conf
exec redis-server /run/redis.conf
