#!/bin/sh
# Runs before every other container: makes the authority, accounts and passwords, once,
# and gives each container a directory with what it needs, for its user alone.
# Run again, it changes nothing but what is missing.
set -eu
root=${EGIZ_DIRECTORY:-/etc/egiz}
run=${EGIZ_RUN:-/run/egiz}

# The users that the images run as.
MOSQUITTO=1883 INFLUXDB=1000 BRIDGE=10001 TELEGRAF=10002 EXPORTER=10003 GRAFANA=472

hand() { # hand USER FILE < secret
  mkdir -p "$(dirname "$run/$2")"
  chown "$1:$1" "$(dirname "$run/$2")"
  (umask 077 && cat >"$run/$2.new")
  chown "$1:$1" "$run/$2.new"
  chmod 0400 "$run/$2.new"
  mv "$run/$2.new" "$run/$2"
}

password() { # password NAME: of another service than the broker
  file=$root/secrets/$1
  [ -s "$file" ] || (umask 077 && head -c 24 /dev/urandom | base64 | tr '+/' '-_' |
    tr -d '\n' >"$file")
  cat "$file"
}

chown "$MOSQUITTO:$MOSQUITTO" "$root/broker" "$run/mosquitto-data"
export EGIZ_DIRECTORY="$root"
[ -e "$root/pki/ca.key" ] || egiz-infra init
names="mosquitto ${EGIZ_NAMES:-}"
if [ "$names" != "$(cat "$root/pki/names" 2>/dev/null)" ]; then
  set --
  for name in $names; do set -- "$@" --address "$name"; done
  egiz-infra issue broker mosquitto "$@"
  printf %s "$names" >"$root/pki/names"
fi
for account in bridge telegraf egizcore fleet exporter health operator; do
  [ -e "$root/secrets/$account" ] || egiz-infra account "$account"
done
egiz-infra apply --files-only

printf -- '-h 127.0.0.1\n-i health\n-u health\n-P %s\n' "$(cat "$root/secrets/health")" |
  hand $MOSQUITTO mosquitto/mosquitto_rr
hand $BRIDGE bridge/mqtt <"$root/secrets/bridge"
hand $TELEGRAF telegraf/mqtt <"$root/secrets/telegraf"
hand $EXPORTER exporter/mqtt <"$root/secrets/exporter"
password influxdb-password | hand $INFLUXDB influxdb/password
password influxdb-token | hand $INFLUXDB influxdb/token
password grafana-admin | hand $GRAFANA grafana/admin
# InfluxDB writes these when it starts for the first time.
chown "$INFLUXDB:$INFLUXDB" "$run/write" "$run/read"
