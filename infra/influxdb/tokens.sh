#!/bin/bash
# One token that writes the bucket and one that reads it, each in a volume of the service
# that needs it; no service gets that of the administrator. The image of InfluxDB 2 runs it
# at its first start. Run it for new tokens: `influx auth delete` revokes the old ones.
set -euo pipefail

org=$DOCKER_INFLUXDB_INIT_ORG
bucket=$(influx bucket list --org "$org" --name "$DOCKER_INFLUXDB_INIT_BUCKET" \
  --hide-headers | cut -f 1)

token() { # token RIGHT DIRECTORY
  local text
  text=$(influx auth create --org "$org" --description "openegiz $1" \
    "--$1-bucket" "$bucket" --json | sed -n 's/.*"token": *"\([^"]*\)".*/\1/p')
  if [[ ! $text =~ ^[A-Za-z0-9_=-]{40,}$ ]]; then
    echo "tokens.sh: influx auth create gave no token for $1" >&2
    return 1
  fi
  # The reader's user is another one; the volume is mounted nowhere else.
  (umask 022 && printf %s "$text" >"$2/token.new" && mv "$2/token.new" "$2/token")
}

token write "${EGIZ_WRITE_TOKEN:-/run/egiz/write}"
token read "${EGIZ_READ_TOKEN:-/run/egiz/read}"
