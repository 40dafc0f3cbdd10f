#!/bin/sh
# seed (job): copies the data of the primary for a new replica.
#
# The copy is made beside its place and then moved there: a copy that was
# broken off is thrown away and begun anew.
set -eu
PATH=/usr/lib/postgresql/$DB_VERSION/bin:$PATH
slot=$(printf %s "$DB_MEMBER" | tr - _)

if [ -d /data/pg ]; then
	echo "the data is there already"
	exit 0
fi
rm -rf /data/pg.new
umask 077
printf '*:*:*:replication:%s\n' "$(cat "$DB_SECRETS/replication")" > /run/pgpass
export PGPASSFILE=/run/pgpass PGCONNECT_TIMEOUT=10

# pg_basebackup writes everything to the disk before it ends.
pg_basebackup -D /data/pg.new -h "$DB_PRIMARY_HOST" -p "$DB_PORT" -U replication \
	--wal-method=stream --slot="$slot" --checkpoint=fast --progress --no-password || exit 20

# Where the replica streams from; start.sh makes the password file anew each time.
cat >> /data/pg.new/postgresql.auto.conf <<CONF
primary_conninfo = 'host=$DB_PRIMARY_HOST port=$DB_PORT user=replication passfile=/run/pgpass application_name=$DB_MEMBER connect_timeout=10'
primary_slot_name = '$slot'
CONF
: > /data/pg.new/standby.signal
sync /data/pg.new/postgresql.auto.conf /data/pg.new/standby.signal /data/pg.new
mv /data/pg.new /data/pg
sync /data
