#!/bin/sh
# init (job): makes the data of the first member.
#
# The data is made beside its place and then moved there, so /data/pg is
# whole or not there.
set -eu
PATH=/usr/lib/postgresql/$DB_VERSION/bin:$PATH

if [ -d /data/pg ]; then
	echo "the data is there already"
	exit 0
fi
rm -rf /data/pg.new
# initdb writes everything to the disk before it ends.
initdb -D /data/pg.new --username=postgres --pwfile="$DB_SECRETS/admin" \
	--auth-local=peer --auth-host=scram-sha-256 \
	--data-checksums --encoding=UTF8 --locale=C.UTF-8
mv /data/pg.new /data/pg
sync /data
