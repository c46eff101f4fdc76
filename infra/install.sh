#!/bin/sh
# Installs the layer on one Debian 12 machine, or under a directory: see --help.
set -eu
umask 022

usage() {
  cat <<'TEXT'
Usage: infra/install.sh [--prefix DIR] [--wheels DIR] [--take-over]

Installs the ingestion layer on this Debian 12 machine, as root, from this checkout:
Mosquitto, InfluxDB 1, egiz-bridge, Prometheus and the broker's exporter, as hardened
systemd services with passwords for each other. Ends when the bridge is subscribed and the
database accepts its writes.

Run it again to upgrade, or with other settings. Passwords, certificates and data stay. A
file in /etc/egiz that you changed stays, too; ours is written beside it as FILE.new.

  --prefix DIR  install under DIR, and change nothing else: no root, no apt, no systemd. To
                look at it, or to run it in another way: the units in
                DIR/etc/systemd/system say what to run
  --wheels DIR  install the project's packages from DIR (`make build` makes them) instead
                of building them. With PIP_NO_INDEX=1 the others, too: for a machine
                without Internet
  --take-over   also if Mosquitto, InfluxDB or Prometheus were configured here by
                somebody else. They run with our configuration from then on; a copy of
                each file that is no longer in force is kept in /etc/egiz/before
  --help        this text

Settings, from the environment; /etc/egiz/install.env keeps them for the next run:

  EGIZ_DEVICES     address:port for devices, with certificates      [127.0.0.1:8883]
  EGIZ_DEVICES_TLS12  ... a second one for devices that speak TLS 1.2 only, as stock
                   MicroPython does; EGIZ_DEVICES accepts them, too. `off` if you have
                   none: then both are closed to them  [EGIZ_DEVICES, with the port 8884]
  EGIZ_SERVICES    address:port for services, with passwords        [127.0.0.1:1883]
  EGIZ_NAMES       names and addresses by which devices know the broker; they are in its
                   certificate                                      [this host's name]
  EGIZ_INFLUXDB    address:port of the database                     [127.0.0.1:8086]
  EGIZ_RETENTION   how long it keeps data: as 30d, 52w or INF; one that you changed
                   by hand stays until you change this one          [30d]
  EGIZ_BRIDGE      ... of the bridge's metrics and health           [127.0.0.1:9471]
  EGIZ_EXPORTER    ... of the broker's metrics                      [127.0.0.1:9641]
  EGIZ_NODE        ... of the metrics of node-exporter               [127.0.0.1:9100]
  EGIZ_PROMETHEUS  ... of Prometheus                                [127.0.0.1:9090]
  EGIZ_DOCS        where you serve what `make docs` builds; alerts
                   link to its runbook                              [http://localhost:8000]
  EGIZ_GRAFANA     ... Grafana; alerts link to its dashboards       [http://localhost:3000]

A broker for the devices' network, which is 10.20.0.0/24 here:

  EGIZ_DEVICES=10.20.0.5:8883 EGIZ_NAMES='broker.factory 10.20.0.5' infra/install.sh

Exit codes: 0 it is installed and works, 1 a step failed, 2 wrong usage.
TEXT
}

SETTINGS='EGIZ_DEVICES EGIZ_DEVICES_TLS12 EGIZ_SERVICES EGIZ_NAMES EGIZ_INFLUXDB EGIZ_RETENTION EGIZ_BRIDGE
  EGIZ_EXPORTER EGIZ_NODE EGIZ_PROMETHEUS EGIZ_DOCS EGIZ_GRAFANA'
LISTENERS='EGIZ_DEVICES EGIZ_DEVICES_TLS12 EGIZ_SERVICES EGIZ_INFLUXDB EGIZ_BRIDGE EGIZ_EXPORTER EGIZ_NODE
  EGIZ_PROMETHEUS'
SERVICES='mosquitto influxdb egiz-influxdb prometheus-mqtt-exporter prometheus-node-exporter
  prometheus egiz-bridge'
TIMERS='egiz-certificates'
SOCKETS='egiz-influxdb-http'
ACCOUNTS='bridge telegraf egizcore fleet exporter health operator'
PACKAGES='mosquitto mosquitto-clients influxdb prometheus prometheus-mqtt-exporter
  prometheus-node-exporter python3-venv'
DEBIANS='mosquitto influxdb prometheus-mqtt-exporter prometheus-node-exporter prometheus'
step=''
here=$(cd "$(dirname "$0")" && pwd)
prefix='' wheels='' where='' takes_over=''

main() {
  trap fault EXIT
  options "$@"
  etc=$prefix/etc/egiz opt=$prefix/opt/egiz units=$prefix/etc/systemd/system
  say 'settings'
  settings
  [ -n "$prefix" ] || strangers
  [ -n "$prefix" ] || packages
  need mosquitto influxd prometheus prometheus-mqtt-exporter prometheus-node-exporter python3 flock
  alone
  # No && between them: `set -e` does not hold in a function that stands before one.
  say 'Python packages'
  python_packages
  say 'certificates and accounts'
  certificates
  passwords
  say 'configuration'
  configuration
  commands
  systemd_units
  [ -n "$prefix" ] || start
  closing
}

options() {
  while [ $# -gt 0 ]; do
    case $1 in
      # An empty one is a variable that was not set: it must not mean the whole machine.
      --prefix) [ -n "${2:-}" ] || wrong '--prefix needs a directory'; prefix=$2; shift ;;
      --wheels) [ -n "${2:-}" ] || wrong '--wheels needs a directory'; wheels=$2; shift ;;
      --take-over) takes_over=yes ;;
      -h | --help) usage; exit 0 ;;
      *) wrong "unknown argument: $1" ;;
    esac
    shift
  done
  [ -z "$wheels" ] || [ -d "$wheels" ] || wrong "--wheels: there is no directory $wheels"
  if [ -n "$prefix" ]; then
    mkdir -p "$prefix" && prefix=$(cd "$prefix" && pwd)
    # It is part of units and configurations, where others would need quotes.
    case $prefix in
      *[!A-Za-z0-9_./+-]*) wrong "--prefix: $prefix: letters, digits and . _ - + / only" ;;
    esac
  elif [ "$(id -u)" -ne 0 ]; then
    wrong 'it must be run as root; with --prefix DIR, any user may run it'
  fi
}

