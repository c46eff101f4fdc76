#!/bin/sh
# Is the broker healthy? It takes a message from the account `health` and gives it back.
# The password is in a file that mosquitto_rr reads by itself: setup.sh writes it.
set -eu
said="$(date +%s)-$$"
heard=$(XDG_CONFIG_HOME=${EGIZ_HEALTH:-/run/egiz/mosquitto} \
  mosquitto_rr -t health/broker -e health/broker -m "$said" -W 5)
[ "$heard" = "$said" ]
