#!/usr/bin/env bash
# Fails when tests have left a process, mount, interface (and with it its
# namespace and routes), control group or directory of a computer behind. Computers that are up on purpose, on a
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
# What names a computer of which there is no run directory belongs to nobody.
orphan() { [[ ! -d /run/volvox/$1 ]] && say "$2"; }
while read -r link; do orphan "${link:2:6}" "interface $link"; done < <(ip -o link | grep -oE '\bvx[0-9a-f]{6}[a-z0-9]+')
for group in /sys/fs/cgroup/volvox-* /sys/fs/cgroup/*/volvox-*; do
	[[ -d $group ]] && orphan "${group##*/volvox-}" "control group $group"
done
exit $found
