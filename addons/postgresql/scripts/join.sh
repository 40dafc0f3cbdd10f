#!/bin/sh
# join (engine, on the primary): makes the replication slot of a new member, so
# that the log it will need is kept from now on.
set -eu
PATH=/usr/lib/postgresql/$DB_VERSION/bin:$PATH
slot=$(printf %s "$DB_MEMBER_NAME" | tr - _)

psql -X -q -h /run -p "$DB_PORT" -U postgres -d postgres -v ON_ERROR_STOP=1 -v slot="$slot" > /dev/null <<'SQL' || exit 20
-- A slot that fell too far behind is of no use any more.
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = :'slot' AND wal_status = 'lost';
SELECT pg_create_physical_replication_slot(:'slot', true)
WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = :'slot');
SQL
echo "the slot $slot is there"