say() { step=$1; printf '%s ...\n' "$1"; }
wrong() { step=''; printf 'install.sh: %s%s\nTry: infra/install.sh --help\n' "$1" "$where" >&2; exit 2; }
stop() { step=''; printf 'install.sh: %s\n' "$1" >&2; exit 1; }

# Whatever fails ends this script, by `set -e`; what stop() has explained needs no more.
fault() {
  code=$?
  [ "$code" = 0 ] || [ -z "$step" ] || {
    printf 'install.sh: the step "%s" failed: solve what it says above, and run this again\n' "$step" >&2
    exit 1
  }
}

need() {
  missing=''
  PATH=$PATH:/usr/sbin
  for program; do command -v "$program" >/dev/null || missing="$missing $program"; done
  [ -z "$missing" ] || stop "not installed:$missing
  Debian 12: apt install --no-install-recommends $PACKAGES"
}

# From the environment, else the last run, else the defaults; kept for the next run.
settings() {
  given=''
  for name in $SETTINGS; do
    eval "value=\${$name:-}"
    [ -z "$value" ] || { check "$name" "$value"; given="$given $name='$value'"; }
  done
  EGIZ_NAMES=$(hostname)
  EGIZ_DEVICES=127.0.0.1:8883 EGIZ_DEVICES_TLS12='' EGIZ_SERVICES=127.0.0.1:1883 EGIZ_INFLUXDB=127.0.0.1:8086
  EGIZ_RETENTION=30d EGIZ_BRIDGE=127.0.0.1:9471 EGIZ_EXPORTER=127.0.0.1:9641
  EGIZ_NODE=127.0.0.1:9100 EGIZ_PROMETHEUS=127.0.0.1:9090 EGIZ_DOCS=http://localhost:8000
  EGIZ_GRAFANA=http://localhost:3000
  # shellcheck source=/dev/null
  [ ! -e "$etc/install.env" ] || . "$etc/install.env"
  eval "$given"
  EGIZ_DEVICES_TLS12=${EGIZ_DEVICES_TLS12:-${EGIZ_DEVICES%:*}:8884}
  # It moves with EGIZ_DEVICES, unless it was named as well.
  case "$given $EGIZ_DEVICES_TLS12" in
    *EGIZ_DEVICES_TLS12=* | *' off') ;;
    *EGIZ_DEVICES=*) EGIZ_DEVICES_TLS12=${EGIZ_DEVICES%:*}:${EGIZ_DEVICES_TLS12##*:} ;;
  esac
  # All of them: install.env may have been changed by hand.
  [ ! -e "$etc/install.env" ] || where=" ($etc/install.env keeps the settings)"
  for name in $SETTINGS; do eval "check $name \"\$$name\""; done
  distinct
}

