#!/bin/sh
# Installs what the tests need beyond Rust, on Debian or Ubuntu. Run it again at any time: what is there is left alone.
set -eu
cd "$(dirname "$0")/clients"

say() { printf 'setup: %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }

# 1. System packages, only those whose command is missing. cmake and a C compiler are for building Byname itself.
packages=""
have cmake || packages="$packages cmake"
{ have cc && have make; } || packages="$packages build-essential"
have pkg-config || packages="$packages pkg-config"
have curl || packages="$packages curl"
have node || packages="$packages nodejs"
have npm || packages="$packages npm"
have redis-server || packages="$packages redis-server"
have prometheus || packages="$packages prometheus"
have mandoc || packages="$packages mandoc"
have systemd-analyze || packages="$packages systemd"
have chromium || packages="$packages chromium"
# Debian has `python3` without the means to make a virtual environment; the module tells.
python3 -c 'import ensurepip' >/dev/null 2>&1 || packages="$packages python3-venv"
if [ -n "$packages" ]; then
    if ! have apt-get; then
        say "please install by hand:$packages"
        exit 1
    fi
    sudo=""
    [ "$(id -u)" -eq 0 ] || sudo="sudo"
    say "installing$packages"
    $sudo apt-get update -q
    # shellcheck disable=SC2086 # the list is meant to fall apart into words
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $packages
    # Debian starts what it installs; the tests start their own, on ports of their own.
    case "$packages" in
    *prometheus*) $sudo systemctl disable --now prometheus prometheus-node-exporter >/dev/null 2>&1 || true ;;
    esac
fi
node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 18 ? 0 : 1)' || {
    say "Node $(node --version) is too old; 18 or newer is needed"
    exit 1
}

# 2. The Python client, in an environment of its own. A copy of the list inside tells whether it is up to date.
if ! cmp -s requirements.txt .venv/installed.txt; then
    say "installing the Python client"
    python3 -m venv --clear .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
    cp requirements.txt .venv/installed.txt
fi

# 3. The Node client and the JSON parsing suite, exactly as locked.
if ! cmp -s package-lock.json node_modules/.installed.json; then
    say "installing the Node client"
    npm ci --no-audit --no-fund --loglevel=error
    cp package-lock.json node_modules/.installed.json
fi
say "everything is there"
