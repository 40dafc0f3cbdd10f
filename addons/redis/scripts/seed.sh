#!/bin/sh
# seed (job): says whom a new replica follows. It copies nothing: the server
# fetches all data from its primary when it starts.
set -eu
echo "replicaof $DB_PRIMARY_HOST $DB_PORT" > /data/primary.conf.new
sync /data/primary.conf.new
mv /data/primary.conf.new /data/primary.conf
sync /data
