#!/bin/sh
# probe (engine, streams): one line of JSON about this member every second.
#
# Until the server is ready it is asked anew every 0.2 s; then one session
# stays open and asks each second, which costs next to nothing.
set -u
PATH=/usr/lib/postgresql/$DB_VERSION/bin:$PATH
export PGCONNECT_TIMEOUT=3 PGOPTIONS='-c log_statement=none -c log_min_duration_statement=-1 -c statement_timeout=5s'

# Position: [timeline, bytes of log]. A replica is ready when it streams from
# its primary and has replayed all but 16 MB of what it was told of.
query="
WITH r AS (SELECT pg_is_in_recovery() AS replica, pg_last_wal_replay_lsn() AS replayed),
     w AS (SELECT count(*) AS n, max(received_tli) AS timeline, max(latest_end_lsn) AS latest,
                  coalesce(bool_or(status = 'streaming'), false) AS streaming FROM pg_stat_wal_receiver),
     p AS (SELECT *, CASE WHEN replica THEN greatest(coalesce(latest, replayed) - replayed, 0) END AS lag FROM r, w)
SELECT json_strip_nulls(json_build_object(
  'ready', NOT replica OR (streaming AND lag < 16777216),
  'role', CASE WHEN replica THEN 'replica' ELSE 'primary' END,
  'history', (SELECT system_identifier::text FROM pg_control_system()),
  'position', CASE WHEN replica
    THEN json_build_array(coalesce(timeline, (SELECT min_recovery_end_timeline FROM pg_control_recovery())),
                          greatest(pg_last_wal_receive_lsn(), replayed) - '0/0'::pg_lsn)
    ELSE json_build_array(('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int,
                          pg_current_wal_flush_lsn() - '0/0'::pg_lsn) END,
  'lag_bytes', lag,
  'lag_ms', CASE WHEN NOT replica THEN NULL WHEN lag = 0 THEN 0
    ELSE round(extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000) END,
  'message', CASE WHEN replica AND NOT streaming THEN 'does not stream from its primary'
                  WHEN replica AND lag >= 16777216 THEN 'replays what it missed' END)) FROM p"

ask() { psql -X -A -t -q -h /run -p "$DB_PORT" -U postgres -d postgres -v ON_ERROR_STOP=1 "$@" 2>/dev/null; }

pause=0.2 tries=0
while :; do
	line=$(ask -c "$query")
	echo "${line:-{\"ready\":false,\"role\":\"\",\"message\":\"does not answer\"\}}" || exit 0
	case $line in *'"ready":true'*)
		printf '%s \\watch 1\n' "$query" | ask
		pause=0.2 tries=0
		;;
	esac
	tries=$((tries + 1))
	[ "$tries" -lt 150 ] || pause=1
	sleep "$pause"
done
