#!/bin/sh
# The checker at work: on a healthy store, on one that a killed writer has left something in, and on a damaged one.
# Every command is shown before it runs. Run it from the top of the repository: sh examples/tour.sh
set -eu
cargo build --quiet --bin sessiondir --example keep_sessions
target=${CARGO_TARGET_DIR:-target}/debug
case $target in /*) ;; *) target=$PWD/$target ;; esac
PATH=$target:$target/examples:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cart=$PWD/tests/session3/cart
cd "$work"

# Shows a command, runs it, and insists on its exit status.
run() {
    expected=$1
    shift
    printf '\n$ %s\n' "$*"
    status=0
    "$@" || status=$?
    [ "$status" -eq "$expected" ] || { echo "exit status $status, not $expected" >&2; exit 1; }
}

# Overwrites the byte at an offset of a session's file.
damage() {
    printf '\n# byte %s of the session file of %s is damaged\n' "$2" "$3"
    printf 'X' | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}

run 0 sessiondir init sessions
run 0 keep_sessions sessions
run 0 sessiondir list sessions
run 0 sessiondir check sessions

ada=$(sessiondir list --full-ids --json sessions | sed -n 's/.*"id":"\([^"]*\)".*/\1/p')
shown=$(sessiondir list --json sessions | sed -n 's/.*"id":"\([^"]*\)".*/\1/p')

printf '\n# A writer is killed while it creates a session, and somebody leaves a note.\n'
(umask 077 && cp "sessions/$ada" "sessions/.tmp.$ada" && echo hello >sessions/README)
run 0 sessiondir check sessions
rm "sessions/.tmp.$ada" sessions/README

damage "sessions/$ada" 100 "$shown"
run 0 sessiondir check sessions
run 0 sessiondir list sessions
damage "sessions/$ada" 4196 "$shown"
run 1 sessiondir check sessions
run 1 sessiondir list sessions
