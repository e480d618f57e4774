#!/bin/sh
# Installs what the tests need on Debian or Ubuntu, then runs all of them.
set -eu
cd "$(dirname "$0")/.."
tests/setup.sh
exec cargo test --locked "$@"
