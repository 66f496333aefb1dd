#!/bin/sh
# Shapes what leaves this network namespace, and then runs the command it is given; without one it keeps the
# namespace open for the services that share it.
#   RATE    bytes per second in tc's words, for example 5mbps (tc's "mbps" are megabytes per second)
#   DELAYS  one-way delays by host, for example "edge=2.5ms cloud=27.5ms"; needs netem in the kernel
#   INTERFACE  the one that is shaped (default: that of the default route)
set -eu

shape() {
  device=${INTERFACE:-$(ip -o -4 route show default | awk '{print $5; exit}')}
  tc qdisc replace dev "$device" root handle 1: htb default 1
  # One class holds the rate; below it, 1:1 takes what has no delay of its own, and 1:10 on one host each.
  tc class replace dev "$device" parent 1: classid 1:fff htb rate "$RATE" ceil "$RATE" burst 64k quantum 60000
  tc class replace dev "$device" parent 1:fff classid 1:1 htb rate "$RATE" ceil "$RATE" burst 64k quantum 60000
  echo "shape-link: $device sends at most $RATE"
  class=10
  for entry in ${DELAYS:-}; do
    host=${entry%%=*} delay=${entry#*=}
    address=
    for _ in $(seq 60); do
      address=$(getent ahostsv4 "$host" | awk '{print $1; exit}') && [ -n "$address" ] && break
      sleep 1
    done
    tc class replace dev "$device" parent 1:fff classid "1:$class" htb rate "$RATE" ceil "$RATE" burst 64k quantum 60000
    if ! tc qdisc replace dev "$device" parent "1:$class" netem delay "$delay" limit 100000 2>/dev/null; then
      echo "shape-link: this kernel has no netem: the rate holds, delays do not"
      return
    fi
    tc filter replace dev "$device" parent 1: protocol ip prio "$class" u32 match ip dst "$address"/32 flowid "1:$class"
    echo "shape-link: $host ($address) is $delay away"
    class=$((class + 1))
  done
}

if [ -n "${RATE:-}" ]; then shape; fi
[ $# -gt 0 ] || set -- sleep infinity
exec "$@"
