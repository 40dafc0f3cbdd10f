#!/bin/sh
# lib: what the scripts of the counter share. Items are lines of
# /data/www/items; /data/primary is there on a replica and names its primary.
set -eu
. /config/counter.conf

# fail_as_asked ends the action with the code that the parameter fail names.
fail_as_asked() { # action
	case $fail in "$1":*)
		echo "$1 fails because the parameter fail says so"
		exit "${fail#*:}"
		;;
	esac
}

# fetch writes a file of another member to a file here, whole or not at all.
# The password goes through standard input, so that it is in no argument.
fetch() { # host name target
	{
		printf 'GET /%s HTTP/1.0\r\n' "$2"
		printf 'Authorization: Basic %s\r\n\r\n' "$(printf 'admin:%s' "$(busybox cat "$DB_SECRETS/admin")" | busybox base64)"
	} | busybox nc -w 2 "$1" "$DB_PORT" > /tmp/reply || return 1
	read -r line < /tmp/reply || return 1
	case $line in 'HTTP/1.'[01]' 200'*) ;; *) return 1 ;; esac
	busybox sed '1,/^\r$/d' /tmp/reply > "$3.new" || return 1
	busybox sync "$3.new" && busybox mv "$3.new" "$3"
}

# count prints how many items there are.
count() { busybox wc -l < /data/www/items; }
