#!/bin/sh
# Installs what the build needs on Debian or Ubuntu, then builds Byname and runs it with its demo model.
set -eu
cd "$(dirname "$0")/.."
missing=""
command -v cmake >/dev/null 2>&1 || missing="$missing cmake"
{ command -v cc && command -v make; } >/dev/null 2>&1 || missing="$missing build-essential"
if [ -n "$missing" ]; then
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo="sudo"
    $sudo apt-get update -q
    # shellcheck disable=SC2086 # the list is meant to fall apart into words
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing
fi
exec cargo run --release --locked -- "$@"