# Two services cannot listen on one port; the second would fail when all is installed.
distinct() {
  taken=''
  for name in $LISTENERS; do
    eval "value=\$$name"
    for other in $taken; do
      ! is_same "${other#*=}" "$value" ||
        wrong "$name and ${other%%=*} are both at $value: give each a port of its own"
    done
    taken="$taken $name=$value"
  done
}

is_same() {
  [ "${1##*:}" = "${2##*:}" ] || return 1
  case ${1%:*},${2%:*} in
    "${2%:*},${2%:*}" | 0.0.0.0,* | *,0.0.0.0) ;;
    localhost,127.0.0.1 | 127.0.0.1,localhost) ;;
    *) return 1 ;;
  esac
}

# Two at once would each replace files of the other. The lock ends with this script.
alone() {
  exec 9<"$prefix/"
  flock --nonblock 9 || stop "another install.sh is at work in $prefix/: wait until it has ended"
}

# check NAME VALUE: before it is in any file, or is evaluated.
check() {
  case $1,$2 in
    EGIZ_DOCS,*[!A-Za-z0-9_.:/~-]* | EGIZ_GRAFANA,*[!A-Za-z0-9_.:/~-]*) wrong "$1: no character of an address but . : - _ ~ /" ;;
    EGIZ_DOCS,http*/ | EGIZ_GRAFANA,http*/) wrong "$1 must not end with /" ;;
    EGIZ_DOCS,https://?* | EGIZ_DOCS,http://?*) return 0 ;;
    EGIZ_GRAFANA,https://?* | EGIZ_GRAFANA,http://?*) return 0 ;;
    EGIZ_DOCS,* | EGIZ_GRAFANA,*) wrong "$1 must begin with https:// or http://" ;;
  esac
  case $2 in
    *[!A-Za-z0-9_.:\ -]*) wrong "$1: letters, digits, spaces and . : - _ only" ;;
  esac
  case $1 in
    EGIZ_NAMES) check_names "$2" ;;
    EGIZ_RETENTION)
      is_retention "$2" || wrong "$1 must be a number and h, d or w, as 30d; or INF" ;;
    EGIZ_DEVICES_TLS12)
      [ "$2" = off ] || is_address "$2" || wrong "$1 must be address:port, or off" ;;
    *) is_address "$2" || wrong "$1 must be address:port, as 127.0.0.1:1883; no IPv6" ;;
  esac
}

is_address() {
  case $1 in
    *:*[!0-9]* | *\ * | *: | :*) return 1 ;;
    *:*) ;;
    *) return 1 ;;
  esac
  case ${1##*:} in 0* | ??????*) return 1 ;; esac
  [ "${1##*:}" -le 65535 ]
}

check_names() {
  count=0
  for word in $1; do
    case $word in
      -* | .* | *- | *. | *..*) wrong "EGIZ_NAMES: $word is no name of a host" ;;
    esac
    [ ${#word} -le 64 ] || wrong "EGIZ_NAMES: $word is longer than 64 characters"
    count=$((count + 1))
  done
  [ "$count" -gt 0 ] || wrong 'EGIZ_NAMES has no name in it'
}

is_retention() {
  case $1 in
    INF) ;;
    *[hdw]) case ${1%?} in '' | 0* | *[!0-9]*) return 1 ;; esac ;;
    *) return 1 ;;
  esac
}

