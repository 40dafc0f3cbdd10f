#!/usr/bin/env bash
# Boots the computer with a database called shop and stays until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."

data=${DATA:-/var/lib/volvox}
volvox=bin/volvox
[[ $data == /var/lib/volvox ]] || volvox="bin/volvox --data $data"
unset VOLVOX_DATA
began=$EPOCHREALTIME
up=

phase() { # phase WORDS COMMAND...: runs the command and prints how long it took
	local words=$1 from=$EPOCHREALTIME
	shift
	printf '%-44s' "$words" >&2
	"$@" || { echo >&2; return 1; }
	awk -v a="$from" -v b="$EPOCHREALTIME" 'BEGIN { printf "%7.1f s\n", b - a }' >&2
}

stop() {
	trap '' INT TERM
	echo >&2
	if [[ -n $up ]] && kill -0 "$up" 2>/dev/null; then
		echo "stopping the computer" >&2
		$volvox down || true
		wait "$up" 2>/dev/null || true
	fi
	echo "stopped; 'make run' starts it again with its data." >&2
	echo "To remove it all: $volvox down --purge --yes" >&2
	exit 0
}
trap stop INT TERM

build() { # what the compiler downloads is told only when it fails
	local words
	words=$(make --no-print-directory bin/volvox 2>&1) || { printf '\n%s\n' "$words" >&2; return 1; }
}

boot() {
	if $volvox status >/dev/null 2>&1; then
		printf '\nerror: a computer is already up on %s\ntry:   %s\n' "$data" "$volvox down" >&2
		return 1
	fi
	[[ -d $data ]] || install -d -m 700 "$data"
	# In a session of its own, so that Ctrl-C reaches this script alone.
	setsid $volvox up >>"$data/up.log" 2>&1 </dev/null &
	up=$!
	until $volvox status >/dev/null 2>&1; do
		kill -0 "$up" 2>/dev/null || { echo >&2; tail -n 20 "$data/up.log" >&2; return 1; }
		sleep 0.05
	done
}

shop() {
	if $volvox db show shop -o json >/dev/null 2>&1; then
		$volvox db wait shop >/dev/null 2>"$data/create.log" && return
	else
		$volvox db create shop --engine postgresql --replicas 2 >/dev/null 2>"$data/create.log" && return
	fi
	echo >&2
	cat "$data/create.log" >&2
	return 1
}

((EUID == 0)) || { echo "error: make run needs root, for containers and their network" >&2; echo "try:   sudo make run" >&2; exit 4; }
echo "Volvox: this machine becomes a computer whose kernel is SQL." >&2
phase "install what is missing" build/deps.sh run
phase "build bin/volvox" build
phase "boot the computer" boot
phase "create shop: PostgreSQL, primary and replica" shop || { $volvox down || true; exit 1; }
awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "%-44s%7.1f s\n\n", "ready", b - a }' >&2

cat <<BOX
┌──────────────────────────────────────────────────────────────────────────────
│ The computer is up.
│
│   API           $($volvox status -o json | sed -n 's/.*"api": *"\([^"]*\)".*/\1/p')
│   connect       $volvox db connect shop
│   URL           $($volvox db connect shop --print-url)
│                 with its password: $volvox db connect shop --print-url --reveal
│   ask           $volvox sql "SELECT name, role, ready, address FROM instances"
│
│ Ctrl-C stops it.
└──────────────────────────────────────────────────────────────────────────────
BOX
code=0
wait "$up" || code=$?
echo "the computer has ended; its words are in $data/up.log" >&2
exit "$code"
