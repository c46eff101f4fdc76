#!/bin/sh
# Is the broker healthy? The account `health` publishes a message and must receive it.
# mosquitto_rr reads its password from a file, which setup.sh writes.
set -eu
sent="$(date +%s)-$$"
received=$(XDG_CONFIG_HOME=${EGIZ_HEALTH:-/run/egiz/mosquitto} \
  mosquitto_rr -t health/broker -e health/broker -m "$sent" -W 5)
[ "$received" = "$sent" ]
