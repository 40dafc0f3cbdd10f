#!/bin/sh
# leave (engine, on the primary): drops the replication slot of a member that
# is gone, so that no log is kept for it any longer.
set -eu
PATH=/usr/lib/postgresql/$DB_VERSION/bin:$PATH
slot=$(printf %s "$DB_MEMBER_NAME" | tr - _)

# A connection of the member that has not been noticed as dead holds the slot.
psql -X -q -h /run -p "$DB_PORT" -U postgres -d postgres -v ON_ERROR_STOP=1 -v slot="$slot" > /dev/null <<'SQL' || exit 20
SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = :'slot' AND active_pid IS NOT NULL;
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = :'slot';
SQL
echo "the slot $slot is gone"
