#!/bin/sh
# Runs before every other container: makes the authority, accounts and passwords, once,
# and gives each container a directory with what it needs, for its user alone.
# Run again, it changes nothing but what is missing.
set -eu
root=${EGIZ_DIRECTORY:-/etc/egiz}
run=${EGIZ_RUN:-/run/egiz}

# The users that the images run as.
MOSQUITTO=1883 INFLUXDB=1000 BRIDGE=10001 TELEGRAF=10002 EXPORTER=10003 GRAFANA=472

step='the first files'
trap '[ "$?" = 0 ] || echo "setup.sh: failed: $step; it can be run again" >&2' EXIT

hand() { # hand USER FILE SECRET
  step="$2, for its container"
  [ -n "$3" ] # nothing would be a password that everybody knows
  mkdir -p "$(dirname "$run/$2")"
  # It stays root's: who owns it could put a link where root writes.
  chown 0:0 "$(dirname "$run/$2")"
  chmod 0711 "$(dirname "$run/$2")"
  rm -f "$run/$2.new"
  (umask 077 && printf %s "$3" >"$run/$2.new")
  chown "$1:$1" "$run/$2.new"
  chmod 0400 "$run/$2.new"
  mv "$run/$2.new" "$run/$2"
}

password() { # password NAME: of another service than the broker
  file=$root/secrets/$1
  if [ ! -s "$file" ]; then
    # Of a pipe only the last exit code counts: the length shows a failure of the others.
    text=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')
    [ ${#text} = 32 ]
    (umask 077 && printf %s "$text" >"$file.new")
    mv "$file.new" "$file"
  fi
  cat "$file"
}

chown "$MOSQUITTO:$MOSQUITTO" "$root/broker" "$run/mosquitto-data"
export EGIZ_DIRECTORY="$root"
step='the authority'
[ -s "$root/pki/ca.key" ] || egiz-infra init
names="mosquitto ${EGIZ_NAMES:-}"
if [ "$names" != "$(cat "$root/pki/names" 2>/dev/null)" ]; then
  set --
  for name in $names; do set -- "$@" --address "$name"; done
  step='the certificate of the broker'
  egiz-infra issue broker mosquitto "$@"
  printf %s "$names" >"$root/pki/names.new"
  mv "$root/pki/names.new" "$root/pki/names"
fi
for account in bridge telegraf egizcore fleet exporter health operator; do
  step="the account $account"
  [ -s "$root/secrets/$account" ] || egiz-infra account "$account"
done
step='the access list'
egiz-infra apply --files-only

step='passwords'
health=$(cat "$root/secrets/health")
bridge=$(cat "$root/secrets/bridge")
telegraf=$(cat "$root/secrets/telegraf")
exporter=$(cat "$root/secrets/exporter")
influxdb_password=$(password influxdb-password)
influxdb_token=$(password influxdb-token)
grafana=$(password grafana-admin)

hand $MOSQUITTO mosquitto/mosquitto_rr "-h 127.0.0.1
-i health
-u health
-P $health
"
hand $BRIDGE bridge/mqtt "$bridge"
hand $TELEGRAF telegraf/mqtt "$telegraf"
hand $EXPORTER exporter/mqtt "$exporter"
hand $INFLUXDB influxdb/password "$influxdb_password"
hand $INFLUXDB influxdb/token "$influxdb_token"
hand $GRAFANA grafana/admin "$grafana"
step='places for the tokens of InfluxDB'
# InfluxDB writes these when it starts for the first time.
chown "$INFLUXDB:$INFLUXDB" "$run/write" "$run/read"
