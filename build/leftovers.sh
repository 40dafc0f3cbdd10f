#!/usr/bin/env bash
# Fails when tests have left a process, mount, namespace, interface, route or
# control group of a computer behind. Computers that are up on purpose, on a
# directory outside of the temporary one, are not meant.
set -u
found=0
say() { echo "left behind: $*" >&2; found=1; }

tmp=${TMPDIR:-/tmp}
while read -r pid args; do say "process $pid: $args"; done < <(
	ps -eo pid=,args= | awk -v t="$tmp/" 'index($0, t) && (/containerd/ || /volvox/) && !/awk/ && !/leftovers/ { print }')
while read -r mount; do say "mount $mount"; done < <(awk -v t="$tmp/" '$2 ~ "^" t "Test" { print $2 }' /proc/self/mounts)
for dir in /run/volvox/*/; do
	[[ -d $dir ]] || continue
	home=$(cat "$dir/data" 2>/dev/null || true)
	[[ $home == "$tmp"/* || -z $home ]] && say "directory $dir (of '$home')"
done
exit $found
