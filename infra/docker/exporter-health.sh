#!/bin/bash
# Is the exporter connected to the broker? Debian's slim image has no HTTP client.
set -euo pipefail
exec 3<>"/dev/tcp/127.0.0.1/${1:-9641}"
printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
# Read to the end: the exporter logs a connection that is closed early.
[[ $(cat <&3) == *'mqtt2prometheus_connected 1'* ]]
