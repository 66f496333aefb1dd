#!/bin/sh
# Runs Partita on real hosts or virtual machines: one command on each, in a checkout with `make install` done.
#
#   deploy/host.sh control 10.0.0.1                          the control services, reached at 10.0.0.1
#   deploy/host.sh node device device 10.0.0.2 10.0.0.1      a server: its name, its role, its own address, control's
#   deploy/host.sh node edge edge 10.0.0.3 10.0.0.1 --threads=4 --compute-watts=5.8
#
# What follows is passed on; `python -m services --help` lists the flags. Everything runs until Ctrl-C.
# Behind a firewall open 50051 on control's host, and on each server's 50061 and a port for tensors, chosen with
# --tensor-port=50065 for example; without the latter tensors go by gRPC, which takes more time.
# Links of a testbed are shaped where the environment asks for it (needs root, or sudo):
#   RATE       what this host sends at most, in tc's words, for example 5mbps (tc's "mbps" are megabytes per second)
#   DELAYS     one-way delays by address, for example "10.0.0.3=2.5ms 10.0.0.4=27.5ms"; needs netem in the kernel
#   INTERFACE  the one that leads to the others (default: that of the default route)
# `tc qdisc delete dev INTERFACE root` takes the shaping off again.
# DATA is where state is kept (default ./partita-data), PYTHON what runs it (default .venv/bin/python).
set -eu
cd "$(dirname "$0")/.."

fail() {
  echo "host.sh: $1, for example:" >&2
  sed -n 's/^#   deploy/  deploy/p' deploy/host.sh >&2
  exit 2
}

shape() {
  [ -n "${RATE:-}" ] || return 0
  root=
  [ "$(id -u)" = 0 ] || root=sudo
  # After a pause between requests, TCP would begin anew, slowly.
  $root sysctl -qw net.ipv4.tcp_slow_start_after_idle=0
  $root env RATE="$RATE" DELAYS="${DELAYS:-}" INTERFACE="${INTERFACE:-}" deploy/shape-link.sh true
}

python=${PYTHON:-.venv/bin/python}
data=--data-directory=${DATA:-partita-data}
case "${1:-}" in
  control)
    [ $# -ge 2 ] || fail "control needs its own address"
    own=$2
    shift 2
    exec "$python" -m services control "--listen=$own:50051" "$data" "$@"
    ;;
  node)
    [ $# -ge 5 ] || fail "node needs a name, a role, its own address and that of control"
    name=$2 role=$3 own=$4 control=$5:50051
    shift 5
    shape
    exec "$python" -m services node "--server=$name" "--role=$role" "--listen=$own:50061" \
      "--registry=$control" "--model-pool=$control" "$data" "$@"
    ;;
  *) fail "the first word is control or node" ;;
esac
