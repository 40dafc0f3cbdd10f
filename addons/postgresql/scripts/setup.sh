#!/bin/sh
# setup (engine, first member): the accounts that are not the administrator's.
set -eu
PATH=/usr/lib/postgresql/$DB_VERSION/bin:$PATH
export DB_SECRETS PGOPTIONS='-c log_statement=none -c log_min_duration_statement=-1 -c log_min_error_statement=panic'

# psql reads the password from the file: it is in no argument and no log.
psql -X -q -h /run -p "$DB_PORT" -U postgres -d postgres -v ON_ERROR_STOP=1 <<'SQL' || exit 20
\set password `cat "$DB_SECRETS/replication"`
BEGIN;
SELECT 'CREATE ROLE replication' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'replication') \gexec
ALTER ROLE replication LOGIN REPLICATION PASSWORD :'password';
COMMIT;
SQL
echo "the account replication is there"
