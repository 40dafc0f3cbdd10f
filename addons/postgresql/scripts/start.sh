#!/bin/sh
# start: the program of the container.
set -eu
PATH=/usr/lib/postgresql/$DB_VERSION/bin:$PATH

# A replica reads its password from here (see seed.sh), so that none is on the volume.
umask 077
printf '*:*:*:replication:%s\n' "$(cat "$DB_SECRETS/replication")" > /run/pgpass

exec postgres -D /data/pg -c config_file=/config/postgresql.conf -c "listen_addresses=$DB_HOST" -p "$DB_PORT"
