#!/usr/bin/env bash
# Prints, sorted, what there is on this machine of computers on temporary
# directories: processes, mounts, directories, interfaces (and with them
# namespaces and routes) and control groups. With a file that holds what it
# printed before, it fails if there is more now: that was left behind since.
set -u

tmp=${TMPDIR:-/tmp}
list() {
	ps -eo pid=,args= | awk -v t="$tmp/" 'index($0, t) && (/containerd/ || /volvox/) && !/awk/ && !/leftovers/ { print "process " $0 }'
	awk -v t="$tmp/" '$2 ~ "^" t "Test" { print "mount " $2 }' /proc/self/mounts
	for dir in /run/volvox/*/; do
		[[ -d $dir ]] || continue
		home=$(cat "$dir/data" 2>/dev/null || true)
		[[ $home == "$tmp"/* || -z $home ]] && echo "directory $dir (of '$home')"
	done
	# What names a computer of which there is no run directory belongs to nobody.
	orphan() { [[ ! -d /run/volvox/$1 ]] && echo "$2"; }
	while read -r link; do orphan "${link:2:6}" "interface $link"; done < <(ip -o link | grep -oE '\bvx[0-9a-f]{6}[a-z0-9]+')
	for group in /sys/fs/cgroup/volvox-* /sys/fs/cgroup/*/volvox-*; do
		[[ -d $group ]] && orphan "${group##*/volvox-}" "control group $group"
	done
}

now=$(list | sort)
if [[ -z ${1:-} ]]; then
	[[ -z $now ]] || echo "$now"
	exit 0
fi
left=$(comm -13 "$1" <(echo "$now") | sed '/^$/d')
[[ -z $left ]] && exit 0
sed 's/^/left behind: /' <<<"$left" >&2
exit 1
