#!/bin/sh
# fuzz/seed.sh DIR: lays the seeds out as DIR/<target>/<name>, made of fixtures/ and of the importer's pickles.
set -eu
test $# -eq 1 || { echo "usage: fuzz/seed.sh DIR" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
cargo run --quiet --locked --package sessiondir-properties --example seeds -- "$dir"
