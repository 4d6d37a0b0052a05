#!/bin/sh
# fuzz/minimise.sh TARGET FOUND MOST: puts into fuzz/corpus/TARGET those of the inputs in FOUND that reach code which
# neither the seeds nor the corpus reach: the one that reaches most first, and MOST of them at most.
set -eu
test $# -eq 3 || { echo "usage: fuzz/minimise.sh TARGET FOUND MOST" >&2; exit 2; }
target=$1 most=$3
found=$(cd "$2" && pwd)
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

sh fuzz/seed.sh "$work/seeds" >/dev/null
mkdir -p "$work/all" "fuzz/corpus/$target"
for known in "$work/seeds/$target"/* "fuzz/corpus/$target"/*; do
    [ ! -f "$known" ] || cp "$known" "$work/all/"
done
ls "$work/all" >"$work/known"
# Without counters: code that is reached, and not how often.
cargo +nightly fuzz run --sanitizer none "$target" "$work/all" "$found" -- -set_cover_merge=1 -use_counters=0 2>/dev/null
# They are written one after the other, in the order in which they were chosen.
ls -tr "$work/all" | grep -vxFf "$work/known" | head -n "$most" | while read -r name; do
    cp "$work/all/$name" "fuzz/corpus/$target/$(printf '%.12s' "$name")"
done
ls "fuzz/corpus/$target" | wc -l
