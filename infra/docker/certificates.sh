#!/bin/sh
# What egiz-certificates.timer does on bare metal: each hour, when certificates expire. A
# failure is in the log, and the file becomes old, for which there is an alert.
set -eu
trap 'exit 0' TERM INT
while :; do
  egiz-infra metrics --to "${EGIZ_CERTIFICATES:-/run/egiz/certificates}/certificates.prom" || :
  sleep "${1:-3600}" &
  wait $!
done