# What somebody else has configured, who may need it as it is: nothing is changed without
# --take-over. Ours is known by the record of its drop-in.
strangers() {
  found=$(for service in $DEBIANS; do
    [ ! -e "$etc/.laid/etc+systemd+system+$service.service.d+egiz.conf" ] || continue
    { changed "$service"; added "$service"; } | sed "s/^/$service: /"
  done)
  [ -n "$found" ] || return 0
  if [ -z "$takes_over" ]; then
    printf '%s\n' "$found" | sed 's/^/  /' >&2
    stop 'these were configured here by somebody else, and nothing was changed. They would run with our
  configuration, and refuse whoever uses them now: install on another machine. If they are no longer needed
  as they are: run this again with --take-over; a copy of each file is kept in /etc/egiz/before'
  fi
  printf '%s\n' "$found" | while IFS= read -r one; do keep "${one%%: *}" "${one#*: }"; done
}

# changed SERVICE: files of its package that are not as Debian made them.
changed() {
  # shellcheck disable=SC2016  # for dpkg-query
  dpkg-query --show --showformat '${Conffiles}\n' "$1" 2>/dev/null | while read -r path sum _; do
    [ ! -f "$path" ] || printf '%s  %s\n' "$sum" "$path" | md5sum --check --status || echo "$path"
  done
}

# added SERVICE: what it reads beside the files of its package, and databases.
added() {
  units=/etc/systemd/system/$1.service
  find "$units" "$units.d" -type f 2>/dev/null || :
  case $1 in
    mosquitto) find /etc/mosquitto/conf.d -type f -name '*.conf' 2>/dev/null || : ;;
    influxdb)
      find /etc/default/influxdb -type f 2>/dev/null || :
      find /var/lib/influxdb/data -mindepth 1 -maxdepth 1 -type d ! -name _internal 2>/dev/null || : ;;
  esac
}

