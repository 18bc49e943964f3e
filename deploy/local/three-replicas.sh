#!/usr/bin/env bash
# The multi-process shape on one machine: three coordinators, three secret services on three members of etcd, two workers,
# one gateway, one client proxy. SIMULATED evidence: no hardware protects anything.
#
#   deploy/local/three-replicas.sh [flags of `privatemode up`]
#
# Needs etcd (Debian: apt-get install etcd-server) and `privatemode` on the PATH, or PRIVATEMODE=path to the program.
# Everything listens on loopback. Ctrl-C stops all of it; etcd's data are in a temporary folder that goes with it.
set -euo pipefail

privatemode=${PRIVATEMODE:-privatemode}
first_port=${ETCD_FIRST_PORT:-23790}
command -v etcd >/dev/null || { echo "etcd is not installed (Debian: apt-get install etcd-server)" >&2; exit 2; }
command -v "$privatemode" >/dev/null || { echo "\`$privatemode\` is not there; set PRIVATEMODE to the program" >&2; exit 2; }

folder=$(mktemp -d)
members=()
stop() {
    trap - EXIT
    for member in "${members[@]}"; do kill "$member" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$folder"
}
trap stop EXIT

cluster=() urls=()
for number in 0 1 2; do
    cluster+=("m$number=http://127.0.0.1:$((first_port + 3 + number))")
    urls+=("http://127.0.0.1:$((first_port + number))")
done
join() { local IFS=,; echo "$*"; }
for number in 0 1 2; do
    peer="http://127.0.0.1:$((first_port + 3 + number))"
    # claims are written all the time: without compaction etcd would keep every one of them
    # in a session of its own: Ctrl-C is for `up`, which still needs it while it drains
    setsid etcd --name "m$number" --data-dir "$folder/m$number" \
        --listen-client-urls "${urls[$number]}" --advertise-client-urls "${urls[$number]}" \
        --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" \
        --initial-cluster "$(join "${cluster[@]}")" --initial-cluster-state new \
        --auto-compaction-mode periodic --auto-compaction-retention 5m \
        --logger zap --log-level error >"$folder/m$number.log" 2>&1 &
    members+=($!)
done

# not `exec`: the members are stopped when it ends. Ctrl-C goes to it as well, and it drains.
trap '' INT
"$privatemode" up --coordinators 3 --secret-services 3 --workers 2 --with "etcd=$(join "${urls[@]}")" "$@"
