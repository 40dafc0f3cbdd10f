#!/bin/sh
# probe (engine, streams): one line of JSON, every 0.1 s until ready and then
# every second.
. /scripts/lib.sh

while :; do
	role=primary mark=/run/serving
	[ ! -f /data/primary ] || role=replica mark=/run/copied
	ready=false pause=0.1
	[ ! -f /run/serving ] || [ ! -f $mark ] || ready=true pause=1
	read -r history < /data/www/history || history=
	printf '{"ready":%s,"role":"%s","history":"%s","position":[%d]}\n' $ready $role "$history" "$(count)" || exit 0
	busybox sleep $pause
done