# keep SERVICE PATH: a copy, once; what would overrule our drop-ins goes from its place.
keep() {
  [ -f "$2" ] || { printf '  %s: %s stays; a password is needed from now on\n' "$1" "$2"; return 0; }
  copy=$etc/before$2
  mkdir -p "$(dirname "$copy")"
  [ -e "$copy" ] || { cp -p "$2" "$copy.new" && mv "$copy.new" "$copy"; }
  case $2 in /etc/systemd/*) rm "$2" ;; esac
  printf '  %s no longer runs with %s: a copy is in %s\n' "$1" "$2" "$copy"
}

packages() {
  # shellcheck disable=SC1091
  . /etc/os-release
  [ "${ID:-}${VERSION_ID:-}" = debian12 ] ||
    stop "this is ${PRETTY_NAME:-unknown}, and only Debian 12 was tested: see --prefix"
  # Not if the installation of one was interrupted: that is finished first.
  # shellcheck disable=SC2086  # a list of words
  [ "$(dpkg -s $PACKAGES 2>/dev/null | grep -c '^Status: .* ok installed$')" != "$(echo $PACKAGES | wc -w)" ] ||
    return 0
  say "Debian's packages"
  # None may start before it has our configuration: InfluxDB's own listens everywhere and
  # wants no password. Not for this start of the machine only: if a later step fails, and
  # the machine is started again before that is solved, they stay off.
  # shellcheck disable=SC2086
  systemctl mask --quiet $DEBIANS
  apt-get update -qq
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
    --no-install-recommends $PACKAGES >/dev/null
}

python_packages() {
  # Not if that was interrupted before it had pip.
  "$opt/bin/python" -m pip --version >/dev/null 2>&1 || python3 -m venv "$opt" ||
    stop 'python3 -m venv failed: apt install python3-venv'
  set --
  for name in schema cli bridge infra; do
    path=$here/../packages/egiz-$name
    [ -z "$wheels" ] || path=$(wheel "egiz_$name")
    set -- "$@" "$path"
  done
  # By path, so that no higher version of an index replaces what was given.
  pip --upgrade ${wheels:+--find-links "$wheels"} "$@"
  # Also if the version is the one that is there.
  [ -z "$wheels" ] || pip --no-index --no-deps --force-reinstall "$@"
  mkdir -p "$opt/lib"
  install -m 0755 "$here/influxdb/accounts.py" "$opt/lib/accounts.py"
  install -m 0755 "$here/mosquitto/check-queue.sh" "$opt/lib/check-queue.sh"
}

# Somebody's pip.conf or environment may name another place; ours is the environment alone.
pip() {
  env -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT PIP_USER=0 "$opt/bin/python" -m pip install --quiet --disable-pip-version-check "$@" ||
    stop 'pip install failed: solve what it says above, and run this again'
}

# wheel NAME: the one wheel of a package of ours.
wheel() {
  found=$(find "$wheels" -maxdepth 1 -name "$1-*.whl")
  case $found in
    '') stop "--wheels: there is no $1 in $wheels" ;;
    *"
"*) stop "--wheels: there are several versions of $1 in $wheels: leave one" ;;
  esac
  printf %s "$found"
}

infra() {
  "$opt/bin/egiz-infra" --directory "$etc" "$@" >/dev/null ||
    stop "egiz-infra $1 failed: solve what it says above, and run this again"
}

certificates() {
  mkdir -p "$etc/broker"
  # A file there gets the owner of the directory.
  [ -n "$prefix" ] || chown mosquitto:mosquitto "$etc/broker"
  [ -s "$etc/pki/ca.key" ] || infra init
  names="$EGIZ_NAMES ${EGIZ_DEVICES%:*}"
  case ${EGIZ_DEVICES_TLS12%:*} in
    off | "${EGIZ_DEVICES%:*}") ;;
    *) names="$names ${EGIZ_DEVICES_TLS12%:*}" ;;
  esac
  if [ ! -e "$etc/broker/broker.pem" ] || [ "$names" != "$(cat "$etc/pki/names")" ]; then
    first=${EGIZ_NAMES%% *}
    set --
    for name in $names; do set -- "$@" --address "$name"; done
    infra issue broker "$first" "$@"
    printf %s "$names" >"$etc/pki/names.new"
    mv "$etc/pki/names.new" "$etc/pki/names"
  fi
  for account in $ACCOUNTS; do
    [ -s "$etc/secrets/$account" ] || infra account "$account"
  done
  infra apply --files-only
}

passwords() {
  for user in admin bridge grafana; do
    file=$etc/secrets/influxdb-$user
    if [ ! -s "$file" ]; then
      secret=$(random)
      (umask 077 && printf '%s:%s' "$user" "$secret" >"$file.new")
      mv "$file.new" "$file"
    fi
  done
}

# 32 characters; of a pipe only the last exit code counts, so the length is checked.
random() {
  text=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')
  [ ${#text} = 32 ] || stop 'no random characters: head, base64 or tr failed'
  printf %s "$text"
}

# The paths and addresses in our files are defaults: replace them by the settings. By names
# first: the new address of one service may be the default of another.
render() {
  to_names="
    s|/etc/mosquitto|/etc/egiz/mosquitto|g
    s|^listener 8883$|listener ${EGIZ_DEVICES##*:} ${EGIZ_DEVICES%:*}|
    s|^listener 8884$|listener ${EGIZ_DEVICES_TLS12##*:} ${EGIZ_DEVICES_TLS12%:*}|
    s|^listener 1883 127.0.0.1$|listener ${EGIZ_SERVICES##*:} ${EGIZ_SERVICES%:*}|
    s/\(localhost\|127\.0\.0\.1\):1883/@EGIZ_SERVICES@/g
    /inside its network\|socket-proxyd/!s/\(localhost\|127\.0\.0\.1\):8086/@EGIZ_INFLUXDB@/g
    s|http://localhost:8000|@EGIZ_DOCS@|g
    s|http://localhost:3000|@EGIZ_GRAFANA@|g
    s/^Environment=EGIZ_RETENTION=.*/Environment=EGIZ_RETENTION=@EGIZ_RETENTION@/
    s/\(localhost\|127\.0\.0\.1\):9471/@EGIZ_BRIDGE@/g
    s/\(localhost\|127\.0\.0\.1\):9641/@EGIZ_EXPORTER@/g
    s/\(localhost\|127\.0\.0\.1\):9100/@EGIZ_NODE@/g
    s/\(localhost\|127\.0\.0\.1\):9090/@EGIZ_PROMETHEUS@/g
    s/-listen-address 127.0.0.1 -listen-port 9641/-listen-address ${EGIZ_EXPORTER%:*} -listen-port ${EGIZ_EXPORTER##*:}/"
  [ -z "$prefix" ] || to_names="$to_names
    s/127\.0\.0\.1:8086/@EGIZ_INFLUXDB@/g
    s|/run/credentials/[a-z-]*\.service/|/etc/egiz/secrets/|g
    s|/etc/egiz|$etc|g
    s|/opt/egiz|$opt|g
    s|/var/lib/|$prefix/var/lib/|g"
  to_values="
    s|@EGIZ_SERVICES@|$EGIZ_SERVICES|g
    s|@EGIZ_INFLUXDB@|$EGIZ_INFLUXDB|g
    s|@EGIZ_DOCS@|$EGIZ_DOCS|g
    s|@EGIZ_GRAFANA@|$EGIZ_GRAFANA|g
    s|@EGIZ_RETENTION@|$EGIZ_RETENTION|g
    s|@EGIZ_BRIDGE@|$EGIZ_BRIDGE|g
    s|@EGIZ_EXPORTER@|$EGIZ_EXPORTER|g
    s|@EGIZ_NODE@|$EGIZ_NODE|g
    s|@EGIZ_PROMETHEUS@|$EGIZ_PROMETHEUS|g"
  sed "$to_names
$to_values"
}

# lay SOURCE TARGET: our file, with the settings.
lay() {
  mkdir -p "$(dirname "$prefix$2")"
  render <"$here/$1" >"$prefix$2.new"
  place "$2"
}

# place TARGET: TARGET.new replaces a file that we installed, never one that the operator changed.
place() {
  target=$prefix$1 record=$etc/.laid/$(printf %s "${1#/}" | tr / +)
  mkdir -p "$etc/.laid"
  # If it was killed between the two, the file is ours and its record is not in its place.
  ! cmp -s "$target" "$record.new" || mv "$record.new" "$record"
  if [ ! -e "$target" ] || cmp -s "$target" "$record" || cmp -s "$target" "$target.new"; then
    cp "$target.new" "$record.new"
    mv "$target.new" "$target"
    mv "$record.new" "$record"
  elif cmp -s "$target.new" "$record"; then
    rm "$target.new"
  else
    printf '  you changed %s: ours is in %s.new\n' "$target" "$target"
  fi
}

# remove TARGET: a file that we installed and the operator did not change; else, say so.
remove() {
  target=$prefix$1 record=$etc/.laid/$(printf %s "${1#/}" | tr / +)
  [ -e "$target" ] || return 0
  cmp -s "$target" "$record" || stop "you changed $target, which must go: move it away"
  rm "$target" "$record"
}

configuration() {
  lay mosquitto/mosquitto.conf /etc/egiz/mosquitto/mosquitto.conf
  lay mosquitto/production.conf /etc/egiz/mosquitto/conf.d/production.conf
  # Formerly it had the listener for devices; the broker cannot open its port twice.
  ! grep -q '^listener' "$etc/mosquitto/conf.d/production.conf" ||
    stop "you changed $etc/mosquitto/conf.d/production.conf: listeners are in files of their own now; move it away"
  lay mosquitto/service.conf /etc/egiz/mosquitto/conf.d/service.conf
  # Both have the listener of EGIZ_DEVICES, so the other must go.
  with=tls12 without=no-tls12
  [ "$EGIZ_DEVICES_TLS12" != off ] || { with=no-tls12 without=tls12; }
  remove "/etc/egiz/mosquitto/conf.d/$without.conf"
  lay "mosquitto/$with.conf" "/etc/egiz/mosquitto/conf.d/$with.conf"
  lay influxdb/influxdb.conf /etc/egiz/influxdb/influxdb.conf
  lay systemd/bridge.toml /etc/egiz/bridge.toml
  for file in prometheus.yml targets.yml alerts.yml mqtt-exporter.yml alertmanager.yml; do
    lay "prometheus/$file" "/etc/egiz/prometheus/$file"
  done
  for name in $SETTINGS; do eval "printf \"%s='%s'\\n\" $name \"\$$name\""; done >"$etc/install.env.new"
  mv "$etc/install.env.new" "$etc/install.env"
  [ -n "$prefix" ] || return 0
  # If root starts it, the broker becomes a user who may not read here.
  printf 'user %s\n' "$(id -un)" >"$etc/mosquitto/conf.d/user.conf"
  for name in mosquitto influxdb prometheus egiz-bridge egiz-certificates egiz-influxdb; do mkdir -p "$prefix/var/lib/$name"; done
}

systemd_units() {
  for service in $SERVICES; do
    unit=/etc/systemd/system/$service.service
    case $service in
      egiz-*) lay "systemd/$service.service" "$unit" ;;
      *) lay "systemd/$service.conf" "$unit.d/egiz.conf" ;;
    esac
    [ "$service" = egiz-bridge ] || lay systemd/hardening.conf "$unit.d/hardening.conf"
  done
  for name in $TIMERS; do lay "systemd/$name.timer" "/etc/systemd/system/$name.timer"; done
  for name in $SOCKETS; do lay "systemd/$name.socket" "/etc/systemd/system/$name.socket"; done
  for name in $TIMERS $SOCKETS; do
    lay "systemd/$name.service" "/etc/systemd/system/$name.service"
    lay systemd/hardening.conf "/etc/systemd/system/$name.service.d/hardening.conf"
  done
}

