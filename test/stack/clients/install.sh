#!/usr/bin/env bash
# Installs the official OpenAI clients for the whole-stack tests: Python into target/clients, Node beside this file.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
venv="$here/../../../target/clients/venv"

if command -v python3 >/dev/null 2>&1; then
    if [ ! -x "$venv/bin/python" ]; then
        # Debian splits the venv module off; a system without it is asked to install it.
        python3 -m venv "$venv" || { command -v apt-get >/dev/null && apt-get install -y python3-venv && python3 -m venv "$venv"; }
    fi
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
else
    echo "SKIPPED: there is no python3"
fi

if command -v npm >/dev/null 2>&1; then
    (cd "$here" && npm ci --no-audit --no-fund --loglevel=error)
else
    echo "SKIPPED: there is no npm"
fi
