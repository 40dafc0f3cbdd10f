#!/bin/sh
# conformance: the workload of the generic tests, see conformance.yaml.
set -eu
REDISCLI_AUTH=$(cat "$DB_SECRETS/admin")
export REDISCLI_AUTH
ask() { redis-cli -e -s /run/redis.sock "$@"; }

case $1 in
write) ask SADD conformance "$2" ;;
read) ask SMEMBERS conformance ;;
count) ask SCARD conformance ;;
esac