# The commands for the operator, with the settings of this machine.
commands() {
  mkdir -p "$prefix/usr/local/sbin"
  cat >"$prefix/usr/local/sbin/egiz-infra.new" <<TEXT
#!/bin/sh
# The settings of this machine, unless the environment has others.
set -ea
: "\${EGIZ_DIRECTORY:=$etc}" "\${EGIZ_DATA:=$prefix/var/lib}"
kept=\$(sed -n "s/^\(EGIZ_[A-Z0-9_]*\)=\(.*\)/: \\\${\1:=\2}/p" $etc/install.env)
eval "\$kept"
exec $opt/bin/egiz-infra "\$@"
TEXT
  chmod 0755 "$prefix/usr/local/sbin/egiz-infra.new"
  place /usr/local/sbin/egiz-infra
  ln -sf "$opt/bin/egiz-bridge" "$prefix/usr/local/sbin/egiz-bridge"
}

start() {
  say 'services'
  # shellcheck disable=SC2086  # a list of words
  systemctl unmask --quiet $DEBIANS
  systemctl daemon-reload
  # shellcheck disable=SC2086
  systemctl enable --quiet $SERVICES
  for name in $TIMERS; do systemctl enable --quiet --now "$name.timer"; done
  for service in $SERVICES; do
    timeout 120 systemctl restart "$service" ||
      stop "$service does not start; see why: journalctl --unit $service"
    [ "$service" != influxdb ] || sockets
  done
  sleep 5
  for service in $SERVICES; do
    [ "$(systemctl show --property NRestarts --value "$service")" = 0 ] ||
      stop "$service has restarted already; see why: journalctl --unit $service"
  done
}

# After InfluxDB, which had this address itself before.
sockets() {
  for name in $SOCKETS; do
    systemctl stop "$name.socket" "$name.service"
    systemctl enable --quiet "$name.socket"
    systemctl start "$name.socket" || stop "$name.socket does not start: is the address in use?"
  done
}

closing() {
  if [ -n "$prefix" ]; then
    printf 'Installed under %s. In this order, run ExecStart of:\n' "$prefix"
    for service in $SERVICES; do find "$units" -name "$service.service" -o \
      -path "*/$service.service.d/egiz.conf"; done
  else
    cat <<TEXT
Installed: subscribed on $EGIZ_SERVICES, and the database accepts writes.
  a device      egiz-infra issue device oven-001 && egiz-infra apply
  its messages  egiz-bridge devices --config /etc/egiz/bridge.toml
  alerts        http://$EGIZ_PROMETHEUS/alerts
Grafana is not in Debian: docs/install/one-machine.md says how to add it.
TEXT
  fi
}

main "$@"
