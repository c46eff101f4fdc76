#!/bin/sh
# Before the broker starts, as its user: can it read the sessions and queues that it saved?
# Mosquitto starts without a file that it cannot read, and soon saves over it.
file=${1:-/var/lib/mosquitto/mosquitto.db}
directory=$(dirname "$file")
stop() {
  printf '%s: %s; not started, so that no queue is lost: chown -R %s: %s\n' \
    "$1" "$2" "$(id -un)" "$directory" >&2
  exit 1
}

{ [ -d "$directory" ] && [ -x "$directory" ] && [ -w "$directory" ]; } ||
  stop "$directory" 'is no directory that the broker can write to'
# A link that leads nowhere, too.
if [ -e "$file" ] || [ -L "$file" ]; then
  { [ -f "$file" ] && [ -r "$file" ]; } || stop "$file" 'is no file that the broker can read'
fi
