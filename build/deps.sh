#!/usr/bin/env bash
# Installs what Volvox needs and says so: `deps.sh run` for running it,
# `deps.sh run test` for its tests too. Does nothing when all is there.
set -euo pipefail

need=()
for what in "$@"; do
	case $what in
	run) need+=(containerd runc nftables iproute2 ca-certificates postgresql-client) ;;
	test) need+=(busybox-static redis-tools) ;;
	long) need+=(gcc libc6-dev) ;; # of the race detector
	*) echo "deps.sh: unknown set '$what'; there are: run test long" >&2; exit 2 ;;
	esac
done

if ! command -v dpkg-query >/dev/null; then
	echo "error: this is not a Debian machine, so nothing can be installed" >&2
	echo "try:   install these yourself: ${need[*]}" >&2
	exit 1
fi

missing=()
for package in "${need[@]}"; do
	[[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) == installed ]] || missing+=("$package")
done
((${#missing[@]})) || exit 0

if ((EUID != 0)); then
	echo "error: packages are missing and only root may install them: ${missing[*]}" >&2
	echo "try:   sudo apt-get install ${missing[*]}" >&2
	exit 4
fi

echo "installing with apt: ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1
}
install || { apt-get update >"$log" 2>&1 || true; install; } || {
	tail -n 20 "$log" >&2
	echo "error: apt could not install: ${missing[*]}" >&2
	echo "try:   apt-get update && apt-get install ${missing[*]}" >&2
	exit 1
}
