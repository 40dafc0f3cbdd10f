#!/bin/sh
# probe (engine, streams): one line of JSON about this member every second.
#
# One redis-cli stays connected and asks again and again, five times a second
# until the server is ready. The shell turns each answer into JSON by itself.
set -u
REDISCLI_AUTH=$(cat "$DB_SECRETS/admin")
export REDISCLI_AUTH
cr=$(printf '\r')

# report prints the facts of one answer; it fails once the pace should change.
report() {
	ready=false message=
	case $role,$link,$loading in
	*,*,1) message='"message":"loads its data",' ;;
	master,*) ready=true ;;
	slave,up,*) ready=true ;;
	*) message='"message":"does not stream from its primary",' ;;
	esac
	case $role in master) name=primary lag= ;; *) name=replica lag="\"lag_bytes\":$((read - offset))," ;; esac
	echo "{\"ready\":$ready,\"role\":\"$name\",\"history\":\"$history\",$message$lag\"position\":[$offset]}" || exit 0
	[ "$1" = slow ] || [ $ready = false ]
}

# watch reads answers until the connection ends, or the pace should change.
watch() {
	role='' link='' loading=0 offset=0 read=0 history=''
	while IFS=: read -r key value; do
		value=${value%"$cr"}
		case $key in
		loading) loading=$value ;;
		role) role=$value ;;
		master_link_status) link=$value ;;
		slave_read_repl_offset) read=$value ;;
		slave_repl_offset) offset=$value ;;
		master_replid) history=$value ;;
		master_repl_offset) [ "$role" = slave ] || offset=$value ;;
		repl_backlog_histlen*) report "$1" || return 0 ;;
		esac
	done
}

while :; do
	redis-cli -s /run/redis.sock -r -1 -i 0.2 INFO persistence replication 2>/dev/null | watch fast
	redis-cli -s /run/redis.sock -r -1 -i 1 INFO persistence replication 2>/dev/null | watch slow
	echo '{"ready":false,"role":"","message":"does not answer"}' || exit 0
	sleep 0.2
done
